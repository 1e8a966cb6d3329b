//! Drop: samples lost on the way.

use crate::random::Rng;

/// Sets single samples to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSamples {
    /// The samples set to zero.
    pub indices: Vec<usize>,
}

impl DropSamples {
    /// max(1, int(0.03 · n)) distinct samples of a lead of `n`.
    pub fn draw(rng: &mut Rng, n: usize) -> Self {
        Self {
            indices: rng.distinct(Self::count_of(n), n),
        }
    }

    /// max(1, int(0.03 · n)), the samples dropped from a lead of `n`.
    pub fn count_of(n: usize) -> usize {
        ((0.03 * n as f64) as usize).max(1)
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
