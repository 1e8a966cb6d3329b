//! Divides records for cross-validation, and holds some back to choose by: stratified by label, repeatable from a seed,
//! and with recordings of the very same samples on one side. The released 2017 set has two such pairs, A00227 = A01176
//! and A02656 = A03123.

use std::collections::HashMap;

use crate::data::{DataError, Dataset, Label};
use crate::random::Rng;

/// Divides the whole of `dataset` into `count` parts; each lists its records in ascending order.
///
/// The records of a label differ by at most one between folds, as do the sizes of the folds by at most the number of
/// labels; a group of sample-identical records that is larger than its share adds what it must.
///
/// # Errors
/// Fewer than two folds, or more folds than there are different recordings.
pub fn folds(dataset: &Dataset, count: usize, seed: u64) -> Result<Vec<Vec<u32>>, DataError> {
    let all: Vec<u32> = (0..dataset.recordings.len() as u32).collect();
    folds_of(dataset, &all, count, seed)
}

/// Divides these records of `dataset` as [`folds`] does the whole.
///
/// # Errors
/// As [`folds`]; an index outside the data set.
pub fn folds_of(dataset: &Dataset, indices: &[u32], count: usize, seed: u64) -> Result<Vec<Vec<u32>>, DataError> {
    let Groups { mut shared, single } = groups(dataset, indices)?;
    let different = shared.len() + single.iter().map(Vec::len).sum::<usize>();
    if count < 2 || count > different {
        return Err(fault(
            "cross-validation",
            format!("{count} folds are not possible; 2 to {different} are, the number of different recordings"),
        ));
    }
    let mut random = Rng::for_name(seed, "cross-validation");
    let mut parts = vec![Vec::new(); count];
    let mut counts = vec![[0_usize; LABELS]; count];
    // The large groups first, so that single records even out what they unbalance.
    random.shuffle(&mut shared);
    shared.sort_by_key(|group| std::cmp::Reverse(group.len()));
    for group in shared {
        let labels = labels(dataset, &group);
        let crowded = |fold: &usize| {
            let of_labels: usize = (0..LABELS).filter(|&l| labels[l] > 0).map(|l| counts[*fold][l]).sum();
            (of_labels, counts[*fold].iter().sum::<usize>())
        };
        let Some(fold) = (0..count).min_by_key(crowded) else {
            break;
        };
        (0..LABELS).for_each(|label| counts[fold][label] += labels[label]);
        parts[fold].extend(group);
    }
    for (label, mut records) in single.into_iter().enumerate() {
        random.shuffle(&mut records);
        for record in records {
            let crowded = |fold: &usize| (counts[*fold][label], counts[*fold].iter().sum::<usize>());
            let Some(fold) = (0..count).min_by_key(crowded) else {
                break;
            };
            counts[fold][label] += 1;
            parts[fold].push(record);
        }
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    Ok(parts)
}

/// Holds `fraction` of `indices` back: `(train, held)`, both in the order of `indices`.
///
/// Of each label it holds back its share, rounded up or down such that the whole is rounded to the nearest, but at
/// least one record. A group of sample-identical records is held back, by a draw, only where it fits its
/// share; of a label whose records are nearly all in such groups fewer may be held back, or none.
///
/// # Errors
/// A fraction that is not between 0 and 1, an index outside the data set, too few records to leave one on each side.
pub fn hold_back(
    dataset: &Dataset,
    indices: &[u32],
    fraction: f64,
    seed: u64,
) -> Result<(Vec<u32>, Vec<u32>), DataError> {
    let held_back = |problem| fault("held-back records", problem);
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(held_back(format!(
            "a fraction of {fraction} is not possible; it lies between 0 and 1"
        )));
    }
    let Groups { mut shared, single } = groups(dataset, indices)?;
    let mut left = shares(labels(dataset, indices), fraction);
    let mut random = Rng::for_name(seed, "held-back records");
    let mut held = vec![false; dataset.recordings.len()];
    random.shuffle(&mut shared);
    for group in shared {
        let labels = labels(dataset, &group);
        let fits = (0..LABELS).all(|label| labels[label] <= left[label]);
        if random.happens(fraction) && fits {
            (0..LABELS).for_each(|label| left[label] -= labels[label]);
            group.iter().for_each(|&record| held[record as usize] = true);
        }
    }
    for (mut records, left) in single.into_iter().zip(left) {
        random.shuffle(&mut records);
        records
            .iter()
            .take(left)
            .for_each(|&record| held[record as usize] = true);
    }
    let (held, train): (Vec<u32>, Vec<u32>) = indices.iter().partition(|&&record| held[record as usize]);
    if held.is_empty() || train.is_empty() {
        return Err(held_back(format!(
            "{} records cannot be divided into {fraction} and the rest",
            indices.len()
        )));
    }
    Ok((train, held))
}

