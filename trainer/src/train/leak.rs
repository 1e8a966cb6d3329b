//! Whether a network may know the records that something is measured on.

use super::{Records, TrainOptions};
use crate::data::Split;
use serde_json::Value;

/// Why a network trained so may have learned what a run of these options measures itself on, if it may.
pub(crate) fn leak(training: &Value, options: &TrainOptions, records: &Records) -> Option<String> {
    let theirs = |name: &str| &training["options"][name];
    let split = theirs("split").as_str().unwrap_or("that it does not state");
    let is_published =
        Split::NAMES.contains(&split) && split == options.split && *theirs("dataset") == *options.dataset;
    if !is_published && training["validation_digest"] != records.validation_digest() {
        return Some(format!(
            "was trained on the split {split}, and the validation records of {} may be among its training records",
            options.split
        ));
    }
    let holds_back_the_same = *theirs("hold_back") == options.hold_back && *theirs("seed") == options.seed;
    (options.hold_back > 0.0 && !holds_back_the_same).then(|| {
        format!(
            "was not trained with --hold-back {} --seed {}: the records that choose this run's best epoch are among its training records",
            options.hold_back, options.seed
        )
    })
}
