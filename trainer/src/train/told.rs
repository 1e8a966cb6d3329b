//! What files of predictions say of the records that train: part of what a network learns.

use super::Records;
use super::answers::AnswerFile;
use crate::error::TrainerError;
use std::collections::HashMap;
use tch::{Device, Tensor};

/// The mean of some files.
#[derive(Debug, Default)]
pub(super) struct Told {
    files: Vec<AnswerFile>,
    by_unit: HashMap<u32, Vec<f32>>,
}

impl Told {
    pub(super) fn new(files: Vec<AnswerFile>) -> Self {
        Self {
            files,
            by_unit: HashMap::new(),
        }
    }

    /// Finds the records that train in the files.
    ///
    /// # Errors
    /// As [`AnswerFile::of_training_records`].
    pub(super) fn find(&mut self, records: &Records) -> Result<(), TrainerError> {
        let share = 1.0 / self.files.len().max(1) as f32;
        for file in &self.files {
            for (&unit, said) in records.split.train.iter().zip(file.of_training_records(records)?) {
                let mean = self.by_unit.entry(unit).or_insert_with(|| vec![0.0; said.len()]);
                mean.iter_mut().zip(said).for_each(|(mean, said)| *mean += share * said);
            }
        }
        Ok(())
    }

    /// This of each unit.
    #[cfg(test)]
    pub(super) fn known(by_unit: HashMap<u32, Vec<f32>>) -> Self {
        let files = Vec::new();
        Self { files, by_unit }
    }

    /// Probabilities `[N, classes]` of these units, which train; `None` without a file.
    pub(super) fn of(&self, units: &[u32], device: Device) -> Result<Option<Tensor>, TrainerError> {
        if self.by_unit.is_empty() {
            return Ok(None);
        }
        let row = |unit: &u32| {
            let row = self.by_unit.get(unit).map(Vec::as_slice);
            row.ok_or_else(|| TrainerError::Internal(format!("nothing is known of the record with the index {unit}")))
        };
        let rows: Vec<&[f32]> = units.iter().map(row).collect::<Result<_, _>>()?;
        let tensor = Tensor::f_from_slice(&rows.concat())?.f_view([units.len() as i64, -1])?;
        Ok(Some(tensor.f_to_device(device)?))
    }
}
