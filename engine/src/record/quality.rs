//! Gaps, clipping and flatness.

use super::{RecordError, Warning, beginning};
use crate::signal;

/// The longest gap that is interpolated, in seconds.
const MAX_GAP_SECONDS: f64 = 0.5;
/// The largest part of the classified samples that may be interpolated.
const MAX_GAP_FRACTION: f64 = 0.1;
/// The shortest stay at the highest or lowest value that counts as clipped, in seconds and in samples.
const CLIPPED_RUN_SECONDS: f64 = 0.02;
const CLIPPED_RUN_SAMPLES: usize = 5;
/// All such stays together that are worth a warning, in seconds.
const CLIPPED_SECONDS: f64 = 0.1;
/// A second is flat when it spans at most this part of the span of the lead.
const FLAT_SPAN: f32 = 0.01;
/// The part of flat seconds above which a lead is mostly flat.
const FLAT_FRACTION: f64 = 0.5;

/// A lead whose span has fewer steps of float32 than this is kept coarsely; 10 bits of an analogue-to-digital converter have more.
const FEWEST_STEPS: f32 = 256.0;
/// A lead with a smaller standard deviation comes out of standardization more than 1 % too small.
const SMALLEST_DEVIATION: f64 = 100.0 * signal::EPSILON;
/// Up to here float32 keeps every whole number.
const EXACT: f32 = (1 << f32::MANTISSA_DIGITS) as f32;

/// Replaces every run of NaN by a straight line between its neighbours, or by the one neighbour it has.
///
/// # Errors
/// [`RecordError::Gaps`] when of the samples that are classified a run lasts longer than 0.5 s, or all together exceed a tenth.
pub(super) fn fill_gaps(file: &str, samples: &mut [f32], hz: f64) -> Result<Option<Warning>, RecordError> {
    let error = |reason| {
        Err(RecordError::Gaps {
            file: file.to_owned(),
            reason,
        })
    };
    let classified = beginning(samples, hz).len();
    let (mut gaps, mut missing, mut longest) = (0, 0, 0);
    let mut start = 0;
    while let Some(skipped) = samples[start..].iter().position(|sample| sample.is_nan()) {
        let first = start + skipped;
        let length = samples[first..]
            .iter()
            .position(|sample| !sample.is_nan())
            .unwrap_or(samples.len() - first);
        let counted = length.min(classified.saturating_sub(first));
        let seconds = counted as f64 / hz;
        if seconds > MAX_GAP_SECONDS {
            return error(format!(
                "{counted} invalid samples from sample {first} on ({seconds:.2} s); at most {MAX_GAP_SECONDS} s are interpolated"
            ));
        }
        bridge(samples, first, length);
        if counted > 0 {
            (gaps, missing, longest) = (gaps + 1, missing + counted, longest.max(counted));
        }
        start = first + length;
    }
    let fraction = missing as f64 / classified.max(1) as f64;
    if fraction > MAX_GAP_FRACTION {
        return error(format!(
            "{:.1} % of the samples are invalid; at most {:.0} % are interpolated",
            fraction * 100.0,
            MAX_GAP_FRACTION * 100.0
        ));
    }
    Ok((gaps > 0).then(|| Warning::Interpolated {
        gaps,
        samples: missing,
        longest_s: longest as f64 / hz,
    }))
}

fn bridge(samples: &mut [f32], first: usize, length: usize) {
    let before = first.checked_sub(1).map(|index| samples[index]);
    let after = samples.get(first + length).copied();
    let left = before.or(after).unwrap_or(0.0);
    let right = after.unwrap_or(left);
    for (index, sample) in samples[first..first + length].iter_mut().enumerate() {
        let position = (index + 1) as f32 / (length + 1) as f32;
        *sample = left * (1.0 - position) + right * position;
    }
}

/// A warning about samples that hold the `code` of an invalid one.
pub(super) fn marked(samples: &[f32], code: f32) -> Option<Warning> {
    let count = samples.iter().filter(|sample| **sample == code).count();
    (count > 0).then_some(Warning::InvalidCode { samples: count, code })
}

/// Warnings about a lead without gaps.
pub(super) fn inspect(samples: &[f32], hz: f64) -> impl Iterator<Item = Warning> {
    let (low, high) = extremes(samples);
    clipped(samples, hz, low, high)
        .into_iter()
        .chain(flat(samples, hz, high - low))
        .chain(rounded(samples, low, high))
        .chain(tiny(samples, low, high))
}

fn extremes(samples: &[f32]) -> (f32, f32) {
    samples
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), sample| {
            (low.min(*sample), high.max(*sample))
        })
}

fn clipped(samples: &[f32], hz: f64, low: f32, high: f32) -> Option<Warning> {
    if low >= high {
        return None;
    }
    let shortest = ((CLIPPED_RUN_SECONDS * hz).ceil() as usize).max(CLIPPED_RUN_SAMPLES);
    let at_limit = samples
        .chunk_by(|a, b| a == b)
        .filter(|run| run[0] == low || run[0] == high);
    let count: usize = at_limit.map(<[f32]>::len).filter(|length| *length >= shortest).sum();
    let seconds = count as f64 / hz;
    (seconds >= CLIPPED_SECONDS).then_some(Warning::Clipped { seconds })
}

fn flat(samples: &[f32], hz: f64, span: f32) -> Option<Warning> {
    let seconds = samples.chunks_exact((hz.round() as usize).max(1));
    let count = seconds.len();
    let is_flat = |second: &&[f32]| {
        let (low, high) = extremes(second);
        high - low <= FLAT_SPAN * span
    };
    let fraction = seconds.filter(is_flat).count() as f64 / count.max(1) as f64;
    (fraction > FLAT_FRACTION).then_some(Warning::Flat { fraction })
}

/// Whole numbers that float32 keeps exactly are as coarse as they were recorded, which is no fault of the offset.
fn rounded(samples: &[f32], low: f32, high: f32) -> Option<Warning> {
    let (level, span) = (high.max(-low), high - low);
    let coarse = span > 0.0 && span < level * f32::EPSILON * FEWEST_STEPS;
    let exact = || level <= EXACT && samples.iter().all(|sample| sample.fract() == 0.0);
    (coarse && !exact()).then_some(Warning::Rounded { level, span })
}

fn tiny(samples: &[f32], low: f32, high: f32) -> Option<Warning> {
    let count = samples.len() as f64;
    let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|sample| (f64::from(*sample) - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    (low < high && deviation < SMALLEST_DEVIATION).then_some(Warning::Tiny { deviation })
}
