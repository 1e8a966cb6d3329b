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

/// Makes sure that nothing else than a regular file is there.
///
/// # Errors
/// Nothing is there, or something of another kind.
pub(crate) fn check(path: &Path) -> Result<()> {
    match std::fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidInput, "is no regular file")),
    }
}
