//! MATLAB `.mat` files, levels 4 and 5.

mod inflate;
mod level4;
mod level5;
mod number;
mod present;

use super::RecordError;
use super::lead::{choose, unnamed};
use super::text::one_line;
use inflate::Inflater;
pub(super) use number::Number;
use present::Present;

/// What stands in messages about variables that hold no plain real numbers.
const SUPPORTED_ARRAYS: &str = "supported are full real numeric matrices with one lead per row";

/// Longer names than any MATLAB release wrote, in bytes.
const LONGEST_NAME: u32 = 1 << 12;

/// Bytes of a matrix that are converted at a time.
const PIECE: usize = 1 << 16;

/// Which generation of the format a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Four,
    Five,
}

/// A two-dimensional real numeric variable, stored column by column.
#[derive(Debug)]
pub(super) struct Array<'a> {
    pub(super) name: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) number: Number,
    pub(super) big_endian: bool,
    /// Exactly `rows · columns` numbers.
    pub(super) values: Values<'a>,
    /// Where `values` begin in the file; meaningless when they are compressed.
    pub(super) offset: usize,
}

/// The numbers of a matrix as they lie in the file.
#[derive(Debug)]
pub(super) enum Values<'a> {
    Plain(&'a [u8]),
    Deflated {
        content: Inflater<'a>,
        /// Where they begin in it.
        start: usize,
    },
}

/// The level of the `.mat` file that `bytes` seem to be, by their first bytes.
pub(super) fn recognize(bytes: &[u8]) -> Option<Level> {
    if level5::recognize(bytes) {
        Some(Level::Five)
    } else if level4::recognize(bytes) {
        Some(Level::Four)
    } else {
        None
    }
}

/// The variable `wanted` of a `.mat` file. The rest of the file is walked too, so that damage behind it is noticed.
pub(super) fn find<'a>(file: &'a str, bytes: &'a [u8], level: Level, wanted: &str) -> Result<Array<'a>, RecordError> {
    match level {
        Level::Four => level4::find(file, bytes, wanted),
        Level::Five => level5::find(file, bytes, wanted),
    }
}

impl Array<'_> {
    /// Number of leads and of samples in each: a row per lead; a single column is one lead.
    pub(super) fn shape(&self, file: &str) -> Result<(usize, usize), RecordError> {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => Ok((1, 0)),
            (rows, 1) => Ok((1, rows)),
            (rows, columns) if rows > columns => Err(RecordError::Unsupported {
                file: file.to_owned(),
                found: format!("{} of {rows} rows and {columns} columns", one_line(&self.name)),
                supported: SUPPORTED_ARRAYS,
            }),
            (rows, columns) => Ok((rows, columns)),
        }
    }

    /// The row to read, as the caller chose it.
    pub(super) fn choose_row(&self, file: &str, leads: usize, wanted: Option<&str>) -> Result<usize, RecordError> {
        choose(
            file,
            &format!("{} ({} rows)", one_line(&self.name), self.rows),
            &unnamed(leads),
            wanted,
        )
    }

    /// Hands over the numbers in pieces of whole frames, a number of each of the `leads`.
    pub(super) fn pieces(
        self,
        leads: usize,
        take: impl FnMut(&[u8]) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let frame = leads.max(1) * self.number.size();
        let size = (PIECE / frame).max(1) * frame;
        match self.values {
            Values::Plain(bytes) => bytes.chunks(size).try_for_each(take),
            Values::Deflated { content, start } => {
                let length = (self.rows * self.columns * self.number.size()) as u64;
                content.pieces(start, length, size, take)
            }
        }
    }

    /// Hands over the samples of one lead out of `leads`, some at a time.
    pub(super) fn samples(
        self,
        file: &str,
        lead: usize,
        leads: usize,
        mut take: impl FnMut(&[f32]) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let (number, big_endian) = (self.number, self.big_endian);
        let mut before = 0;
        self.pieces(leads, |piece| {
            let samples = number.gather(piece, big_endian, lead, leads);
            super::check_finite(&samples).map_err(|index| {
                let (file, sample) = (file.to_owned(), before + index);
                match number.double(piece, big_endian, lead + index * leads) {
                    Some(value) => RecordError::OutOfRange { file, sample, value },
                    None => RecordError::NonFinite { file, sample },
                }
            })?;
            before += samples.len();
            take(&samples)
        })
    }
}

/// `rows · columns · size`, when it fits and stays within the limit on the samples of a recording.
fn data_size(file: &str, rows: u64, columns: u64, number: Number) -> Result<u64, RecordError> {
    let count = rows.checked_mul(columns);
    count
        .filter(|count| *count <= super::MAX_SAMPLES)
        .map(|count| count * number.size() as u64)
        .ok_or_else(|| RecordError::TooLarge {
            file: file.to_owned(),
            what: format!("a matrix of {rows} rows and {columns} columns, counted in samples,"),
            limit: super::MAX_SAMPLES,
        })
}

/// The error for a variable of a kind that holds no samples.
fn unsupported(file: &str, name: &str, kind: &str) -> RecordError {
    RecordError::Unsupported {
        file: file.to_owned(),
        found: format!("variable {} ({kind})", one_line(name)),
        supported: SUPPORTED_ARRAYS,
    }
}

/// `length` bytes of `bytes` from `offset` on.
fn slice<'a>(file: &str, bytes: &'a [u8], what: &str, offset: usize, length: u64) -> Result<&'a [u8], RecordError> {
    let rest = bytes.get(offset..).unwrap_or_default();
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or_else(|| RecordError::Truncated {
            file: file.to_owned(),
            what: what.to_owned(),
            offset: offset as u64,
            needed: length,
            available: rest.len() as u64,
        })
}

/// A variable's name, of which `.mat` files keep the bytes.
fn name_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
