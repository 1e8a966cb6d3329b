//! How often each augmentation happens, and how far it goes.

use super::BandPass;
use crate::entries::differences;
use serde::{Deserialize, Serialize};

/// The table `[train.augmentations]`. What is absent is as published: `AUGMENTATION_PIPELINE_CONFIG` in the original's `config.py`, whose name
/// of a number is given where it is another.
///
/// A probability that is absent is `augmentation` of the table `[train]`, so that one number sets all eight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentationOptions {
    /// Probability of cut-out (`p_cutout`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_out_probability: Option<f64>,
    /// Share of the samples that are cut out (`interval_length`).
    pub cut_out_share: f64,
    /// Probability of dropping samples (`p_drop`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_probability: Option<f64>,
    /// Share of the samples that are dropped, at least one of them (`drop_rate`).
    pub drop_share: f64,
    /// Probability of random resampling (`p_random_resample`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_resample_probability: Option<f64>,
    /// How many offsets are drawn (`resampling_points`).
    pub random_resample_points: usize,
    /// The largest offset, in halves of the lead's length (`max_offset`).
    pub random_resample_max_offset: f64,
    /// Probability of resampling (`p_resample`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resample_probability: Option<f64>,
    /// Least and greatest number of samples out per sample in.
    pub resample_factors: [f64; 2],
    /// Probability of scaling (`p_scale`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_probability: Option<f64>,
    /// Least and greatest factor on the samples (`scale_range`).
    pub scale_factors: [f64; 2],
    /// Probability of a shift (`p_shift`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_probability: Option<f64>,
    /// The number of samples that a shift stays below (`max_shift`).
    pub shift_below: usize,
    /// Probability of a sine (`p_sine`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sine_probability: Option<f64>,
    /// The amplitude that a sine stays below, in raw units (`max_sine_magnitude`).
    pub sine_max_magnitude: f64,
    /// Least and greatest frequency of a sine, in Hz (`sine_frequency_range`).
    pub sine_frequencies_hz: [f64; 2],
    /// The phase that a sine stays below, in radians (1 in the original's code, not in its configuration).
    pub sine_max_phase_rad: f64,
    /// Probability of the band pass (`p_band_pass_filter`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band_pass_probability: Option<f64>,
    /// The edges of the band, in Hz (`frequencies`).
    pub band_pass_hz: [f64; 2],
    /// Probability that the lead is turned over; not in the paper, and none of the eight.
    pub invert_probability: f64,
}

impl AugmentationOptions {
    /// The published magnitudes, and no probability of its own for any augmentation.
    pub const PUBLISHED: Self = Self {
        cut_out_probability: None,
        cut_out_share: 0.05,
        drop_probability: None,
        drop_share: 0.03,
        random_resample_probability: None,
        random_resample_points: 12,
        random_resample_max_offset: 0.075,
        resample_probability: None,
        resample_factors: [0.8, 1.2],
        scale_probability: None,
        scale_factors: [0.85, 1.15],
        shift_probability: None,
        shift_below: 4000,
        sine_probability: None,
        sine_max_magnitude: 0.3,
        sine_frequencies_hz: [0.2, 1.0],
        sine_max_phase_rad: 1.0,
        band_pass_probability: None,
        band_pass_hz: BandPass::PUBLISHED.band_hz,
        invert_probability: 0.0,
    };

    /// What the augmentations' keys begin with, in the order in which they are applied.
    pub const NAMES: [&str; 8] = [
        "cut_out",
        "drop",
        "random_resample",
        "resample",
        "scale",
        "shift",
        "sine",
        "band_pass",
    ];

    /// The probability of each augmentation in the order of [`NAMES`](Self::NAMES): its own, or else `common`.
    pub fn probabilities(&self, common: f64) -> [f64; 8] {
        [
            self.cut_out_probability,
            self.drop_probability,
            self.random_resample_probability,
            self.resample_probability,
            self.scale_probability,
            self.shift_probability,
            self.sine_probability,
            self.band_pass_probability,
        ]
        .map(|own| own.unwrap_or(common))
    }

    /// What is not as published, such as `scale_factors [0.5,2.0]`.
    pub fn changed(&self) -> Vec<String> {
        let [own, published] =
            [self, &Self::PUBLISHED].map(|options| serde_json::to_value(options).unwrap_or_default());
        differences(&own, &published)
            .map(|(name, [own, _])| format!("{name} {own}"))
            .collect()
    }

    /// The same magnitudes, and no probability of its own for any of the eight.
    pub fn without_probabilities(self) -> Self {
        Self {
            cut_out_probability: None,
            drop_probability: None,
            random_resample_probability: None,
            resample_probability: None,
            scale_probability: None,
            shift_probability: None,
            sine_probability: None,
            band_pass_probability: None,
            ..self
        }
    }
}

