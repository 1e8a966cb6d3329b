//! The bytes of a file: mapped, read, or streamed.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::RecordError;
use super::text::label;

/// The largest file that is read into memory instead of being mapped, in bytes.
const MAX_READ: u64 = 1 << 30;

/// A file's content.
pub(super) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// The content of the file at `path`. Only regular files are mapped; pipes and devices are read to their end.
pub(super) fn load(path: &Path, memory_map: bool) -> Result<Bytes, RecordError> {
    let io_error = |cause| RecordError::Io {
        file: label(path),
        cause,
    };
    let file = File::open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if metadata.is_dir() {
        return Err(RecordError::Folder { file: label(path) });
    }
    if memory_map && metadata.is_file() && metadata.len() > 0 {
        return map(&file).map(Bytes::Mapped).map_err(io_error);
    }
    stream(file, metadata.len(), &label(path)).map(Bytes::Owned)
}

/// [`load`] of a file that another one leads to, which must not make anybody wait: pipes and devices are refused.
pub(super) fn load_beside(path: &Path, memory_map: bool) -> Result<Bytes, RecordError> {
    if path
        .metadata()
        .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
    {
        return Err(RecordError::Unsupported {
            file: label(path),
            found: "a pipe or device beside a recording".to_owned(),
            supported: "a header and its signal file must be regular files",
        });
    }
    load(path, memory_map)
}

/// The longest extension whose cases are tried.
const LONGEST_EXTENSION: usize = 4;

/// `path`, or where nothing is there, a file (upper case wins) whose name differs from it in the case of its extension only.
pub(super) fn in_any_case(path: &Path) -> PathBuf {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let tried = extension.is_ascii() && (1..=LONGEST_EXTENSION).contains(&extension.len());
    if !tried || path.symlink_metadata().is_ok() {
        return path.to_owned();
    }
    let variant = |cases: u32| {
        let in_case = |(index, letter): (usize, char)| match cases >> index & 1 {
            1 => letter.to_ascii_uppercase(),
            _ => letter.to_ascii_lowercase(),
        };
        let extension: String = extension.chars().enumerate().map(in_case).collect();
        path.with_extension(extension)
    };
    let mut variants = (0..1 << extension.len()).rev().map(variant);
    variants
        .find(|variant| variant.symlink_metadata().is_ok())
        .unwrap_or_else(|| path.to_owned())
}

/// Bytes of a file that are read ahead: 60 s of a recording with several leads.
#[cfg(unix)]
const AHEAD: u64 = 1 << 20;

/// Asks the operating system to read the beginning of the recording's files soon, and does not wait for it. Nothing depends on
/// whether it does; files that are not there are no error here.
pub fn read_ahead(path: &Path) {
    #[cfg(unix)]
    for path in ["hea", "dat", "mat"].map(|extension| in_any_case(&path.with_extension(extension))) {
        // Looked at before it is opened: a pipe must not be.
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.is_file() && metadata.len() > 0 {
            let length = metadata.len().min(AHEAD) as usize;
            let advise = |map: Mmap| map.advise_range(memmap2::Advice::WillNeed, 0, length);
            File::open(path).and_then(|file| map(&file)).and_then(advise).ok();
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Everything `reader` yields, about `expected` bytes.
///
/// # Errors
/// [`RecordError::Empty`] for no bytes, [`RecordError::TooLarge`] beyond 1 GiB.
pub(super) fn stream(reader: impl Read, expected: u64, file: &str) -> Result<Vec<u8>, RecordError> {
    let io_error = |cause| RecordError::Io {
        file: file.to_owned(),
        cause,
    };
    let too_large = || RecordError::TooLarge {
        file: file.to_owned(),
        what: "its size in bytes".to_owned(),
        limit: MAX_READ,
    };
    if expected > MAX_READ {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(expected as usize + 1)
        .map_err(|_| io_error(io::ErrorKind::OutOfMemory.into()))?;
    reader.take(MAX_READ + 1).read_to_end(&mut bytes).map_err(io_error)?;
    match bytes.len() as u64 {
        0 => Err(RecordError::Empty { file: file.to_owned() }),
        length if length > MAX_READ => Err(too_large()),
        _ => Ok(bytes),
    }
}

/// Maps `file` at the length it has now.
///
/// # Danger
/// The map shares its pages with the file. If another process shortens the file before the map is dropped, touching
/// the lost pages raises SIGBUS, which ends this process; if another process writes to it, the bytes change under the
/// reader. Callers check every length and offset against `map.len()` before use, keep the map only while they decode,
/// and offer [`super::OpenOptions::memory_map`] for files that somebody else may change.
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only, covers the length the file has at this moment, and is dropped when decoding ends.
    // Every access goes through bounds-checked slices of plain bytes, for which any value is valid, so a concurrent
    // write can alter samples but not break memory safety; a concurrent truncation ends the process, as documented.
    unsafe { Mmap::map(file) }
}
