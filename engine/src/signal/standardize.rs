//! Zero mean and unit variance.

use super::error::{SignalError, check_finite, check_length};

/// Added to the standard deviation, so that a flat lead becomes zeros.
pub(crate) const EPSILON: f64 = 1e-8;
const LANES: usize = 8;

/// Writes `(x − mean) / (std + 1e-8)` for every sample of `samples` to `out` (both `[samples]`).
///
/// The standard deviation has the divisor N − 1. Mean, deviation and quotient are computed in float64, so the result
/// is within float32 rounding of the exact one, finite for every finite lead, and 0 throughout for a constant one.
///
/// # Errors
/// [`SignalError::TooShort`] below two samples, [`SignalError::BufferLength`] when the lengths differ,
/// [`SignalError::NonFinite`] for an infinite or undefined sample.
pub fn standardize(samples: &[f32], out: &mut [f32]) -> Result<(), SignalError> {
    if samples.len() < 2 {
        return Err(SignalError::TooShort {
            samples: samples.len(),
            minimum: 2,
        });
    }
    check_length("standardized lead", samples.len(), out.len())?;
    let count = samples.len() as f64;
    let mean = sum(samples, |sample| sample) / count;
    if !mean.is_finite() {
        check_finite(samples)?;
    }
    let squares = sum(samples, |sample| (sample - mean) * (sample - mean));
    let scale = ((squares / (count - 1.0)).sqrt() + EPSILON).recip();
    for (standardized, &sample) in out.iter_mut().zip(samples) {
        *standardized = ((f64::from(sample) - mean) * scale) as f32;
    }
    Ok(())
}

/// Σ `term(x)` in float64, in [`LANES`] independent partial sums whose order does not depend on the machine.
fn sum(samples: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let (chunks, rest) = samples.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &sample) in lanes.iter_mut().zip(chunk) {
            *lane += term(f64::from(sample));
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&sample| term(f64::from(sample))).sum::<f64>()
}
