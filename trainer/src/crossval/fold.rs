//! One fold: its training, and what its network says of the records it has not seen.

use super::CrossValidation;
use crate::data::{Classes, Dataset, Split};
use crate::device::device;
use crate::error::TrainerError;
use crate::evaluate::{Temperature, TorchPredictor, evaluate_excerpts, log_probabilities};
use crate::experiments::{Standing, deviations};
use crate::folds::{hold_back, subset};
use crate::train::{
    Changes, Checkpoint, Records, Report, RunFolder, Team, TrainOptions, Training, interrupt, network_of, parameters_of,
};
use dualnet_engine::pending;
use dualnet_engine::signal::Excerpt;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PREDICTIONS: &str = "predictions.json";

/// What a fold's networks say of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldPredictions {
    /// The plan, as `crossval.toml` has it.
    #[serde(default)]
    pub plan: String,
    /// The names of the records.
    pub records: Vec<String>,
    /// The class of each.
    pub labels: Vec<i64>,
    /// Of the network after the last epoch.
    pub last: CheckpointPredictions,
    /// Of the epoch that is best on the held-back records; `None` without such records.
    pub best: Option<CheckpointPredictions>,
}

/// What one checkpoint says of a fold's records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointPredictions {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The temperature of the held-back records; `None` without such records.
    pub temperature: Option<f64>,
    /// `[records, classes]`, row-major, as the network gives them.
    pub probabilities: Vec<f32>,
}

impl CrossValidation {
    /// Trains the network of a fold, counted from 0, or goes on where its training stands, and predicts the fold's
    /// records. `predictions.json` in the fold's folder keeps them: a fold that has it is done.
    ///
    /// # Errors
    /// As [`Training::run`]; [`TrainerError::Interrupted`] when `report` ends it, and the next call goes on.
    pub fn fold(&self, fold: usize, report: &mut dyn Report) -> Result<FoldPredictions, TrainerError> {
        let folder = self.folder(fold);
        let kept = folder.join(PREDICTIONS);
        if let Some(done) = self.done(fold)? {
            return Ok(done);
        }
        let (train, held) = self.others(fold)?;
        self.check_training(fold)?;
        self.train(fold, &folder, &train, &held, report)?;
        let predictions = self.predictions(fold, &held, &[Excerpt::Whole])?;
        let text = serde_json::to_vec(&predictions).map_err(|error| TrainerError::File {
            path: kept.clone(),
            reason: error.to_string(),
        })?;
        pending::write(&kept, &text).map_err(|source| TrainerError::Io { path: kept, source })?;
        Ok(predictions)
    }

    /// What the networks of a fold that is done say of its records, each read in [excerpts](Excerpt).
    ///
    /// # Errors
    /// Checkpoints that are no longer there, cannot be read, or are of other epochs than `whole`, what they said of the whole records.
    pub fn excerpts(&self, fold: usize, whole: &FoldPredictions) -> Result<FoldPredictions, TrainerError> {
        let (_, held) = self.others(fold)?;
        self.check_training(fold)?;
        let read = self.predictions(fold, &held, &Excerpt::ALL)?;
        let epochs = |of: &FoldPredictions| (of.last.epoch, of.best.as_ref().map(|best| best.epoch));
        match epochs(&read) == epochs(whole) {
            true => Ok(read),
            false => Err(TrainerError::File {
                path: self.folder(fold),
                reason: format!("its checkpoints are of other epochs than {PREDICTIONS}"),
            }),
        }
    }

    /// The records that are not a fold's: those that its network learns, and those held back.
    fn others(&self, fold: usize) -> Result<(Vec<u32>, Vec<u32>), TrainerError> {
        let mut is_tested = vec![false; self.dataset.recordings.len()];
        self.records(fold)
            .iter()
            .for_each(|&record| is_tested[record as usize] = true);
        let train: Vec<u32> = (0..is_tested.len() as u32)
            .filter(|&record| !is_tested[record as usize])
            .collect();
        match self.plan().crossval.hold_back {
            share if share > 0.0 => Ok(hold_back(&self.dataset, &train, share, self.plan().train.seed)?),
            _ => Ok((train, Vec::new())),
        }
    }

    /// What the checkpoints of a fold say of its records.
    fn predictions(&self, fold: usize, held: &[u32], excerpts: &[Excerpt]) -> Result<FoldPredictions, TrainerError> {
        let (records, labels) = self.named(fold);
        let files = RunFolder::new(&self.folder(fold));
        let predict = |file: PathBuf| self.predict(&file, self.records(fold), held, excerpts);
        Ok(FoldPredictions {
            plan: self.plan().text().map_err(TrainerError::Options)?,
            records,
            labels,
            last: predict(files.last())?,
            best: (!held.is_empty()).then(|| predict(files.best())).transpose()?,
        })
    }

