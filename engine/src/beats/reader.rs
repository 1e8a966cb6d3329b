//! Reads the beats of records.

use super::{BeatForest, BeatMeter};
use crate::classifier::lead_at_300_hz;
use crate::record::Record;
use crate::signal::SignalError;

/// Averages what a network says of records with what their beats say; threads may share it.
#[derive(Clone, Debug)]
pub struct BeatReader {
    forest: BeatForest,
    meter: BeatMeter,
}

impl BeatReader {
    /// Plans the transform.
    pub fn new(forest: BeatForest) -> Self {
        Self {
            forest,
            meter: BeatMeter::new(),
        }
    }

    /// What it reads with.
    pub fn forest(&self) -> &BeatForest {
        &self.forest
    }

    /// Replaces the network's probabilities of a lead at 300 Hz by their average with those of its beats, as [`BeatForest::average_with`].
    pub fn average_with(&self, lead: &[f32], probabilities: &mut [f32]) {
        self.forest.average_with(&self.meter.measure(lead), probabilities);
    }

    /// As [`BeatReader::average_with`], of a record at any sampling rate.
    ///
    /// # Errors
    /// Samples that cannot be brought to 300 Hz.
    pub fn average_with_record(&self, record: &Record, probabilities: &mut [f32]) -> Result<(), SignalError> {
        self.average_with(&lead_at_300_hz(record)?, probabilities);
        Ok(())
    }
}
