//! The PhysioNet/CinC 2017 challenge data (Clifford et al. 2017): a folder of `.mat` records and their `REFERENCE.csv`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dualnet_engine::record::Record;
use dualnet_engine::score::read_reference;
use dualnet_engine::signal::{MAX_SAMPLES, SAMPLING_RATE_HZ};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Label, Recording, regular};

/// Which of the published sets of labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// `REFERENCE.csv`, as the archive was released: what the published results use.
    #[default]
    Released,
    /// `REFERENCE-v3.csv`, the later, revised set that the challenge's ranking uses.
    V3,
}

impl Labels {
    /// How many records are N, O, A and ~ in the released archive and in the later set of labels, which the competition's ranking uses.
    pub(crate) fn counts(self) -> [usize; 4] {
        match self {
            Self::Released => [5050, 2456, 738, 284],
            Self::V3 => [5076, 2415, 758, 279],
        }
    }

    /// The file that holds them.
    pub fn file(self) -> &'static str {
        match self {
            Self::Released => "REFERENCE.csv",
            Self::V3 => "REFERENCE-v3.csv",
        }
    }
}

/// Reads every record named in the folder's file of labels, in its order, into memory.
///
/// # Errors
/// A missing or faulty file of labels; records that are missing, damaged, shorter than 2 s or not sampled at 300 Hz:
/// all are tried, the first five are named.
pub fn read(folder: &Path, labels: Labels) -> Result<Dataset, DataError> {
    let reference = folder.join(labels.file());
    regular::check(&reference).map_err(|error| DataError::File {
        path: reference.clone(),
        problem: error.to_string(),
    })?;
    let references = read_reference(&reference)?;
    let total = references.len();
    let read: Vec<Result<Recording, String>> = references
        .into_par_iter()
        .map(|(name, label)| read_one(folder, name, label))
        .collect();
    let (mut recordings, mut failures) = (Vec::with_capacity(total), Vec::new());
    for result in read {
        match result {
            Ok(recording) => recordings.push(recording),
            Err(failure) => failures.push(failure),
        }
    }
    DataError::of_failures(failures, folder, total)?;
    Ok(Dataset { recordings })
}

fn read_one(folder: &Path, name: String, label: Label) -> Result<Recording, String> {
    let path = path_of(folder, &name).ok_or_else(|| format!("{name:?} is not the name of a file"))?;
    for file in [&path, &path.with_extension("hea")] {
        regular::check(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let record = Record::open(&path).map_err(|error| error.to_string())?;
    if record.sampling_rate_hz() != SAMPLING_RATE_HZ {
        return Err(format!(
            "{name}: sampled at {} Hz; expected {SAMPLING_RATE_HZ} Hz",
            record.sampling_rate_hz()
        ));
    }
    let mut samples = record.into_samples();
    samples.truncate(MAX_SAMPLES);
    samples.shrink_to_fit();
    Ok(Recording { name, label, samples })
}

/// What is wrong with the record `name` of the folder, if anything is.
pub(super) fn check_record(folder: &Path, name: &str) -> Result<(), String> {
    read_one(folder, name.to_owned(), Label::Normal).map(drop)
}

/// `folder/name.mat`, `None` when `name` would lead elsewhere.
fn path_of(folder: &Path, name: &str) -> Option<PathBuf> {
    let file = format!("{name}.mat");
    let is_plain = Path::new(&file).file_name().is_some_and(|plain| plain == file.as_str());
    is_plain.then(|| folder.join(file))
}
