//! What the beats of a lead look like, and how much alike.

use crate::statistics::{correlation, count, deviation, mean, median, quantile, quantiles, share, sorted};

/// Samples of a beat before its largest deflection: 0.3 s.
const BEFORE: usize = 90;
/// Samples of a beat, 0.75 s.
const LENGTH: usize = 225;
/// Fewer whole beats than this have no typical shape.
const FEWEST: usize = 4;
/// Where, within a beat, the P wave, the R wave, the QRS complex with its neighbourhood and the T wave are.
const P_WAVE: std::ops::Range<usize> = 15..72;
const R_WAVE: std::ops::Range<usize> = 80..100;
const COMPLEX: std::ops::Range<usize> = 55..135;
const T_WAVE: std::ops::Range<usize> = 115..220;
/// Every ninth sample of the typical beat is measured as it is.
const STRIDE: usize = 9;

/// What is measured, see [`measure`]: `like_…` are correlations with the typical beat, `wave_±ms` its samples around the R wave.
pub(super) const NAMES: [&str; 70] = [
    "like_qrs_min",
    "like_qrs_p05",
    "like_qrs_p10",
    "like_qrs_p25",
    "like_qrs_median",
    "unlike_qrs",
    "like_beat_min",
    "like_beat_p05",
    "like_beat_p10",
    "like_beat_p25",
    "like_beat_median",
    "unlike_beat",
    "like_p_min",
    "like_p_p05",
    "like_p_p10",
    "like_p_p25",
    "like_p_median",
    "unlike_p",
    "amplitude",
    "polarity",
    "amplitudes_deviation",
    "amplitudes_max",
    "amplitudes_min",
    "p_amplitude",
    "p_place",
    "p_range",
    "p_deviation",
    "t_amplitude",
    "t_range",
    "t_place",
    "width_by_height",
    "width_by_slope",
    "widths_max",
    "widths_p90",
    "widths_deviation",
    "widths_p95_excess",
    "rest_beat",
    "rest_p",
    "rest_t",
    "rest_beat_p90",
    "p_roughness",
    "earliest_like",
    "earliest_width",
    "early_unlike",
    "early_alike",
    "wave_-300ms",
    "wave_-270ms",
    "wave_-240ms",
    "wave_-210ms",
    "wave_-180ms",
    "wave_-150ms",
    "wave_-120ms",
    "wave_-90ms",
    "wave_-60ms",
    "wave_-30ms",
    "wave_0ms",
    "wave_30ms",
    "wave_60ms",
    "wave_90ms",
    "wave_120ms",
    "wave_150ms",
    "wave_180ms",
    "wave_210ms",
    "wave_240ms",
    "wave_270ms",
    "wave_300ms",
    "wave_330ms",
    "wave_360ms",
    "wave_390ms",
    "wave_420ms",
];

