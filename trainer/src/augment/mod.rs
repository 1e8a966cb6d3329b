//! The eight augmentations of raw samples (Rohr et al. 2022, section 3.3), and one beside them that turns a lead over, one file each.
//!
//! Each but that one is a draw, made by `draw`, whose `apply` is a pure function: stated draws give stated outputs.

mod band_pass;
mod cut_out;
mod drop_samples;
mod interpolate;
mod invert;
mod options;
mod random_resample;
mod resample;
mod scale;
mod shift;
mod sine;

pub use band_pass::BandPass;
pub use cut_out::CutOut;
pub use drop_samples::DropSamples;
pub(crate) use interpolate::stretch_by;
pub use invert::Inversion;
pub use options::AugmentationOptions;
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
    /// The probability of each of the eight augmentations to which `options` gives none of its own.
    pub probability: f64,
    /// Their own probabilities, and how far each goes.
    pub options: AugmentationOptions,
}

impl Augmentation {
    /// What the published training used: each augmentation with probability 0.2.
    pub const PUBLISHED: Self = Self {
        probability: 0.2,
        options: AugmentationOptions::PUBLISHED,
    };

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
        let options = &self.options;
        let [
            cut_out,
            dropping,
            random_resample,
            resample,
            scale,
            shift,
            sine,
            band_pass,
        ] = options.probabilities(self.probability);
        if rng.happens(cut_out) {
            CutOut::draw(rng, samples.len(), options).apply(samples);
        }
        if rng.happens(dropping) {
            DropSamples::draw(rng, samples.len(), options).apply(samples);
        }
        if rng.happens(random_resample) {
            RandomResample::draw(rng, options).apply(samples);
        }
        if rng.happens(resample) {
            Resample::draw(rng, options).apply(samples);
        }
        if rng.happens(scale) {
            Scale::draw(rng, options).apply(samples);
        }
        if rng.happens(shift) {
            Shift::draw(rng, samples.len(), options).apply(samples);
        }
        if rng.happens(sine) {
            Sine::draw(rng, options).apply(samples);
        }
        if rng.happens(band_pass) {
            BandPass::draw(options).apply(samples);
        }
        if rng.happens(options.invert_probability) {
            Inversion.apply(samples);
        }
    }
}

impl Default for Augmentation {
    fn default() -> Self {
        Self::PUBLISHED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The draw is the last one: what the others do to a record stays.
    #[test]
    fn a_lead_is_turned_over_as_often_as_asked_and_nothing_else_changes() {
        let lead: Vec<f32> = (0..3000_u16).map(|index| f32::from(index % 97) - 40.0).collect();
        let augmented = |invert_probability: f64, record: u64| {
            let options = AugmentationOptions {
                invert_probability,
                ..AugmentationOptions::PUBLISHED
            };
            let probability = 0.2;
            Augmentation { probability, options }.apply(lead.clone(), 1, 1, record)
        };
        let turned = |samples: &[f32]| samples.iter().map(|sample| -sample).collect::<Vec<_>>();
        let mut count = 0;
        for record in 0..200 {
            let published = augmented(0.0, record);
            assert_eq!(augmented(1.0, record), turned(&published));
            let half = augmented(0.5, record);
            assert!(half == published || half == turned(&published));
            count += usize::from(half != published);
        }
        // Four deviations of 200 fair draws.
        assert!((72..=128).contains(&count), "{count}");
    }

    /// A change here changes every run, and breaks the resuming of those under way. The numbers are those of splitmix64 by another program.
    #[test]
    fn the_published_draws_never_change() {
        let rng = &mut Rng::for_record(1, 2, 3);
        let (n, options) = (9000, &AugmentationOptions::PUBLISHED);
        let cut_out = CutOut::draw(rng, n, options);
        assert_eq!((cut_out.start, cut_out.length), (7320, 450));
        let dropped = DropSamples::draw(rng, n, options).indices;
        assert_eq!((dropped.len(), dropped[0], dropped[269]), (270, 7451, 5155));
        assert_eq!(dropped.iter().sum::<usize>(), 1_167_561);
        let offsets = RandomResample::draw(rng, options).offsets;
        assert_eq!(
            (offsets.len(), offsets[0], offsets[11]),
            (12, 0.048_557_945, -0.071_071_94)
        );
        assert_eq!(Resample::draw(rng, options).factor, 0.981_024_9);
        assert_eq!(Scale::draw(rng, options).factor, 1.107_931_3);
        assert_eq!(Shift::draw(rng, n, options).shift, 1480);
        let sine = Sine::draw(rng, options);
        assert_eq!(sine.magnitude, 0.198_522_428_173_177_45);
        assert_eq!(sine.frequency_hz, 0.264_997_899_074_510_2);
        assert_eq!(sine.phase_rad, 0.830_468_267_547_978_3);
        assert_eq!(BandPass::draw(options), BandPass::PUBLISHED);
        let mut after = Rng::for_record(1, 2, 3);
        for _ in 0..289 {
            after.next_u64();
        }
        assert_eq!(*rng, after);
    }
}
