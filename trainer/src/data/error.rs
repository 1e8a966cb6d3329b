//! What can be wrong with training data.

use std::path::{Path, PathBuf};

use dualnet_engine::score::ScoreError;
use dualnet_engine::signal::SignalError;

/// Of many records that cannot be used, so many are named.
const NAMED_FAILURES: usize = 5;

/// Why training data could not be read or prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file of labels is missing or faulty.
    #[error(transparent)]
    Reference(#[from] ScoreError),
    /// Some of the labelled records cannot be used.
    #[error("{}: {failed} of {total} records cannot be used: {}", folder.display(), first.join("; "))]
    Records {
        /// The folder of the data set.
        folder: PathBuf,
        /// How many records failed.
        failed: usize,
        /// How many records have a label.
        total: usize,
        /// What is wrong with the first of them.
        first: Vec<String>,
    },
    /// A file or folder cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Labels stand for no such number of classes.
    #[error("labels are of 2 or 4 classes, not of {found}")]
    Classes {
        /// The classes of a network.
        found: usize,
    },
    /// No split has this name.
    #[error("no split is called {name:?}, nor is it a file; there are paper, challenge and course6000")]
    UnknownSplit {
        /// The name.
        name: String,
    },
    /// A split's lists are faulty.
    #[error("split {name}: {problem}")]
    Split {
        /// The split.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A split that divides the whole of a data set was made for another one.
    #[error("split {name} divides {expected} records; the data set has {found}")]
    SplitSize {
        /// The split.
        name: String,
        /// The records the split divides.
        expected: usize,
        /// The records there are.
        found: usize,
    },
    /// A split names a record that the data set does not have.
    #[error("split {name}: index {index} is outside the data set of {records} records")]
    SplitIndex {
        /// The split.
        name: String,
        /// The index.
        index: u32,
        /// The records there are.
        records: usize,
    },
    /// An index outside the data set.
    #[error("index {index} is outside the data set of {records} records")]
    Index {
        /// The index.
        index: u32,
        /// The records there are.
        records: usize,
    },
    /// A batch size that the data set cannot make.
    #[error("a batch size of {batch_size} is not possible; it moves in steps of {step}")]
    BatchSize {
        /// What was asked for.
        batch_size: usize,
        /// Records that belong together: 1, or those of a file.
        step: usize,
    },
    /// A record could not be turned into network inputs.
    #[error("record {record}: {source}")]
    Signal {
        /// The record's name.
        record: String,
        /// What is wrong with its samples.
        source: SignalError,
    },
    /// The system refused a loader thread.
    #[error("no thread for loading records: {0}")]
    Thread(std::io::Error),
    /// A loader thread ended before its work did.
    #[error("a thread that loads records ended early, at batch {batch}")]
    WorkerLost {
        /// The batch that is missing.
        batch: usize,
    },
}

impl DataError {
    /// Nothing where nothing failed, else the first failures of so many records of a folder.
    pub(super) fn of_failures(mut failures: Vec<String>, folder: &Path, total: usize) -> Result<(), Self> {
        if failures.is_empty() {
            return Ok(());
        }
        let failed = failures.len();
        failures.truncate(NAMED_FAILURES);
        Err(Self::Records {
            folder: folder.to_owned(),
            failed,
            total,
            first: failures,
        })
    }
}
