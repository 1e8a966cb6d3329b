//! Conditional batch normalization, an optional shortcut, the Padé activation, dropout and an optional average pool as one
//! differentiable operation: what the two-storey trait calls `conditional_norm_pau`.

use super::site::Kernels;
use super::{site_cpu, site_cuda};
use crate::distributed::{Group, release};
use crate::shim;
use std::ffi::{c_char, c_void};
use std::ptr::null;
use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;

/// The tensors of one fused site.
#[derive(Clone, Copy)]
pub struct ConditionalPau<'a> {
    /// `[N, C, H, W]`.
    pub x: &'a Tensor,
    /// Weight of the batch normalization, `[C]`.
    pub gamma: &'a Tensor,
    /// Bias of the batch normalization, `[C]`.
    pub beta: &'a Tensor,
    /// Scales, then biases, `[N, 2C]`; scale 1 and bias 0 when absent.
    pub modulation: Option<&'a Tensor>,
    /// Added before the activation, `[N, C, H, W]`.
    pub shortcut: Option<&'a Tensor>,
    /// Factor of the result, through which no gradient flows.
    pub gain: Option<Gain<'a>>,
    /// Coefficients `a0 … am`.
    pub numerator: &'a Tensor,
    /// Coefficients `b1 … bn`.
    pub denominator: &'a Tensor,
    /// Running mean, `[C]`; moved when `batch_statistics` is set, read otherwise.
    pub running_mean: &'a Tensor,
    /// Running variance, `[C]`, likewise.
    pub running_variance: &'a Tensor,
    /// Whether to normalize with the batch's statistics.
    pub batch_statistics: bool,
    /// Whether only the means of the result over 2×2 pixels are wanted, an odd last row or column left out.
    pub pool: bool,
    /// The processes over whose batches the batch's statistics are taken; this process's own batch when absent.
    pub group: Option<&'a Group>,
}

/// What a site's result is multiplied by.
#[derive(Clone, Copy)]
pub enum Gain<'a> {
    /// `[N, C]`, such as dropout of channels.
    Channels(&'a Tensor),
    /// Dropout of single elements: which ones, in the order `[N, H, W, C]`, the key decides, on any device alike.
    Elements {
        /// Number of the sequence of draws, `[1]` of int64 where x is.
        key: &'a Tensor,
        /// Probability of each element to be left out.
        share: f64,
    },
}

