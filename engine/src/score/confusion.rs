//! The confusion matrix and the scores that need nothing else.

use serde::{Deserialize, Serialize};

use super::Label;

/// How often each reference class was given each predicted class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// `counts[reference][predicted]`, `classes × classes`.
    pub counts: Vec<Vec<u64>>,
}

impl ConfusionMatrix {
    /// An empty matrix of `classes × classes`.
    pub fn new(classes: usize) -> Self {
        Self {
            counts: vec![vec![0; classes]; classes],
        }
    }

    /// The matrix of pairs (reference, predicted). Pairs outside `classes` are ignored.
    pub fn from_pairs(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut matrix = Self::new(classes);
        for (reference, predicted) in pairs {
            if let Some(count) = matrix.counts.get_mut(reference).and_then(|row| row.get_mut(predicted)) {
                *count += 1;
            }
        }
        matrix
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// The number of records counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The share of records on the diagonal; 0 of an empty matrix.
    pub fn accuracy(&self) -> f64 {
        let hits: u64 = (0..self.classes()).map(|class| self.counts[class][class]).sum();
        hits as f64 / self.total().max(1) as f64
    }

    /// How many records the reference gives `class`.
    pub fn references(&self, class: usize) -> u64 {
        self.counts[class].iter().sum()
    }

    /// How many records were predicted as `class`.
    pub fn predictions(&self, class: usize) -> u64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    /// F1 of each class, with 1e-8 in the denominators; 0 for a class without a hit.
    pub fn f1_per_class(&self) -> Vec<f64> {
        (0..self.classes())
            .map(|class| {
                f1(
                    self.counts[class][class],
                    self.predictions(class),
                    self.references(class),
                )
            })
            .collect()
    }

    /// The share of atrial fibrillation that is found, everything else being one class; `None` when the reference has
    /// none, or unless there are two or four classes.
    pub fn af_sensitivity(&self) -> Option<f64> {
        let af = self.af()?;
        share(self.counts[af][af], self.references(af))
    }

    /// The share of everything else that is not called atrial fibrillation; `None` when the reference has nothing else,
    /// or unless there are two or four classes.
    pub fn af_specificity(&self) -> Option<f64> {
        let af = self.af()?;
        let others = self.total() - self.references(af);
        share(others + self.counts[af][af] - self.predictions(af), others)
    }

    /// The class of atrial fibrillation in a network of this many classes.
    fn af(&self) -> Option<usize> {
        match self.classes() {
            2 => Some(Label::AtrialFibrillation.binary_index()),
            4 => Some(Label::AtrialFibrillation.index()),
            _ => None,
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// F1 from the counts of one class, with 1e-8 in the denominators of precision, recall and F1 as in the published
/// evaluation; a class without a hit, absent ones included, scores 0.
pub(super) fn f1(hits: u64, predictions: u64, references: u64) -> f64 {
    const EPSILON: f64 = 1e-8;
    let hits = hits as f64;
    let precision = hits / (predictions as f64 + EPSILON);
    let recall = hits / (references as f64 + EPSILON);
    2.0 * precision * recall / (precision + recall + EPSILON)
}

/// The mean, 0 of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
