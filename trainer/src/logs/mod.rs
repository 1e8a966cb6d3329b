//! The logs of a run that other programs read: `log.jsonl` for scripts, `events.out.tfevents.*` for TensorBoard.
//!
//! `log.csv`, one line per epoch, is [`crate::train::EpochLog`].

mod fields;
mod json_lines;
mod tensorboard;

pub use json_lines::JsonLines;
pub use tensorboard::EventFile;

use crate::error::TrainerError;
use crate::train::EpochRecord;
use fields::{Scope, fields};
use serde_json::{Map, Value};
use std::path::Path;

/// What is logged, and from where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Optimizer steps that the run's checkpoint knows; 0 for a new run.
    pub steps: u64,
    /// Every how many optimizer steps the loss of a step is logged; 0: never.
    pub step_every: u64,
    /// Whether `log.jsonl` is written.
    pub json_lines: bool,
    /// Whether `events.out.tfevents.*` is written.
    pub tensorboard: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            steps: 0,
            step_every: 1,
            json_lines: true,
            tensorboard: true,
        }
    }
}

/// The logs in one run's folder.
///
/// Each event is handed to the operating system at once: of a run that is killed nothing is missing but the event that was
/// being written.
#[derive(Debug)]
pub struct RunLogs {
    json_lines: Option<JsonLines>,
    tensorboard: Option<EventFile>,
    step_every: u64,
}

impl RunLogs {
    /// The logs in `folder`, which exists, of a run with `epoch` epochs and [`LogOptions::steps`] steps behind it: what was
    /// logged of later ones is dropped from `log.jsonl`, and TensorBoard is told to forget it.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a file cannot be read or written, [`TrainerError::File`] when `log.jsonl` holds something
    /// else than JSON objects.
    pub fn open(folder: &Path, epoch: usize, options: LogOptions) -> Result<Self, TrainerError> {
        let json_lines = || JsonLines::open(&folder.join(JsonLines::NAME), epoch, options.steps);
        let tensorboard = || EventFile::create(folder, options.steps);
        Ok(Self {
            json_lines: options.json_lines.then(json_lines).transpose()?,
            tensorboard: options.tensorboard.then(tensorboard).transpose()?,
            step_every: options.step_every,
        })
    }

    /// Logs one optimizer step: the loss of its batch before it, and its learning rate.
    ///
    /// `epoch` is the epoch under way and `step` the optimizer's step, both counted from 1 over the whole run.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a log cannot be written.
    pub fn step(&mut self, epoch: usize, step: u64, loss: f64, learning_rate: f64) -> Result<(), TrainerError> {
        if self.step_every == 0 || !step.is_multiple_of(self.step_every) {
            return Ok(());
        }
        if let Some(log) = &mut self.json_lines {
            let entries = [
                ("epoch", Value::from(epoch)),
                ("step", step.into()),
                ("loss", loss.into()),
                ("learning_rate", learning_rate.into()),
            ];
            log.append(
                "step",
                entries
                    .map(|(name, value)| (name.to_owned(), value))
                    .into_iter()
                    .collect(),
            )?;
        }
        if let Some(file) = &mut self.tensorboard {
            file.scalars(step, &[("loss/step".to_owned(), loss)])?;
        }
        Ok(())
    }

    /// Logs the end of an epoch, with whatever [`EpochRecord`] says of it; `None` is left out.
    ///
    /// The steps of these scalars are epochs, those of `loss/step` optimizer steps.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a log cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), TrainerError> {
        let fields = fields(record)?;
        if let Some(log) = &mut self.json_lines {
            for (event, scope) in [("epoch", Scope::Training), ("validation", Scope::Validation)] {
                let mut entries = Map::new();
                for field in fields.iter().filter(|field| field.scope == scope) {
                    entries.insert(field.name.clone(), field.value.clone());
                }
                if !entries.is_empty() {
                    entries.shift_insert(0, "epoch".to_owned(), record.epoch.into());
                    log.append(event, entries)?;
                }
            }
        }
        if let Some(file) = &mut self.tensorboard {
            let scalars: Vec<(String, f64)> = fields.iter().flat_map(fields::Field::scalars).collect();
            file.scalars(record.epoch as u64, &scalars)?;
        }
        Ok(())
    }
}
