//! The site that the fused composites share.

use super::dropout::factors;
use super::ops::Torch;
use crate::error::TrainerError;
use crate::pau::ConditionalPau;
use dualnet_export::network::Ops;
use tch::Tensor;

/// What a fused site ends with.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Ends {
    /// The activation.
    Plain,
    /// Dropout of channels.
    Dropout,
    /// Dropout of channels, then means over 2×2 pixels.
    Pool,
}

impl Torch<'_> {
    /// Conditional batch normalization, the shortcut, the Padé activation, dropout of channels and an average pool in one pass over the feature map.
    pub(super) fn fused_site(
        &mut self,
        x: &Tensor,
        latent: Option<&Tensor>,
        norm: &str,
        shortcut: Option<&Tensor>,
        pau: &str,
        ends: Ends,
    ) -> Result<Tensor, TrainerError> {
        let size = x.size();
        let gain = match self.dropout_probability() {
            Some(p) if ends != Ends::Plain => Some(factors(x, p, &size[..2])?),
            _ => None,
        };
        let modulation = match latent {
            Some(latent) => Some(self.linear(latent, &format!("{norm}.linear_mapping.weight"), None)?),
            None => None,
        };
        let get = |suffix: &str| self.parameters.get(&format!("{norm}.batch_normalization.{suffix}"));
        if self.training() {
            let _ = get("num_batches_tracked")?.shallow_clone().f_add_scalar_(1)?;
        }
        let site = ConditionalPau {
            x,
            gamma: get("weight")?,
            beta: get("bias")?,
            modulation: modulation.as_ref(),
            shortcut,
            gain: gain.as_ref(),
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
