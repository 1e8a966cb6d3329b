//! Which part of each segment is taken.

use super::mt19937::Mt19937;
use crate::random::Rng;
use std::ops::Range;

/// The fewest samples of a crop, at 250 Hz.
const MIN_LENGTH: u32 = 10_800;
/// No crop is as long; nor is one begun within so many samples of a segment's end.
pub(super) const MAX_LENGTH: u32 = 21_600;
/// What the published code seeds the generator of every file with.
const PUBLISHED_SEED: u64 = 1904;

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Its first sample.
    pub start: u32,
    /// How many samples it has.
    pub length: u32,
}

impl Crop {
    /// Whether an annotated position counts: one behind the last sample does.
    pub(super) fn contains(&self, position: i64) -> bool {
        let start = i64::from(self.start);
        (start..=start + i64::from(self.length)).contains(&position)
    }

    /// Its samples.
    pub(super) fn range(&self) -> Range<u64> {
        u64::from(self.start)..u64::from(self.start) + u64::from(self.length)
    }
}

/// What decides the crops of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// The published ones: the same in every epoch and in all files of as many segments of the same length.
    Published,
    /// Others for every seed, epoch and patient.
    Fresh {
        /// The seed of the run.
        seed: u64,
        /// The epoch.
        epoch: u64,
        /// The number of the patient.
        patient: u32,
    },
    /// Every segment from its first sample to its last, to see that any crop of it could be taken.
    Whole,
}

impl Draws {
    /// Crops of `segments` segments of `samples` samples, of which there are more than 21 600: all starts are drawn, then
    /// all lengths.
    pub fn crops(self, segments: usize, samples: u32) -> Vec<Crop> {
        let last = samples.saturating_sub(MAX_LENGTH);
        let whole = Crop {
            start: 0,
            length: samples,
        };
        let mut draw: Box<dyn FnMut(u32, u32) -> u32> = match self {
            Self::Published => {
                let mut generator = Mt19937::new(PUBLISHED_SEED);
                Box::new(move |low, high| generator.integer(low, high))
            }
            Self::Fresh { seed, epoch, patient } => {
                let mut rng = Rng::for_record(seed, epoch, u64::from(patient));
                Box::new(move |low, high| low + rng.below((high - low) as usize) as u32)
            }
            Self::Whole => return vec![whole; segments],
        };
        let starts: Vec<u32> = (0..segments).map(|_| draw(0, last)).collect();
        let crop = |start| Crop {
            start,
            length: draw(MIN_LENGTH, MAX_LENGTH),
        };
        starts.into_iter().map(crop).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_lie_within_their_segment_and_fresh_ones_differ() {
        let fresh = |seed, epoch, patient| Draws::Fresh { seed, epoch, patient };
        let draws = [
            fresh(1, 1, 1),
            fresh(2, 1, 1),
            fresh(1, 2, 1),
            fresh(1, 1, 2),
            Draws::Published,
        ];
        let crops = draws.map(|draws| draws.crops(50, 30_000));
        for (index, one) in crops.iter().enumerate() {
            assert_eq!(one.len(), 50);
            assert!(
                one.iter()
                    .all(|crop| crop.range().end < 30_000 && crop.length >= 10_800)
            );
            assert!(crops[..index].iter().all(|other| other != one));
        }
        assert_eq!(crops[0], draws[0].crops(50, 30_000));
    }

    #[test]
    fn both_ends_of_a_crop_count() {
        let crop = Crop { start: 100, length: 50 };
        let found = [99, 100, 150, 151, -1, i64::MAX].map(|position| crop.contains(position));
        assert_eq!(found, [false, true, true, false, false, false]);
    }
}
