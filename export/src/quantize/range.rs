//! From the numbers a value takes to its scale and zero point.

use std::ops::RangeInclusive;

/// How ranges are chosen, as the model card says it.
pub(super) const METHOD: &str = "least squared error over a histogram";

/// The most bins of a histogram.
const BINS: i64 = 4096;
/// Exponents of the widths of bins: f32 overflows beyond.
const EXPONENTS: RangeInclusive<i32> = -60..=116;
/// The parts of either end of the range that are tried, the whole of it first.
const SHARES: i32 = 29;
/// The smallest part that is tried.
const LEAST_SHARE: f64 = 0.3;
/// Values of INT8.
const LEVELS: f64 = 255.0;

/// The least and the greatest of some numbers. 0 to 0 when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Range {
    /// The least, at most 0.
    pub(super) low: f32,
    /// The greatest, at least 0.
    pub(super) high: f32,
}

/// How INT8 stands for a number: `x ≈ (q − zero_point) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) scale: f32,
    pub(super) zero_point: i8,
}

impl Step {
    /// For 0 to 1.
    pub(super) const PROBABILITY: Self = Self {
        scale: 1.0 / 255.0,
        zero_point: i8::MIN,
    };

    /// The 256 levels spread over `range`, 0 being one of them: what is padded with zeros stays exact.
    pub(super) fn asymmetric(range: Range) -> Self {
        let (low, high) = (f64::from(range.low.min(0.0)), f64::from(range.high.max(0.0)));
        let scale = ((high - low) / LEVELS) as f32;
        if !scale.is_normal() {
            return Self {
                scale: 1.0,
                zero_point: 0,
            };
        }
        let zero_point = (-128.0 - low / f64::from(scale)).round_ties_even();
        Self {
            scale,
            zero_point: zero_point.clamp(-128.0, 127.0) as i8,
        }
    }

    /// The 255 levels from −127 to 127 around zero.
    pub(super) fn symmetric(range: Range) -> Self {
        let scale = range.high.max(-range.low) / 127.0;
        Self {
            scale: if scale.is_normal() { scale } else { 1.0 },
            zero_point: 0,
        }
    }

    /// What is left of `x`.
    fn round_trip(self, x: f64) -> f64 {
        let (scale, zero_point) = (f64::from(self.scale), f64::from(self.zero_point));
        let level = ((x / scale).round_ties_even() + zero_point).clamp(-128.0, 127.0);
        (level - zero_point) * scale
    }
}

/// Counts of the numbers a value takes, in bins of a width that is a power of two and grows with the range.
///
/// It depends on the numbers alone, not on their order: a bin of twice the width is the sum of two.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    exponent: i32,
    /// The first bin covers `first · 2^exponent` up to `(first + 1) · 2^exponent`.
    first: i64,
    counts: Vec<u64>,
    range: Range,
}