/// A data set of the recordings that `indices` name, in that order.
///
/// # Errors
/// An index outside the data set.
pub fn subset(dataset: &Dataset, indices: &[u32]) -> Result<Dataset, DataError> {
    check(dataset, indices)?;
    let recordings = indices
        .iter()
        .map(|&index| dataset.recordings[index as usize].clone())
        .collect();
    Ok(Dataset { recordings })
}

const LABELS: usize = Label::ALL.len();

struct Groups {
    /// Records with the same samples, two or more each, in the order given.
    shared: Vec<Vec<u32>>,
    /// All other records by label, in the order given.
    single: [Vec<u32>; LABELS],
}

fn groups(dataset: &Dataset, indices: &[u32]) -> Result<Groups, DataError> {
    check(dataset, indices)?;
    let mut same: HashMap<Vec<u32>, Vec<u32>> = HashMap::new();
    // Few recordings have the same length and beginning; only these are compared whole.
    let mut beginnings: HashMap<(usize, Vec<u32>), Vec<u32>> = HashMap::new();
    let bits = |samples: &[f32]| -> Vec<u32> { samples.iter().map(|sample| sample.to_bits()).collect() };
    for &index in indices {
        let samples = &dataset.recordings[index as usize].samples;
        let key = (samples.len(), bits(&samples[..samples.len().min(16)]));
        beginnings.entry(key).or_default().push(index);
    }
    for index in beginnings.into_values().filter(|alike| alike.len() > 1).flatten() {
        same.entry(bits(&dataset.recordings[index as usize].samples))
            .or_default()
            .push(index);
    }
    let mut shared: Vec<Vec<u32>> = same.into_values().filter(|group| group.len() > 1).collect();
    // Hash maps have no order of their own that repeats.
    shared.sort_unstable();
    let mut is_shared = vec![false; dataset.recordings.len()];
    shared
        .iter()
        .flatten()
        .for_each(|&record| is_shared[record as usize] = true);
    let mut single: [Vec<u32>; LABELS] = Default::default();
    for &index in indices.iter().filter(|&&index| !is_shared[index as usize]) {
        single[dataset.recordings[index as usize].label.index()].push(index);
    }
    Ok(Groups { shared, single })
}

/// How many of each label to hold back: the nearest whole number of all records, by largest remainder.
fn shares(counts: [usize; LABELS], fraction: f64) -> [usize; LABELS] {
    let exact = counts.map(|count| count as f64 * fraction);
    let mut shares = exact.map(|share| share.floor() as usize);
    let whole = (exact.iter().sum::<f64>().round() as usize).max(1);
    let mut order: Vec<usize> = (0..LABELS).filter(|&label| counts[label] > shares[label]).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = whole.saturating_sub(shares.iter().sum());
    order.into_iter().take(missing).for_each(|label| shares[label] += 1);
    shares
}

fn labels(dataset: &Dataset, indices: &[u32]) -> [usize; LABELS] {
    let mut counts = [0; LABELS];
    for &index in indices {
        counts[dataset.recordings[index as usize].label.index()] += 1;
    }
    counts
}

/// Makes sure that every index is inside the data set, and named once.
fn check(dataset: &Dataset, indices: &[u32]) -> Result<(), DataError> {
    let records = dataset.recordings.len();
    let mut seen = vec![false; records];
    for &index in indices {
        match seen.get_mut(index as usize) {
            None => return Err(DataError::Index { index, records }),
            Some(true) => return Err(fault("records", format!("index {index} is named twice"))),
            Some(unseen) => *unseen = true,
        }
    }
    Ok(())
}

fn fault(name: &str, problem: String) -> DataError {
    DataError::Split {
        name: name.to_owned(),
        problem,
    }
}
