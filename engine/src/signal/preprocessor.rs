//! From the samples of a lead to the two inputs of the network.

use super::error::{SignalError, check_length};
use super::spectrogram::Spectrogram;
use super::standardize::standardize;
use super::windows::cut_windows;
use super::{ECG_LEN, MAX_SAMPLES, SPECTROGRAM_LEN};

/// The two inputs of the network, for one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// Windows of the standardized lead, `[80, 256]`, row-major.
    pub ecg: Vec<f32>,
    /// Log-spectrogram, `[563 time, 33 frequency]`, row-major.
    pub spectrogram: Vec<f32>,
}

impl Inputs {
    /// Inputs of zeros, to be filled by [`Preprocessor::prepare`].
    pub fn zeros() -> Self {
        Self {
            ecg: vec![0.0; ECG_LEN],
            spectrogram: vec![0.0; SPECTROGRAM_LEN],
        }
    }
}

/// Makes the network's inputs from a lead at 300 Hz, in whatever unit its samples are; their deviation should be far above the 1e-8 that
/// [`standardize`] adds to it, as it is in volts.
///
/// It owns the planned transform and all scratch memory, so one that has seen a lead of the longest length allocates
/// nothing more. It is cheap to keep, one per thread.
#[derive(Clone, Debug)]
pub struct Preprocessor {
    spectrogram: Spectrogram,
    standardized: Vec<f32>,
}

impl Preprocessor {
    /// The fewest samples a lead can have: reflect padding needs more than half a frame.
    pub const MIN_SAMPLES: usize = Spectrogram::MIN_SAMPLES;

    /// Plans the transform and reserves scratch memory for 18 000 samples.
    pub fn new() -> Self {
        Self {
            spectrogram: Spectrogram::new(),
            standardized: Vec::with_capacity(MAX_SAMPLES),
        }
    }

    /// Writes the inputs of the first 18 000 of `samples` to `ecg` (`[80, 256]`) and `spectrogram` (`[563, 33]`).
    ///
    /// The statistics are those of the samples kept. Nothing is allocated.
    ///
    /// # Errors
    /// [`SignalError::TooShort`] for 32 samples or fewer, [`SignalError::NonFinite`] for a kept sample that is infinite
    /// or undefined, [`SignalError::BufferLength`] for a buffer of another length.
    pub fn prepare(&mut self, samples: &[f32], ecg: &mut [f32], spectrogram: &mut [f32]) -> Result<(), SignalError> {
        self.prepare_uncut(&samples[..samples.len().min(MAX_SAMPLES)], ecg, spectrogram)
    }

    /// As [`prepare`](Self::prepare), but mean, deviation and spectrogram are those of the whole lead, however long,
    /// and only the results are cut to 18 000 samples and 563 frames.
    ///
    /// This is how the crops of Icentia11k are prepared. A lead longer than any before grows the scratch memory.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`SignalError::TooLong`] when memory does not suffice.
    pub fn prepare_uncut(
        &mut self,
        samples: &[f32],
        ecg: &mut [f32],
        spectrogram: &mut [f32],
    ) -> Result<(), SignalError> {
        if samples.len() < Self::MIN_SAMPLES {
            return Err(SignalError::TooShort {
                samples: samples.len(),
                minimum: Self::MIN_SAMPLES,
            });
        }
        check_length("ecg", ECG_LEN, ecg.len())?;
        check_length("spectrogram", SPECTROGRAM_LEN, spectrogram.len())?;
        self.standardized.clear();
        self.standardized
            .try_reserve(samples.len())
            .map_err(|_| SignalError::TooLong { samples: samples.len() })?;
        self.standardized.resize(samples.len(), 0.0);
        standardize(samples, &mut self.standardized)?;
        self.spectrogram.compute(&self.standardized, spectrogram)?;
        cut_windows(&self.standardized, ecg)
    }

    /// The inputs of the first 18 000 of `samples`, newly allocated.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn inputs(&mut self, samples: &[f32]) -> Result<Inputs, SignalError> {
        let mut inputs = Inputs::zeros();
        self.prepare(samples, &mut inputs.ecg, &mut inputs.spectrogram)?;
        Ok(inputs)
    }
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self::new()
    }
}
