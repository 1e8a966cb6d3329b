//! The logs of a run that other programs read: `log.jsonl` for scripts, `events.out.tfevents.*` for TensorBoard.
//!
//! `log.csv`, one line per epoch, is [`crate::train::EpochLog`].

mod fields;
mod json_lines;
mod tensorboard;

pub use json_lines::JsonLines;
use tensorboard::EventFile;

use crate::error::TrainerError;
use crate::train::EpochRecord;
use fields::{Scope, fields};
use serde_json::{Map, Value};
use std::path::Path;

/// The logs in one run's folder.
///
/// Each event is handed to the operating system at once: of a run that is killed nothing is missing but the event that was
/// being written.
#[derive(Debug)]
pub struct RunLogs {
    json_lines: JsonLines,
    tensorboard: EventFile,
}

impl RunLogs {
    /// The logs in `folder`, which exists, of a run with `epoch` epochs and `steps` optimizer steps behind it: what was
    /// logged of later ones is dropped from `log.jsonl`, and TensorBoard is told to forget it.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a file cannot be read or written, [`TrainerError::File`] when `log.jsonl` holds something
    /// else than JSON objects.
    pub fn open(folder: &Path, epoch: usize, steps: u64) -> Result<Self, TrainerError> {
        Ok(Self {
            json_lines: JsonLines::open(&folder.join(JsonLines::NAME), epoch, steps)?,
            tensorboard: EventFile::create(folder, steps)?,
        })
    }

    /// Logs one optimizer step: the loss of its batch before it, and its learning rate.
    ///
    /// `epoch` is the epoch under way and `step` the optimizer's step, both counted from 1 over the whole run.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a log cannot be written.
    pub fn step(&mut self, epoch: usize, step: u64, loss: f64, learning_rate: f64) -> Result<(), TrainerError> {
        let entries = [
            ("epoch", Value::from(epoch)),
            ("step", step.into()),
            ("loss", loss.into()),
            ("learning_rate", learning_rate.into()),
        ];
        let entries = entries.map(|(name, value)| (name.to_owned(), value));
        self.json_lines.append("step", entries.into_iter().collect())?;
        self.tensorboard.scalars(step, &[("loss/step".to_owned(), loss)])
    }

    /// Logs the end of an epoch, with whatever [`EpochRecord`] says of it; `None` is left out.
    ///
    /// The steps of these scalars are epochs, those of `loss/step` optimizer steps.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a log cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), TrainerError> {
        let fields = fields(record)?;
        for (event, scope) in [("epoch", Scope::Training), ("validation", Scope::Validation)] {
            let mut entries = Map::new();
            for field in fields.iter().filter(|field| field.scope == scope) {
                entries.insert(field.name.clone(), field.value.clone());
            }
            if !entries.is_empty() {
                entries.shift_insert(0, "epoch".to_owned(), record.epoch.into());
                self.json_lines.append(event, entries)?;
            }
        }
        let scalars: Vec<(String, f64)> = fields.iter().flat_map(fields::Field::scalars).collect();
        self.tensorboard.scalars(record.epoch as u64, &scalars)
    }
}
