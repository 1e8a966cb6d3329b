//! How regular the beats of a lead are: its RR intervals and how they change from beat to beat.

use super::RATE_HZ;
use crate::statistics::{correlation, count, deviation, entropy, mean, median, quantiles, share};

/// Fewer intervals than this say nothing of a rhythm.
const FEWEST: usize = 4;
/// Intervals that sample entropy looks at: its time grows with their square.
const ENTROPY_OF: usize = 120;
/// Intervals of a short stretch.
const STRETCH: usize = 8;
/// Edge of a cell of the plane of two successive changes, in medians of the interval; the middle cell lies around 0.
const CELL: f64 = 0.08;
/// Cells from the middle to each side.
const CELLS: i32 = 8;

/// What is measured, see [`measure`]; an interval and a change count in medians of the interval unless the unit is in the name.
pub(super) const NAMES: [&str; 47] = [
    "beats",
    "heart_rate_bpm",
    "interval_min_s",
    "interval_p05_s",
    "interval_p10_s",
    "interval_p25_s",
    "interval_p75_s",
    "interval_p90_s",
    "interval_p95_s",
    "interval_max_s",
    "interval_mean_s",
    "interval_deviation",
    "interval_median_deviation",
    "change_rms",
    "change_median",
    "change_p10_s",
    "change_p25_s",
    "change_p75_s",
    "change_p90_s",
    "change_p97_s",
    "changes_above_20ms",
    "changes_above_50ms",
    "changes_above_100ms",
    "intervals_below_0.65",
    "intervals_below_0.8",
    "intervals_above_1.2",
    "intervals_above_1.6",
    "count_below_0.85",
    "count_above_1.15",
    "count_early_then_pause",
    "early_then_late",
    "count_early_compensated",
    "interval_correlation",
    "change_correlation",
    "interval_entropy",
    "change_entropy",
    "sample_entropy_1",
    "sample_entropy_2",
    "turning_points",
    "changes_cells",
    "changes_in_middle",
    "changes_near_middle",
    "trend",
    "stretch_deviation_min",
    "stretch_deviation_p25",
    "stretch_deviation_median",
    "stretch_deviation_max",
];

/// Measures the intervals between beats, given as samples at 300 Hz; NaN where fewer than four intervals say nothing.
///
/// The plane of two successive changes is Lorenz's (Sarkar et al. 2008, *IEEE Trans. Biomed. Eng.* 55(4)); sample entropy is of
/// Richman and Moorman 2000 (*Am. J. Physiol.* 278(6)), of one interval within 0.06 and of two within 0.1.
pub(super) fn measure(beats: &[usize]) -> [f64; 47] {
    let mut measured = [f64::NAN; 47];
    let seconds: Vec<f64> = beats
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64 / RATE_HZ)
        .collect();
    let typical = median(seconds.iter().copied());
    measured[0] = beats.len() as f64;
    measured[1] = 60.0 / typical;
    if seconds.len() < FEWEST {
        return measured;
    }
    let intervals: Vec<f64> = seconds.iter().map(|interval| interval / typical).collect();
    let changes = differences(&intervals);
    let sizes: Vec<f64> = differences(&seconds).into_iter().map(f64::abs).collect();
    let stretches: Vec<f64> = intervals
        .windows(STRETCH.min(intervals.len()))
        .map(|stretch| deviation(stretch) / mean(stretch))
        .collect();
    let pairs = |fulfils: &dyn Fn(f64, f64) -> bool| {
        let fulfilling = intervals.windows(2).filter(|pair| fulfils(pair[0], pair[1]));
        fulfilling.count() as f64
    };
    let plane = Plane::new(&changes);
    let mut next = measured[2..].iter_mut();
    let mut put = |values: &[f64]| values.iter().zip(&mut next).for_each(|(value, place)| *place = *value);
    put(&quantiles(
        seconds.iter().copied(),
        [0.0, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95, 1.0],
    ));
    put(&[
        mean(&seconds),
        deviation(&intervals),
        median(intervals.iter().map(|interval| (interval - 1.0).abs())),
        mean(&changes.iter().map(|change| change * change).collect::<Vec<_>>()).sqrt(),
        median(changes.iter().map(|change| change.abs())),
    ]);
    put(&quantiles(sizes.iter().copied(), [0.1, 0.25, 0.75, 0.9, 0.97]));
    put(&[0.02, 0.05, 0.1].map(|limit| share(&sizes, |size| size > limit)));
    put(&[0.65, 0.8].map(|limit| share(&intervals, |interval| interval < limit)));
    put(&[1.2, 1.6].map(|limit| share(&intervals, |interval| interval > limit)));
    put(&[
        count(&intervals, |interval| interval < 0.85),
        count(&intervals, |interval| interval > 1.15),
        pairs(&|first, second| first < 0.87 && second > 1.08),
        pairs(&|first, second| first < 0.87 && second > 1.0) / (intervals.len() - 1) as f64,
        pairs(&|first, second| first < 0.85 && (first + second - 2.0).abs() < 0.12),
        correlation(&intervals[1..], &intervals[..intervals.len() - 1]),
        correlation(&changes[1..], &changes[..changes.len() - 1]),
        entropy(&intervals, [0.3, 2.2], 38),
        entropy(&changes, [-1.0, 1.0], 40),
        sample_entropy(&intervals[..intervals.len().min(ENTROPY_OF)], 1, 0.06),
        sample_entropy(&intervals[..intervals.len().min(ENTROPY_OF)], 2, 0.1),
        share(&products(&changes), |product| product < 0.0),
        plane.cells,
        plane.middle,
        plane.near,
        trend(&intervals),
    ]);
    put(&quantiles(stretches, [0.0, 0.25, 0.5, 1.0]));
    measured
}

