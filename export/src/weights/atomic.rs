//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How the name of a file ends while it is written: `.NAME.PROCESS.NUMBER.partial`.
pub const PARTIAL: &str = ".partial";

/// Writes a file beside `path`, flushes it to the disk and renames it to `path`.
///
/// When `write` or the operating system fails, the file beside is removed and `path` is as it was.
///
/// # Errors
/// What `write` or the operating system reported.
pub fn write_beside(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let (beside, file) = create_beside(path)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let written = write(&mut writer).and_then(|()| {
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A new file beside `path`. A process of the same number that was killed, as in another container, may have left the first names taken.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let beside = beside(path, NEXT.fetch_add(1, Ordering::Relaxed))?;
        match File::create_new(&beside) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            created => return Ok((beside, created?)),
        }
    }
}

fn beside(path: &Path, number: u64) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "is not a file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.{number}{PARTIAL}", std::process::id()));
    Ok(path.with_file_name(hidden))
}
