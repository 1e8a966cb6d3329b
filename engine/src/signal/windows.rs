//! Windows of the standardized lead, the signal encoder's sequence.

use super::error::{SignalError, check_length};
use super::{ECG_LEN, WINDOW, WINDOW_STEP};

/// Cuts `lead` (`[samples]`, standardized) into `out` (`[80, 256]`, row-major): windows of 256 samples at steps of 224.
///
/// A lead shorter than 18 000 samples continues as 0.0; what a longer one has beyond is left out.
///
/// # Errors
/// [`SignalError::BufferLength`] when `out` does not hold 80 × 256 values.
pub fn cut_windows(lead: &[f32], out: &mut [f32]) -> Result<(), SignalError> {
    check_length("ecg", ECG_LEN, out.len())?;
    for (index, window) in out.chunks_exact_mut(WINDOW).enumerate() {
        let samples = lead.get(index * WINDOW_STEP..).unwrap_or_default();
        let samples = &samples[..samples.len().min(WINDOW)];
        let (filled, padding) = window.split_at_mut(samples.len());
        filled.copy_from_slice(samples);
        padding.fill(0.0);
    }
    Ok(())
}
