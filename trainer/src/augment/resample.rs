//! Resample: another heart rate.

use dualnet_engine::signal::MAX_SAMPLES;

use super::AugmentationOptions;
use super::interpolate::stretch;
use crate::random::Rng;

/// Stretches or compresses the lead in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resample {
    /// Samples out per sample in.
    pub factor: f32,
}

impl Resample {
    /// A factor uniform in `resample_factors`.
    pub fn draw(rng: &mut Rng, options: &AugmentationOptions) -> Self {
        let [least, greatest] = options.resample_factors;
        Self {
            factor: rng.uniform(least, greatest) as f32,
        }
    }

    /// Interpolates the lead linearly to int(factor · n) samples, the product in float32, and keeps the first 18 000.
    pub fn apply(&self, samples: &mut Vec<f32>) {
        let count = (self.factor * samples.len() as f32) as usize;
        let resampled = stretch(samples, count).take(MAX_SAMPLES).collect();
        *samples = resampled;
    }
}
