//! Files that are either whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::is_recording;

/// How the name of a file ends while it is written: `.NAME.PROCESS.NUMBER.partial`.
pub const PARTIAL: &str = ".partial";

/// A file that is not complete yet: it is written beside its final name, renamed by [`PendingFile::finish`], and removed again unless it
/// comes to that.
///
/// What a link leads to is written, not the link, and a file that is there keeps its permissions. A device, a pipe and what the process has
/// open already, such as `/dev/stdout`, are written directly.
#[derive(Debug)]
pub struct PendingFile {
    writer: BufWriter<File>,
    path: PathBuf,
    unfinished: Option<PathBuf>,
}

impl PendingFile {
    /// Begins the file at `path`.
    ///
    /// # Errors
    /// What the operating system reports; a folder is no file.
    pub fn create(path: &Path) -> io::Result<Self> {
        const BUFFER: usize = 1 << 16;
        let existing = fs::metadata(path).ok();
        if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let special = existing.as_ref().is_some_and(|metadata| !metadata.is_file());
        let target = followed(path)?;
        let Some(path) = target.filter(|_| !special) else {
            return Ok(Self {
                writer: BufWriter::with_capacity(BUFFER, File::options().append(true).open(path)?),
                path: path.to_owned(),
                unfinished: None,
            });
        };
        let (beside, file) = create_beside(&path)?;
        let pending = Self {
            writer: BufWriter::with_capacity(BUFFER, file),
            path,
            unfinished: Some(beside),
        };
        if let Some(metadata) = existing {
            pending.writer.get_ref().set_permissions(metadata.permissions())?;
        }
        Ok(pending)
    }

    /// Where it lies while it is written; `None` for what is written directly.
    pub fn unfinished(&self) -> Option<&Path> {
        self.unfinished.as_deref()
    }

    /// Gives the file its name, once it is on the disk.
    ///
    /// # Errors
    /// What the operating system reports; the name stands for what it did before.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        if let Some(beside) = &self.unfinished {
            self.writer.get_ref().sync_all()?;
            fs::rename(beside, &self.path)?;
            self.unfinished = None;
        }
        Ok(())
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.unfinished {
            fs::remove_file(beside).ok();
        }
    }
}

/// Writes a whole file at `path`, as [`PendingFile`] does.
///
/// # Errors
/// What the operating system reports; `path` is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes what `write` writes as a whole file at `path`, as [`PendingFile`] does.
///
/// # Errors
/// What `write` or the operating system reports; `path` is as it was.
pub fn write_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = PendingFile::create(path)?;
    write(&mut file)?;
    file.finish()
}

/// Makes sure that nothing is lost if `output` is written: no recording's file, read or not, and none of `read`, each a path and what it is.
///
/// # Errors
/// What would be lost, in a sentence; nothing where no file is there yet.
pub fn check_lost<'a>(output: &Path, read: impl IntoIterator<Item = (&'a Path, &'a str)>) -> Result<(), String> {
    let Some(there) = output.canonicalize().ok().filter(|path| path.is_file()) else {
        return Ok(());
    };
    let is_there = |path: &Path| path.canonicalize().is_ok_and(|path| path == there);
    let lost = match [output, &there].into_iter().any(is_recording) {
        true => Some("a file of a recording"),
        false => read.into_iter().find_map(|(path, what)| is_there(path).then_some(what)),
    };
    match lost {
        None => Ok(()),
        Some(what) => Err(format!("{}: is {what}, which would be lost", output.display())),
    }
}

/// A new file beside `path`. A process of the same number that was killed, as in another container, may have left the first names taken.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let not_a_name = || io::Error::new(io::ErrorKind::InvalidInput, "is not a file name");
    let name = path.file_name().ok_or_else(not_a_name)?;
    loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        hidden.push(format!(".{}.{number}{PARTIAL}", std::process::id()));
        let beside = path.with_file_name(hidden);
        match File::create_new(&beside) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            created => return Ok((beside, created?)),
        }
    }
}

/// Where the links that begin at `path` end; `None` for what the process has open already, such as `/dev/stdout`.
fn followed(path: &Path) -> io::Result<Option<PathBuf>> {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder
            .and_then(|folder| folder.canonicalize().ok())
            .is_some_and(|folder| folder.starts_with("/proc"))
        {
            return Ok(None);
        }
        match fs::read_link(&path) {
            Ok(next) => path = folder.unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(io::Error::other("too many links"))
}
