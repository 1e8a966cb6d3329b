//! What files of predictions say of the records that train: part of what a network learns.

use super::Records;
use super::answers::Answers;
use crate::error::TrainerError;
use std::collections::HashMap;
use tch::{Device, Tensor};

/// The mean of some files.
#[derive(Debug, Default)]
pub(super) struct Told {
    files: Vec<Answers>,
    by_unit: HashMap<u32, Vec<f32>>,
}

impl Told {
    pub(super) fn new(files: Vec<Answers>) -> Self {
        Self {
            files,
            by_unit: HashMap::new(),
        }
    }

    /// Finds the records that train in the files.
    ///
    /// # Errors
    /// As [`Answers::of_training_records`].
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
        let rows = units.iter().filter_map(|unit| self.by_unit.get(unit));
        let rows: Vec<f32> = rows.flatten().copied().collect();
        let tensor = Tensor::f_from_slice(&rows)?.f_view([units.len() as i64, -1])?;
        Ok(Some(tensor.f_to_device(device)?))
    }
}
