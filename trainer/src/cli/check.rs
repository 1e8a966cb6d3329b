//! A data set that is read as a stream, read once before the first epoch.

use super::progress;
use crate::data::Shard;
use crate::error::TrainerError;
use crate::train::{Records, interrupt};
use std::ops::ControlFlow;

/// The records, if this process's share of their files is whole: damaged ones are named before anything is trained. A data set
/// in memory has been read.
pub(super) fn check(records: Records, shard: Shard, quiet: bool) -> Result<Records, TrainerError> {
    let bar = progress::bar("checking files {bar:20} {pos}/{len}  left: {eta}", quiet);
    let checked = records.source.check(shard, &mut |done, units| {
        bar.set_length(units as u64);
        bar.set_position(done as u64);
        match interrupt::requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    bar.finish_and_clear();
    match checked? {
        ControlFlow::Break(()) => Err(TrainerError::NotBegun),
        ControlFlow::Continue(()) => Ok(records),
    }
}
