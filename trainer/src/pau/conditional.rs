//! Conditional batch normalization, an optional shortcut, the Padé activation, dropout and an optional average pool as one
//! differentiable operation: what the two-storey trait calls `conditional_norm_pau`.

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
        match self.x.device() {
            Device::Cpu => self.apply_on_cpu(),
            Device::Cuda(_) => self.apply_with(&site_cuda::KERNELS),
            other => Err(TchError::Kind(format!(
                "conditional Padé activation runs on the CPU and on CUDA, not on {other:?}"
            ))),
        }
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

    /// The processes that share the statistics, if these are the batch's.
    fn sharing(&self) -> Option<&Group> {
        self.group.filter(|_| self.batch_statistics)
    }

    fn apply_on_cpu(self) -> Result<Tensor, TchError> {
        self.check()?;
        let group = self.sharing();
        let (key, share) = self.draws();
        let mut message = std::ptr::null_mut();
        // SAFETY: all pointers come from live tensors or are null where the shim allows it, extents and key were checked
        // above and no extent is 0, KERNELS is a static, the group's reference goes to the shim, which gives it to `release`,
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
                &raw const site_cpu::KERNELS,
                &mut message,
            )
        };
        shim::tensor(result, message)
    }

    /// The operation launched by these kernels, on a GPU or a stand-in for one.
    pub(super) fn apply_with(self, kernels: &'static site_cuda::Kernels) -> Result<Tensor, TchError> {
        self.check()?;
        if self.sharing().is_some() {
            return Err(TchError::Kind(
                "conditional Padé activation: statistics are not shared with other processes on CUDA".to_owned(),
            ));
        }
        let (key, share) = self.draws();
        let mut message = std::ptr::null_mut();
        // SAFETY: all pointers come from live tensors or are null where the shim allows it, extents and key were checked
        // above, the kernels are a static, and `message` is written only on failure.
        let result = unsafe {
            ecg_site(
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
        kernels: *const site_cpu::Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
    fn ecg_site(
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
        kernels: *const site_cuda::Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}
