//! What the network reads of a record at a time.

use std::borrow::Cow;

use super::label;
use crate::Error;
use crate::record::Record;
use crate::signal::{Excerpt, SAMPLING_RATE_HZ, SignalError, resample};

/// Samples that the network reads together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// The record they are of.
    pub(crate) record: &'a Record,
    /// The samples, at 300 Hz.
    pub(crate) samples: &'a [f32],
}

/// A record's lead at 300 Hz.
#[derive(Debug)]
pub(super) struct Lead<'a> {
    pub(super) record: &'a Record,
    pub(super) samples: Cow<'a, [f32]>,
}

impl<'a> Lead<'a> {
    pub(super) fn of(record: &'a Record) -> Result<Self, Error> {
        let samples = lead_at_300_hz(record).map_err(|cause| Error::Signal {
            record: label(record),
            cause,
        })?;
        Ok(Self { record, samples })
    }

    /// The part of it that `excerpt` is.
    pub(super) fn part(&self, excerpt: Excerpt) -> Part<'_> {
        Part {
            record: self.record,
            samples: &self.samples[excerpt.range(self.samples.len())],
        }
    }
}

/// The lead of a record, brought to 300 Hz where its rate is another.
///
/// # Errors
/// A rate outside of those that can be brought to 300 Hz.
pub fn lead_at_300_hz(record: &Record) -> Result<Cow<'_, [f32]>, SignalError> {
    let rate = record.sampling_rate_hz();
    match rate == SAMPLING_RATE_HZ {
        true => Ok(Cow::Borrowed(record.samples())),
        false => resample(record.classified_samples(), rate).map(Cow::Owned),
    }
}

/// The mean of probabilities `[parts, classes]`; NaN of no parts.
pub fn mean_of_parts(probabilities: &[f32], classes: usize) -> Vec<f32> {
    let parts = probabilities.chunks_exact(classes.max(1));
    let start = if parts.len() == 0 { f64::NAN } else { 0.0 };
    let mut mean = vec![start; classes];
    let share = 1.0 / parts.len() as f64;
    for part in parts {
        mean.iter_mut()
            .zip(part)
            .for_each(|(mean, &probability)| *mean += share * f64::from(probability));
    }
    mean.into_iter().map(|mean| mean as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_taken_class_by_class() {
        assert_eq!(mean_of_parts(&[0.5, 0.5, 1.0, 0.0, 0.0, 1.0], 2), [0.5, 0.5]);
        // Of one part it is the part itself, to the bit.
        assert_eq!(mean_of_parts(&[0.1, 0.9], 2), [0.1, 0.9]);
        assert!(mean_of_parts(&[], 0).is_empty());
        assert!(mean_of_parts(&[], 2).iter().all(|mean| mean.is_nan()));
    }
}
