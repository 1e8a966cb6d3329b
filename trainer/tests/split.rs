//! Published splits, and those in a file.

use dualnet_fixtures::records_dir;
use dualnet_trainer::data::{DataError, Dataset, Label, Recording, Split};
use dualnet_trainer::train::{Records, TrainOptions};
use std::collections::HashSet;

#[test]
fn the_published_splits_divide_their_data_sets() {
    for (name, train, validation) in [
        ("paper", 7000, 1528),
        ("challenge", 8028, 500),
        ("course6000", 5000, 1000),
    ] {
        let split = Split::named(name).unwrap();
        assert_eq!(
            (split.train.len(), split.validation.len()),
            (train, validation),
            "{name}"
        );
        let all: HashSet<u32> = split.train.iter().chain(&split.validation).copied().collect();
        assert_eq!(all, (0..(train + validation) as u32).collect(), "{name}");
    }
    assert_eq!(Split::named("paper").unwrap().train[..3], [2609, 4957, 7591]);
    assert_eq!(Split::NAMES.map(|name| Split::named(name).unwrap().name), Split::NAMES);
    assert!(matches!(Split::named("papers"), Err(DataError::UnknownSplit { .. })));
}

#[test]
fn faulty_splits_are_refused() {
    for (text, expected) in [
        ("", "no line that begins with \"train\""),
        ("train 0 1\n", "no line that begins with \"validation\""),
        ("train 0 1\nvalidation\n", "validation is empty"),
        ("train\nvalidation 1\n", "train is empty"),
        ("train 0 1\nvalidation 1\n", "index 1 is named twice"),
        ("train 0 5 0\nvalidation 1\n", "index 0 is named twice"),
        ("train 0\nvalidation 7 1 7\n", "index 7 is named twice"),
        (
            "train 4294967295\nvalidation 4294967295\n",
            "index 4294967295 is named twice",
        ),
        (
            "train 4294967296\nvalidation 1\n",
            "train: \"4294967296\" is not an index",
        ),
        ("train 0 -1\nvalidation 1\n", "train: \"-1\" is not an index"),
        ("train 0\nvalidation 1\ntest 2\n", "more than two lines"),
    ] {
        assert_eq!(
            Split::parse("mine", text).unwrap_err().to_string(),
            format!("split mine: {expected}")
        );
    }
}

#[test]
fn the_lines_of_a_split_may_stand_in_any_order() {
    let split = Split::parse("mine", "validation 7\ntrain 3 1\n").unwrap();
    assert_eq!((split.train, split.validation), (vec![3, 1], vec![7]));
}

#[test]
fn a_file_that_cannot_be_read_is_not_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().to_str().unwrap();
    let refused = Split::find(name).unwrap_err().to_string();
    assert!(
        refused.starts_with(&format!("split {name}: it cannot be read: ")),
        "{refused}"
    );
    let text = folder.path().join("latin-1.txt");
    std::fs::write(&text, b"train 0\nvalidation \xe9\n").unwrap();
    let refused = Split::find(text.to_str().unwrap()).unwrap_err().to_string();
    assert!(refused.contains("it cannot be read: "), "{refused}");
    let endless = Split::find("/dev/zero").unwrap_err().to_string();
    assert!(endless.contains("longer than 16777216 bytes"), "{endless}");
    let missing = folder.path().join("missing.txt");
    assert!(matches!(
        Split::find(missing.to_str().unwrap()),
        Err(DataError::UnknownSplit { .. })
    ));
}

/// The 22 fixture records with this split in a file.
fn open(split: &str) -> Result<Records, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.txt");
    std::fs::write(&path, split).unwrap();
    let options = TrainOptions {
        split: path.to_str().unwrap().to_owned(),
        ..TrainOptions::default()
    };
    Records::open(&options, &records_dir(), 1).map_err(|error| error.to_string())
}

#[test]
fn a_split_in_a_file_may_leave_records_out() {
    let records = open("train 20 3 7 11\nvalidation 21 0\n").unwrap();
    assert_eq!(records.split.train, [20, 3, 7, 11]);
    assert_eq!(records.split.validation, [21, 0]);
    assert_eq!(records.choice(), [21, 0]);
    assert_eq!(records.split.records(), 6);
    assert_eq!(records.dataset.unwrap().recordings.len(), 22);
}

/// Whatever the index: one that is not there or is named twice.
#[test]
fn a_split_in_a_file_is_refused_before_anything_is_trained() {
    for (split, expected) in [
        (
            "train 0 22 30\nvalidation 1\n",
            "index 22 is outside the data set of 22 records",
        ),
        (
            "train 0\nvalidation 1 4294967295\n",
            "index 4294967295 is outside the data set of 22 records",
        ),
        ("train 0 1\nvalidation 2 1\n", "index 1 is named twice"),
    ] {
        let message = open(split).unwrap_err();
        assert!(message.starts_with("split "), "{message}");
        assert!(message.ends_with(&format!("part.txt: {expected}")), "{message}");
    }
}

#[test]
fn a_published_split_divides_the_whole_of_its_data_set_in_its_order() {
    let recording = Recording {
        name: String::new(),
        label: Label::ALL[0],
        samples: Vec::new(),
    };
    let order = |names: [&str; 8528]| {
        let named = |name: &str| Recording {
            name: name.to_owned(),
            ..recording.clone()
        };
        let dataset = Dataset {
            recordings: names.map(named).to_vec(),
        };
        Split::named("paper")
            .unwrap()
            .check(&dataset)
            .map_err(|error| error.to_string())
    };
    let mut names = ["A1"; 8528];
    names[8000..].fill("A2");
    assert_eq!(order(names), Ok(()));
    names[8100] = "A1";
    let message = order(names).unwrap_err();
    assert!(
        message.starts_with("split paper: ") && message.ends_with("here A1 comes after A2"),
        "{message}"
    );
    let check = |name: &str, records: usize| {
        let dataset = Dataset {
            recordings: vec![recording.clone(); records],
        };
        let checked = Split::named(name).unwrap().check(&dataset);
        checked.map_err(|error| error.to_string())
    };
    for (name, records) in [("paper", 8528), ("challenge", 8528), ("course6000", 6000)] {
        assert_eq!(check(name, records), Ok(()));
        for other in [3, records - 1, records + 1] {
            let message = format!("split {name} divides {records} records; the data set has {other}");
            assert_eq!(check(name, other), Err(message));
        }
    }
}
