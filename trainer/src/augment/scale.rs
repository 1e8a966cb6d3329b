//! Scale: another amplifier.

use crate::random::Rng;

/// Multiplies the lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The factor.
    pub factor: f32,
}

impl Scale {
    /// A factor uniform in [0.85, 1.15], whatever the number of samples.
    pub fn draw(rng: &mut Rng, _n: usize) -> Self {
        Self {
            factor: rng.uniform(0.85, 1.15) as f32,
        }
    }

    /// Multiplies every sample.
    pub fn apply(&self, samples: &mut [f32]) {
        samples.iter_mut().for_each(|sample| *sample *= self.factor);
    }
}