impl ConditionalPau<'_> {
    /// `gain ⊙ F(scale ⊙ BN(x) + bias + shortcut)`, or its means, channels last in memory: of float32 on the CPU or, where the kernels
    /// cover it, on a GPU.
    ///
    /// # Errors
    /// Tensors whose extents do not fit, of another kind or place; on a GPU also extents that its kernels do not cover, statistics shared
    /// with other processes, and what its driver reports.
    pub fn apply(self) -> Result<Tensor, TchError> {
        let kernels = match self.x.device() {
            Device::Cpu => &site_cpu::KERNELS,
            Device::Cuda(_) => &site_cuda::KERNELS,
            other => {
                return Err(TchError::Kind(format!(
                    "conditional Padé activation runs on the CPU and on CUDA, not on {other:?}"
                )));
            }
        };
        self.apply_with(kernels)
    }

    /// Refuses extents that do not fit, and keys that are none.
    fn check(&self) -> Result<(), TchError> {
        let channels = self.x.size().get(1).copied().unwrap_or(0);
        let vectors = [self.gamma, self.beta, self.running_mean, self.running_variance];
        let per_sample = |tensor: Option<&Tensor>, width: i64| {
            tensor.is_none_or(|tensor| tensor.size() == [self.x.size()[0], width])
        };
        let fits = self.x.dim() == 4
            && self.x.numel() > 0
            && vectors
                .iter()
                .all(|vector| vector.size() == [channels] && vector.is_contiguous())
            && per_sample(self.modulation, 2 * channels)
            && per_sample(self.channel_gain(), channels)
            && self.shortcut.is_none_or(|shortcut| shortcut.size() == self.x.size())
            && (!self.pool || self.x.size()[2..].iter().all(|&extent| extent >= 2));
        if !fits {
            return Err(TchError::Shape(
                "conditional Padé activation: the tensors' extents do not fit, or are 0".to_owned(),
            ));
        }
        let (key, _) = self.draws();
        let is_key = |key: &Tensor| key.numel() == 1 && key.kind() == Kind::Int64 && key.device() == self.x.device();
        match key.is_none_or(is_key) {
            true => Ok(()),
            false => Err(TchError::Kind(
                "conditional Padé activation: the key of dropout is one int64 on the device of its input".to_owned(),
            )),
        }
    }

    fn channel_gain(&self) -> Option<&Tensor> {
        match self.gain {
            Some(Gain::Channels(gain)) => Some(gain),
            _ => None,
        }
    }

    /// Key and probability of dropout of elements.
    fn draws(&self) -> (Option<&Tensor>, f64) {
        match self.gain {
            Some(Gain::Elements { key, share }) => (Some(key), share),
            _ => (None, 0.0),
        }
    }

    /// The operation with the arithmetic of these kernels.
    pub(super) fn apply_with(self, kernels: &'static Kernels) -> Result<Tensor, TchError> {
        self.check()?;
        // Running statistics are shared with nobody.
        let group = self.group.filter(|_| self.batch_statistics);
        let (key, share) = self.draws();
        let mut message = std::ptr::null_mut();
        // SAFETY: all pointers come from live tensors or are null where the shim allows it, extents and key were checked
        // above and no extent is 0, the kernels are a static, the group's reference goes to the shim, which gives it to `release`,
        // and `message` is written only on failure.
        let result = unsafe {
            ecg_conditional_pau(
                self.x.as_ptr(),
                self.gamma.as_ptr(),
                self.beta.as_ptr(),
                pointer(self.modulation),
                pointer(self.shortcut),
                pointer(self.channel_gain()),
                pointer(key),
                share,
                self.numerator.as_ptr(),
                self.denominator.as_ptr(),
                self.running_mean.as_ptr(),
                self.running_variance.as_ptr(),
                self.batch_statistics,
                self.pool,
                group.map_or(null(), Group::lend),
                release,
                kernels,
                &mut message,
            )
        };
        shim::tensor(result, message)
    }
}

/// A tensor's address; null for none.
fn pointer(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(null(), Tensor::as_ptr)
}

unsafe extern "C" {
    fn ecg_conditional_pau(
        x: *const C_tensor,
        gamma: *const C_tensor,
        beta: *const C_tensor,
        modulation: *const C_tensor,
        shortcut: *const C_tensor,
        gain: *const C_tensor,
        key: *const C_tensor,
        share: f64,
        numerator: *const C_tensor,
        denominator: *const C_tensor,
        running_mean: *const C_tensor,
        running_variance: *const C_tensor,
        batch_statistics: bool,
        pool: bool,
        group: *const c_void,
        release: unsafe extern "C" fn(*const c_void),
        kernels: *const Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels read pointers to float32 where `x` is: nothing else may come as far as that.
    #[test]
    fn every_operand_is_float32() {
        let ones = |size: &[i64]| Tensor::ones(size, (Kind::Float, Device::Cpu));
        let (x, vector, pairs) = (ones(&[2, 8, 3, 3]), ones(&[8]), ones(&[2, 16]));
        let (factors, numerator, denominator) = (ones(&[2, 8]), ones(&[6]), ones(&[4]));
        let plain = [
            &x,
            &vector,
            &vector,
            &pairs,
            &x,
            &factors,
            &numerator,
            &denominator,
            &vector,
            &vector,
        ];
        let apply = |operands: [&Tensor; 10]| {
            let [
                x,
                gamma,
                beta,
                modulation,
                shortcut,
                gain,
                numerator,
                denominator,
                running_mean,
                running_variance,
            ] = operands;
            let site = ConditionalPau {
                x,
                gamma,
                beta,
                modulation: Some(modulation),
                shortcut: Some(shortcut),
                gain: Some(Gain::Channels(gain)),
                numerator,
                denominator,
                running_mean,
                running_variance,
                batch_statistics: true,
                pool: false,
                group: None,
            };
            site.apply()
        };
        assert_eq!(apply(plain).expect("float32 on the CPU").size(), x.size());
        for index in 0..plain.len() {
            let other = plain[index].to_kind(Kind::Double);
            let mut operands = plain;
            operands[index] = &other;
            let error = apply(operands).expect_err("float64").to_string();
            assert!(error.contains("must be float32"), "{index}: {error}");
        }
    }
}
