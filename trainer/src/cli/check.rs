//! A data set that is read as a stream, read once before the first epoch.

use crate::data::Shard;
use crate::error::TrainerError;
use crate::train::{Records, interrupt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ops::ControlFlow;

/// The records, if this process's share of their files is whole: damaged ones are named before anything is trained. A data set
/// in memory has been read.
pub(super) fn check(records: Records, shard: Shard, quiet: bool) -> Result<Records, TrainerError> {
    let style = ProgressStyle::with_template("checking files {bar:20} {pos}/{len}  left: {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let target = match quiet {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr_with_hz(4),
    };
    let bar = ProgressBar::with_draw_target(None, target).with_style(style);
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
