//! Drop: samples lost on the way.

use super::AugmentationOptions;
use crate::random::Rng;

/// Sets single samples to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSamples {
    /// The samples set to zero.
    pub indices: Vec<usize>,
}

impl DropSamples {
    /// max(1, int(`drop_share` · n)) distinct samples of a lead of `n`.
    pub fn draw(rng: &mut Rng, n: usize, options: &AugmentationOptions) -> Self {
        Self {
            indices: rng.distinct(Self::count_of(n, options), n),
        }
    }

    /// max(1, int(`drop_share` · n)), the samples dropped from a lead of `n`.
    pub fn count_of(n: usize, options: &AugmentationOptions) -> usize {
        ((options.drop_share * n as f64) as usize).max(1)
    }

    /// Sets the samples, those within the lead, to zero.
    pub fn apply(&self, samples: &mut [f32]) {
        for &index in &self.indices {
            if let Some(sample) = samples.get_mut(index) {
                *sample = 0.0;
            }
        }
    }
}
