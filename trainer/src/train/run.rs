//! One training run in one folder.

use super::card;
use super::checkpoint::{Checkpoint, Progress, network_of, parameters_of};
use super::log::{EpochLog, EpochRecord};
use super::options::{EarlierPlan, TrainOptions};
use super::report::Report;
use crate::data::{Batch, Classes, Dataset, Loader, LoaderOptions, Split};
use crate::error::TrainerError;
use crate::evaluate::{TorchPredictor, evaluate, input_tensors};
use crate::loss::weighted_cross_entropy;
use crate::optimizer::RAdam;
use crate::random::Rng;
use crate::torch::{Mode, Parameters, Torch};
use dualnet_engine::score::Evaluation;
use dualnet_export::network::Network;
use dualnet_export::weights::write_beside;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tch::Tensor;

/// A run: network, data, optimizer, and the folder it writes to.
pub struct Training {
    network: Network,
    options: TrainOptions,
    parameters: Parameters,
    optimizer: RAdam,
    progress: Progress,
    folder: PathBuf,
    records: Records,
}

/// What a run trains and validates on.
#[derive(Clone, Debug)]
pub struct Records {
    /// The data set.
    pub dataset: Arc<Dataset>,
    /// Which of its records train and which validate.
    pub split: Split,
    /// Threads that prepare batches ahead of the training.
    pub threads: usize,
}

/// Held from seeding libtorch's generator, of which a process has one, until the last draw: runs side by side share it.
static DRAWING: Mutex<()> = Mutex::new(());

const LAST: &str = "last.safetensors";
const BEST: &str = "best.safetensors";
const LOG: &str = "log.csv";
const CONFIGURATION: &str = "run.toml";

