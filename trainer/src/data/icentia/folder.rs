//! The files of a folder, and what can be said of them without reading them whole.

use super::{labels, signal};
use crate::data::DataError;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Released patients have the numbers below.
pub(super) const PATIENTS: u32 = 11_000;
const SAMPLES: &str = "_batched.pkl.gz";
const LABELS: &str = "_batched_lbls.pkl.gz";

/// A patient's number in five digits, as in the names of the files.
pub(super) fn name(patient: u32) -> String {
    format!("{patient:05}")
}

/// Where a patient's samples are.
pub(super) fn samples_of(folder: &Path, patient: u32) -> PathBuf {
    folder.join(format!("{}{SAMPLES}", name(patient)))
}

/// Where a patient's annotations are.
pub(super) fn labels_of(folder: &Path, patient: u32) -> PathBuf {
    folder.join(format!("{}{LABELS}", name(patient)))
}

/// Which of its two files each patient has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) samples: bool,
    pub(super) labels: bool,
}

impl Found {
    pub(super) const BOTH: Self = Self {
        samples: true,
        labels: true,
    };
}

/// The patients of a folder, and the names of the files that are nobody's.
pub(super) fn list(folder: &Path) -> Result<(BTreeMap<u32, Found>, Vec<String>), DataError> {
    let fault = |error: std::io::Error| super::file::fault(folder, error.to_string());
    let (mut patients, mut others) = (BTreeMap::<u32, Found>::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let file = entry.map_err(fault)?.file_name().to_string_lossy().into_owned();
        match (patient_of(&file, SAMPLES), patient_of(&file, LABELS)) {
            (Some(patient), _) => patients.entry(patient).or_default().samples = true,
            (_, Some(patient)) => patients.entry(patient).or_default().labels = true,
            (None, None) => others.push(file),
        }
    }
    others.sort_unstable();
    Ok((patients, others))
}

fn patient_of(file: &str, suffix: &str) -> Option<u32> {
    let number = file.strip_suffix(suffix)?;
    let is_plain = number.len() == 5 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|&patient| is_plain && patient < PATIENTS)
}

/// The patients of a folder that can be used and how many segments each has, in the order of their numbers.
///
/// Of each there must be both files. Of the samples' file the beginning is unpacked, which says how many segments there are of
/// how many samples; of the annotations' file only that it begins as a compressed pickle. What lies behind is checked when it is
/// read.
///
/// # Errors
/// A folder that cannot be read or has no patient; files that are missing or wrong, the first five by name.
pub(super) fn open(folder: &Path) -> Result<Vec<(u32, usize)>, DataError> {
    let (patients, _) = list(folder)?;
    if patients.is_empty() {
        return Err(super::file::fault(
            folder,
            format!("has no file of Icentia11k, such as 00000{SAMPLES}"),
        ));
    }
    let segments = |(&patient, &found)| check(folder, patient, found).map(|segments| (patient, segments));
    let (mut usable, mut failures) = (Vec::new(), Vec::new());
    for checked in patients.par_iter().map(segments).collect::<Vec<_>>() {
        match checked {
            Ok(patient) => usable.push(patient),
            Err(failure) => failures.push(failure),
        }
    }
    DataError::of_failures(failures, folder, patients.len())?;
    Ok(usable)
}

/// How many segments a patient has, or the first thing that is wrong with the files.
fn check(folder: &Path, patient: u32, found: Found) -> Result<usize, String> {
    let missing = |path: PathBuf| format!("{} is missing", path.display());
    if !found.samples {
        return Err(missing(samples_of(folder, patient)));
    }
    if !found.labels {
        return Err(missing(labels_of(folder, patient)));
    }
    let shape = signal::shape(&samples_of(folder, patient)).map_err(|error| error.to_string())?;
    labels::begins(&labels_of(folder, patient)).map_err(|error| error.to_string())?;
    Ok(shape.segments)
}