/// Measures the beats, given as samples of the lead without baseline and noise; NaN where fewer than four are whole.
///
/// The typical beat is the median of all, sample by sample. Heights count in its largest deflection near the R wave, signs are such that its R wave points
/// upwards, and places are samples from where the wave is looked for.
pub(super) fn measure(smooth: &[f64], beats: &[usize]) -> [f64; 70] {
    let mut measured = [f64::NAN; 70];
    let whole = |beat: &usize| smooth.get(beat.checked_sub(BEFORE)?..beat - BEFORE + LENGTH);
    let shapes: Vec<&[f64]> = beats.iter().filter_map(whole).collect();
    if shapes.len() < FEWEST {
        return measured;
    }
    let typical: Vec<f64> = (0..LENGTH)
        .map(|at| median(shapes.iter().map(|shape| shape[at])))
        .collect();
    let amplitude = farthest(&typical[70..110]).1.abs() + f64::MIN_POSITIVE;
    let polarity = farthest(&typical[R_WAVE]).1.signum();
    let widths: Vec<f64> = shapes.iter().map(|shape| width(shape)).collect();
    let likeness = |part: std::ops::Range<usize>| -> Vec<f64> {
        let like = |shape: &&[f64]| correlation(&shape[part.clone()], &typical[part.clone()]);
        shapes.iter().map(like).collect()
    };
    let like_qrs = likeness(60..125);
    let mut next = measured.iter_mut();
    let mut put = |values: &[f64]| values.iter().zip(&mut next).for_each(|(value, place)| *place = *value);
    for like in [&like_qrs, &likeness(0..LENGTH), &likeness(5..75)] {
        put(&quantiles(like.iter().copied(), [0.0, 0.05, 0.1, 0.25, 0.5]));
        put(&[share(like, |like| like < 0.8)]);
    }
    let amplitudes: Vec<f64> = shapes.iter().map(|shape| farthest(&shape[R_WAVE]).1.abs()).collect();
    let middle = median(amplitudes.iter().copied());
    let [lowest, highest] = quantiles(amplitudes.iter().copied(), [0.0, 1.0]);
    put(&[
        amplitude / deviation(smooth),
        polarity,
        deviation(&amplitudes) / mean(&amplitudes),
        highest / middle,
        lowest / middle,
    ]);
    let level = median(typical[10..75].iter().copied());
    let p_wave: Vec<f64> = typical[P_WAVE].iter().map(|sample| sample - level).collect();
    let t_level = median(typical[T_WAVE].iter().copied());
    let t_wave: Vec<f64> = typical[T_WAVE].iter().map(|sample| sample - t_level).collect();
    let ((p_place, p_height), (t_place, t_height)) = (farthest(&p_wave), farthest(&t_wave));
    put(&[
        polarity * p_height / amplitude,
        p_place as f64,
        range(&p_wave) / amplitude,
        deviation(&p_wave) / amplitude,
        polarity * t_height / amplitude,
        range(&t_wave) / amplitude,
        t_place as f64,
    ]);
    let slopes: Vec<f64> = typical.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let steep = 0.15 * slopes.iter().copied().fold(0.0, f64::max);
    let ascending = sorted(widths.iter().copied());
    let middle_width = quantile(&ascending, 0.5);
    put(&[
        count(&typical[60..130], |sample| sample.abs() > 0.3 * amplitude),
        count(&slopes[COMPLEX], |slope| slope > steep),
        quantile(&ascending, 1.0),
        quantile(&ascending, 0.9),
        deviation(&widths) / mean(&widths),
        quantile(&ascending, 0.95) - middle_width,
    ]);
    let rests = |part: std::ops::Range<usize>| -> Vec<f64> {
        let rest = |shape: &&[f64]| {
            let pairs = shape[part.clone()].iter().zip(&typical[part.clone()]);
            deviation(&pairs.map(|(sample, typical)| sample - typical).collect::<Vec<_>>()) / amplitude
        };
        shapes.iter().map(rest).collect()
    };
    let of_beats = sorted(rests(0..LENGTH));
    let roughness = shapes.iter().map(|shape| roughness(&shape[10..72]));
    put(&[
        quantile(&of_beats, 0.5),
        median(rests(10..72)),
        median(rests(140..LENGTH)),
        quantile(&of_beats, 0.9),
        median(roughness) / amplitude,
    ]);
    put(&early(smooth, beats, &like_qrs, &widths, middle_width));
    let waves: Vec<f64> = typical
        .iter()
        .step_by(STRIDE)
        .map(|sample| polarity * sample / amplitude)
        .collect();
    put(&waves);
    measured
}

/// The likeness to the typical QRS complex and the additional width of the earliest beat; then how many beats that come before 0.85 of
/// the median interval are unlike it (below 0.85), as ventricular ones are, and how many are like it.
fn early(smooth: &[f64], beats: &[usize], like_qrs: &[f64], widths: &[f64], middle_width: f64) -> [f64; 4] {
    let intervals = beats.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
    let typical = median(intervals.clone());
    let is_whole = |beat: usize| beat >= BEFORE && beat - BEFORE + LENGTH <= smooth.len();
    let cut = beats.iter().position(|&beat| is_whole(beat)).unwrap_or(0);
    // The first beat has no interval before it.
    let after = cut.max(1);
    let intervals = intervals.skip(after - 1).map(|interval| interval / typical);
    let described = like_qrs.iter().zip(widths).skip(after - cut);
    let beats: Vec<(f64, f64, f64)> = intervals
        .zip(described)
        .map(|(interval, (&like, &width))| (interval, like, width))
        .collect();
    let Some(earliest) = beats.iter().min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return [f64::NAN; 4];
    };
    let early = |is_like: bool| {
        let early = beats
            .iter()
            .filter(|(interval, like, _)| *interval < 0.85 && (*like >= 0.85) == is_like);
        early.count() as f64
    };
    [earliest.1, earliest.2 - middle_width, early(false), early(true)]
}

