//! Files that have an end: a pipe or a device where a data set has a file would keep a program waiting or fill its memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a regular file, or what a link to one leads to.
///
/// # Errors
/// It cannot be opened, or is of another kind.
pub(crate) fn open(path: &Path) -> Result<File> {
    check(path)?;
    File::open(path)
}

/// Makes sure that nothing else than a regular file is there, if anything is.
///
/// # Errors
/// Something of another kind is there, or what cannot be looked at.
pub(crate) fn check(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(Error::new(ErrorKind::InvalidInput, "is no regular file")),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
