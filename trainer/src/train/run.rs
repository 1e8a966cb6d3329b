//! One training run in one folder.

use super::average::Average;
use super::card;
use super::checkpoint::{Checkpoint, Progress};
use super::folder::{Lock, RunFolder};
use super::options::TrainOptions;
use super::recorded::Recorder;
use super::report::Report;
use super::step::Stepper;
use super::teachers::Teachers;
use super::{Records, Team, interrupt, result};
use crate::data::{Classes, Loader, LoaderOptions};
use crate::distributed::Reducer;
use crate::error::TrainerError;
use crate::logs::{EpochRecord, RunLogs};
use crate::optimizer::{RAdam, clip_gradients};
use crate::torch::Parameters;
use dualnet_engine::score::Evaluation;
use dualnet_export::network::Network;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tch::{Device, Tensor};

/// A run: network, data, optimizer, and the folder it writes to.
pub struct Training {
    pub(super) network: Network,
    pub(super) options: TrainOptions,
    pub(super) parameters: Parameters,
    pub(super) average: Option<Average>,
    pub(super) teachers: Teachers,
    pub(super) optimizer: RAdam,
    pub(super) progress: Progress,
    pub(super) folder: RunFolder,
    /// Of the process that writes there.
    pub(super) _lock: Option<Lock>,
    pub(super) records: Records,
    pub(super) device: Device,
    pub(super) recorder: Recorder,
    pub(super) team: Team,
    pub(super) notes: Vec<String>,
    /// The networks that it began from and learns from, as its checkpoints name them.
    pub(super) goes_back_to: Value,
}

impl Training {
    /// What the run was started with.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// What should be told about its beginning.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Epochs that are not done yet, the one under way included.
    pub fn epochs_left(&self) -> usize {
        (self.options.epochs + 1).saturating_sub(self.progress.epoch)
    }

    /// The weights as they are now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Starts each operation of a step by itself on a GPU, instead of recording a step once.
    pub fn without_cuda_graph(&mut self) {
        self.recorder.switch_off();
    }

    /// Trains until the last epoch is done, then measures the best and the last checkpoint, where records are there to choose and to measure
    /// by. After an error the weights in memory are no longer
    /// those of any epoch; the folder has the last good ones.
    pub fn run(&mut self, report: &mut dyn Report) -> Result<(), TrainerError> {
        let done = self.progress.epoch - 1;
        let mut logs = None;
        if self.team.is_first() && self.epochs_left() > 0 {
            self.folder.forget_result()?;
            logs = Some(RunLogs::open(self.folder.path(), done, self.progress.steps)?);
        }
        let reducer = self.team.reducer(&self.parameters)?;
        self.recorder.enter(self.device)?;
        // One tensor for all epochs: recorded steps read it where it is.
        let weights = self.options.class_weights(self.network.config().classes);
        let weights = Tensor::f_from_slice(weights)?.f_to_device(self.device)?;
        while self.progress.epoch <= self.options.epochs {
            let epoch = self.progress.epoch;
            let learning_rate = self.options.learning_rate(epoch);
            let started = Instant::now();
            let before = self.progress.records;
            self.train_epoch(learning_rate, &weights, reducer.as_ref(), logs.as_mut(), report)?;
            let seconds = started.elapsed().as_secs_f64();
            let is_due = epoch.is_multiple_of(self.options.validate_every) || epoch == self.options.epochs;
            let validate = is_due && !self.records.choice().is_empty();
            let validation = match validate {
                true => Some(self.validated(report)?),
                false => None,
            };
            let kept = validation.as_ref().map(|validation| &validation.kept);
            let trained = validation.as_ref().and_then(|validation| validation.trained.as_ref());
            let record = EpochRecord {
                epoch,
                learning_rate,
                train_loss: self.progress.loss_sum / self.progress.records.max(1) as f64,
                records_per_second: (self.progress.records - before) as f64 / seconds,
                accuracy: kept.map(|evaluation| evaluation.accuracy),
                f1_macro: kept.map(|evaluation| evaluation.f1_macro),
                f1_challenge: kept.and_then(|evaluation| evaluation.f1_challenge),
                trained_accuracy: trained.map(|evaluation| evaluation.accuracy),
                trained_f1_macro: trained.map(|evaluation| evaluation.f1_macro),
            };
            // In this order: a run that ends in between does the epoch again, and the log drops the line.
            if let Some(logs) = &mut logs {
                logs.epoch(&record)?;
            }
            self.keep(epoch, kept)?;
            report.finished(&record, self.progress.best);
        }
        if self.team.is_first() && !self.records.split.validation.is_empty() && !self.folder.has_result() {
            self.measure(report)?;
        }
        Ok(())
    }

    fn measure(&self, report: &mut dyn Report) -> Result<(), TrainerError> {
        let records = self.records.source.records_in_all(&self.records.split.validation);
        let mut progress = |done| {
            report.validating(done, records);
            // The others are done: this process may stop by itself.
            self.stop_if(interrupt::requested())
        };
        let batch_size = self.validation_batch_size();
        result::write(
            &self.folder,
            &self.network,
            &self.records,
            batch_size,
            self.device,
            &mut progress,
        )
    }

