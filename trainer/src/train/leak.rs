//! Whether a network may know the records that something is measured on.

use super::lineage::ancestors;
use super::{Records, TrainOptions};
use crate::data::{KnownDataset, Split, regular};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

/// The data set of labelled records that a network says it was trained on; `None` where it says nothing, or was trained on Icentia11k, whose segments no
/// other data set has.
fn data_set_of_records(training: &Value) -> Option<&str> {
    let dataset = training["options"]["dataset"].as_str()?;
    (dataset != KnownDataset::Icentia11k.name()).then_some(dataset)
}

/// A data set of labelled records that a network or one that it goes back to was trained on.
pub(crate) fn data_set_known_to(training: &Value) -> Option<&str> {
    std::iter::once(training)
        .chain(ancestors(training))
        .find_map(data_set_of_records)
}

/// As [`leak`], of a network that may say nothing of its training, or was trained on Icentia11k: what counts is what it and those that it goes back
/// to say of labelled records.
pub(crate) fn stated_leak(training: &Value, options: &TrainOptions, records: &Records) -> Option<String> {
    let own = data_set_of_records(training).and_then(|_| leak_of(training, options, records));
    own.or_else(|| leak_of_ancestors(training, options, records))
}

/// Why a network trained so may have learned what a run of these options measures itself on, if it may, itself or through a network that it goes
/// back to; `records` are those of the run, the held-back ones told apart.
pub(super) fn leak(training: &Value, options: &TrainOptions, records: &Records) -> Option<String> {
    leak_of(training, options, records).or_else(|| leak_of_ancestors(training, options, records))
}

fn leak_of_ancestors(training: &Value, options: &TrainOptions, records: &Records) -> Option<String> {
    let mut known = ancestors(training).filter(|training| data_set_of_records(training).is_some());
    let reason = known.find_map(|training| leak_of(training, options, records))?;
    Some(format!("goes back to a network that {reason}"))
}

fn leak_of(training: &Value, options: &TrainOptions, records: &Records) -> Option<String> {
    let theirs = |name: &str| &training["options"][name];
    let split = theirs("split").as_str().unwrap_or("that it does not state");
    let is_of_data_set = *theirs("dataset") == options.dataset.name();
    let may_know = match learned(training, records).filter(|_| is_of_data_set) {
        Some(learned) => records.split.validation.iter().any(|record| learned.contains(record)),
        None if is_of_data_set && split == options.split && Split::NAMES.contains(&split) => false,
        None => training["validation_digest"] != records.validation_digest(),
    };
    if may_know && !records.split.validation.is_empty() {
        return Some(format!(
            "was trained on the split {split}, and the validation records of {} may be among its training records",
            options.split
        ));
    }
    let holds_back_the_same =
        *theirs("hold_back") == options.hold_back && training["records_digest"] == records.digest();
    (options.hold_back > 0.0 && !holds_back_the_same).then(|| {
        format!(
            "was not trained with --hold-back {} --seed {} on the same records and labels: the records that choose this run's best epoch are among its training records",
            options.hold_back, options.seed
        )
    })
}

/// The records of this data set that trained a network: those of its split, where that is a published one of as many records, or is in a file that
/// still says what it said then.
fn learned(training: &Value, records: &Records) -> Option<HashSet<u32>> {
    let options = &training["options"];
    let name = options["split"].as_str()?;
    let dataset = records.dataset.as_ref()?;
    if !Split::NAMES.contains(&name) {
        // A file's name that a checkpoint brings along may be that of a pipe here.
        regular::check(Path::new(name)).ok()?;
    }
    let split = Split::find(name).ok()?;
    split.check(dataset).ok()?;
    let is_the_same = || {
        let theirs = TrainOptions {
            limit: options["limit"].as_u64().map(|limit| limit as usize),
            hold_back: options["hold_back"].as_f64()?,
            seed: options["seed"].as_u64()?,
            ..TrainOptions::default()
        };
        let then = Records {
            split: split.clone(),
            held_back: None,
            ..records.clone()
        };
        Some(training["records_digest"] == then.restrict(&theirs).ok()?.digest())
    };
    let is_known = Split::NAMES.contains(&name) || is_the_same() == Some(true);
    is_known.then(|| split.train.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Label, Recording};
    use serde_json::json;
    use std::sync::Arc;

    /// As many recordings as were released, in a division of a file.
    fn records(train: Vec<u32>, validation: Vec<u32>) -> Records {
        let recording = |index: u32| Recording {
            name: format!("A{:05}", index + 1),
            label: Label::ALL[index as usize % 4],
            samples: Vec::new(),
        };
        let dataset = Dataset {
            recordings: (0..8528).map(recording).collect(),
        };
        let split = Split {
            name: "file.txt".to_owned(),
            train,
            validation,
        };
        Records::new(Arc::new(dataset), split, 1)
    }

    fn options(split: &str) -> TrainOptions {
        TrainOptions {
            split: split.to_owned(),
            ..TrainOptions::default()
        }
    }

    #[test]
    fn records_that_validate_must_not_be_among_those_that_trained() {
        let paper = Split::named("paper").expect("a split");
        let of_paper = json!({ "options": options("paper"), "validation_digest": "0123456789abcdef" });
        let inside = records(paper.train[..9].to_vec(), paper.validation[..9].to_vec());
        assert_eq!(leak(&of_paper, &options("file.txt"), &inside), None);
        let outside = records(paper.validation[..9].to_vec(), paper.train[..9].to_vec());
        let reason = leak(&of_paper, &options("file.txt"), &outside).expect("a leak");
        assert!(
            reason.contains("trained on the split paper") && reason.contains("file.txt"),
            "{reason}"
        );

        // Of a file nothing is known but which records validated.
        let of_file = json!({ "options": options("file.txt"), "validation_digest": inside.validation_digest() });
        assert_eq!(leak(&of_file, &options("copy.txt"), &inside), None);
        leak(&of_file, &options("copy.txt"), &outside).expect("a leak");
        // Nor through what it goes back to, or began from on other data.
        let of_segments = json!({
            "options": TrainOptions { dataset: KnownDataset::Icentia11k, ..options("paper") },
            "goes_back_to": [of_paper],
        });
        assert_eq!(stated_leak(&of_segments, &options("file.txt"), &inside), None);
        let reason = stated_leak(&of_segments, &options("file.txt"), &outside).expect("a leak");
        assert!(
            reason.starts_with("goes back to a network that was trained on the split paper"),
            "{reason}"
        );
        assert_eq!(data_set_known_to(&of_segments), Some("physionet"));
        assert_eq!(
            data_set_known_to(&json!({ "options": { "dataset": KnownDataset::Icentia11k } })),
            None
        );
        let nothing = records(paper.train, Vec::new());
        assert_eq!(leak(&of_file, &options("copy.txt"), &nothing), None);
    }

    #[test]
    fn records_that_choose_an_epoch_must_have_been_held_back() {
        let paper = Split::named("paper").expect("a split");
        let mut ours = records(paper.train[9..].to_vec(), paper.validation);
        ours.held_back = Some(paper.train[..9].to_vec());
        let options = TrainOptions {
            hold_back: 0.1,
            ..options("paper")
        };
        let training = |digest: &str| json!({ "options": options, "records_digest": digest });
        assert_eq!(leak(&training(&ours.digest()), &options, &ours), None);
        let reason = leak(&training("0123456789abcdef"), &options, &ours).expect("a leak");
        assert!(reason.contains("--hold-back 0.1 --seed 0"), "{reason}");
    }
}
