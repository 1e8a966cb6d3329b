//! The fused axial attention.

use super::ops::Torch;
use crate::axial::{AxialAttention, BatchNorm};
use crate::error::TrainerError;
use dualnet_export::network::{AxialSite, Axis};
use tch::Tensor;

impl Torch<'_> {
    /// Axial attention without the maps of relative embeddings and with one map over pairs of positions kept.
    pub(super) fn fused_axial(&mut self, x: &Tensor, site: &AxialSite) -> Result<Tensor, TrainerError> {
        let prefix = &site.prefix;
        let weight = self
            .parameters
            .get(&format!("{prefix}.query_key_value_mapping.0.weight"))?
            .f_squeeze_dim(-1)?;
        // A view where the map's channels are innermost in memory, as every fused site leaves them.
        let pixels = x.f_permute([0, 2, 3, 1])?;
        let projected = self.multiplied(&pixels, &weight, |pixels, weight| {
            pixels.f_linear(weight, None::<&Tensor>)
        })?;
        let attention = AxialAttention {
            projected: &projected,
            embeddings: self.parameters.get(&format!("{prefix}.relative_embeddings"))?,
            projection_norm: self.axial_norm(prefix, "query_key_value_mapping.1")?,
            similarity_norm: self.axial_norm(prefix, "similarity_normalization")?,
            output_norm: self.axial_norm(prefix, "output_normalization")?,
            groups: AxialSite::GROUPS,
            along_height: site.axis == Axis::Time,
            batch_statistics: self.training(),
        };
        Ok(attention.apply()?.f_permute([0, 3, 1, 2])?)
    }

    /// The tensors of a batch normalization that is about to be used once.
    fn axial_norm(&self, prefix: &str, norm: &str) -> Result<BatchNorm<'_>, TrainerError> {
        let norm = format!("{prefix}.{norm}");
        let get = |suffix: &str| self.parameters.get(&format!("{norm}.{suffix}"));
        self.count_batch(&norm)?;
        Ok(BatchNorm {
            gamma: get("weight")?,
            beta: get("bias")?,
            running_mean: get("running_mean")?,
            running_variance: get("running_var")?,
        })
    }
}
