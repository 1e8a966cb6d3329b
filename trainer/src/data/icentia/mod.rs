//! Icentia11k (Tan et al. 2019): per patient up to 50 segments of an hour at 250 Hz, in pickles as they were released.
//!
//! The samples are never in memory as a whole: a file is unpacked as a stream, of which each segment's crop is decoded, made
//! into the network's inputs, and forgotten. A loader thread needs about 0.5 MB for that, and while it looks at a file's
//! annotations about three times their unpacked size (released: 3 MB; at most 64 MB are unpacked). To this come the batches
//! that wait, 0.16 MB for each segment.

mod crops;
mod file;
mod folder;
mod labels;
mod mt19937;
mod numpy;
mod signal;
mod verify;

pub use crops::{Crop, Draws};
pub(crate) use verify::patients;
pub use verify::{Released, verify};

use super::{Batch, Classes, DataError, Pass, Progress, Shard, Source, Split, Workspace};
use crate::augment::stretch_by;
use dualnet_export::network::ClassSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Segments of a file; some have fewer.
pub const SEGMENTS: usize = 50;
/// Samples of a released segment, which no annotation lies beyond.
const RELEASED_SAMPLES: u32 = 1_048_577;
/// Samples at the network's 300 Hz for each at 250 Hz.
const FACTOR: f64 = 1.2;
/// Patients from this number on validate.
const FIRST_VALIDATION: u32 = 10_000;

/// A folder of patients.
#[derive(Clone, Debug)]
pub struct Icentia {
    folder: PathBuf,
    /// The patient of each unit, and how many segments there are.
    patients: Vec<(u32, usize)>,
    /// Segments used of each file that has as many.
    segments: usize,
    fresh_crops: bool,
}

impl Icentia {
    /// The patients in `folder`; of each file the first `limit` segments are used. With `fresh_crops` those of the training
    /// patients are drawn anew in every epoch.
    ///
    /// Of every patient there must be both files, and of each file the beginning is read (of samples in protocol 5 all); damage further on is found by
    /// [`check`](Source::check).
    ///
    /// # Errors
    /// No patient; files that are missing or wrong, the first five by name.
    pub fn open(folder: &Path, limit: Option<usize>, fresh_crops: bool) -> Result<Self, DataError> {
        Ok(Self {
            patients: folder::open(folder)?,
            folder: folder.to_owned(),
            segments: limit.unwrap_or(SEGMENTS).clamp(1, SEGMENTS),
            fresh_crops,
        })
    }

    /// Patients 0 to 9999 train, 10 000 to 10 999 validate.
    ///
    /// # Errors
    /// There are none of either kind.
    pub fn split(&self) -> Result<Split, DataError> {
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (unit, &(patient, _)) in self.patients.iter().enumerate() {
            let part = if patient < FIRST_VALIDATION {
                &mut train
            } else {
                &mut validation
            };
            part.push(unit as u32);
        }
        for (part, patients) in [
            (&train, "00000 to 09999, which train"),
            (&validation, "10000 to 10999, which validate"),
        ] {
            if part.is_empty() {
                return Err(file::fault(&self.folder, format!("has no patient of {patients}")));
            }
        }
        Ok(Split {
            name: "patients".to_owned(),
            train,
            validation,
        })
    }

    /// Whether the crops of this patient's segments are drawn anew in every epoch.
    fn has_fresh_crops(&self, patient: u32) -> bool {
        self.fresh_crops && patient < FIRST_VALIDATION
    }

    /// The crops of a unit in a pass over the data.
    fn draws(&self, patient: u32, pass: &Pass) -> Draws {
        match self.has_fresh_crops(patient) {
            false => Draws::Published,
            true => Draws::Fresh {
                seed: pass.seed,
                epoch: pass.epoch,
                patient,
            },
        }
    }
}

impl Source for Icentia {
    fn units(&self) -> usize {
        self.patients.len()
    }

    fn records_per_unit(&self) -> usize {
        self.segments
    }

    fn records_in(&self, unit: u32) -> usize {
        let patient = self.patients.get(unit as usize);
        patient.map_or(0, |&(_, segments)| segments.min(self.segments))
    }

    fn class_set(&self) -> ClassSet {
        ClassSet::Icentia11k
    }

    fn name(&self, unit: u32) -> String {
        let patient = self.patients.get(unit as usize);
        patient.map_or_else(String::new, |&(patient, _)| folder::name(patient))
    }

    fn check(&self, shard: Shard, progress: &mut Progress<'_>) -> Result<ControlFlow<()>, DataError> {
        verify::check(self, shard, progress)
    }

    fn load(&self, unit: u32, pass: &Pass, workspace: &mut Workspace, batch: &mut Batch) -> Result<(), DataError> {
        let Some(&(patient, _)) = self.patients.get(unit as usize) else {
            return Err(DataError::Index {
                index: unit,
                records: self.patients.len(),
            });
        };
        let path = folder::samples_of(&self.folder, patient);
        if pass.classes != Classes::Four {
            return Err(file::fault(&path, "icentia11k has four classes, not two".to_owned()));
        }
        let Workspace { preprocessor, samples } = workspace;
        let mut prepare = |_, crop: &[f32]| {
            let count = (crop.len() as f64 * FACTOR) as usize;
            samples.clear();
            samples.extend(stretch_by(crop, (1.0 / FACTOR) as f32, count));
            let (ecg, spectrogram) = batch.next_inputs();
            let prepared = preprocessor.prepare_uncut(samples, ecg, spectrogram);
            prepared.map_err(|error| error.to_string())
        };
        let (crops, shape) = signal::read(&path, self.draws(patient, pass), self.segments, &mut prepare)?;
        let classes = labels::classes(&folder::labels_of(&self.folder, patient), &crops, Some(shape))?;
        batch.records.extend(classes.iter().map(|_| unit));
        batch.labels.extend(classes);
        Ok(())
    }
}
