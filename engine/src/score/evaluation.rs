//! The metrics of a network's probabilities over a whole set of records.

use serde::Serialize;

use super::confusion::{f1, mean};
use super::{ConfusionMatrix, Label, ScoreError, expected_calibration_error};

/// The published metrics (Rohr et al. 2022, section 4) of a set of records, plus calibration.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
        if classes == 0 || !probabilities.len().is_multiple_of(classes) || probabilities.len() / classes != labels.len()
        {
            return Err(ScoreError::Shape {
                probabilities: probabilities.len(),
                classes,
                labels: labels.len(),
            });
        }
        let (mut hits, mut predictions, mut references) = (vec![0; classes], vec![0; classes], vec![0; classes]);
        let mut confusion = ConfusionMatrix::new(classes);
        let mut confidences = Vec::with_capacity(labels.len());
        for (record, (row, &label)) in probabilities.chunks_exact(classes).zip(labels).enumerate() {
            let reference = usize::try_from(label).ok().filter(|&reference| reference < classes);
            let reference = reference.ok_or(ScoreError::Label { record, label, classes })?;
            if let Some(class) = row.iter().position(|p| !p.is_finite()) {
                return Err(ScoreError::NotFinite { record, class });
            }
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let first = row.iter().position(|&p| p == largest).unwrap_or(0);
            references[reference] += 1;
            for class in (0..classes).filter(|&class| row[class] == largest) {
                predictions[class] += 1;
                hits[class] += u64::from(class == reference);
            }
            confusion.counts[reference][first] += 1;
            confidences.push((f64::from(largest), first == reference));
        }
        let f1_per_class: Vec<f64> = (0..classes)
            .map(|class| f1(hits[class], predictions[class], references[class]))
            .collect();
        Ok(Self {
            records: labels.len(),
            accuracy: confusion.accuracy(),
            f1_macro: mean(&f1_per_class),
            f1_challenge: challenge_f1(&f1_per_class),
            calibration_error: expected_calibration_error(&confidences, 15),
            f1_per_class,
            confusion,
        })
    }
}

/// The mean F1 of N, O and A; `None` unless there are four classes.
pub(super) fn challenge_f1(f1_per_class: &[f64]) -> Option<f64> {
    const RANKED: [Label; 3] = [Label::Normal, Label::Other, Label::AtrialFibrillation];
    (f1_per_class.len() == Label::ALL.len()).then(|| mean(&RANKED.map(|label| f1_per_class[label.index()])))
}
