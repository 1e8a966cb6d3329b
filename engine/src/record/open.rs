//! From a path, bytes or standard input to a decoded lead.

use std::io;
use std::path::{Path, PathBuf};

use super::lead::{Kept, Lead};
use super::text::label;
use super::{OpenOptions, Record, RecordError, matlab, source, wfdb};
use matlab::Number;

/// What messages and predictions call a recording read from standard input.
const STANDARD_INPUT: &str = "stdin";

/// Opens the recording at `path`; `-` is standard input.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Record, RecordError> {
    if path.as_os_str() == "-" {
        let bytes = source::stream(io::stdin().lock(), 0, STANDARD_INPUT)?;
        return from_bytes(STANDARD_INPUT, &bytes, options);
    }
    let actual = existing(path);
    let file = label(&actual);
    let bytes = source::load(&actual, options.memory_map)?;
    let lead = match matlab::recognize(&bytes) {
        Some(level) => match header_beside(&actual)? {
            Some(header) => header.read_beside(&actual, &file, &bytes, level, options)?,
            None => bare(&file, &bytes, level, options)?,
        },
        None if wfdb::recognize(&bytes) => {
            let folder = actual.parent().unwrap_or(Path::new(""));
            wfdb::Header::parse(&file, &bytes)?.read(folder, options)?
        }
        None => return Err(RecordError::UnknownFormat { file }),
    };
    Record::from_lead(stem(&actual), Some(path.to_owned()), &file, lead, options)
}

/// What the record that [`Record::open`] finds at `path` is called, whether it can be read or not: the file's name without folder
/// and extension.
pub fn record_name(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => STANDARD_INPUT.to_owned(),
        false => stem(&existing(path)),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Reads a `.mat` file that is already in memory.
pub(super) fn from_bytes(name: &str, bytes: &[u8], options: &OpenOptions) -> Result<Record, RecordError> {
    let lead = match matlab::recognize(bytes) {
        Some(level) => bare(name, bytes, level, options)?,
        None if bytes.is_empty() => return Err(RecordError::Empty { file: name.to_owned() }),
        None if wfdb::recognize(bytes) => {
            return Err(RecordError::Unsupported {
                file: name.to_owned(),
                found: "a WFDB header without its folder".to_owned(),
                supported: "give the path of the .hea file",
            });
        }
        None => return Err(RecordError::UnknownFormat { file: name.to_owned() }),
    };
    Record::from_lead(name.to_owned(), None, name, lead, options)
}

/// `path`, or the header that WFDB's record name `path` stands for.
fn existing(path: &Path) -> PathBuf {
    let mut header = path.as_os_str().to_owned();
    header.push(".hea");
    let header = source::in_any_case(Path::new(&header));
    if path.symlink_metadata().is_err() && header.is_file() {
        header
    } else {
        path.to_owned()
    }
}

/// The header of the same stem as the `.mat` file at `path`.
fn header_beside(path: &Path) -> Result<Option<wfdb::Header>, RecordError> {
    let header = source::in_any_case(&path.with_extension("hea"));
    // A link that leads nowhere is there: what it was meant to say must not be guessed.
    if header == path || header.symlink_metadata().is_err() {
        return Ok(None);
    }
    let bytes = source::load_beside(&header, false)?;
    wfdb::Header::parse(&label(&header), &bytes).map(Some)
}

/// A `.mat` file without a header.
fn bare(file: &str, bytes: &[u8], level: matlab::Level, options: &OpenOptions) -> Result<Lead, RecordError> {
    let array = matlab::find(file, bytes, level, &options.variable)?;
    let (leads, _) = array.shape(file)?;
    let lead = array.choose_row(file, leads, options.lead.as_deref())?;
    let invalid_code = (array.number == Number::I16).then_some(f32::from(i16::MIN));
    let mut kept = Kept::default();
    array.samples(file, lead, leads, |samples| {
        samples.iter().for_each(|sample| kept.push(*sample));
        Ok(())
    })?;
    Ok(Lead {
        invalid_code,
        ..Lead::of(kept)
    })
}
