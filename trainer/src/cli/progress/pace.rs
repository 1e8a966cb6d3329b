//! How fast a run goes, and how long it will take.

use std::time::{Duration, Instant};

/// How much the newest batch counts in the mean time of a batch.
const WEIGHT: f64 = 0.05;

/// The time of batches, and of what comes after the last batch of an epoch: validation and checkpoints.
#[derive(Debug, Default)]
pub(super) struct Pace {
    previous: Option<Instant>,
    batches: u32,
    seconds_per_batch: f64,
    seconds_between_epochs: f64,
}

impl Pace {
    /// The first batch of an epoch is awaited.
    pub(super) fn begin_epoch(&mut self, now: Instant) {
        self.previous = Some(now);
    }

    /// A batch is done.
    pub(super) fn batch(&mut self, now: Instant) {
        let seconds = self.since_previous(now);
        self.batches = self.batches.saturating_add(1);
        let weight = WEIGHT.max(1.0 / f64::from(self.batches));
        self.seconds_per_batch += weight * (seconds - self.seconds_per_batch);
    }

    /// The epoch is done, validation included.
    pub(super) fn end_epoch(&mut self, now: Instant) {
        self.seconds_between_epochs = self.since_previous(now);
    }

    /// `None` before the first batch.
    pub(super) fn batches_per_second(&self) -> Option<f64> {
        (self.seconds_per_batch > 0.0).then(|| 1.0 / self.seconds_per_batch)
    }

    /// The time for `left` batches of this epoch and for `epochs` more of `batches` each, as far as it can be foreseen.
    pub(super) fn remaining(&self, left: usize, epochs: usize, batches: usize) -> Option<Duration> {
        self.batches_per_second()?;
        let epoch = batches as f64 * self.seconds_per_batch + self.seconds_between_epochs;
        let seconds = left as f64 * self.seconds_per_batch + self.seconds_between_epochs + epochs as f64 * epoch;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn since_previous(&mut self, now: Instant) -> f64 {
        let previous = self.previous.replace(now).unwrap_or(now);
        now.saturating_duration_since(previous).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_batches_are_foreseen_exactly() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.remaining(10, 10, 10), None);
        pace.begin_epoch(at(0));
        for batch in 1..=5 {
            pace.batch(at(2 * batch));
        }
        assert_eq!(pace.batches_per_second(), Some(0.5));
        assert_eq!(pace.remaining(5, 2, 10), Some(Duration::from_secs(50)));
        pace.end_epoch(at(13));
        pace.begin_epoch(at(13));
        // Each of the three epochs ends with the three seconds that the first one took.
        assert_eq!(pace.remaining(10, 2, 10), Some(Duration::from_secs(69)));
        assert_eq!(
            pace.remaining(usize::MAX, usize::MAX, usize::MAX),
            None,
            "longer than a duration"
        );
    }

    #[test]
    fn the_pace_follows_a_change() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.begin_epoch(start);
        let mut now = start;
        for batch in 0..200 {
            now += Duration::from_secs(if batch < 100 { 1 } else { 4 });
            pace.batch(now);
        }
        let seconds = 1.0 / pace.batches_per_second().expect("a pace");
        assert!((3.9..4.0).contains(&seconds), "{seconds}");
    }
}
