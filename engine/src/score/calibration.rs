//! Whether a probability of 0.8 is right eight times out of ten.

/// The expected calibration error (Guo et al. 2017, equation 5) of pairs (probability of the predicted class, whether
/// the prediction was right): over `bins` equal parts of [0, 1], the gap between mean probability and share of right
/// predictions, weighted by the share of records. 0 without pairs or bins.
pub fn expected_calibration_error(predictions: &[(f64, bool)], bins: usize) -> f64 {
    let mut gaps = vec![0.0; bins];
    for &(probability, right) in predictions {
        if let Some(gap) = gaps.get_mut(bin_of(probability, bins)) {
            *gap += probability - f64::from(u8::from(right));
        }
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / predictions.len().max(1) as f64
}

/// Which of `bins` equal parts of [0, 1] a probability falls into; what lies outside falls into the nearest.
pub(super) fn bin_of(probability: f64, bins: usize) -> usize {
    ((probability * bins as f64) as usize).min(bins.saturating_sub(1))
}
