//! The log of a run: one line of CSV per epoch.

use crate::error::TrainerError;
use dualnet_engine::pending;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// What is known about one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Learning rate of the epoch.
    pub learning_rate: f64,
    /// Mean loss over the epoch's records.
    pub train_loss: f64,
    /// Training records per second.
    pub records_per_second: f64,
    /// Validation accuracy; empty when the epoch was not validated.
    pub accuracy: Option<f64>,
    /// Macro F1 over all classes.
    pub f1_macro: Option<f64>,
    /// Mean F1 of N, O and A.
    pub f1_challenge: Option<f64>,
    /// Accuracy of the weights under training, where the other figures are of their average.
    #[serde(default)]
    pub trained_accuracy: Option<f64>,
    /// Macro F1 of the weights under training, likewise.
    #[serde(default)]
    pub trained_f1_macro: Option<f64>,
}

/// `log.csv` in the run's folder.
#[derive(Debug)]
pub struct EpochLog {
    path: PathBuf,
}

impl EpochLog {
    /// The log at `path`, with only the epochs up to `epoch` kept: a resumed run writes the others again.
    pub fn open(path: &Path, epoch: usize) -> Result<Self, TrainerError> {
        let log = Self { path: path.to_owned() };
        let kept: Vec<EpochRecord> = match path.exists() {
            true => log.read()?.into_iter().filter(|record| record.epoch <= epoch).collect(),
            false => Vec::new(),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        for record in &kept {
            writer.serialize(record).map_err(|error| log.fault(&error))?;
        }
        let io = |source| TrainerError::Io {
            path: path.to_owned(),
            source,
        };
        let text = writer.into_inner().map_err(|error| io(error.into_error()))?;
        pending::write(path, &text).map_err(io)?;
        Ok(log)
    }

    /// Adds one line.
    pub fn append(&self, record: &EpochRecord) -> Result<(), TrainerError> {
        let io = |source| TrainerError::Io {
            path: self.path.clone(),
            source,
        };
        let file = OpenOptions::new().append(true).open(&self.path).map_err(io)?;
        let has_headers = file.metadata().map_err(io)?.len() == 0;
        let mut writer = csv::WriterBuilder::new().has_headers(has_headers).from_writer(file);
        writer.serialize(record).map_err(|error| self.fault(&error))?;
        writer.flush().map_err(io)
    }

    /// Every line that was written to its end.
    pub fn read(&self) -> Result<Vec<EpochRecord>, TrainerError> {
        let text = whole_lines(&self.path).map_err(|source| TrainerError::Io {
            path: self.path.clone(),
            source,
        })?;
        let mut reader = csv::Reader::from_reader(text.as_slice());
        reader
            .deserialize()
            .collect::<Result<_, _>>()
            .map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &csv::Error) -> TrainerError {
        TrainerError::File {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }
}

/// The lines of a log that were written to their ends: a full disk, or a kill, may have cut the last one off.
pub(crate) fn whole_lines(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = std::fs::read(path)?;
    let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    text.truncate(end);
    Ok(text)
}
