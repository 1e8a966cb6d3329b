//! The figures of a cross-validation.

use super::{CheckpointPredictions, FoldPredictions, Plan, WithBeats};
use crate::evaluate::{Measured, Temperature};
use dualnet_engine::score::{Bootstrap, Evaluation, Intervals, ScoreError};
use serde::{Deserialize, Serialize};

/// What `crossval.json` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What was done.
    pub plan: Plan,
    /// The figures of the last epochs.
    pub last: Figures,
    /// The figures of the epochs that are best on the held-back records; `None` without such records.
    pub best: Option<Figures>,
    /// The figures of the networks reading excerpts; `None` where they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_excerpts: Option<WithExcerpts>,
    /// The figures together with the beats, of the networks reading excerpts where that was asked for; `None` where they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_beats: Option<WithBeats>,
}

/// The figures of networks that read each record in [excerpts](dualnet_engine::signal::Excerpt).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithExcerpts {
    /// With the networks of the last epochs.
    pub last: Figures,
    /// With those of the epochs that are best on the held-back records; `None` without such records.
    pub best: Option<Figures>,
}

/// The figures of one checkpoint per fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Each fold by itself.
    pub folds: Vec<FoldFigures>,
    /// Share of right records over the folds.
    pub accuracy: Spread,
    /// Mean F1 of all classes over the folds.
    pub f1_macro: Spread,
    /// Mean F1 of N, O and A over the folds; `None` unless there are four classes.
    pub f1_challenge: Option<Spread>,
    /// Calibration error over the folds.
    pub calibration_error: Spread,
    /// AF sensitivity over the folds that have such records.
    pub af_sensitivity: Option<Spread>,
    /// AF specificity over the folds that have other records.
    pub af_specificity: Option<Spread>,
    /// All predictions together.
    pub pooled: Measured,
    /// The same with each fold's temperature; `None` without held-back records.
    pub pooled_with_temperature: Option<Tempered>,
}

/// The figures of one fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldFigures {
    /// The fold, counted from 1.
    pub fold: usize,
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The temperature of the held-back records.
    pub temperature: Option<f64>,
    /// The figures and their intervals.
    #[serde(flatten)]
    pub measured: Measured,
}

/// A figure over the folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation from fold to fold (n − 1); 0 of a single fold.
    pub sd: f64,
}

/// What the temperature changes: probabilities, not classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tempered {
    /// Expected calibration error in 15 bins.
    pub calibration_error: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
}

impl Summary {
    pub(super) fn new(plan: &Plan, classes: usize, folds: &[FoldPredictions]) -> Result<Self, ScoreError> {
        let best: Option<Vec<&CheckpointPredictions>> = folds.iter().map(|fold| fold.best.as_ref()).collect();
        let last: Vec<&CheckpointPredictions> = folds.iter().map(|fold| &fold.last).collect();
        Ok(Self {
            plan: plan.clone(),
            last: Figures::new(classes, folds, &last)?,
            best: best.map(|best| Figures::new(classes, folds, &best)).transpose()?,
            with_excerpts: None,
            with_beats: None,
        })
    }
}

impl Figures {
    fn new(
        classes: usize,
        folds: &[FoldPredictions],
        checkpoints: &[&CheckpointPredictions],
    ) -> Result<Self, ScoreError> {
        let of_fold = |(index, (fold, checkpoint)): (usize, (&FoldPredictions, &&CheckpointPredictions))| {
            Ok(FoldFigures {
                fold: index + 1,
                epoch: checkpoint.epoch,
                temperature: checkpoint.temperature,
                measured: Measured::new(&checkpoint.probabilities, classes, &fold.labels)?,
            })
        };
        let each: Vec<FoldFigures> = folds
            .iter()
            .zip(checkpoints)
            .enumerate()
            .map(of_fold)
            .collect::<Result<_, ScoreError>>()?;
        let labels: Vec<i64> = folds.iter().flat_map(|fold| fold.labels.iter().copied()).collect();
        let raw: Vec<f32> = checkpoints
            .iter()
            .flat_map(|one| one.probabilities.iter().copied())
            .collect();
        let tempered: Option<Vec<Vec<f32>>> = checkpoints
            .iter()
            .map(|one| {
                let mut probabilities = one.probabilities.clone();
                Temperature::new(one.temperature?)?.apply(&mut probabilities, classes);
                Some(probabilities)
            })
            .collect();
        let tempered = tempered
            .map(|folds| Tempered::new(&folds.concat(), classes, &labels))
            .transpose()?;
        let spread = |figure: &dyn Fn(&Evaluation) -> Option<f64>| {
            Spread::of(
                &each
                    .iter()
                    .filter_map(|fold| figure(&fold.measured.evaluation))
                    .collect::<Vec<f64>>(),
            )
        };
        let always = |figure: &dyn Fn(&Evaluation) -> f64| {
            spread(&|evaluation| Some(figure(evaluation))).unwrap_or(Spread { mean: 0.0, sd: 0.0 })
        };
        Ok(Self {
            accuracy: always(&|evaluation| evaluation.accuracy),
            f1_macro: always(&|evaluation| evaluation.f1_macro),
            f1_challenge: spread(&|evaluation| evaluation.f1_challenge),
            calibration_error: always(&|evaluation| evaluation.calibration_error),
            af_sensitivity: spread(&|evaluation| evaluation.af_sensitivity),
            af_specificity: spread(&|evaluation| evaluation.af_specificity),
            pooled: Measured::new(&raw, classes, &labels)?,
            pooled_with_temperature: tempered,
            folds: each,
        })
    }
}

impl Tempered {
    fn new(probabilities: &[f32], classes: usize, labels: &[i64]) -> Result<Self, ScoreError> {
        Ok(Self {
            calibration_error: Evaluation::new(probabilities, classes, labels)?.calibration_error,
            interval: Intervals::new(probabilities, classes, labels, Bootstrap::default())?.calibration_error,
        })
    }
}

impl Spread {
    /// The mean and the sample standard deviation, `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty()).then_some(Self {
            mean,
            sd: (squares / (count - 1.0).max(1.0)).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let spread = Spread::of(&[1.0, 2.0, 3.0, 6.0]).expect("a spread");
        // Squares 4 + 1 + 0 + 9 over three.
        assert!((spread.mean - 3.0).abs() < 1e-12 && (spread.sd - (14.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[0.5]), Some(Spread { mean: 0.5, sd: 0.0 }));
        assert_eq!(Spread::of(&[]), None);
    }
}
