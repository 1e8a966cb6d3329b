//! What became of each record, and the figures of a set of records, from counts alone.

use super::confusion::{f1, mean};
use super::evaluation::challenge_f1;
use super::{ConfusionMatrix, Evaluation, ScoreError};

/// Bins of the calibration error: equal parts of [0, 1].
const BINS: usize = 15;

/// What a network made of one record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    reference: usize,
    /// The first class of the largest probability.
    predicted: usize,
    /// The other classes that share it.
    tied: Vec<usize>,
    /// The bin of the largest probability.
    bin: usize,
    /// The largest probability, less 1 where the prediction is right.
    gap: f64,
}

/// The outcomes of probabilities `[records, classes]`, row-major, against one label per record.
pub(super) fn outcomes(probabilities: &[f32], classes: usize, labels: &[i64]) -> Result<Vec<Outcome>, ScoreError> {
    if classes == 0 || !probabilities.len().is_multiple_of(classes) || probabilities.len() / classes != labels.len() {
        return Err(ScoreError::Shape {
            probabilities: probabilities.len(),
            classes,
            labels: labels.len(),
        });
    }
    let outcome = |(record, (row, &label)): (usize, (&[f32], &i64))| {
        let reference = usize::try_from(label).ok().filter(|&reference| reference < classes);
        let reference = reference.ok_or(ScoreError::Label { record, label, classes })?;
        if let Some(class) = row.iter().position(|p| !p.is_finite()) {
            return Err(ScoreError::NotFinite { record, class });
        }
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let predicted = row.iter().position(|&p| p == largest).unwrap_or(0);
        let confidence = f64::from(largest);
        Ok(Outcome {
            reference,
            predicted,
            tied: (predicted + 1..classes)
                .filter(|&class| row[class] == largest)
                .collect(),
            bin: ((confidence * BINS as f64) as usize).min(BINS - 1),
            gap: confidence - f64::from(u8::from(predicted == reference)),
        })
    };
    probabilities
        .chunks_exact(classes)
        .zip(labels)
        .enumerate()
        .map(outcome)
        .collect()
}

/// The counts of a set of records, of which every figure is a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally {
    confusion: ConfusionMatrix,
    /// Per class, records predicted as it besides those the confusion matrix counts, and how many of these it fits.
    tied: Vec<(u64, u64)>,
    gaps: [f64; BINS],
}

impl Tally {
    pub(super) fn new(classes: usize) -> Self {
        Self {
            confusion: ConfusionMatrix::new(classes),
            tied: vec![(0, 0); classes],
            gaps: [0.0; BINS],
        }
    }

    pub(super) fn clear(&mut self) {
        self.confusion.counts.iter_mut().for_each(|row| row.fill(0));
        self.tied.fill((0, 0));
        self.gaps.fill(0.0);
    }

    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.confusion.counts[outcome.reference][outcome.predicted] += 1;
        for &class in &outcome.tied {
            let (predictions, hits) = &mut self.tied[class];
            *predictions += 1;
            *hits += u64::from(class == outcome.reference);
        }
        self.gaps[outcome.bin] += outcome.gap;
    }

    /// The figures. The expected calibration error (Guo et al. 2017, equation 5) weighs each bin's gap between mean probability and share of right
    /// predictions by its share of records; it is 0 without records.
    pub(super) fn evaluation(&self) -> Evaluation {
        let confusion = &self.confusion;
        let f1_of = |(class, &(predictions, hits)): (usize, &(u64, u64))| {
            f1(
                confusion.counts[class][class] + hits,
                confusion.predictions(class) + predictions,
                confusion.references(class),
            )
        };
        let f1_per_class: Vec<f64> = self.tied.iter().enumerate().map(f1_of).collect();
        Evaluation {
            records: usize::try_from(confusion.total()).unwrap_or(usize::MAX),
            accuracy: confusion.accuracy(),
            f1_macro: mean(&f1_per_class),
            f1_challenge: challenge_f1(&f1_per_class),
            f1_per_class,
            calibration_error: self.gaps.iter().map(|gap| gap.abs()).sum::<f64>() / confusion.total().max(1) as f64,
            af_sensitivity: confusion.af_sensitivity(),
            af_specificity: confusion.af_specificity(),
            confusion: confusion.clone(),
        }
    }
}
