//! From a lead to the two inputs of the network: the only preprocessing code, for training and inference alike.
//!
//! A lead at 300 Hz is cut to 60 s, standardized, and given to the network twice: as windows `[80, 256]` for the signal
//! encoder and as a log-spectrogram `[563, 33]` for the spectrogram encoder (Rohr et al. 2022, *Physiological
//! Measurement* 43(7)). [`Preprocessor`] does all of it; [`standardize`], [`Spectrogram`] and [`cut_windows`] are its
//! pieces. A lead at another rate is brought to 300 Hz by [`resample`] first.

mod error;
mod excerpt;
mod kernel;
mod preprocessor;
mod resample;
mod spectrogram;
mod standardize;
mod windows;

pub use error::SignalError;
pub use excerpt::Excerpt;
pub use preprocessor::{Inputs, Preprocessor};
pub use resample::{MAX_RATE_HZ, MIN_RATE_HZ, resample, resample_to};
pub use spectrogram::Spectrogram;
pub(crate) use standardize::EPSILON;
pub use standardize::standardize;
pub use windows::cut_windows;

/// The sampling rate the network was made for, in Hz.
pub const SAMPLING_RATE_HZ: f64 = 300.0;
/// The samples of a lead that are used: 60 s.
pub const MAX_SAMPLES: usize = 18_000;
/// Windows of the ecg input.
pub const WINDOWS: usize = 80;
/// Samples of one window.
pub const WINDOW: usize = 256;
/// Samples from the start of one window to the start of the next.
pub const WINDOW_STEP: usize = 224;
/// Frames of the spectrogram input.
pub const FRAMES: usize = 563;
/// Frequency bins of the spectrogram input, 0 to 150 Hz.
pub const BINS: usize = FFT_LEN / 2 + 1;
/// Samples of one frame of the spectrogram.
pub const FFT_LEN: usize = 64;
/// Samples from one frame of the spectrogram to the next.
pub const HOP: usize = 32;
/// Values of the ecg input, `[80, 256]`.
pub const ECG_LEN: usize = WINDOWS * WINDOW;
/// Values of the spectrogram input, `[563, 33]`.
pub const SPECTROGRAM_LEN: usize = FRAMES * BINS;
