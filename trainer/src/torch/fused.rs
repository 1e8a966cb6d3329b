//! The fused site.

use super::dropout::Factors;
use super::ops::Torch;
use crate::error::TrainerError;
use crate::pau::ConditionalPau;
use dualnet_cuda::site::{Extents, Site};
use dualnet_export::network::{Ends, Ops};
use tch::{Device, Kind, Tensor};

impl Torch<'_> {
    /// Whether a site of `x` and this activation runs as one operation: on the CPU, and on a GPU where there are kernels for it and no other
    /// process shares the statistics.
    pub(super) fn fuses_site(&self, x: &Tensor, pau: &str) -> bool {
        let coefficients = |part: &str| self.parameters.get(&format!("{pau}.weight_{part}")).map(Tensor::numel);
        self.fused
            && match (x.device(), coefficients("numerator"), coefficients("denominator")) {
                (Device::Cpu, _, _) => true,
                (Device::Cuda(_), Ok(m), Ok(n)) => {
                    x.kind() == Kind::Float && !self.synchronizes() && has_kernels(&x.size(), m, n)
                }
                _ => false,
            }
    }

    /// Conditional batch normalization, the shortcut, the Padé activation, dropout and an average pool in one pass over the feature map.
    pub(super) fn fused_site(
        &mut self,
        x: &Tensor,
        latent: Option<&Tensor>,
        norm: &str,
        shortcut: Option<&Tensor>,
        pau: &str,
        ends: Ends,
    ) -> Result<Tensor, TrainerError> {
        let factors = match self.active_dropout() {
            Some(dropout) if ends != Ends::Plain => Some(dropout.spectrogram_factors(x)?),
            _ => None,
        };
        let modulation = match latent {
            Some(latent) => Some(self.linear(latent, &format!("{norm}.linear_mapping.weight"), None)?),
            None => None,
        };
        let norm = format!("{norm}.batch_normalization");
        let get = |suffix: &str| self.parameters.get(&format!("{norm}.{suffix}"));
        self.count_batch(&norm)?;
        let site = ConditionalPau {
            x,
            gamma: get("weight")?,
            beta: get("bias")?,
            modulation: modulation.as_ref(),
            shortcut,
            gain: factors.as_ref().map(Factors::gain),
            numerator: self.parameters.get(&format!("{pau}.weight_numerator"))?,
            denominator: self.parameters.get(&format!("{pau}.weight_denominator"))?,
            running_mean: get("running_mean")?,
            running_variance: get("running_var")?,
            batch_statistics: self.training(),
            pool: ends == Ends::Pool,
            group: self.sharing(),
        };
        Ok(site.apply()?)
    }
}

/// Whether a GPU has kernels for maps `[N, C, H, W]` of these extents and a unit of so many coefficients.
fn has_kernels(size: &[i64], numerators: usize, denominators: usize) -> bool {
    let &[records, channels, height, width] = size else {
        return false;
    };
    let [records, height, width, channels] = [records, height, width, channels].map(|extent| extent as usize);
    let extents = Extents {
        records,
        height,
        width,
        channels,
    };
    Site::new(extents, false, numerators, denominators).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_cover_the_networks_maps() {
        assert!(has_kernels(&[24, 16, 563, 33], 6, 4) && has_kernels(&[1, 512, 1, 1], 6, 4));
        for refused in [
            &[24, 6, 4, 4][..],
            &[24, 16, 4],
            &[1 << 20, 1 << 10, 4, 4],
            &[0, 16, 4, 4],
        ] {
            assert!(!has_kernels(refused, 6, 4), "{refused:?}");
        }
        assert!(!has_kernels(&[24, 16, 4, 4], 7, 4));
    }
}
