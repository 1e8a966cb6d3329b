//! What can be wrong with a lead or with the buffers meant for its inputs.

/// Why a lead could not be turned into the network's inputs, or not be resampled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Fewer samples than one reflected half frame of the spectrogram needs.
    #[error("a lead of {samples} samples is too short: at least {minimum} are needed")]
    TooShort {
        /// The samples there are.
        samples: usize,
        /// The fewest that can be processed.
        minimum: usize,
    },
    /// More samples than memory can hold.
    #[error("{samples} samples do not fit into memory")]
    TooLong {
        /// The samples that were to be stored.
        samples: usize,
    },
    /// A sample is infinite or not a number.
    #[error("sample {index} is {value}: only finite samples can be processed")]
    NonFinite {
        /// Position in the lead, from 0.
        index: usize,
        /// The sample.
        value: f32,
    },
    /// A buffer does not have the length its content needs.
    #[error("the {buffer} buffer holds {found} values: {expected} are needed")]
    BufferLength {
        /// What the buffer is for.
        buffer: &'static str,
        /// The length needed.
        expected: usize,
        /// The buffer's length.
        found: usize,
    },
    /// A sampling rate outside what resampling supports.
    #[error("a sampling rate of {rate_hz} Hz is not supported: {minimum_hz} Hz to {maximum_hz} Hz are")]
    SamplingRate {
        /// The rate, in Hz.
        rate_hz: f64,
        /// The lowest supported rate, in Hz.
        minimum_hz: f64,
        /// The highest supported rate, in Hz.
        maximum_hz: f64,
    },
}

/// Fails unless `buffer`'s length is `expected`.
pub(super) fn check_length(buffer: &'static str, expected: usize, found: usize) -> Result<(), SignalError> {
    if expected == found {
        Ok(())
    } else {
        Err(SignalError::BufferLength {
            buffer,
            expected,
            found,
        })
    }
}

/// Fails with the first sample that is not finite.
pub(super) fn check_finite(samples: &[f32]) -> Result<(), SignalError> {
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(index) => Err(SignalError::NonFinite {
            index,
            value: samples[index],
        }),
        None => Ok(()),
    }
}
