//! Cut-out: an electrode that loses contact for a while.

use super::AugmentationOptions;
use crate::random::Rng;

/// Sets an interval to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOut {
    /// The first sample set to zero.
    pub start: usize,
    /// How many samples are set to zero.
    pub length: usize,
}

impl CutOut {
    /// The share `cut_out_share` of the `n` samples, from a start uniform in [0, n − length).
    pub fn draw(rng: &mut Rng, n: usize, options: &AugmentationOptions) -> Self {
        let length = Self::length_of(n, options);
        Self {
            start: rng.below(n.saturating_sub(length)),
            length,
        }
    }

    /// int(`cut_out_share` · n), the length of the interval in a lead of `n` samples.
    pub fn length_of(n: usize, options: &AugmentationOptions) -> usize {
        (options.cut_out_share * n as f64) as usize
    }

    /// Sets the interval, as far as it lies within the lead, to zero.
    pub fn apply(&self, samples: &mut [f32]) {
        samples
            .iter_mut()
            .skip(self.start)
            .take(self.length)
            .for_each(|sample| *sample = 0.0);
    }
}