impl Default for AugmentationOptions {
    fn default() -> Self {
        Self::PUBLISHED
    }
}

#[cfg(test)]
mod tests {
    use super::super::Augmentation;
    use super::*;

    fn lead() -> Vec<f32> {
        (0..3000).map(|i| 100.0 + (i % 7) as f32).collect()
    }

    /// The lead after the augmentations to which `change` gives a probability, where no other happens.
    fn augmented(change: impl Fn(&mut AugmentationOptions)) -> Vec<f32> {
        let mut options = AugmentationOptions::PUBLISHED;
        change(&mut options);
        let augmentation = Augmentation {
            probability: 0.0,
            options,
        };
        augmentation.apply(lead(), 1, 2, 3)
    }

    fn zeros(samples: &[f32]) -> usize {
        samples.iter().filter(|&&sample| sample == 0.0).count()
    }

    #[test]
    fn what_is_not_as_published_is_named() {
        let mut options = AugmentationOptions::PUBLISHED;
        assert!(options.changed().is_empty());
        options.sine_probability = Some(0.5);
        options.scale_factors = [0.5, 2.0];
        assert_eq!(options.changed(), ["scale_factors [0.5,2.0]", "sine_probability 0.5"]);
    }

    #[test]
    fn the_numbers_of_cut_out_and_drop_are_shares() {
        let cut_out = |share| augmented(|o| (o.cut_out_probability, o.cut_out_share) = (Some(1.0), share));
        assert_eq!(cut_out(0.0), lead());
        let half = cut_out(0.5);
        let first = half.iter().position(|&sample| sample == 0.0).expect("a zero");
        assert_eq!((zeros(&half), zeros(&half[first..first + 1500])), (1500, 1500));
        let dropped = |share| zeros(&augmented(|o| (o.drop_probability, o.drop_share) = (Some(1.0), share)));
        assert_eq!([0.0, 0.1, 1.0].map(dropped), [1, 300, 3000]);
    }

    #[test]
    fn the_numbers_of_what_moves_samples_decide_how_far() {
        let random = |points, max_offset| {
            augmented(|o| {
                o.random_resample_probability = Some(1.0);
                o.random_resample_points = points;
                o.random_resample_max_offset = max_offset;
            })
        };
        // Without offsets nothing depends on their number.
        assert_eq!(random(12, 0.0), random(3, 0.0));
        assert_ne!(random(12, 0.5), random(3, 0.5));
        assert_ne!(random(12, 0.5), random(12, 0.0));
        let resampled = |factor| augmented(|o| (o.resample_probability, o.resample_factors) = (Some(1.0), [factor; 2]));
        assert_eq!(resampled(1.0), lead());
        assert_eq!(resampled(2.0).len(), 6000);
        let shifted = |below| augmented(|o| (o.shift_probability, o.shift_below) = (Some(1.0), below));
        assert_eq!(shifted(1), lead());
        let shifted = shifted(2000);
        let shift = zeros(&shifted);
        assert!((1..2000).contains(&shift) && shifted[shift..] == lead(), "{shift}");
    }

    #[test]
    fn the_numbers_of_what_changes_values_decide_how_much() {
        let scaled = |factor| augmented(|o| (o.scale_probability, o.scale_factors) = (Some(1.0), [factor; 2]));
        assert_eq!(scaled(1.0), lead());
        let doubled: Vec<f32> = lead().iter().map(|sample| 2.0 * sample).collect();
        assert_eq!(scaled(2.0), doubled);
        // Of a sine that does not oscillate the phase remains.
        let sine = |magnitude, phase| {
            augmented(|o| {
                (o.sine_probability, o.sine_max_magnitude) = (Some(1.0), magnitude);
                (o.sine_frequencies_hz, o.sine_max_phase_rad) = ([0.0; 2], phase);
            })
        };
        assert_eq!(sine(0.0, 1.0), lead());
        assert_eq!(sine(5.0, 0.0), lead());
        let added: Vec<f32> = sine(5.0, 1.0).iter().zip(lead()).map(|(a, b)| a - b).collect();
        assert!((0.01..5.0).contains(&added[0]), "{}", added[0]);
        assert!(added.iter().all(|value| (value - added[0]).abs() < 1e-4));
        let band = |hz| augmented(|o| (o.band_pass_probability, o.band_pass_hz) = (Some(1.0), hz));
        let passes = |hz| band(hz)[1500..].iter().any(|sample| sample.abs() > 1.0);
        // The lead repeats itself 42.9 times in a second.
        assert!(passes([30.0, 60.0]) && !passes([60.0, 80.0]));
    }
}
