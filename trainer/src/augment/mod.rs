//! The eight augmentations of raw samples (Rohr et al. 2022, section 3.3), one file each.
//!
//! Each is a draw, made by `draw`, whose `apply` is a pure function: stated draws give stated outputs.

mod band_pass;
mod cut_out;
mod drop_samples;
mod interpolate;
mod random_resample;
mod resample;
mod scale;
mod shift;
mod sine;

pub use band_pass::BandPass;
pub use cut_out::CutOut;
pub use drop_samples::DropSamples;
pub(crate) use interpolate::stretch_by;
pub use random_resample::RandomResample;
pub use resample::Resample;
pub use scale::Scale;
pub use shift::Shift;
pub use sine::Sine;

use dualnet_engine::signal::MAX_SAMPLES;

use crate::random::Rng;

/// How training leads are augmented.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// The probability of each of the eight augmentations.
    pub probability: f64,
}

impl Augmentation {
    /// What the published training used: each augmentation with probability 0.2.
    pub const PUBLISHED: Self = Self { probability: 0.2 };

    /// Augments the raw samples of a lead at 300 Hz, of which the first 18 000 are kept; the result has at most 18 000.
    ///
    /// Every draw is a function of `seed`, `epoch` and `record`, the index of the record in its data set.
    pub fn apply(&self, mut samples: Vec<f32>, seed: u64, epoch: u64, record: u64) -> Vec<f32> {
        self.apply_in_place(&mut samples, seed, epoch, record);
        samples
    }

    /// As [`apply`](Self::apply), in the caller's buffer.
    pub fn apply_in_place(&self, samples: &mut Vec<f32>, seed: u64, epoch: u64, record: u64) {
        samples.truncate(MAX_SAMPLES);
        let rng = &mut Rng::for_record(seed, epoch, record);
        if rng.happens(self.probability) {
            CutOut::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            DropSamples::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            RandomResample::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            Resample::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            Scale::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            Shift::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            Sine::draw(rng, samples.len()).apply(samples);
        }
        if rng.happens(self.probability) {
            BandPass::draw(rng, samples.len()).apply(samples);
        }
    }
}

impl Default for Augmentation {
    fn default() -> Self {
        Self::PUBLISHED
    }
}
