//! What can be wrong with a recording.

use std::io;

use super::text::one_line;
use super::{MIN_SECONDS, SAMPLING_RATES_HZ};

/// Why a recording could not be read. The message is one line and begins with the file's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The operating system refused to open or read the file.
    #[error("{file}: {cause}")]
    Io {
        /// The file.
        file: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A folder was given where a recording is expected.
    #[error("{file}: is a folder, not a recording")]
    Folder {
        /// The folder.
        file: String,
    },
    /// The file has no bytes.
    #[error("{file}: the file is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// The content is of no supported format.
    #[error(
        "{file}: not a recording in a known format; supported are MATLAB level 4 and 5 (.mat), WFDB (.hea with .mat or .dat)"
    )]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// The file ends before what its header announces.
    #[error("{file}: truncated: {what} at byte {offset} needs {needed} bytes, {available} are there")]
    Truncated {
        /// The file.
        file: String,
        /// What was being read.
        what: String,
        /// Where it begins, in bytes from the start of the file.
        offset: u64,
        /// Its size in bytes.
        needed: u64,
        /// The bytes left in the file.
        available: u64,
    },
    /// Bytes that no valid file of this format holds.
    #[error("{file}: damaged at byte {offset}: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// Where, in bytes from the start of the file (of a compressed element its beginning, for whatever lies inside it).
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A line of a WFDB header that cannot be understood.
    #[error("{file}, line {line}: {reason}")]
    Header {
        /// The header.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A valid file with content this program does not read.
    #[error("{file}: {found} is not supported; {supported}")]
    Unsupported {
        /// The file.
        file: String,
        /// What the file holds.
        found: String,
        /// What is supported instead.
        supported: &'static str,
    },
    /// The header and the signal file, or the header and the caller, say different things.
    #[error("{file}: contradiction: {reason}")]
    Contradiction {
        /// The header.
        file: String,
        /// What it says and what it should say.
        reason: String,
    },
    /// A header names a signal file that does not lie beside it.
    #[error("{file}, line {line}: signal file {name} is not a plain name of a file in the header's own folder")]
    OutsideFolder {
        /// The header.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// The name it gives.
        name: String,
    },
    /// There are several leads and none was chosen.
    #[error("{file}: {what} has {} leads; choose one with --lead: {}", .leads.len(), list(.leads, 0))]
    LeadRequired {
        /// The file.
        file: String,
        /// The variable or record that holds them.
        what: String,
        /// What `--lead` accepts for each: `index (name)`, or the index alone where leads have no names.
        leads: Vec<String>,
    },
    /// The chosen lead does not exist, or its name is given twice.
    #[error("{file}: no single lead is called {lead}; there are {}", list(.leads, 0))]
    NoSuchLead {
        /// The file.
        file: String,
        /// What was asked for.
        lead: String,
        /// What `--lead` accepts for each.
        leads: Vec<String>,
    },
    /// The `.mat` file holds no variable of the wanted name.
    #[error("{file}: no variable {wanted}; the file holds {}", list(.present, *.more))]
    NoSuchVariable {
        /// The file.
        file: String,
        /// What was asked for.
        wanted: String,
        /// The first variables in the file.
        present: Vec<String>,
        /// How many it holds besides.
        more: usize,
    },
    /// A NaN or an infinity among the samples.
    #[error("{file}: sample {sample} is not a finite number")]
    NonFinite {
        /// The file.
        file: String,
        /// The first such sample, counted from 0.
        sample: usize,
    },
    /// A sample that becomes infinite in 32 bits.
    #[error("{file}: sample {sample} is {value:e}; samples must fit 32-bit floats")]
    OutOfRange {
        /// The file.
        file: String,
        /// The first such sample, counted from 0.
        sample: usize,
        /// Its value.
        value: f64,
    },
    /// More samples are marked invalid than may be interpolated.
    #[error("{file}: {reason}")]
    Gaps {
        /// The file.
        file: String,
        /// Which limit is exceeded, and where.
        reason: String,
    },
    /// The lead is shorter than [`super::MIN_SECONDS`].
    #[error(
        "{file}: {samples} samples at {sampling_rate_hz} Hz last {:.3} s; at least {MIN_SECONDS} s are needed",
        *.samples as f64 / .sampling_rate_hz
    )]
    TooShort {
        /// The file.
        file: String,
        /// Samples of the lead.
        samples: usize,
        /// Samples per second.
        sampling_rate_hz: f64,
    },
    /// More than this program is willing to hold in memory.
    #[error("{file}: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
        /// The limit, in the unit of `what`.
        limit: u64,
    },
    /// A sampling rate no electrocardiograph has.
    #[error(
        "{file}: a sampling rate of {hz} Hz is outside the supported {} to {} Hz",
        SAMPLING_RATES_HZ.start(),
        SAMPLING_RATES_HZ.end()
    )]
    SamplingRate {
        /// The file.
        file: String,
        /// The rate that was stated.
        hz: f64,
    },
}

/// What a message lists at most.
pub(super) const LISTED: usize = 20;

/// The first of `items`, separated by commas; there are `more` behind them.
fn list(items: &[String], more: usize) -> String {
    let mut text = items
        .iter()
        .take(LISTED)
        .map(|item| one_line(item))
        .collect::<Vec<_>>()
        .join(", ");
    match items.len() + more {
        0 => text.push_str("none"),
        count if count > LISTED => text.push_str(&format!(" and {} more", count - LISTED)),
        _ => {}
    }
    text
}
