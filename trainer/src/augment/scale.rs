//! Scale: another amplifier.

use super::AugmentationOptions;
use crate::random::Rng;

/// Multiplies the lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The factor.
    pub factor: f32,
}

impl Scale {
    /// A factor uniform in `scale_factors`.
    pub fn draw(rng: &mut Rng, options: &AugmentationOptions) -> Self {
        let [least, greatest] = options.scale_factors;
        Self {
            factor: rng.uniform(least, greatest) as f32,
        }
    }

    /// Multiplies every sample.
    pub fn apply(&self, samples: &mut [f32]) {
        samples.iter_mut().for_each(|sample| *sample *= self.factor);
    }
}
