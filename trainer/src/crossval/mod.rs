//! Cross-validation: every record is predicted by a network that was trained without it.
//!
//! Each fold's network is trained in a folder of its own, `fold-1`, `fold-2`, …. A part of the fold's training records
//! is held back: it chooses the best epoch and the temperature. The fold's records are not among those given to the
//! training; they are only predicted, once it is over.

mod beats;
mod fold;
mod plan;
mod summary;

pub use beats::WithBeats;
pub use fold::{CheckpointPredictions, FoldPredictions};
pub use plan::{Plan, Settings};
pub use summary::{Figures, FoldFigures, Spread, Summary, Tempered, WithExcerpts};

use crate::data::{Classes, DataError, Dataset};
use crate::error::TrainerError;
use crate::folds::folds;
use crate::train::{Checkpoint, data_set_known_to};
use dualnet_export::network::Network;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A cross-validation in a folder.
#[derive(Debug)]
pub struct CrossValidation {
    plan: Plan,
    network: Network,
    classes: Classes,
    dataset: Arc<Dataset>,
    folds: Vec<Vec<u32>>,
    folder: PathBuf,
    threads: usize,
}

impl CrossValidation {
    /// Divides `dataset` and records the plan in `folder/crossval.toml`, or makes sure that the cross-validation begun
    /// there has this plan. `threads` prepare batches ahead of the training.
    ///
    /// # Errors
    /// A plan that is not possible, or another than the one in the folder; weights to start from that know the records; a folder that cannot
    /// be written.
    pub fn open(mut plan: Plan, dataset: Arc<Dataset>, folder: &Path, threads: usize) -> Result<Self, TrainerError> {
        if let Some(fault) = plan.fault() {
            return Err(TrainerError::Options(fault));
        }
        if !Plan::is_begun(folder) {
            check_start(plan.train.load.as_deref())?;
        }
        let network = Network::new(plan.network.clone())?;
        let classes = Classes::from_count(plan.network.classes)?;
        let records = dataset.recordings.len();
        if records != plan.crossval.records {
            return Err(DataError::SplitSize {
                name: "cross-validation".to_owned(),
                expected: plan.crossval.records,
                found: records,
            }
            .into());
        }
        let folds = folds(&dataset, plan.crossval.folds, plan.train.seed)?;
        plan.train.dropout_unit = Some(plan.train.dropout_unit(plan.network.classes));
        plan.keep(folder)?;
        Ok(Self {
            plan,
            network,
            classes,
            dataset,
            folds,
            folder: folder.to_owned(),
            threads,
        })
    }

    /// How many folds there are.
    pub fn folds(&self) -> usize {
        self.folds.len()
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The records of a fold, counted from 0, as indices into the data set; empty outside the folds.
    pub fn records(&self, fold: usize) -> &[u32] {
        self.folds.get(fold).map_or(&[], Vec::as_slice)
    }

    /// The folder of a fold's training, the fold counted from 0: `fold-1` is the first.
    pub fn folder(&self, fold: usize) -> PathBuf {
        self.folder.join(format!("fold-{}", fold + 1))
    }

    /// The figures of all folds.
    ///
    /// # Errors
    /// Predictions that do not fit together.
    pub fn summary(&self, folds: &[FoldPredictions]) -> Result<Summary, TrainerError> {
        Ok(Summary::new(&self.plan, self.classes.count(), folds)?)
    }
}

/// Makes sure that the weights every fold starts from do not say that they were trained on the data set that is divided.
fn check_start(weights: Option<&Path>) -> Result<(), TrainerError> {
    let Some(path) = weights else { return Ok(()) };
    let training = Checkpoint::open(path)?.training();
    match data_set_known_to(&training) {
        None => Ok(()),
        Some(dataset) => Err(TrainerError::File {
            path: path.to_owned(),
            reason: format!(
                "was trained on {dataset}, or goes back to weights that were, and knows the records that the folds are measured on"
            ),
        }),
    }
}
