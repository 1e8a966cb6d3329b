//! How far the figures of an evaluation would move with other records of the same kind.

use serde::{Deserialize, Serialize};

use super::outcome::{Tally, outcomes};
use super::{Evaluation, ScoreError};
use crate::random::SplitMix64;
use crate::statistics::quantiles;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// Sets of records that are drawn, 1 to [`Bootstrap::MAX_RESAMPLES`].
    pub resamples: usize,
    /// Decides every draw.
    pub seed: u64,
}

impl Bootstrap {
    /// More sets than this change no digit that is printed.
    pub const MAX_RESAMPLES: usize = 1_000_000;
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 2000,
            seed: 0,
        }
    }
}

/// 95 % intervals `[low, high]` of the figures of an [`Evaluation`](super::Evaluation) by the percentile bootstrap
/// (Efron & Tibshirani 1993, chapter 13): as many records as there are, drawn from them with replacement, evaluated
/// again and again; the bounds are the 2.5 % and 97.5 % quantiles, linear between neighbours.
///
/// They speak of other records for the same weights, not of other trainings. Resampling adds noise to every bin, so
/// the interval of the calibration error lies high: of a well calibrated network even above the figure itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// How the records were drawn.
    pub bootstrap: Bootstrap,
    /// Of the share of records that are right.
    pub accuracy: [f64; 2],
    /// Of the mean F1 over all classes.
    pub f1_macro: [f64; 2],
    /// Of the mean F1 over N, O and A; `None` unless there are four classes.
    pub f1_challenge: Option<[f64; 2]>,
    /// Of the F1 of each class; [0, 0] for one that no record has.
    pub f1_per_class: Vec<[f64; 2]>,
    /// Of the expected calibration error in 15 bins.
    pub calibration_error: [f64; 2],
    /// Of the AF sensitivity, over the draws that have such records; `None` when no record has the label.
    pub af_sensitivity: Option<[f64; 2]>,
    /// Of the AF specificity, over the draws that have other records; `None` when no record has another label.
    pub af_specificity: Option<[f64; 2]>,
}

impl Intervals {
    /// The intervals of probabilities `[records, classes]`, row-major, against one label per record. The same input
    /// gives the same intervals. Without records every bound is 0.
    ///
    /// # Errors
    /// As [`Evaluation::new`](super::Evaluation::new); a number of resamples that is not possible.
    pub fn new(
        probabilities: &[f32],
        classes: usize,
        labels: &[i64],
        bootstrap: Bootstrap,
    ) -> Result<Self, ScoreError> {
        let resamples = bootstrap.resamples;
        if !(1..=Bootstrap::MAX_RESAMPLES).contains(&resamples) {
            return Err(ScoreError::Resamples {
                resamples,
                most: Bootstrap::MAX_RESAMPLES,
            });
        }
        let outcomes = outcomes(probabilities, classes, labels)?;
        let mut random = SplitMix64::new(bootstrap.seed);
        let mut tally = Tally::new(classes);
        let mut draws: Vec<Evaluation> = Vec::with_capacity(resamples);
        for _ in 0..resamples {
            tally.clear();
            for _ in 0..outcomes.len() {
                tally.add(&outcomes[random.below(outcomes.len())]);
            }
            draws.push(tally.evaluation());
        }
        let defined = |figure: &dyn Fn(&Evaluation) -> Option<f64>| bounds(draws.iter().filter_map(figure).collect());
        let always = |figure: &dyn Fn(&Evaluation) -> f64| defined(&|draw| Some(figure(draw))).unwrap_or_default();
        Ok(Self {
            bootstrap,
            accuracy: always(&|draw| draw.accuracy),
            f1_macro: always(&|draw| draw.f1_macro),
            f1_challenge: defined(&|draw| draw.f1_challenge),
            f1_per_class: (0..classes)
                .map(|class| always(&|draw| draw.f1_per_class[class]))
                .collect(),
            calibration_error: always(&|draw| draw.calibration_error),
            af_sensitivity: defined(&|draw| draw.af_sensitivity),
            af_specificity: defined(&|draw| draw.af_specificity),
        })
    }
}

/// The 2.5 % and 97.5 % quantiles, `None` of nothing.
fn bounds(values: Vec<f64>) -> Option<[f64; 2]> {
    (!values.is_empty()).then(|| quantiles(values, [0.025, 0.975]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let hundred = (0..=100).rev().map(f64::from).collect();
        assert_eq!(bounds(hundred), Some([2.5, 97.5]));
        assert_eq!(bounds(vec![3.0]), Some([3.0, 3.0]));
        assert_eq!(bounds(Vec::new()), None);
    }
}
