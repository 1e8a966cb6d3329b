//! Finds the beats of a lead: its QRS complexes, by the energy of their slopes.

use super::RATE_HZ;
use super::filter::band_pass;
use crate::statistics::{median, quantile_of};

/// Where most of a QRS complex's energy is, in Hz.
pub(super) const QRS_BAND_HZ: [f64; 2] = [5.0, 25.0];
/// Samples that energy is smoothed over: 0.12 s, about a QRS complex.
const SMOOTHING: usize = 36;
/// Samples that the threshold is a mean of: 2 s.
const SURROUNDINGS: usize = 600;
/// The shortest distance of two peaks of energy, in samples: 0.24 s.
const REFRACTORY: usize = (0.24 * RATE_HZ) as usize;
/// Samples around a peak of energy in which the R wave is looked for; less than half of [`REFRACTORY`], so that no two beats are one.
const REACH: usize = 24;
/// A beat that is weaker than this share of its neighbours' median slope is none.
const WEAKEST: f64 = 0.35;
/// Neighbours on each side.
const NEIGHBOURS: usize = 4;

/// Samples at which beats have their largest deflection, ascending; `filtered` is the lead within [`QRS_BAND_HZ`].
///
/// Energy of the slope, smoothed, above 0.9 of its mean over 2 s (in which what exceeds the 98th percentile counts as that much) and
/// above a quarter of that mean's median.
pub(super) fn beats(filtered: &[f64]) -> Vec<usize> {
    let energy = smoothed(&slope_energy(filtered));
    let ceiling = quantile_of(energy.iter().copied(), 0.98);
    let capped: Vec<f64> = energy.iter().map(|&value| value.min(ceiling)).collect();
    let around = moving_mean(&capped, SURROUNDINGS);
    let floor = 0.25 * median(around.iter().copied());
    let above = |at: usize| energy[at] > 0.0 && energy[at] >= (0.9 * around[at]).max(floor);
    let candidates = (1..energy.len().saturating_sub(1))
        .filter(|&at| energy[at - 1] < energy[at] && energy[at] >= energy[at + 1] && above(at));
    let peaks = strong(&apart(candidates.collect(), &energy), &energy);
    peaks.into_iter().map(|peak| deflection(filtered, peak)).collect()
}

/// The lead within the band in which beats are found.
pub(super) fn qrs_band(lead: &[f64]) -> Vec<f64> {
    band_pass(lead, QRS_BAND_HZ)
}

fn slope_energy(samples: &[f64]) -> Vec<f64> {
    let last = samples.len().saturating_sub(1);
    let slope = |at: usize| {
        let (from, to) = (at.saturating_sub(1), (at + 1).min(last));
        (samples[to] - samples[from]) / (to - from).max(1) as f64
    };
    (0..samples.len()).map(|at| slope(at) * slope(at)).collect()
}

/// Convolved with a Hann window of unit sum.
fn smoothed(samples: &[f64]) -> Vec<f64> {
    let mut weights: Vec<f64> = (0..SMOOTHING)
        .map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / (SMOOTHING - 1) as f64).cos())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    let padding = vec![0.0; SMOOTHING];
    let padded = [&padding, samples, &padding].concat();
    let at = |centre: usize| {
        let window = &padded[centre + SMOOTHING / 2 + 1..][..SMOOTHING];
        window
            .iter()
            .zip(&weights)
            .map(|(sample, weight)| sample * weight)
            .sum()
    };
    (0..samples.len()).map(at).collect()
}

/// The mean of the `width` samples around each; fewer at the ends.
fn moving_mean(samples: &[f64], width: usize) -> Vec<f64> {
    let mut sums = Vec::with_capacity(samples.len() + 1);
    sums.push(0.0);
    let mut sum = 0.0;
    for sample in samples {
        sum += sample;
        sums.push(sum);
    }
    let at = |centre: usize| {
        let (start, end) = (
            centre.saturating_sub(width / 2),
            (centre + width / 2).min(samples.len()),
        );
        (sums[end] - sums[start]) / (end - start).max(1) as f64
    };
    (0..samples.len()).map(at).collect()
}

/// Of the peaks nearer to each other than [`REFRACTORY`] the highest, in ascending order.
fn apart(peaks: Vec<usize>, energy: &[f64]) -> Vec<usize> {
    let mut by_height: Vec<usize> = (0..peaks.len()).collect();
    by_height.sort_by(|&a, &b| energy[peaks[b]].total_cmp(&energy[peaks[a]]));
    let mut is_dropped = vec![false; peaks.len()];
    for index in by_height {
        if is_dropped[index] {
            continue;
        }
        let near = |other: &usize| peaks[*other].abs_diff(peaks[index]) < REFRACTORY;
        (0..index).rev().take_while(near).for_each(|i| is_dropped[i] = true);
        (index + 1..peaks.len())
            .take_while(near)
            .for_each(|i| is_dropped[i] = true);
    }
    let kept = peaks.into_iter().zip(is_dropped).filter(|(_, is_dropped)| !is_dropped);
    kept.map(|(peak, _)| peak).collect()
}

/// Without those that are weak beside their neighbours.
fn strong(peaks: &[usize], energy: &[f64]) -> Vec<usize> {
    let slopes: Vec<f64> = peaks.iter().map(|&peak| energy[peak].sqrt()).collect();
    let is_strong = |index: usize| {
        let around = index.saturating_sub(NEIGHBOURS)..(index + NEIGHBOURS + 1).min(slopes.len());
        slopes[index] > WEAKEST * median(slopes[around].iter().copied())
    };
    let kept = (0..peaks.len()).filter(|&index| peaks.len() <= 3 || is_strong(index));
    kept.map(|index| peaks[index]).collect()
}

/// Where the lead is farthest from zero near a peak of energy.
fn deflection(filtered: &[f64], peak: usize) -> usize {
    let around = peak.saturating_sub(REACH)..(peak + REACH + 1).min(filtered.len());
    let size = |at: &usize| filtered[*at].abs();
    around.max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lead of triangular beats at these samples, on a slow wave.
    fn lead(beats: &[usize], samples: usize) -> Vec<f64> {
        let wander = |at: usize| 0.5 * (at as f64 / 300.0).sin();
        let beat = |at: usize| {
            let nearest = beats.iter().map(|beat| beat.abs_diff(at)).min().unwrap_or(samples);
            (1.0 - nearest as f64 / 12.0).max(0.0)
        };
        (0..samples).map(|at| wander(at) + beat(at)).collect()
    }

    #[test]
    fn regular_and_early_beats_are_found_where_they_are() {
        for known in [
            vec![200, 440, 680, 920, 1160, 1400],
            vec![150, 400, 540, 900, 1100, 1380, 1500],
        ] {
            let found = beats(&qrs_band(&lead(&known, 1700)));
            assert_eq!(found.len(), known.len(), "{found:?}");
            assert!(
                found.iter().zip(&known).all(|(a, b)| a.abs_diff(*b) <= 2),
                "{found:?} {known:?}"
            );
            let upside_down: Vec<f64> = lead(&known, 1700).iter().map(|sample| -3.0 * sample).collect();
            assert_eq!(beats(&qrs_band(&upside_down)), found);
        }
    }

    #[test]
    fn leads_without_beats_have_none() {
        for lead in [vec![], vec![0.0], vec![1.0; 5], vec![0.0; 3000]] {
            assert_eq!(beats(&qrs_band(&lead)), Vec::<usize>::new());
        }
    }
}
