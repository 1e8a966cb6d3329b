//! What can be wrong with predictions and references.

use std::path::PathBuf;

/// Why something could not be scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The file could not be opened or read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than 64 MiB.
    #[error("{}: is larger than 64 MiB; expected lines such as A00001,N", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what the format asks for.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong and what is supported.
        problem: String,
    },
    /// The file has no entries.
    #[error("{}: no records; expected lines such as A00001,N", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No prediction is for a record of the reference.
    #[error(
        "{}: none of its {lines} lines is for a record of the reference, which are called as {expected} is", path.display()
    )]
    Unrelated {
        /// The file.
        path: PathBuf,
        /// How many predictions it has.
        lines: usize,
        /// The first record of the reference.
        expected: String,
    },
    /// Probabilities, labels and number of classes do not fit together.
    #[error("{probabilities} probabilities of {classes} classes do not fit {labels} labels")]
    Shape {
        /// How many probabilities were given.
        probabilities: usize,
        /// How many classes were stated.
        classes: usize,
        /// How many labels were given.
        labels: usize,
    },
    /// A label outside the classes.
    #[error("record {record}: label {label} is outside the {classes} classes")]
    Label {
        /// Position of the record in what was given.
        record: usize,
        /// The label.
        label: i64,
        /// The number of classes.
        classes: usize,
    },
    /// A probability that is not a number.
    #[error("record {record}: the probability of class {class} is not finite")]
    NotFinite {
        /// Position of the record in what was given.
        record: usize,
        /// The class.
        class: usize,
    },
    /// A number of resamples that is not possible.
    #[error("{resamples} resamples are not possible; 1 to {most} are")]
    Resamples {
        /// The number asked for.
        resamples: usize,
        /// The largest possible number.
        most: usize,
    },
}
