//! Files that are either whole or not there.

use dualnet_engine::pending::PendingFile;
use std::io::{self, Write};
use std::path::Path;

pub use dualnet_engine::pending::PARTIAL;

/// Writes a file beside `path`, flushes it to the disk and renames it to `path`; [`PendingFile`] says what becomes of links, devices
/// and permissions.
///
/// When `write` or the operating system fails, the file beside is removed and `path` is as it was.
///
/// # Errors
/// What `write` or the operating system reported.
pub fn write_beside(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = PendingFile::create(path)?;
    write(&mut file)?;
    file.finish()
}
