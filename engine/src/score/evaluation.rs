//! The metrics of a network's probabilities over a whole set of records.

use serde::{Deserialize, Serialize};

use super::confusion::mean;
use super::outcome::{Tally, outcomes};
use super::{ConfusionMatrix, Label, ScoreError};

/// The published metrics (Rohr et al. 2022, section 4) of a set of records, plus calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many records were evaluated.
    pub records: usize,
    /// Share of records whose first largest probability is the label's.
    pub accuracy: f64,
    /// Mean F1 over all classes.
    pub f1_macro: f64,
    /// Mean F1 over N, O and A, what the 2017 challenge ranks by; `None` unless there are four classes.
    pub f1_challenge: Option<f64>,
    /// F1 of each class, in the order of the network's outputs. Where the largest probability is shared, the record
    /// counts as predicted for every class that shares it.
    pub f1_per_class: Vec<f64>,
    /// Expected calibration error in 15 bins.
    pub calibration_error: f64,
    /// Share of the AF records whose first largest probability is that of AF; `None` without such records, or unless
    /// there are two or four classes.
    #[serde(default)]
    pub af_sensitivity: Option<f64>,
    /// Share of all other records whose first largest probability is not that of AF; `None` likewise.
    #[serde(default)]
    pub af_specificity: Option<f64>,
    /// Reference against first largest probability.
    pub confusion: ConfusionMatrix,
}

impl Evaluation {
    /// Evaluates probabilities `[records, classes]`, row-major, against one label per record. Any monotonic function
    /// of the probabilities gives the same scores, calibration excepted.
    ///
    /// # Errors
    /// Sizes that do not fit together, a label outside the classes, a probability that is not finite.
    pub fn new(probabilities: &[f32], classes: usize, labels: &[i64]) -> Result<Self, ScoreError> {
        let mut tally = Tally::new(classes);
        outcomes(probabilities, classes, labels)?
            .iter()
            .for_each(|outcome| tally.add(outcome));
        Ok(tally.evaluation())
    }
}

/// The mean F1 of N, O and A; `None` unless there are four classes.
pub(super) fn challenge_f1(f1_per_class: &[f64]) -> Option<f64> {
    const RANKED: [Label; 3] = [Label::Normal, Label::Other, Label::AtrialFibrillation];
    (f1_per_class.len() == Label::ALL.len()).then(|| mean(&RANKED.map(|label| f1_per_class[label.index()])))
}