/// Place and value of what is farthest from zero.
fn farthest(samples: &[f64]) -> (usize, f64) {
    let places = samples.iter().copied().enumerate();
    places
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
        .unwrap_or((0, f64::NAN))
}

fn range(samples: &[f64]) -> f64 {
    let [low, high] = quantiles(samples.iter().copied(), [0.0, 1.0]);
    high - low
}

/// Samples of a beat's QRS complex that are above 0.3 of its R wave.
fn width(shape: &[f64]) -> f64 {
    let limit = 0.3 * farthest(&shape[R_WAVE]).1.abs();
    count(&shape[COMPLEX], |sample| sample.abs() > limit)
}

/// The length of the way that the samples go up and down, beside a straight line.
fn roughness(samples: &[f64]) -> f64 {
    let slope = (samples[samples.len() - 1] - samples[0]) / (samples.len() - 1) as f64;
    samples.windows(2).map(|pair| (pair[1] - pair[0] - slope).abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(smooth: &[f64], beats: &[usize], name: &str) -> f64 {
        let place = NAMES.iter().position(|known| *known == name).expect("a measurement");
        measure(smooth, beats)[place]
    }

    /// Triangular beats of these half widths, in samples.
    fn lead(beats: &[(usize, usize)]) -> Vec<f64> {
        let height =
            |at: usize, &(beat, half): &(usize, usize)| (1.0 - beat.abs_diff(at) as f64 / half as f64).max(0.0);
        (0..2400)
            .map(|at| beats.iter().map(|beat| height(at, beat)).sum())
            .collect()
    }

    #[test]
    fn equal_beats_are_alike_whatever_their_unit_and_polarity() {
        let beats = [200, 440, 680, 920, 1160, 1400];
        let smooth = lead(&beats.map(|beat| (beat, 12)));
        assert!((named(&smooth, &beats, "like_qrs_min") - 1.0).abs() < 1e-9);
        assert_eq!(named(&smooth, &beats, "unlike_beat"), 0.0);
        assert_eq!(named(&smooth, &beats, "wave_0ms"), 1.0);
        assert_eq!(named(&smooth, &beats, "polarity"), 1.0);
        let turned: Vec<f64> = smooth.iter().map(|sample| -4.0 * sample).collect();
        let (mut one, mut other) = (measure(&smooth, &beats), measure(&turned, &beats));
        (one[19], other[19]) = (0.0, 0.0);
        for ((one, other), name) in one.into_iter().zip(other).zip(NAMES) {
            assert!((one - other).abs() < 1e-9, "{name}: {one} {other}");
        }
    }

    #[test]
    fn an_early_wide_beat_is_told_from_an_early_narrow_one() {
        let beats = [200, 440, 680, 820, 1160, 1400, 1640];
        let widths = |early: usize| beats.map(|beat| (beat, if beat == 820 { early } else { 12 }));
        let wide = lead(&widths(60));
        assert_eq!(named(&wide, &beats, "early_unlike"), 1.0);
        assert!(named(&wide, &beats, "earliest_width") > 20.0);
        let narrow = lead(&widths(12));
        assert_eq!(named(&narrow, &beats, "early_alike"), 1.0);
        assert_eq!(named(&narrow, &beats, "earliest_width"), 0.0);
    }

    #[test]
    fn fewer_than_four_whole_beats_have_no_shape() {
        let smooth = vec![1.0; 700];
        assert!(
            measure(&smooth, &[10, 200, 400, 650])
                .iter()
                .all(|value| value.is_nan())
        );
        assert!(measure(&[], &[]).iter().all(|value| value.is_nan()));
        assert!(measure(&smooth, &[90, 100, 200, 300])[0].is_finite());
    }
}
