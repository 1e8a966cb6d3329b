//! What a run tells while it goes on.

use crate::logs::EpochRecord;
use std::ops::ControlFlow;

/// Hears what a run is doing, for a progress bar.
pub trait Report {
    /// An epoch of this many batches begins, the first `done` of which are done already.
    fn epoch(&mut self, epoch: usize, epochs: usize, batches: usize, done: usize) {
        let _ = (epoch, epochs, batches, done);
    }
    /// A batch is done; `loss` is the epoch's mean so far. `Break` ends the run here.
    fn batch(&mut self, loss: f64) -> ControlFlow<()>;
    /// The validation is at this record.
    fn validating(&mut self, record: usize, records: usize) {
        let _ = (record, records);
    }
    /// An epoch is done.
    fn finished(&mut self, record: &EpochRecord, best: Option<(f64, usize)>) {
        let _ = (record, best);
    }
}
