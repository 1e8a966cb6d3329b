//! The constants of `signal`, as a model file states them.

use serde::{Deserialize, Serialize};

use crate::signal;

/// The preprocessing a network was trained with: the value of the metadata property `dualnet.preprocessing`.
///
/// Its JSON form names every constant; a file whose constants are others, or has more of them, is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Longest part of a lead that is used, in samples.
    pub max_samples: usize,
    /// Windows of the ecg input.
    pub windows: usize,
    /// Samples of one window.
    pub window: usize,
    /// Samples from one window's start to the next one's.
    pub window_step: usize,
    /// Samples of one Fourier transform.
    pub fft: usize,
    /// Samples from one frame's start to the next one's.
    pub hop: usize,
    /// Frames of the spectrogram input.
    pub frames: usize,
    /// Frequency bins of the spectrogram input.
    pub bins: usize,
}

impl Preprocessing {
    /// What this engine does.
    pub const CURRENT: Self = Self {
        max_samples: signal::MAX_SAMPLES,
        windows: signal::WINDOWS,
        window: signal::WINDOW,
        window_step: signal::WINDOW_STEP,
        fft: signal::FFT_LEN,
        hop: signal::HOP,
        frames: signal::FRAMES,
        bins: signal::BINS,
    };
}
