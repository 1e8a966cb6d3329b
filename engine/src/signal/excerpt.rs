//! Parts of a lead that a network reads one by one.

use std::ops::Range;

use super::MAX_SAMPLES;

/// The shortest part that is read by itself, in samples at 300 Hz: 9 s, as long as the shortest recordings the networks learned.
const SHORTEST: usize = 2_700;

/// How much of a lead a part is: chosen among 50 to 85 on records that the networks had not learned.
const PERCENT: usize = 85;

/// A part of a lead. What lies at its ends, and where the beats fall among windows and frames, differs from part to part; the mean of what a
/// well-trained network says of several parts is right a little more often than what it says of the whole
/// (`benches/results/excerpts-2026-11-28.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excerpt {
    /// All that is classified: the first 60 s.
    Whole,
    /// 85 % of that, from its beginning.
    Beginning,
    /// 85 % of that, to its end.
    End,
}

impl Excerpt {
    /// What is read of a lead, in its order.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Beginning, Self::End];

    /// What is read of a record: every excerpt, or the whole alone.
    pub fn of_record(in_excerpts: bool) -> &'static [Self] {
        match in_excerpts {
            true => &Self::ALL,
            false => &[Self::Whole],
        }
    }

    /// Where it lies in a lead of `samples` samples at 300 Hz. No part is shorter than 9 s, unless the lead is.
    pub fn range(self, samples: usize) -> Range<usize> {
        let whole = samples.min(MAX_SAMPLES);
        let part = (whole * PERCENT).div_ceil(100).max(SHORTEST.min(whole));
        match self {
            Self::Whole => 0..whole,
            Self::Beginning => 0..part,
            Self::End => whole - part..whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_most_of_what_is_classified_and_at_least_nine_seconds() {
        for (samples, whole, beginning, end) in [
            (9_000, 0..9_000, 0..7_650, 1_350..9_000),
            (9_001, 0..9_001, 0..7_651, 1_350..9_001),
            (100_000, 0..18_000, 0..15_300, 2_700..18_000),
            (3_000, 0..3_000, 0..2_700, 300..3_000),
            (2_700, 0..2_700, 0..2_700, 0..2_700),
            (600, 0..600, 0..600, 0..600),
            (0, 0..0, 0..0, 0..0),
        ] {
            let ranges = Excerpt::ALL.map(|excerpt| excerpt.range(samples));
            assert_eq!(ranges, [whole, beginning, end], "{samples}");
        }
    }
}