    fn train_epoch(
        &mut self,
        learning_rate: f64,
        weights: &Tensor,
        reducer: Option<&Reducer>,
        mut logs: Option<&mut RunLogs>,
        report: &mut dyn Report,
    ) -> Result<(), TrainerError> {
        let classes = self.network.config().classes;
        let epoch = self.progress.epoch;
        let options = LoaderOptions {
            batch_size: self.options.batch_size,
            classes: Classes::from_count(classes)?,
            shuffle: true,
            augmentation: self.options.augmentation(epoch),
            seed: self.options.seed,
            epoch: epoch as u64,
            first_batch: self.progress.batches,
            threads: self.records.threads,
            shard: self.team.shard(),
        };
        let mut loader = Loader::new(Arc::clone(&self.records.source), &self.records.split.train, options)?;
        report.epoch(epoch, self.options.epochs, loader.batches(), self.progress.batches);
        while let Some(batch) = loader.next() {
            let batch = batch?;
            let stepper = Stepper {
                network: &self.network,
                options: &self.options,
                parameters: &self.parameters,
                teachers: &self.teachers,
                team: &self.team,
                reducer,
                weights,
            };
            let part = self.recorder.gradients(&stepper, &batch, epoch, self.progress.batches);
            let part = part.map_err(|error| self.explained(error))?;
            if self.options.clip_gradients > 0.0 {
                clip_gradients(&self.parameters, self.options.clip_gradients)?;
            }
            // Before the loss is known, for which a GPU must be waited for; nothing is kept of a step whose loss is no number.
            self.optimizer
                .step(&self.parameters, learning_rate)
                .map_err(|error| self.team.explain(error))?;
            if let Some(average) = &mut self.average {
                average.update(&self.parameters, self.optimizer.steps())?;
            }
            // What one process wants must be known to all: they stop after the same step.
            let mut sums = [part.f_double_value(&[])?, f64::from(u8::from(interrupt::requested()))];
            self.team.sum(&mut sums)?;
            let [loss, stop] = sums;
            if !loss.is_finite() {
                return Err(TrainerError::Diverged {
                    epoch,
                    step: self.progress.batches + 1,
                    loss,
                });
            }
            let records = batch.global_records;
            let progress = &mut self.progress;
            progress.batches += 1;
            progress.steps = self.optimizer.steps();
            progress.loss_sum += loss * records as f64;
            progress.records += records;
            let (mean_loss, steps) = (progress.loss_sum / progress.records as f64, progress.steps);
            if let Some(logs) = &mut logs {
                logs.step(epoch, steps, loss, learning_rate)?;
            }
            let wants_stop = report.batch(mean_loss).is_break();
            let every = self.options.checkpoint_steps;
            if wants_stop || stop > 0.0 || (every > 0 && self.progress.batches.is_multiple_of(every)) {
                self.save_last(self.progress.epoch, None)?;
            }
            if wants_stop || stop > 0.0 {
                return Err(TrainerError::Interrupted { epoch });
            }
            loader.recycle(batch);
        }
        Ok(())
    }

    /// What is behind an error of a step or of a validation: a lost process, or weights that have diverged, which operations refuse.
    pub(super) fn explained(&self, error: TrainerError) -> TrainerError {
        let error = self.team.explain(error);
        if !matches!(error, TrainerError::Torch(_)) {
            return error;
        }
        // Weights that cannot be read either are not what is wrong.
        let has_diverged = |name: &str| {
            let values = self.parameters.values(name);
            values.is_ok_and(|values| values.iter().any(|value| !value.is_finite()))
        };
        let mut diverged = self.parameters.weights().filter(|(name, _)| has_diverged(name));
        match diverged.next() {
            Some((name, _)) => TrainerError::NotFinite { name: name.to_owned() },
            None => error,
        }
    }

    /// Ends an epoch: keeps the network where it is due, moves on to the next epoch and writes the last checkpoint.
    fn keep(&mut self, epoch: usize, evaluation: Option<&Evaluation>) -> Result<(), TrainerError> {
        if let Some(evaluation) = evaluation {
            let accuracy = evaluation.accuracy;
            if self.progress.best.is_none_or(|(best, _)| accuracy > best) {
                self.progress.best = Some((accuracy, epoch));
                self.save(epoch, Some(evaluation), &self.folder.best())?;
            }
        }
        let every = self.options.checkpoint_every;
        if every > 0 && epoch.is_multiple_of(every) {
            self.save(epoch, evaluation, &self.folder.epoch(epoch))?;
        }
        let best = self.progress.best;
        self.progress = Progress {
            epoch: epoch + 1,
            steps: self.optimizer.steps(),
            best,
            ..Progress::default()
        };
        self.save_last(epoch, evaluation)
    }

    fn save(&self, epoch: usize, evaluation: Option<&Evaluation>, path: &std::path::Path) -> Result<(), TrainerError> {
        match self.team.is_first() {
            true => self.checkpoint(epoch, evaluation)?.save(path),
            false => Ok(()),
        }
    }

    pub(super) fn save_last(&self, epoch: usize, evaluation: Option<&Evaluation>) -> Result<(), TrainerError> {
        if !self.team.is_first() {
            return Ok(());
        }
        let trained = self.average.is_some().then_some(&self.parameters);
        self.checkpoint(epoch, evaluation)?
            .with_optimizer(&self.optimizer, &self.progress, trained)?
            .save(&self.folder.last())
    }

    /// The network to use after `epoch`: the averaged one where there is an average.
    fn checkpoint(&self, epoch: usize, evaluation: Option<&Evaluation>) -> Result<Checkpoint, TrainerError> {
        let teachers = self.teachers.digest();
        let training = card::training(
            self.network.config(),
            &self.options,
            &self.records,
            teachers,
            &self.goes_back_to,
            self.team.size(),
            epoch,
        );
        let metrics = match (evaluation, &self.records.held_back) {
            (Some(evaluation), None) => json!({ "validation": evaluation }),
            (Some(evaluation), Some(_)) => json!({ "held_back": evaluation }),
            (None, _) => json!({}),
        };
        let kept = self.average.as_ref().map_or(&self.parameters, Average::parameters);
        Checkpoint::new(&self.network, kept, &training, &metrics)
    }
}
