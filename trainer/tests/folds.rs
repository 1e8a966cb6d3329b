//! Folds and held-back records: every record once, labels spread evenly, recordings of the same samples together.

use std::collections::HashMap;

use dualnet_fixtures::{data_dir, records_dir};
use dualnet_trainer::data::{DataError, Dataset, Label, Labels, Recording, physionet};
use dualnet_trainer::folds::{folds, hold_back, subset};
use proptest::collection::vec;
use proptest::prelude::*;

/// Recordings (label, content): equal contents are the same samples, and most contents are different.
fn dataset(records: &[(usize, u16)]) -> Dataset {
    let recording = |(index, &(label, content)): (usize, &(usize, u16))| Recording {
        name: format!("R{index}"),
        label: Label::ALL[label % 4],
        samples: vec![f32::from(content); 3 + usize::from(content % 2) * 40],
    };
    Dataset {
        recordings: records.iter().enumerate().map(recording).collect(),
    }
}

/// The sizes of the groups of two and more equal recordings.
fn group_sizes(dataset: &Dataset) -> Vec<usize> {
    let mut sizes: HashMap<Vec<u32>, usize> = HashMap::new();
    for recording in &dataset.recordings {
        *sizes
            .entry(recording.samples.iter().map(|s| s.to_bits()).collect())
            .or_default() += 1;
    }
    sizes.into_values().filter(|&size| size > 1).collect()
}

fn counts(dataset: &Dataset, part: &[u32]) -> [usize; 4] {
    subset(dataset, part).expect("indices of the data set").label_counts()
}

fn part_of(parts: &[Vec<u32>], records: usize) -> Vec<usize> {
    let mut part_of = vec![usize::MAX; records];
    for (part, list) in parts.iter().enumerate() {
        for &record in list {
            assert_eq!(part_of[record as usize], usize::MAX, "record {record} is in two parts");
            part_of[record as usize] = part;
        }
    }
    assert!(part_of.iter().all(|&part| part != usize::MAX), "a record is in no part");
    part_of
}

fn assert_groups_together(dataset: &Dataset, part_of: &[usize]) {
    for (a, first) in dataset.recordings.iter().enumerate() {
        for (b, second) in dataset.recordings.iter().enumerate().skip(a + 1) {
            assert!(
                first.samples != second.samples || part_of[a] == part_of[b],
                "{a} and {b}"
            );
        }
    }
}

/// Records of which few, many or all are alike.
fn records() -> impl Strategy<Value = Vec<(usize, u16)>> {
    prop_oneof![
        vec((0..4_usize, any::<u16>()), 12..120),
        vec((0..4_usize, 0..60_u16), 12..120),
        (0..4_usize).prop_flat_map(|label| vec((Just(label), any::<u16>()), 12..60)),
    ]
}

proptest! {
    #[test]
    fn folds_hold_every_record_once_and_are_even(records in records(), count in 2..7_usize, seed in any::<u64>()) {
        let dataset = dataset(&records);
        let Ok(parts) = folds(&dataset, count, seed) else {
            // Only when so few recordings differ.
            let sizes = group_sizes(&dataset);
            prop_assert!(records.len() - sizes.iter().sum::<usize>() + sizes.len() < count);
            return Ok(());
        };
        prop_assert_eq!(parts.len(), count);
        let part_of = part_of(&parts, records.len());
        assert_groups_together(&dataset, &part_of);
        prop_assert!(parts.iter().all(|part| part.is_sorted()));
        // What all groups together hold bounds what they can unbalance.
        let slack: usize = group_sizes(&dataset).iter().sum();
        for label in 0..4 {
            let of_label: Vec<usize> = parts.iter().map(|part| counts(&dataset, part)[label]).collect();
            let spread = of_label.iter().max().unwrap() - of_label.iter().min().unwrap();
            prop_assert!(spread <= 1 + slack, "label {}: {:?}", label, of_label);
        }
        prop_assert_eq!(folds(&dataset, count, seed).unwrap(), parts);
    }

    #[test]
    fn what_is_held_back_is_a_share_of_every_label(
        records in records(), fraction in 0.02..0.6_f64, seed in any::<u64>(), skip in 0..5_usize,
    ) {
        let dataset = dataset(&records);
        let indices: Vec<u32> = (skip as u32..records.len() as u32).rev().collect();
        let Ok((train, held)) = hold_back(&dataset, &indices, fraction, seed) else {
            // Only when groups are so many that no single record is left to hold back.
            prop_assert!(!group_sizes(&dataset).is_empty());
            return Ok(());
        };
        prop_assert_eq!(train.len() + held.len(), indices.len());
        prop_assert!(train.iter().rev().is_sorted() && held.iter().rev().is_sorted());
        let mut part_of = vec![2; records.len()];
        train.iter().for_each(|&record| part_of[record as usize] = 0);
        held.iter().for_each(|&record| part_of[record as usize] = 1);
        let slack: usize = group_sizes(&dataset).iter().sum();
        let (all, held_counts) = (counts(&dataset, &indices), counts(&dataset, &held));
        for label in 0..4 {
            let exact = all[label] as f64 * fraction;
            prop_assert!(held_counts[label] as f64 - exact < 1.0, "label {}: {} of {}", label, held_counts[label], exact);
            prop_assert!(exact - held_counts[label] as f64 <= 1.0 + slack as f64);
        }
        for (a, first) in indices.iter().enumerate() {
            for second in &indices[a + 1..] {
                let (first, second) = (*first as usize, *second as usize);
                let alike = dataset.recordings[first].samples == dataset.recordings[second].samples;
                prop_assert!(!alike || part_of[first] == part_of[second]);
            }
        }
    }
}

