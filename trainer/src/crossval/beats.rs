//! A fold's records read together with their beats.

use super::{CrossValidation, Figures, FoldPredictions, Summary};
use crate::beats::{BeatOptions, BeatTable};
use crate::error::TrainerError;
use crate::train::interrupt;
use serde::Serialize;
use std::collections::HashSet;

/// The figures of networks together with forests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithBeats {
    /// The forest's weight in the average.
    pub share: f64,
    /// With the networks of the last epochs.
    pub last: Figures,
    /// With those of the epochs that are best on the held-back records; `None` without such records.
    pub best: Option<Figures>,
}

impl CrossValidation {
    /// The figures of each fold's networks averaged with what a forest says of its records that was fitted to the records of all other folds, the
    /// held-back ones among them. A temperature is a network's alone: there is none here.
    ///
    /// # Errors
    /// Folds that are not all of this cross-validation; other classes than a forest's; options that the library refuses.
    pub fn with_beats(&self, folds: &[FoldPredictions], options: &BeatOptions) -> Result<WithBeats, TrainerError> {
        let all: Vec<u32> = (0..self.dataset.recordings.len() as u32).collect();
        // Of the whole data set: a record's place is its index.
        let table = BeatTable::measure(&self.dataset, &all)?;
        let mut averaged = folds.to_vec();
        for (fold, predictions) in averaged.iter_mut().enumerate() {
            if interrupt::requested() {
                return Err(TrainerError::Interrupted {
                    epoch: predictions.last.epoch,
                });
            }
            let tested: HashSet<u32> = self.records(fold).iter().copied().collect();
            let forest = table.fit_without(&tested, options)?;
            forest
                .check_classes(self.network.config().class_names())
                .map_err(|error| TrainerError::Internal(error.to_string()))?;
            let own = table.part(self.records(fold).iter().map(|&record| record as usize));
            for checkpoint in std::iter::once(&mut predictions.last).chain(&mut predictions.best) {
                own.average_with(&forest, &mut checkpoint.probabilities);
                checkpoint.temperature = None;
            }
        }
        let Summary { last, best, .. } = self.summary(&averaged)?;
        Ok(WithBeats {
            share: options.share,
            last,
            best,
        })
    }
}
