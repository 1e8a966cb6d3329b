//! Random resample: a clock that runs unevenly.

use super::AugmentationOptions;
use super::interpolate::stretch;
use crate::random::Rng;

/// Reads the lead at positions that wander around the true ones, and fades it towards both ends.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomResample {
    /// Offsets at equally spaced places, in halves of the lead's length.
    pub offsets: Vec<f32>,
}

impl RandomResample {
    /// `random_resample_points` offsets uniform in ± `random_resample_max_offset`.
    pub fn draw(rng: &mut Rng, options: &AugmentationOptions) -> Self {
        let draws = (0..options.random_resample_points).map(|_| rng.unit_f32());
        Self::from_unit(draws, options)
    }

    /// The offsets that draws from [0, 1) stand for.
    pub fn from_unit(draws: impl IntoIterator<Item = f32>, options: &AugmentationOptions) -> Self {
        let max_offset = options.random_resample_max_offset as f32;
        let offsets = draws.into_iter().map(|draw| max_offset * (2.0 * draw - 1.0));
        Self {
            offsets: offsets.collect(),
        }
    }

    /// Resamples the lead; its length stays.
    ///
    /// At place `u` of [−1, 1] the lead is read at `u` plus the interpolated offset, clamped to ±1, linearly and with
    /// zeros outside. The published code reads it as an image one pixel high, at height `u`: hence the factor
    /// `1 − |u|/2`.
    pub fn apply(&self, samples: &mut Vec<f32>) {
        let n = samples.len();
        if n < 2 {
            return;
        }
        let step = 2.0 / (n - 1) as f32;
        let at = |index: usize| samples.get(index).copied().unwrap_or(0.0);
        let resampled = stretch(&self.offsets, n).enumerate().map(|(i, offset)| {
            let place = if i < n / 2 {
                step * i as f32 - 1.0
            } else {
                1.0 - step * (n - 1 - i) as f32
            };
            let position = (((place + offset).clamp(-1.0, 1.0) + 1.0) * n as f32 - 1.0) / 2.0;
            let before = position.floor();
            let weight = position - before;
            let read = if before < 0.0 {
                weight * at(0)
            } else {
                (1.0 - weight) * at(before as usize) + weight * at(before as usize + 1)
            };
            read * (1.0 - place.abs() / 2.0)
        });
        *samples = resampled.collect();
    }
}
