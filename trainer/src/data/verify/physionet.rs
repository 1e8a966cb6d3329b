//! PhysioNet/CinC 2017, known by digest. `scripts/digest_released.py` made the table.

use super::{Fault, Findings, Kind, file_names};
use crate::data::{DataError, Label, Labels, regular};
use dualnet_engine::model::digest::hexadecimal;
use dualnet_engine::record::Record;
use dualnet_engine::score::read_reference;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Of each record the first bytes of the SHA-256 of its `.mat` and of its `.hea`.
const TABLE: &[u8] = include_bytes!("physionet2017.bin");
const MAT: usize = 8;
const HEA: usize = 4;

/// Records that were released.
pub(super) const RECORDS: usize = TABLE.len() / (MAT + HEA);

/// SHA-256 of the lines `record,label` of both files of labels.
const REFERENCES: [(Labels, &str); 2] = [
    (
        Labels::Released,
        "995a380d29f7aa45eb50fd907462bf2f7a3492e0f7ed33870f023753463f79fd",
    ),
    (
        Labels::V3,
        "ae517e474b0bc89a7517ad876b5b4dadc6c94f680d0665c04746db9432df855b",
    ),
];

/// The index of the record that a file belongs to.
pub(super) fn record_of(file: &str) -> Option<usize> {
    let stem = file.strip_suffix(".mat").or_else(|| file.strip_suffix(".hea"))?;
    let number = stem.strip_prefix('A').filter(|number| number.len() == 5)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: usize = number.parse().ok()?;
    number.checked_sub(1).filter(|&index| index < RECORDS)
}

pub(super) fn verify(folder: &Path, progress: &(dyn Fn() + Sync)) -> Result<Findings, DataError> {
    let is_known = |file: &str| record_of(file).is_some() || REFERENCES.iter().any(|(labels, _)| labels.file() == file);
    let extra = file_names(folder)?.into_iter().filter(|file| !is_known(file)).collect();
    let mut faults: Vec<Fault> = REFERENCES
        .iter()
        .filter_map(|&(labels, digest)| reference(folder, labels, digest))
        .collect();
    let (rows, _) = TABLE.as_chunks::<{ MAT + HEA }>();
    let found: Vec<(bool, Vec<Fault>)> = rows
        .par_iter()
        .enumerate()
        .map(|(index, row)| {
            let found = record(folder, index, row);
            progress();
            found
        })
        .collect();
    let records = found.iter().filter(|(is_there, _)| *is_there).count();
    faults.extend(found.into_iter().flat_map(|(_, faults)| faults));
    Ok(Findings { records, faults, extra })
}

/// What is wrong with a file of labels.
fn reference(folder: &Path, labels: Labels, digest: &str) -> Option<Fault> {
    let (file, counts) = (labels.file(), labels.counts());
    let path = folder.join(file);
    if !path.is_file() {
        return Some(Fault::new(Kind::Missing, file.to_owned()));
    }
    let lines = match read_reference(&path) {
        Ok(lines) => lines,
        Err(error) => return Some(Fault::new(Kind::Damaged, error.to_string())),
    };
    let mut hasher = Sha256::new();
    lines
        .iter()
        .for_each(|(name, label)| hasher.update(format!("{name},{label}\n")));
    let found = hexadecimal(&hasher.finalize());
    if found == digest {
        return None;
    }
    let [n, o, a, noise] = Label::ALL.map(|wanted| lines.iter().filter(|(_, label)| *label == wanted).count());
    Some(Fault::new(
        Kind::Altered,
        format!("{file}: labels N {n}, O {o}, A {a}, ~ {noise}; released with {counts:?} or in another order"),
    ))
}

/// Whether the record is there, and what is wrong with its files.
fn record(folder: &Path, index: usize, row: &[u8]) -> (bool, Vec<Fault>) {
    let name = format!("A{:05}", index + 1);
    let (mat, hea) = row.split_at(MAT);
    let mut faults = Vec::new();
    for (extension, digest) in [("mat", mat), ("hea", hea)] {
        let file = format!("{name}.{extension}");
        let path = folder.join(&file);
        match digest_of(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                faults.push(Fault::new(Kind::Missing, file));
            }
            Err(error) => faults.push(Fault::new(Kind::Damaged, format!("{file}: {error}"))),
            Ok(found) if found.starts_with(digest) => {}
            Ok(_) => faults.push(match Record::open(&path) {
                Err(error) => Fault::new(Kind::Damaged, error.to_string()),
                Ok(_) => Fault::new(Kind::Altered, file),
            }),
        }
    }
    (folder.join(format!("{name}.mat")).is_file(), faults)
}

fn digest_of(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut file = BufReader::new(regular::open(path)?);
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            break;
        }
        hasher.update(part);
        let read = part.len();
        file.consume(read);
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_record_once() {
        assert_eq!((RECORDS, TABLE.len() % (MAT + HEA)), (8528, 0));
        let (rows, _) = TABLE.as_chunks::<{ MAT + HEA }>();
        let mut mats: Vec<&[u8]> = rows.iter().map(|row| &row[..MAT]).collect();
        mats.sort_unstable();
        mats.dedup();
        // Two pairs of records are equal, sample for sample.
        assert_eq!(mats.len(), 8526);
    }

    #[test]
    fn files_are_told_by_their_names() {
        assert_eq!(record_of("A00001.mat"), Some(0));
        assert_eq!(record_of("A08528.hea"), Some(8527));
        for other in [
            "A00000.mat",
            "A08529.mat",
            "A0001.mat",
            "B00001.mat",
            "A00001.csv",
            "A+0001.mat",
        ] {
            assert_eq!(record_of(other), None, "{other}");
        }
    }
}
