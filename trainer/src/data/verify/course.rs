//! The 6000-record course set: the same format under other names, of which no digests are known.

use super::{Fault, Findings, Kind, file_names};
use crate::data::DataError;
use crate::data::physionet::check_record;
use dualnet_engine::score::read_reference;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

/// What the names of its records begin with.
pub(super) const PREFIX: &str = "train_ecg_";
/// Its records.
pub(super) const RECORDS: usize = 6000;
const REFERENCE: &str = "REFERENCE.csv";

/// Whether the folder's file of labels is of this data set.
pub(super) fn is_reference(folder: &Path) -> bool {
    let file = folder.join(REFERENCE);
    file.is_file() && read_reference(&file).is_ok_and(|lines| lines.iter().any(|(name, _)| name.starts_with(PREFIX)))
}

pub(super) fn verify(folder: &Path, progress: &(dyn Fn() + Sync)) -> Result<Findings, DataError> {
    let names: Vec<String> = (1..=RECORDS).map(|number| format!("{PREFIX}{number:05}")).collect();
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let is_known =
        |file: &str| file == REFERENCE || file.rsplit_once('.').is_some_and(|(stem, _)| known.contains(stem));
    let extra = file_names(folder)?.into_iter().filter(|file| !is_known(file)).collect();
    let mut faults = labels(folder, &known);
    let found: Vec<Option<Fault>> = names
        .par_iter()
        .map(|name| {
            let fault = if folder.join(format!("{name}.mat")).is_file() {
                let damage = check_record(folder, name).err();
                damage.map(|problem| Fault::new(Kind::Damaged, problem))
            } else {
                Some(Fault::new(Kind::Missing, format!("{name}.mat")))
            };
            progress();
            fault
        })
        .collect();
    let missing = found
        .iter()
        .flatten()
        .filter(|fault| fault.kind == Kind::Missing)
        .count();
    faults.extend(found.into_iter().flatten());
    Ok(Findings {
        records: RECORDS - missing,
        faults,
        extra,
    })
}

/// What is wrong with the file of labels, which gives each record one, in the order of their numbers: splits count on it.
fn labels(folder: &Path, known: &BTreeSet<&str>) -> Vec<Fault> {
    let path = folder.join(REFERENCE);
    if !path.is_file() {
        return vec![Fault::new(Kind::Missing, REFERENCE.to_owned())];
    }
    let lines = match read_reference(&path) {
        Ok(lines) => lines,
        Err(error) => return vec![Fault::new(Kind::Damaged, error.to_string())],
    };
    let labelled: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    let altered = |problem: String| vec![Fault::new(Kind::Altered, format!("{REFERENCE}: {problem}"))];
    let named: BTreeSet<&str> = labelled.iter().copied().collect();
    if let Some(name) = known.difference(&named).next() {
        let count = known.difference(&named).count();
        return altered(format!("{count} records have no label, {name} the first"));
    }
    if let Some(name) = named.difference(known).next() {
        return altered(format!("{name} is no record of the set"));
    }
    match labelled.is_sorted() {
        true => Vec::new(),
        false => altered("the records are not in the order of their numbers, which splits count on".to_owned()),
    }
}
