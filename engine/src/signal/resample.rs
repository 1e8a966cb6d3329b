//! Band-limited change of the sampling rate.

use super::SAMPLING_RATE_HZ;
use super::error::{SignalError, check_finite};
use super::kernel::Kernel;

/// The lowest sampling rate that can be resampled, in Hz.
pub const MIN_RATE_HZ: f64 = 50.0;
/// The highest sampling rate that can be resampled, in Hz.
pub const MAX_RATE_HZ: f64 = 20_000.0;

/// Sums of samples up to this magnitude are finite.
const LARGEST: f32 = (1u128 << 121) as f32;
/// A lead with larger samples is resampled times this, a power of two.
const SMALLER: f32 = 1.0 / (1u64 << 32) as f32;

/// Brings `samples` from `from_hz` to the network's 300 Hz; see [`resample_to`].
///
/// # Errors
/// As [`resample_to`].
pub fn resample(samples: &[f32], from_hz: f64) -> Result<Vec<f32>, SignalError> {
    resample_to(samples, from_hz, SAMPLING_RATE_HZ)
}

/// Resamples a lead from `from_hz` to `to_hz`, any two rates from 50 Hz to 20 kHz, whole numbers or not.
///
/// A Kaiser-windowed sinc passes what lies below 0.85 of the lower Nyquist frequency unchanged (ripple below 0.1 dB)
/// and what lies above that Nyquist frequency at most at −60 dB. The gain at 0 Hz is 1. The kernel is symmetric, so
/// nothing is delayed: output m is the lead at the time `m / to_hz`, sample 0 being at time 0 on both sides. The result
/// has `round(n · to_hz / from_hz)` samples; at equal rates it is an exact copy. What overshoots the largest number is that number.
///
/// Beyond its ends the lead is taken to continue as its point reflection in the end sample, `2·x₀ − x₋ₖ`: value and
/// slope go on, so neither an electrode's offset nor a wandering baseline makes a step there.
///
/// # Errors
/// [`SignalError::SamplingRate`] for a rate outside the limits, [`SignalError::NonFinite`] for an infinite or undefined
/// sample, [`SignalError::TooLong`] when the result does not fit into memory.
pub fn resample_to(samples: &[f32], from_hz: f64, to_hz: f64) -> Result<Vec<f32>, SignalError> {
    check_rate(from_hz)?;
    check_rate(to_hz)?;
    check_finite(samples)?;
    if from_hz == to_hz {
        return Ok(samples.to_vec());
    }
    let length = (samples.len() as f64 * to_hz / from_hz).round() as usize;
    let kernel = Kernel::new((to_hz / from_hz).min(1.0));
    let beyond = samples.iter().any(|sample| sample.abs() > LARGEST);
    let [smaller, larger] = if beyond { [SMALLER, SMALLER.recip()] } else { [1.0, 1.0] };
    let extended = extend(samples, kernel.reach(), smaller)?;
    let mut out = reserve(length)?;
    out.extend((0..length).map(|index| {
        let position = index as f64 * from_hz / to_hz;
        let whole = position as usize;
        let sample = larger * kernel.apply(&extended[whole + 1..], position - whole as f64);
        sample.clamp(f32::MIN, f32::MAX)
    }));
    Ok(out)
}

fn check_rate(rate_hz: f64) -> Result<(), SignalError> {
    if (MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
        Ok(())
    } else {
        Err(SignalError::SamplingRate {
            rate_hz,
            minimum_hz: MIN_RATE_HZ,
            maximum_hz: MAX_RATE_HZ,
        })
    }
}

/// `samples` times `factor` with `reach` more on either side, by point reflection in the end samples.
///
/// What the reflection of a short lead does not reach is held at its last value.
fn extend(samples: &[f32], reach: usize, factor: f32) -> Result<Vec<f32>, SignalError> {
    let mut extended = reserve(samples.len().saturating_add(2 * reach))?;
    if let (Some(&first), Some(&last)) = (samples.first(), samples.last()) {
        let furthest = samples.len() - 1;
        let (first, last) = (2.0 * factor * first, 2.0 * factor * last);
        extended.extend((1..=reach).rev().map(|k| first - factor * samples[k.min(furthest)]));
        extended.extend(samples.iter().map(|sample| factor * sample));
        extended.extend((1..=reach).map(|k| last - factor * samples[furthest - k.min(furthest)]));
    }
    Ok(extended)
}

fn reserve(samples: usize) -> Result<Vec<f32>, SignalError> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(samples)
        .map_err(|_| SignalError::TooLong { samples })?;
    Ok(buffer)
}