impl Histogram {
    /// Counts every `stride`th of `numbers`; the range is that of all. `Err` with the first that is not finite.
    pub(super) fn add(&mut self, numbers: &[f32], stride: usize) -> Result<(), f32> {
        if let Some(&bad) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(bad);
        }
        let (low, high) = numbers
            .iter()
            .fold((0.0_f32, 0.0_f32), |(low, high), &x| (low.min(x), high.max(x)));
        self.range = Range {
            low: low.min(self.range.low),
            high: high.max(self.range.high),
        };
        self.cover();
        let scale = (-f64::from(self.exponent)).exp2();
        for &x in numbers.iter().step_by(stride.max(1)) {
            let index = (f64::from(x) * scale).floor() as i64 - self.first;
            if let Some(count) = usize::try_from(index).ok().and_then(|index| self.counts.get_mut(index)) {
                *count += 1;
            }
        }
        Ok(())
    }

    /// The least and the greatest.
    pub(super) fn range(&self) -> Range {
        self.range
    }

    /// The range, within [`Histogram::range`], over which 256 levels give the least squared error.
    pub(super) fn best(&self) -> Range {
        let bins: Vec<(f64, f64)> = (self.first..)
            .zip(&self.counts)
            .filter(|(_, count)| **count > 0)
            .map(|(index, &count)| ((index as f64 + 0.5) * f64::from(self.exponent).exp2(), count as f64))
            .collect();
        let shares = (0..SHARES).map(|index| 1.0 - f64::from(index) / f64::from(SHARES - 1) * (1.0 - LEAST_SHARE));
        let ends = |end: f32| -> Vec<f32> {
            if end == 0.0 {
                vec![0.0]
            } else {
                shares.clone().map(|share| (f64::from(end) * share) as f32).collect()
            }
        };
        let (lows, highs) = (ends(self.range.low), ends(self.range.high));
        let candidates = lows
            .iter()
            .flat_map(|&low| highs.iter().map(move |&high| Range { low, high }));
        let error = |range: Range| -> f64 {
            let step = Step::asymmetric(range);
            bins.iter()
                .map(|&(x, count)| count * (step.round_trip(x) - x).powi(2))
                .sum()
        };
        candidates
            .map(|range| (error(range), range))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map_or(self.range, |(_, range)| range)
    }

    /// Makes the bins cover the range.
    fn cover(&mut self) {
        let ends = |exponent: i32| {
            let scale = (-f64::from(exponent)).exp2();
            [self.range.low, self.range.high].map(|x| (f64::from(x) * scale).floor())
        };
        let mut exponent = if self.counts.is_empty() {
            *EXPONENTS.start()
        } else {
            self.exponent
        };
        // In floating point: at the smallest widths the ends are beyond 64 bits.
        while ends(exponent)[1] - ends(exponent)[0] >= BINS as f64 && exponent < *EXPONENTS.end() {
            exponent += 1;
        }
        let [first, last] = ends(exponent).map(|end| end as i64);
        let mut counts = vec![0; usize::try_from(last - first + 1).unwrap_or(1)];
        for (index, count) in (self.first..).zip(&self.counts) {
            let shift = exponent.abs_diff(self.exponent).min(i64::BITS - 1);
            let index = (index >> shift) - first;
            if let Some(sum) = usize::try_from(index).ok().and_then(|index| counts.get_mut(index)) {
                *sum += count;
            }
        }
        (self.exponent, self.first, self.counts) = (exponent, first, counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(parts: &[&[f32]]) -> Histogram {
        let mut histogram = Histogram::default();
        parts.iter().for_each(|part| histogram.add(part, 1).unwrap());
        histogram
    }

    #[test]
    fn zero_is_a_level() {
        for range in [(-0.17, 2.9), (-15.9, 4.2), (0.0, 3.0), (-3.0, 0.0), (-1e-6, 1e6)] {
            let (low, high) = range;
            let step = Step::asymmetric(Range { low, high });
            assert_eq!(step.round_trip(0.0), 0.0, "{range:?}");
            for x in [low, high, 0.3 * low, 0.7 * high].map(f64::from) {
                assert!(
                    (step.round_trip(x) - x).abs() <= 0.51 * f64::from(step.scale),
                    "{x} of {range:?}"
                );
            }
        }
        assert_eq!(
            Step::asymmetric(Range::default()),
            Step {
                scale: 1.0,
                zero_point: 0
            }
        );
        assert_eq!(
            Step::symmetric(Range { low: -2.54, high: 1.0 }),
            Step {
                scale: 0.02,
                zero_point: 0
            }
        );
        assert_eq!(Step::PROBABILITY, Step::asymmetric(Range { low: 0.0, high: 1.0 }));
    }

    #[test]
    fn order_and_parts_do_not_matter() {
        let numbers: Vec<f32> = (0..5000)
            .map(|index| ((index * 7919 % 5000) as f32 - 1700.0) * 0.37)
            .collect();
        let (left, right) = numbers.split_at(1234);
        let reversed: Vec<f32> = numbers.iter().rev().copied().collect();
        let whole = histogram(&[&numbers]);
        assert_eq!(whole, histogram(&[left, right]));
        assert_eq!(whole, histogram(&[&reversed]));
        assert_eq!(whole, histogram(&[&[1e-9], &numbers]).clone_without(&[1e-9]));
        assert_eq!(whole.counts.iter().sum::<u64>(), 5000);
        assert!(whole.counts.len() as i64 <= BINS && whole.counts.len() as i64 > BINS / 4);
    }

    impl Histogram {
        /// The same without numbers that it counted and that do not reach its ends.
        fn clone_without(&self, numbers: &[f32]) -> Self {
            let mut copy = self.clone();
            for &x in numbers {
                let index = (f64::from(x) * (-f64::from(self.exponent)).exp2()).floor() as i64 - self.first;
                copy.counts[index as usize] -= 1;
            }
            copy
        }
    }

    #[test]
    fn what_is_not_finite_is_named() {
        assert!(Histogram::default().add(&[0.0, f32::NAN], 1).unwrap_err().is_nan());
        assert_eq!(Histogram::default().add(&[f32::INFINITY], 7), Err(f32::INFINITY));
        let mut extreme = Histogram::default();
        extreme.add(&[f32::MIN, f32::MAX, 1e-45], 1).unwrap();
        assert_eq!(extreme.counts.iter().sum::<u64>(), 3);
        let mut zero_first = Histogram::default();
        zero_first.add(&[0.0, 1e-30, -1e-30], 1).unwrap();
        zero_first.add(&[f32::MIN, f32::MAX, 1e-45], 1).unwrap();
        assert_eq!(zero_first.counts.iter().sum::<u64>(), 6);
    }

    /// One number in a million far away: clipping it costs less than the wide steps would.
    #[test]
    fn a_rare_outlier_is_clipped_and_a_common_one_is_not() {
        let mut numbers: Vec<f32> = (0..1_000_000).map(|index| (index % 1000) as f32 / 1000.0).collect();
        numbers.push(1.5);
        assert!(histogram(&[&numbers]).best().high < 1.2);
        numbers.extend(vec![1.5; 10_000]);
        assert!(histogram(&[&numbers]).best().high > 1.45);
        let best = histogram(&[&[0.0, 0.0]]).best();
        assert_eq!(best, Range::default());
    }
}
