//! How clean a lead is: what noise, loose electrodes and clipping do to it.

use crate::statistics::{deviation, median, moment, quantiles};

/// Samples of a window: 2 s.
const WINDOW: usize = 600;
/// Samples from one window to the next.
const STEP: usize = 300;
/// Samples nearer than this share of the lead's range to one of its ends are clipped.
const CLIPPED: f64 = 0.002;

/// What is measured, see [`measure`].
pub(super) const NAMES: [&str; 13] = [
    "duration_samples",
    "skewness",
    "kurtosis",
    "window_deviation_min",
    "window_deviation_max",
    "window_kurtosis_min",
    "window_kurtosis_median",
    "window_qrs_share_min",
    "window_qrs_share_median",
    "window_roughness_median",
    "window_roughness_max",
    "clipped",
    "baseline_deviation",
];

/// Measures the lead, the lead without baseline and noise (`smooth`) and the lead within the band of QRS complexes (`filtered`), all
/// of one length.
///
/// Of windows: deviation beside the median window's; kurtosis, high where beats stand out; the share of QRS complexes' band in the
/// deviation; the deviation of second differences beside the lead's, high where noise is. Then the share of clipped samples and the deviation of
/// what `smooth` leaves out.
pub(super) fn measure(lead: &[f64], smooth: &[f64], filtered: &[f64]) -> [f64; 13] {
    let whole = deviation(smooth);
    let standard = |values: &[f64], order: i32| moment(values, order) / deviation(values).powi(order);
    let starts = || (0..lead.len().saturating_sub(WINDOW - 1)).step_by(STEP);
    let of_windows = |measure: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        starts().map(|start| measure(start, start + WINDOW)).collect()
    };
    let deviations = of_windows(&|from, to| deviation(&smooth[from..to]));
    let typical = median(deviations.iter().copied());
    let kurtoses = of_windows(&|from, to| standard(&smooth[from..to], 4));
    let qrs_shares = of_windows(&|from, to| deviation(&filtered[from..to]) / deviation(&smooth[from..to]));
    let roughness = of_windows(&|from, to| {
        let bends: Vec<f64> = lead[from..to].windows(3).map(|w| w[0] - 2.0 * w[1] + w[2]).collect();
        deviation(&bends) / whole
    });
    let [narrowest, widest] = quantiles(deviations.iter().map(|deviation| deviation / typical), [0.0, 1.0]);
    let [kurtosis_min, kurtosis_median] = quantiles(kurtoses, [0.0, 0.5]);
    let [share_min, share_median] = quantiles(qrs_shares, [0.0, 0.5]);
    let [roughness_median, roughness_max] = quantiles(roughness, [0.5, 1.0]);
    let baseline: Vec<f64> = lead.iter().zip(smooth).map(|(lead, smooth)| lead - smooth).collect();
    [
        lead.len() as f64,
        standard(smooth, 3),
        standard(smooth, 4),
        narrowest,
        widest,
        kurtosis_min,
        kurtosis_median,
        share_min,
        share_median,
        roughness_median,
        roughness_max,
        clipped(lead),
        deviation(&baseline) / whole,
    ]
}

/// The share of samples at the ends of the lead's range.
fn clipped(lead: &[f64]) -> f64 {
    let low = lead.iter().copied().fold(f64::INFINITY, f64::min);
    let high = lead.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let margin = CLIPPED * (high - low);
    let is_at_end = |&&sample: &&f64| sample <= low + margin || sample >= high - margin;
    lead.iter().filter(is_at_end).count() as f64 / lead.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_wave_is_clipped_and_beats_stand_out() {
        let square: Vec<f64> = (0..1200).map(|at| f64::from(at / 100 % 2)).collect();
        let measured = measure(&square, &square, &square);
        assert_eq!(measured[11], 1.0);
        assert!(
            (measured[2] - 1.0).abs() < 1e-9,
            "two equal values have kurtosis 1: {measured:?}"
        );
        let beats: Vec<f64> = (0..1200).map(|at| f64::from(u8::from(at % 200 == 0))).collect();
        assert!(measure(&beats, &beats, &beats)[6] > 50.0);
    }

    #[test]
    fn a_short_or_constant_lead_has_what_can_be_measured() {
        assert_eq!(measure(&[1.0, 2.0], &[1.0, 2.0], &[0.0, 0.0])[0], 2.0);
        assert!(measure(&[], &[], &[])[2].is_nan());
        assert!(measure(&[1.0; 900], &[0.0; 900], &[0.0; 900])[2].is_nan());
    }
}
