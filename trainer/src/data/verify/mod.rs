//! Whether a folder holds a data set as it was released.

mod course;
mod physionet;

use super::{DataError, KnownDataset, icentia};
use std::path::Path;

impl KnownDataset {
    /// What it is called, and what is known of it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Physionet => "PhysioNet/CinC 2017 (8528 records, two files of labels; by digest)",
            Self::Course6000 => "6000-record course set (structure only: no digests are known)",
            Self::Icentia11k => "Icentia11k (11 000 patients; checksums, shapes and annotations: no digests are known)",
        }
    }

    /// Which data set a folder seems to hold.
    ///
    /// # Errors
    /// It cannot be listed, or seems to hold none.
    pub fn of(folder: &Path) -> Result<Self, DataError> {
        let names = file_names(folder)?;
        let has = |is_wanted: &dyn Fn(&str) -> bool| names.iter().any(|name| is_wanted(name));
        if has(&|name| name.ends_with("_batched.pkl.gz") || name.ends_with("_batched_lbls.pkl.gz")) {
            return Ok(Self::Icentia11k);
        }
        if has(&|name| name.starts_with(course::PREFIX)) || course::is_reference(folder) {
            return Ok(Self::Course6000);
        }
        if has(&|name| name.starts_with("REFERENCE") || physionet::record_of(name).is_some()) {
            return Ok(Self::Physionet);
        }
        Err(DataError::File {
            path: folder.to_owned(),
            problem: "holds no data set that is known: A00001.mat … with REFERENCE.csv, train_ecg_00001.mat …, or \
                      00000_batched.pkl.gz …"
                .to_owned(),
        })
    }
}

/// What can be wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is not there.
    Missing,
    /// It cannot be read as what it is.
    Damaged,
    /// It can, but is not what was released.
    Altered,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Missing, Self::Damaged, Self::Altered];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Altered => "altered",
        }
    }
}

/// A file that keeps the folder from being whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What is wrong.
    pub kind: Kind,
    /// With which file, and how.
    pub what: String,
}

impl Fault {
    pub(super) fn new(kind: Kind, what: String) -> Self {
        Self { kind, what }
    }
}

/// What a folder was found to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records, or patients, that are there.
    pub records: usize,
    /// What keeps it from being whole.
    pub faults: Vec<Fault>,
    /// Files that were not released with it; they do no harm.
    pub extra: Vec<String>,
}

impl Findings {
    /// Whether everything is there as it was released.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    /// What is wrong in one way, in the order it was found.
    pub fn faults_of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let faults = self.faults.iter().filter(move |fault| fault.kind == kind);
        faults.map(|fault| fault.what.as_str())
    }
}

/// How many files [`verify`] will hear of.
///
/// # Errors
/// The folder cannot be listed.
pub fn steps(known: KnownDataset, folder: &Path) -> Result<usize, DataError> {
    Ok(match known {
        KnownDataset::Physionet => physionet::RECORDS,
        KnownDataset::Course6000 => course::RECORDS,
        KnownDataset::Icentia11k => icentia::patients(folder)?,
    })
}

/// Looks at every file of the folder; `progress` hears of each record or patient.
///
/// # Errors
/// The folder cannot be listed.
pub fn verify(known: KnownDataset, folder: &Path, progress: &(dyn Fn() + Sync)) -> Result<Findings, DataError> {
    match known {
        KnownDataset::Physionet => physionet::verify(folder, progress),
        KnownDataset::Course6000 => course::verify(folder, progress),
        KnownDataset::Icentia11k => icentia::verify(folder, icentia::Released::default(), progress),
    }
}

/// The names of a folder's files, sorted.
fn file_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let fault = |error: std::io::Error| DataError::File {
        path: folder.to_owned(),
        problem: error.to_string(),
    };
    let names = std::fs::read_dir(folder).map_err(fault)?;
    let mut names: Vec<String> = names
        .map(|entry| Ok(entry.map_err(fault)?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, DataError>>()?;
    names.sort_unstable();
    Ok(names)
}
