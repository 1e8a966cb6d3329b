//! Shift: a recording that starts later.

use dualnet_engine::signal::MAX_SAMPLES;

use crate::random::Rng;

/// Puts zeros before the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// How many zeros.
    pub shift: usize,
}

impl Shift {
    /// 0 to 3999 zeros, at most as many as the lead has samples.
    pub fn draw(rng: &mut Rng, n: usize) -> Self {
        Self {
            shift: rng.below(4000).min(n),
        }
    }

    /// Prepends the zeros and keeps the first 18 000 samples.
    pub fn apply(&self, samples: &mut Vec<f32>) {
        let shift = self.shift.min(MAX_SAMPLES);
        samples.truncate(MAX_SAMPLES - shift);
        samples.splice(0..0, std::iter::repeat_n(0.0, shift));
    }
}
