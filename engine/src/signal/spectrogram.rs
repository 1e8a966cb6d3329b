//! The log-spectrogram of a standardized lead.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::error::SignalError;
use super::{BINS, FFT_LEN, HOP};

/// Samples that reflect padding reads beyond the first and the last frame's centre.
const HALF: usize = FFT_LEN / 2;
/// The smallest magnitude; everything below counts as this much.
const FLOOR: f32 = 1e-8;

/// Short-time Fourier transform of a standardized lead, as log-magnitudes.
///
/// Frames of 64 samples every 32, each centred on its position with the lead reflected at both ends, a periodic Hann
/// window w, magnitude divided by `sqrt(Σ w²)` = √24, then `ln(max(·, 1e-8))`.
///
/// The transform is planned once; computing allocates nothing.
#[derive(Clone)]
pub struct Spectrogram {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Hann window divided by √24.
    window: [f32; FFT_LEN],
    frame: [f32; FFT_LEN],
    spectrum: [Complex<f32>; BINS],
    scratch: Vec<Complex<f32>>,
}

impl Spectrogram {
    /// The fewest samples a lead can have.
    pub const MIN_SAMPLES: usize = HALF + 1;

    /// Plans the transform.
    pub fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(FFT_LEN);
        let hann: [f64; FFT_LEN] = std::array::from_fn(|i| {
            let phase = std::f64::consts::TAU * i as f64 / FFT_LEN as f64;
            0.5 - 0.5 * phase.cos()
        });
        let norm = hann.iter().map(|w| w * w).sum::<f64>().sqrt();
        Self {
            window: hann.map(|w| (w / norm) as f32),
            frame: [0.0; FFT_LEN],
            spectrum: [Complex::default(); BINS],
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// The number of frames of a lead: `1 + ⌊samples / 32⌋`.
    pub const fn frames(samples: usize) -> usize {
        1 + samples / HOP
    }

    /// Writes the log-spectrogram of `lead` (`[samples]`, standardized) to `out` (`[frames, 33]`, row-major).
    ///
    /// `out` decides how many frames: those the lead does not have become 0.0, those it has beyond are left out.
    ///
    /// # Errors
    /// [`SignalError::TooShort`] for a lead of 32 samples or fewer, [`SignalError::BufferLength`] when `out` is not a
    /// whole number of frames.
    pub fn compute(&mut self, lead: &[f32], out: &mut [f32]) -> Result<(), SignalError> {
        if lead.len() < Self::MIN_SAMPLES {
            return Err(SignalError::TooShort {
                samples: lead.len(),
                minimum: Self::MIN_SAMPLES,
            });
        }
        let found = out.len();
        let (rows, rest) = out.as_chunks_mut::<BINS>();
        if !rest.is_empty() {
            return Err(SignalError::BufferLength {
                buffer: "spectrogram",
                expected: rows.len() * BINS,
                found,
            });
        }
        let frames = Self::frames(lead.len()).min(rows.len());
        let (rows, padding) = rows.split_at_mut(frames);
        for (index, row) in rows.iter_mut().enumerate() {
            self.load_frame(lead, index * HOP);
            self.fft
                .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
                .expect("frame, spectrum and scratch have the lengths of the plan");
            for (value, bin) in row.iter_mut().zip(&self.spectrum) {
                *value = bin.norm_sqr().sqrt().max(FLOOR).ln();
            }
        }
        padding.as_flattened_mut().fill(0.0);
        Ok(())
    }

    /// Puts the 64 windowed samples around `centre` into `frame`.
    fn load_frame(&mut self, lead: &[f32], centre: usize) {
        let inner = centre
            .checked_sub(HALF)
            .and_then(|start| lead.get(start..start + FFT_LEN));
        match inner {
            Some(samples) => {
                for ((value, &sample), &weight) in self.frame.iter_mut().zip(samples).zip(&self.window) {
                    *value = sample * weight;
                }
            }
            None => {
                for (offset, (value, &weight)) in self.frame.iter_mut().zip(&self.window).enumerate() {
                    *value = lead[reflected(centre + offset, lead.len())] * weight;
                }
            }
        }
    }
}

impl Default for Spectrogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Spectrogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spectrogram")
            .field("fft_len", &FFT_LEN)
            .field("hop", &HOP)
            .finish_non_exhaustive()
    }
}

/// The position in a lead of `samples` that reflect padding reads at `padded − HALF`; the edge sample is not repeated.
///
/// `padded` is below `samples + FFT_LEN` and `samples` above `HALF`, so one reflection suffices.
fn reflected(padded: usize, samples: usize) -> usize {
    let position = padded.abs_diff(HALF);
    if position < samples {
        position
    } else {
        2 * (samples - 1) - position
    }
}
