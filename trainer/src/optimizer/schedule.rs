//! How the learning rate falls over the epochs.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The learning rate as a function of the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// × 0.1 after each quarter of the epochs (the published recipe).
    #[default]
    Step,
    /// Half a cosine from the full rate to a floor.
    Cosine,
}

/// The table `[train.rate]`, the numbers of the schedules. What is absent of [`Schedule::Step`]'s is as published: × 0.1 after ⌊E/4⌋, ⌊2E/4⌋ and
/// ⌊3E/4⌋ of E epochs; [`Schedule::Cosine`] is not in the original.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateOptions {
    /// After which shares of the epochs, rounded down to whole epochs, the step schedule drops the rate.
    pub drops: Vec<f64>,
    /// What each of the drops multiplies the rate by.
    pub drop_factor: f64,
    /// The share of the full rate to which the cosine falls.
    pub cosine_floor: f64,
}

impl Default for RateOptions {
    fn default() -> Self {
        Self {
            drops: vec![0.25, 0.5, 0.75],
            drop_factor: 0.1,
            cosine_floor: 0.01,
        }
    }
}

/// What a share may lack of a whole number of epochs: in float64 0.29 · 100 is less than 29.
const ROUNDING: f64 = 1e-9;

impl Schedule {
    /// The factor on the base learning rate in `epoch` (counted from 1) of `epochs`.
    pub fn factor(self, epoch: usize, epochs: usize, rate: &RateOptions) -> f64 {
        match self {
            Self::Step => {
                let whole = |share: f64| (share * epochs as f64 + ROUNDING) as usize;
                let drops = rate.drops.iter().filter(|&&share| epoch > whole(share)).count();
                rate.drop_factor.powi(drops as i32)
            }
            Self::Cosine => {
                let progress = (epoch.saturating_sub(1)) as f64 / epochs.max(1) as f64;
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                rate.cosine_floor + (1.0 - rate.cosine_floor) * cosine
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_run_drops_after_epochs_25_50_and_75() {
        let rate = RateOptions::default();
        let factor = |epoch| Schedule::Step.factor(epoch, 100, &rate);
        assert_eq!([factor(1), factor(25)], [1.0, 1.0]);
        assert!((factor(26) - 0.1).abs() < 1e-12 && (factor(50) - 0.1).abs() < 1e-12);
        assert!((factor(51) - 0.01).abs() < 1e-12 && (factor(76) - 0.001).abs() < 1e-12);
    }

    #[test]
    fn the_cosine_starts_full_and_never_rises() {
        let rate = RateOptions::default();
        let factor = |epoch| Schedule::Cosine.factor(epoch, 30, &rate);
        let factors: Vec<f64> = (1..=30).map(factor).collect();
        assert_eq!(factors[0], 1.0);
        assert!(factors.windows(2).all(|pair| pair[1] < pair[0]) && factors[29] >= rate.cosine_floor);
    }

    #[test]
    fn the_quarters_are_those_of_whole_numbers() {
        let rate = RateOptions::default();
        for epochs in 1..200 {
            for epoch in 1..=epochs {
                let drops = (1..=3).filter(|quarter| epoch > quarter * epochs / 4).count();
                let factor = Schedule::Step.factor(epoch, epochs, &rate);
                assert!(
                    (factor - 0.1_f64.powi(drops as i32)).abs() < 1e-15,
                    "{epoch} of {epochs}"
                );
            }
        }
    }

    #[test]
    fn other_numbers_give_other_rates() {
        let rate = RateOptions {
            drops: vec![0.29, 0.9],
            drop_factor: 0.5,
            cosine_floor: 0.2,
        };
        let step = |epoch| Schedule::Step.factor(epoch, 100, &rate);
        assert_eq!([29, 30, 90, 91].map(step), [1.0, 0.5, 0.5, 0.25]);
        // Half way: the middle between the full rate and the floor.
        assert!((Schedule::Cosine.factor(51, 100, &rate) - 0.6).abs() < 1e-12);
        let constant = RateOptions {
            drops: Vec::new(),
            ..rate
        };
        assert_eq!(Schedule::Step.factor(100, 100, &constant), 1.0);
    }
}
