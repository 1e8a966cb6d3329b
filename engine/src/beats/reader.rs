//! Reads the beats of records.

use std::borrow::Cow;

use super::{BeatForest, BeatMeter};
use crate::record::Record;
use crate::signal::{SAMPLING_RATE_HZ, SignalError, resample};

/// Averages what a network says of records with what their beats say; one per thread.
#[derive(Clone, Debug)]
pub struct BeatReader<'a> {
    forest: &'a BeatForest,
    meter: BeatMeter,
}

impl<'a> BeatReader<'a> {
    /// Plans the transform.
    pub fn new(forest: &'a BeatForest) -> Self {
        Self {
            forest,
            meter: BeatMeter::new(),
        }
    }

    /// Replaces the network's probabilities of a lead at 300 Hz by their average with those of its beats.
    pub fn average_with(&self, lead: &[f32], probabilities: &mut [f32]) {
        self.forest.average_with(&self.meter.measure(lead), probabilities);
    }

    /// As [`BeatReader::average_with`], of a record at any sampling rate.
    ///
    /// # Errors
    /// Samples that cannot be brought to 300 Hz.
    pub fn average_with_record(&self, record: &Record, probabilities: &mut [f32]) -> Result<(), SignalError> {
        let rate = record.sampling_rate_hz();
        let lead = match rate == SAMPLING_RATE_HZ {
            true => Cow::Borrowed(record.samples()),
            false => Cow::Owned(resample(record.classified_samples(), rate)?),
        };
        self.average_with(&lead, probabilities);
        Ok(())
    }
}
