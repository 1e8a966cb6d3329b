//! The logs of a run: `log.csv`, one line per epoch, `log.jsonl` for scripts, `events.out.tfevents.*` for TensorBoard.

mod figures;
mod json_lines;
mod table;
mod tensorboard;

pub use json_lines::JsonLines;
pub(crate) use table::whole_lines;
pub use table::{EpochLog, EpochRecord};
use tensorboard::EventFile;

use crate::error::TrainerError;
use crate::train::RunFolder;
use figures::{EPOCH, VALIDATION, figures};
use serde_json::{Map, Value};
use std::path::Path;

/// The logs in one run's folder.
///
/// Each event is handed to the operating system at once: of a run that is killed nothing is missing but the event that was
/// being written.
#[derive(Debug)]
pub struct RunLogs {
    table: EpochLog,
    json_lines: JsonLines,
    tensorboard: EventFile,
}

impl RunLogs {
    /// The logs in `folder`, which exists, of a run with `epoch` epochs and `steps` optimizer steps behind it: what was
    /// logged of later ones is dropped from `log.csv` and `log.jsonl`, and TensorBoard is told to forget it.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a file cannot be read or written, [`TrainerError::File`] when `log.csv` holds something
    /// else than epochs, or `log.jsonl` than JSON objects.
    pub fn open(folder: &Path, epoch: usize, steps: u64) -> Result<Self, TrainerError> {
        Ok(Self {
            table: EpochLog::open(&RunFolder::new(folder).log(), epoch)?,
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
        self.tensorboard.scalars(step, &[("loss/step", loss)])
    }

    /// Logs the end of an epoch; `None` is left out.
    ///
    /// The steps of these scalars are epochs, those of `loss/step` optimizer steps.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when a log cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), TrainerError> {
        self.table.append(record)?;
        let figures = figures(record);
        for event in [EPOCH, VALIDATION] {
            let of_event = figures.iter().filter(|figure| figure.event == event);
            let mut entries: Map<String, Value> = of_event
                .map(|figure| (figure.name.to_owned(), figure.value.into()))
                .collect();
            if !entries.is_empty() {
                entries.shift_insert(0, "epoch".to_owned(), record.epoch.into());
                self.json_lines.append(event, entries)?;
            }
        }
        let scalars: Vec<(&str, f64)> = figures.iter().map(|figure| (figure.tag, figure.value)).collect();
        self.tensorboard.scalars(record.epoch as u64, &scalars)
    }
}
