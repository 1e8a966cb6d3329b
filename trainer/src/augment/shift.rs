//! Shift: a recording that starts later.

use dualnet_engine::signal::MAX_SAMPLES;

use super::AugmentationOptions;
use crate::random::Rng;

/// Puts zeros before the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// How many zeros.
    pub shift: usize,
}

impl Shift {
    /// Fewer zeros than `shift_below`, at most as many as the lead has samples.
    pub fn draw(rng: &mut Rng, n: usize, options: &AugmentationOptions) -> Self {
        Self {
            shift: rng.below(options.shift_below).min(n),
        }
    }

    /// Prepends the zeros and keeps the first 18 000 samples.
    pub fn apply(&self, samples: &mut Vec<f32>) {
        let shift = self.shift.min(MAX_SAMPLES);
        samples.truncate(MAX_SAMPLES - shift);
        samples.splice(0..0, std::iter::repeat_n(0.0, shift));
    }
}