impl Training {
    /// A new run in an empty or new folder; `run.toml` records its configuration.
    pub fn start(
        network: Network,
        options: TrainOptions,
        folder: &Path,
        records: Records,
    ) -> Result<Self, TrainerError> {
        let file = |path: PathBuf, reason: &str| TrainerError::File {
            path,
            reason: reason.to_owned(),
        };
        if folder.join(LAST).exists() {
            return Err(file(
                folder.join(LAST),
                "a run is here already; go on with --resume, or choose another --run",
            ));
        }
        let parameters = Parameters::initial(&network, options.seed)?;
        let progress = Progress {
            epoch: 1,
            ..Progress::default()
        };
        let run = Self::new(network, options, parameters, (RAdam::new(), progress), folder, records)?;
        std::fs::create_dir_all(folder).map_err(|source| TrainerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let train = toml::to_string(&json!({ "train": run.options }))
            .map_err(|error| file(folder.join(CONFIGURATION), &error.to_string()))?;
        let path = folder.join(CONFIGURATION);
        let text = format!("{train}\n{}", run.network.config().to_toml());
        write_beside(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| TrainerError::Io { path, source })?;
        Ok(run)
    }

    /// Goes on where the last checkpoint in `folder` stands.
    ///
    /// `records` makes the records from the options the run was started with. `epochs` replaces the planned number of epochs,
    /// and with it the schedule from here on.
    pub fn resume(
        folder: &Path,
        epochs: Option<usize>,
        records: impl FnOnce(&TrainOptions) -> Result<Records, TrainerError>,
    ) -> Result<Self, TrainerError> {
        let path = folder.join(LAST);
        let fault = |reason: &str| TrainerError::File {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        if !path.exists() {
            return Err(fault("there is no checkpoint to go on from; start without --resume"));
        }
        let checkpoint = Checkpoint::open(&path)?;
        let network = network_of(checkpoint.state())?.ok_or_else(|| fault("does not say which network it is"))?;
        let mut options = checkpoint
            .options(&path)?
            .ok_or_else(|| fault("does not say how it was trained"))?;
        let parameters = parameters_of(&network, checkpoint.state(), &path)?;
        let state = checkpoint.resume(&path, &parameters)?;
        if let Some(epochs) = epochs.filter(|&epochs| epochs != options.epochs) {
            let until_epoch = if state.1.batches > 0 {
                state.1.epoch
            } else {
                state.1.epoch - 1
            };
            options.earlier_plans.push(EarlierPlan {
                epochs: options.epochs,
                until_epoch,
            });
            options.epochs = epochs;
        }
        let records = records(&options)?;
        Self::new(network, options, parameters, state, folder, records)
    }

    fn new(
        network: Network,
        options: TrainOptions,
        parameters: Parameters,
        (optimizer, progress): (RAdam, Progress),
        folder: &Path,
        mut records: Records,
    ) -> Result<Self, TrainerError> {
        if let Some(fault) = options.fault() {
            return Err(TrainerError::Network(fault));
        }
        records.split.check(&records.dataset)?;
        if let Some(limit) = options.limit {
            records.split.train.truncate(limit);
            records.split.validation.truncate(limit);
        }
        Ok(Self {
            network,
            options,
            parameters,
            optimizer,
            progress,
            folder: folder.to_owned(),
            records,
        })
    }

    /// What the run was started with.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Epochs that are not done yet, the one under way included.
    pub fn epochs_left(&self) -> usize {
        (self.options.epochs + 1).saturating_sub(self.progress.epoch)
    }

    /// The weights as they are now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Trains until the last epoch is done.
    pub fn run(&mut self, report: &mut dyn Report) -> Result<(), TrainerError> {
        let log = EpochLog::open(&self.folder.join(LOG), self.progress.epoch - 1)?;
        while self.progress.epoch <= self.options.epochs {
            let epoch = self.progress.epoch;
            let learning_rate = self.options.learning_rate * self.options.schedule.factor(epoch, self.options.epochs);
            let started = Instant::now();
            let before = self.progress.records;
            self.train_epoch(learning_rate, report)?;
            let seconds = started.elapsed().as_secs_f64();
            let validate = epoch.is_multiple_of(self.options.validate_every) || epoch == self.options.epochs;
            let evaluation = validate.then(|| self.validate(report)).transpose()?;
            let record = EpochRecord {
                epoch,
                learning_rate,
                train_loss: self.progress.loss_sum / self.progress.records.max(1) as f64,
                records_per_second: (self.progress.records - before) as f64 / seconds,
                accuracy: evaluation.as_ref().map(|evaluation| evaluation.accuracy),
                f1_macro: evaluation.as_ref().map(|evaluation| evaluation.f1_macro),
                f1_challenge: evaluation.as_ref().and_then(|evaluation| evaluation.f1_challenge),
            };
            // In this order: a run that ends in between does the epoch again, and the log drops the line.
            log.append(&record)?;
            self.keep(epoch, evaluation.as_ref())?;
            report.finished(&record, self.progress.best);
        }
        Ok(())
    }

    fn train_epoch(&mut self, learning_rate: f64, report: &mut dyn Report) -> Result<(), TrainerError> {
        let classes = self.network.config().classes;
        let epoch = self.progress.epoch;
        let options = LoaderOptions {
            batch_size: self.options.batch_size,
            classes: Classes::from_count(classes).unwrap_or_default(),
            shuffle: true,
            augmentation: self.options.augmentation(epoch),
            seed: self.options.seed,
            epoch: epoch as u64,
            first_batch: self.progress.batches,
            threads: self.records.threads,
        };
        let mut loader = Loader::new(&self.records.dataset, &self.records.split.train, options)?;
        report.epoch(epoch, self.options.epochs, loader.batches(), self.progress.batches);
        let weights = Tensor::f_from_slice(TrainOptions::class_weights(classes))?;
        while let Some(batch) = loader.next() {
            let batch = batch?;
            let loss = self.step(&batch, &weights, learning_rate)?;
            let progress = &mut self.progress;
            progress.batches += 1;
            progress.steps = self.optimizer.steps();
            progress.loss_sum += loss * batch.labels.len() as f64;
            progress.records += batch.labels.len();
            let mean_loss = progress.loss_sum / progress.records as f64;
            let every = self.options.checkpoint_steps;
            if every > 0 && progress.batches.is_multiple_of(every) {
                self.save_last()?;
            }
            if report.batch(mean_loss).is_break() {
                return Err(TrainerError::Interrupted { epoch });
            }
            loader.recycle(batch);
        }
        Ok(())
    }

    /// One optimizer step; the loss before it.
    fn step(&mut self, batch: &Batch, weights: &Tensor, learning_rate: f64) -> Result<f64, TrainerError> {
        let config = self.network.config();
        let (epoch, step) = (self.progress.epoch, self.progress.batches);
        let seed = Rng::for_step(self.options.seed, epoch as u64, step as u64).next_u64();
        let (ecg, spectrogram) = input_tensors(&batch.ecg, &batch.spectrogram, batch.labels.len())?;
        let labels = Tensor::f_from_slice(&batch.labels)?;
        let dropout = self.options.dropout(config.classes, config.dropout);
        let mut torch = Torch::new(&self.parameters, Mode::Training { dropout });
        let logits = {
            let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed((seed >> 1) as i64);
            self.network.forward(&mut torch, &ecg, &spectrogram)?.logits
        };
        let loss = weighted_cross_entropy(&logits, &labels, weights)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(TrainerError::Diverged {
                epoch,
                step: step + 1,
                loss: value,
            });
        }
        loss.f_backward()?;
        self.optimizer.step(&self.parameters, learning_rate)?;
        Ok(value)
    }

    fn validate(&self, report: &mut dyn Report) -> Result<Evaluation, TrainerError> {
        let records = self.records.split.validation.len();
        let mut predictor = TorchPredictor {
            network: &self.network,
            parameters: &self.parameters,
        };
        let mut progress = |done| report.validating(done, records);
        let batch_size = self.options.batch_size;
        let indices = &self.records.split.validation;
        Ok(evaluate(
            &mut predictor,
            &self.records.dataset,
            indices,
            batch_size,
            self.records.threads,
            &mut progress,
        )?
        .0)
    }

    /// Ends an epoch: keeps the network where it is due, moves on to the next epoch and writes the last checkpoint.
    fn keep(&mut self, epoch: usize, evaluation: Option<&Evaluation>) -> Result<(), TrainerError> {
        if let Some(evaluation) = evaluation {
            let accuracy = evaluation.accuracy;
            if self.progress.best.is_none_or(|(best, _)| accuracy > best) {
                self.progress.best = Some((accuracy, epoch));
                self.checkpoint(epoch, Some(evaluation))?
                    .save(&self.folder.join(BEST))?;
            }
        }
        let every = self.options.checkpoint_every;
        if every > 0 && epoch.is_multiple_of(every) {
            self.checkpoint(epoch, evaluation)?
                .save(&self.folder.join(format!("epoch-{epoch:03}.safetensors")))?;
        }
        let best = self.progress.best;
        self.progress = Progress {
            epoch: epoch + 1,
            steps: self.optimizer.steps(),
            best,
            ..Progress::default()
        };
        self.checkpoint(epoch, evaluation)?
            .with_optimizer(&self.optimizer, &self.progress)?
            .save(&self.folder.join(LAST))
    }

    fn save_last(&self) -> Result<(), TrainerError> {
        self.checkpoint(self.progress.epoch, None)?
            .with_optimizer(&self.optimizer, &self.progress)?
            .save(&self.folder.join(LAST))
    }

    fn checkpoint(&self, epoch: usize, evaluation: Option<&Evaluation>) -> Result<Checkpoint, TrainerError> {
        let training = card::training(self.network.config(), &self.options, &self.records, epoch);
        let metrics = match evaluation {
            Some(evaluation) => json!({ "validation": evaluation }),
            None => json!({}),
        };
        Checkpoint::new(&self.network, &self.parameters, &training, &metrics)
    }
}