#[test]
fn another_seed_gives_other_folds_and_other_records_held_back() {
    let records: Vec<(usize, u16)> = (0..100).map(|index| (index % 4, index as u16)).collect();
    let dataset = dataset(&records);
    assert_ne!(folds(&dataset, 5, 0).unwrap(), folds(&dataset, 5, 1).unwrap());
    let indices: Vec<u32> = (0..100).collect();
    let held = |seed| hold_back(&dataset, &indices, 0.2, seed).unwrap().1;
    assert_ne!(held(0), held(1));
    assert_eq!(counts(&dataset, &held(0)), [5; 4]);
}

#[test]
fn what_cannot_be_divided_is_an_error() {
    let dataset = dataset(&[(0, 1), (1, 1), (2, 2), (3, 3)]);
    for count in [0, 1, 4] {
        let error = folds(&dataset, count, 0).unwrap_err().to_string();
        assert!(error.contains("2 to 3"), "{error}");
    }
    for fraction in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(hold_back(&dataset, &[0, 1, 2, 3], fraction, 0).is_err(), "{fraction}");
    }
    assert!(hold_back(&dataset, &[2], 0.5, 0).is_err());
    assert!(hold_back(&dataset, &[], 0.5, 0).is_err());
    assert!(matches!(
        hold_back(&dataset, &[0, 4], 0.5, 0),
        Err(DataError::Index { index: 4, records: 4 })
    ));
    assert!(
        hold_back(&dataset, &[2, 2, 3], 0.5, 0)
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    assert!(folds(&Dataset { recordings: Vec::new() }, 2, 0).is_err());
}

#[test]
fn the_fixture_records_are_all_different() {
    let dataset = physionet::read(&records_dir(), Labels::Released).expect("the fixture records");
    let parts = folds(&dataset, dataset.recordings.len(), 3).expect("a fold each");
    assert!(parts.iter().all(|part| part.len() == 1));
}

#[test]
#[ignore = "data: the whole PhysioNet/CinC 2017 training set"]
fn the_two_duplicate_pairs_of_the_whole_data_set_stay_together() {
    let dataset = physionet::read(&data_dir(), Labels::Released).expect("the training set");
    assert_eq!(dataset.recordings.len(), 8528);
    let mut sizes = group_sizes(&dataset);
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2]);
    let all: Vec<u32> = (0..8528).collect();
    for seed in 0..10 {
        let parts = folds(&dataset, 5, seed).expect("five folds");
        let part_of = part_of(&parts, 8528);
        let (train, held) = hold_back(&dataset, &all, 0.1, seed).expect("a tenth");
        assert_eq!((train.len(), held.len()), (7675, 853));
        for (a, b) in [(227, 1176), (2656, 3123)] {
            assert_eq!(part_of[a - 1], part_of[b - 1]);
            assert_eq!(held.contains(&(a as u32 - 1)), held.contains(&(b as u32 - 1)));
        }
        for label in 0..4 {
            let of_label: Vec<usize> = parts.iter().map(|part| counts(&dataset, part)[label]).collect();
            assert!(
                of_label.iter().max().unwrap() - of_label.iter().min().unwrap() <= 1,
                "{of_label:?}"
            );
        }
    }
}