    /// The predictions of a fold that is done; `None` of one that is not.
    ///
    /// # Errors
    /// Predictions that cannot be read, or are of another plan, or of other records or labels than the fold's.
    pub fn done(&self, fold: usize) -> Result<Option<FoldPredictions>, TrainerError> {
        let path = self.folder(fold).join(PREDICTIONS);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(|source| TrainerError::Io {
            path: path.clone(),
            source,
        })?;
        let fault = |reason: String| TrainerError::File {
            path: path.clone(),
            reason,
        };
        let predictions: FoldPredictions = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
        if predictions.plan.is_empty() {
            let reason = "does not say by which plan it was made, as those of before; without it the fold's networks are read again";
            return Err(fault(reason.to_owned()));
        }
        if let Some(difference) = self.plan().difference_from(&predictions.plan).map_err(fault)? {
            return Err(fault(format!(
                "is of another plan ({difference}); choose another --runs"
            )));
        }
        let (names, labels) = self.named(fold);
        if predictions.records != names || predictions.labels != labels {
            return Err(fault("is of other records or labels; choose another --runs".to_owned()));
        }
        Ok(Some(predictions))
    }

    /// The names and classes of a fold's records.
    fn named(&self, fold: usize) -> (Vec<String>, Vec<i64>) {
        let recordings = self
            .records(fold)
            .iter()
            .map(|&record| &self.dataset.recordings[record as usize]);
        recordings
            .map(|recording| (recording.name.clone(), self.classes.index(recording.label) as i64))
            .unzip()
    }

    /// What a fold's network is trained with.
    fn options(&self, fold: usize) -> TrainOptions {
        TrainOptions {
            split: format!("fold-{}-of-{}", fold + 1, self.folds()),
            ..self.plan().train.clone()
        }
    }

    /// Makes sure that a training in the fold's folder, if there is one, is of this plan.
    fn check_training(&self, fold: usize) -> Result<(), TrainerError> {
        let folder = self.folder(fold);
        let Some(standing) = Standing::read(&folder)? else {
            return Ok(());
        };
        let planned = (&self.plan().network, &self.options(fold));
        let differences = deviations((&standing.network, &standing.recipe_options()), planned);
        match differences.is_empty() {
            true => Ok(()),
            false => Err(TrainerError::File {
                path: folder,
                reason: format!(
                    "the training there is of another plan ({}); choose another --runs",
                    differences.join("; ")
                ),
            }),
        }
    }

    fn train(
        &self,
        fold: usize,
        folder: &Path,
        train: &[u32],
        held: &[u32],
        report: &mut dyn Report,
    ) -> Result<(), TrainerError> {
        let options = self.options(fold);
        let all: Vec<u32> = train.iter().chain(held).copied().collect();
        let last = (train.len() as u32, all.len() as u32);
        let split = Split {
            name: options.split.clone(),
            train: (0..last.0).collect(),
            validation: (last.0..last.1).collect(),
        };
        // Without the fold's records: nothing in the training can look at them.
        let mut records = Records::new(Arc::new(subset(&self.dataset, &all)?), split, self.threads);
        records.labels.clone_from(&self.plan().crossval.labels);
        let mut training = if RunFolder::new(folder).last().exists() {
            let changes = Changes {
                device: Some(self.plan().train.device.clone()),
                ..Changes::default()
            };
            Training::resume_in(Team::default(), folder, changes, |_| Ok(records))?
        } else {
            Training::start(self.network.clone(), options, folder, records)?
        };
        training.run(report)
    }

    /// What the checkpoint at `path` says of `tested`, and the temperature of `held`.
    fn predict(
        &self,
        path: &Path,
        tested: &[u32],
        held: &[u32],
        excerpts: &[Excerpt],
    ) -> Result<CheckpointPredictions, TrainerError> {
        let fault = |reason: &str| TrainerError::File {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let checkpoint = Checkpoint::open(path)?;
        let state = checkpoint.state();
        let network = network_of(state)?.ok_or_else(|| fault("does not say which network it is"))?;
        let parameters = parameters_of(&network, state, path)?;
        let epoch = checkpoint.training()["epoch"].as_u64();
        let epoch = epoch.ok_or_else(|| fault("does not say of which epoch it is"))? as usize;
        let device = device(&self.plan().train.device, 0)?;
        let mut predictor = TorchPredictor {
            network,
            parameters: parameters.on(device)?,
        };
        let batch_size = self.plan().train.batch_size;
        let mut predict = |indices: &[u32]| {
            let mut stop = |_| match interrupt::requested() {
                true => Err(TrainerError::Interrupted { epoch }),
                false => Ok(()),
            };
            let dataset = &self.dataset;
            evaluate_excerpts(
                &mut predictor,
                dataset,
                excerpts,
                indices,
                batch_size,
                self.threads,
                &mut stop,
            )
            .map(|predictions| predictions.probabilities)
        };
        let temperature = match held {
            [] => None,
            _ => {
                let logits = log_probabilities(&predict(held)?);
                let labels = classes_of(&self.dataset, held, self.classes);
                Some(Temperature::fit(&logits, self.classes.count(), &labels)?.value())
            }
        };
        Ok(CheckpointPredictions {
            epoch,
            temperature,
            probabilities: predict(tested)?,
        })
    }
}

/// The class of each record that `indices` name.
fn classes_of(dataset: &Dataset, indices: &[u32], classes: Classes) -> Vec<i64> {
    let class = |&index: &u32| classes.index(dataset.recordings[index as usize].label) as i64;
    indices.iter().map(class).collect()
}