fn differences(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn products(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| pair[0] * pair[1]).collect()
}

/// Pairs of successive changes, by the cells of their plane.
struct Plane {
    /// Cells that have a pair, beside the number of changes.
    cells: f64,
    /// The share of pairs in the middle cell.
    middle: f64,
    /// The share of pairs in it and the eight cells around it.
    near: f64,
}

impl Plane {
    fn new(changes: &[f64]) -> Self {
        let cell = |change: f64| (change / CELL).round() as i32;
        let pairs = changes.windows(2).map(|pair| (cell(pair[0]), cell(pair[1])));
        let mut inside: Vec<(i32, i32)> = pairs.filter(|(x, y)| x.abs() <= CELLS && y.abs() <= CELLS).collect();
        let all = (changes.len() - 1).max(1) as f64;
        let within = |reach: i32| {
            let near = inside.iter().filter(|(x, y)| x.abs() <= reach && y.abs() <= reach);
            near.count() as f64 / all
        };
        let (middle, near) = (within(0), within(1));
        inside.sort_unstable();
        inside.dedup();
        Self {
            cells: inside.len() as f64 / changes.len().max(4) as f64,
            middle,
            near,
        }
    }
}

/// −ln of the chance that stretches of `length` values that agree within `tolerance` still agree with one more value, one added to
/// both counts.
fn sample_entropy(values: &[f64], length: usize, tolerance: f64) -> f64 {
    let agreeing = |stretch: usize| {
        let starts = values.len() - length;
        let stretches: Vec<&[f64]> = values.windows(stretch).take(starts).collect();
        let agree = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < tolerance);
        let later = |first: usize| {
            stretches[first + 1..]
                .iter()
                .filter(|b| agree(stretches[first], b))
                .count()
        };
        2 * (0..stretches.len()).map(later).sum::<usize>()
    };
    -((agreeing(length + 1) + 1) as f64 / (agreeing(length) + 1) as f64).ln()
}

/// What the straight line of least squares through the values gains from the first to the last.
fn trend(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let (mut both, mut of_places) = (0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let place = place as f64 - middle;
        both += place * value;
        of_places += place * place;
    }
    both / of_places * (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(beats: &[usize], name: &str) -> f64 {
        let place = NAMES.iter().position(|known| *known == name).expect("a measurement");
        measure(beats)[place]
    }

    #[test]
    fn a_regular_rhythm_of_75_beats_per_minute() {
        let beats: Vec<usize> = (0..20).map(|beat| 240 * beat).collect();
        assert_eq!(named(&beats, "beats"), 20.0);
        assert_eq!(named(&beats, "heart_rate_bpm"), 75.0);
        assert_eq!(named(&beats, "interval_max_s"), 0.8);
        assert_eq!(
            named(&beats, "sample_entropy_1").abs() + named(&beats, "sample_entropy_2").abs(),
            0.0
        );
        for zero in [
            "interval_deviation",
            "change_rms",
            "turning_points",
            "stretch_deviation_max",
        ] {
            assert!(named(&beats, zero).abs() < 1e-12, "{zero}");
        }
        assert!(named(&beats, "trend").abs() < 1e-9);
        assert_eq!(named(&beats, "changes_in_middle"), 1.0);
        assert!(measure(&beats).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn an_early_beat_with_a_compensatory_pause() {
        let beats = [0, 240, 480, 720, 876, 1200, 1440, 1680];
        assert_eq!(named(&beats, "count_early_then_pause"), 1.0);
        assert_eq!(named(&beats, "count_early_compensated"), 1.0);
        assert_eq!(named(&beats, "count_below_0.85"), 1.0);
        assert_eq!(named(&beats, "count_above_1.15"), 1.0);
        let interpolated = [0, 240, 480, 600, 720, 960, 1200, 1440];
        assert_eq!(named(&interpolated, "count_early_compensated"), 0.0);
    }

    #[test]
    fn few_beats_have_a_number_and_at_most_a_rate() {
        assert!(measure(&[]).iter().skip(1).all(|value| value.is_nan()));
        assert!(measure(&[7])[1].is_nan());
        assert_eq!(measure(&[0, 300])[1], 60.0);
        assert!(measure(&[0, 300, 600, 900])[2].is_nan());
        assert!(measure(&[0, 300, 600, 900, 1200]).iter().all(|value| value.is_finite()));
    }
}
