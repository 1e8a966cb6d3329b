//! Where a loader's records come from.

use std::fmt::Debug;
use std::ops::{ControlFlow, Range};

use dualnet_engine::signal::{ECG_LEN, Excerpt, Preprocessor, SPECTROGRAM_LEN};
use dualnet_export::network::ClassSet;

use super::{Batch, Classes, DataError, Dataset};
use crate::augment::Augmentation;

/// Labelled records in units that can be taken in any order: single records, or files of many.
pub trait Source: Send + Sync + Debug {
    /// How many units there are.
    fn units(&self) -> usize;

    /// Records in a unit, of which some may have fewer.
    fn records_per_unit(&self) -> usize;

    /// Records in `unit`, which is below [`units`](Self::units).
    fn records_in(&self, _unit: u32) -> usize {
        self.records_per_unit()
    }

    /// Records in all these units.
    fn records_in_all(&self, units: &[u32]) -> usize {
        units.iter().map(|&unit| self.records_in(unit)).sum()
    }

    /// What the classes of the records are.
    fn class_set(&self) -> ClassSet {
        ClassSet::Challenge
    }

    /// Adds the records of `unit`, which is below [`units`](Self::units), to `batch`.
    ///
    /// # Errors
    /// What cannot be read or prepared, by name.
    fn load(&self, unit: u32, pass: &Pass, workspace: &mut Workspace, batch: &mut Batch) -> Result<(), DataError>;

    /// What `unit` is called in the data set.
    fn name(&self, unit: u32) -> String;

    /// Reads the files of this process's share of the units as [`load`](Self::load) does, and makes nothing of them; a data set
    /// in memory has been read. `progress` hears how many units of how many are done; where it breaks off, so does this.
    ///
    /// # Errors
    /// What cannot be read, the first by name.
    fn check(&self, shard: Shard, progress: &mut Progress<'_>) -> Result<ControlFlow<()>, DataError> {
        let _ = (shard, progress);
        Ok(ControlFlow::Continue(()))
    }
}

/// Hears how many units of how many are done; `Break` ends what it hears of.
pub type Progress<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// What decides the draws and the labels of one pass over the units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// What the labels mean.
    pub classes: Classes,
    /// How to augment; validation does not.
    pub augmentation: Option<Augmentation>,
    /// The seed of the run.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
}

/// Buffers that one thread keeps from record to record.
#[derive(Debug)]
pub struct Workspace {
    /// Makes network inputs of a lead.
    pub preprocessor: Preprocessor,
    /// The lead under way.
    pub samples: Vec<f32>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            preprocessor: Preprocessor::new(),
            samples: Vec::new(),
        }
    }
}

/// Which part of every batch a process computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub of: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { rank: 0, of: 1 }
    }
}

impl Shard {
    /// The part of `items` things: a run of them; the parts' lengths differ by at most one.
    pub fn range(self, items: usize) -> Range<usize> {
        let of = self.of.max(1);
        items * self.rank / of..items * (self.rank + 1) / of
    }
}

impl Source for Dataset {
    fn units(&self) -> usize {
        self.recordings.len()
    }

    fn records_per_unit(&self) -> usize {
        1
    }

    fn name(&self, unit: u32) -> String {
        let recording = self.recordings.get(unit as usize);
        recording.map_or_else(String::new, |recording| recording.name.clone())
    }

    fn load(&self, unit: u32, pass: &Pass, workspace: &mut Workspace, batch: &mut Batch) -> Result<(), DataError> {
        self.load_excerpt(unit, Excerpt::Whole, pass, workspace, batch)
    }
}

impl Dataset {
    /// As [`load`](Source::load), of a part of the recording.
    pub(super) fn load_excerpt(
        &self,
        unit: u32,
        excerpt: Excerpt,
        pass: &Pass,
        workspace: &mut Workspace,
        batch: &mut Batch,
    ) -> Result<(), DataError> {
        let Some(recording) = self.recordings.get(unit as usize) else {
            return Err(DataError::Index {
                index: unit,
                records: self.recordings.len(),
            });
        };
        let Workspace { preprocessor, samples } = workspace;
        samples.clear();
        samples.extend_from_slice(&recording.samples[excerpt.range(recording.samples.len())]);
        if let Some(augmentation) = pass.augmentation {
            augmentation.apply_in_place(samples, pass.seed, pass.epoch, u64::from(unit));
        }
        let (ecg, spectrogram) = batch.next_inputs();
        preprocessor
            .prepare(samples, ecg, spectrogram)
            .map_err(|source| DataError::Signal {
                record: recording.name.clone(),
                source,
            })?;
        batch.labels.push(pass.classes.index(recording.label) as i64);
        batch.records.push(unit);
        Ok(())
    }
}

impl Batch {
    /// Room for the inputs of one more record.
    pub fn next_inputs(&mut self) -> (&mut [f32], &mut [f32]) {
        let (ecg, spectrogram) = (self.ecg.len(), self.spectrogram.len());
        self.ecg.resize(ecg + ECG_LEN, 0.0);
        self.spectrogram.resize(spectrogram + SPECTROGRAM_LEN, 0.0);
        (&mut self.ecg[ecg..], &mut self.spectrogram[spectrogram..])
    }
}
