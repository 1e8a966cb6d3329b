//! Figures with their uncertainty.

use dualnet_engine::score::{Bootstrap, Evaluation, Intervals, ScoreError};
use serde::{Deserialize, Serialize};

/// An evaluation and the 95 % intervals of its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The figures.
    pub evaluation: Evaluation,
    /// Their intervals, over 2000 resamples.
    pub intervals: Intervals,
}

impl Measured {
    /// Measures probabilities `[records, classes]`, row-major, against one label per record.
    ///
    /// # Errors
    /// As [`Evaluation::new`].
    pub fn new(probabilities: &[f32], classes: usize, labels: &[i64]) -> Result<Self, ScoreError> {
        Ok(Self {
            evaluation: Evaluation::new(probabilities, classes, labels)?,
            intervals: Intervals::new(probabilities, classes, labels, Bootstrap::default())?,
        })
    }
}
