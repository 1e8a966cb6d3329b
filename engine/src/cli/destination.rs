//! Where results go: standard output, or a file that appears only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;

/// A place for results.
pub enum Destination {
    /// Standard output, flushed after every record so that a reader sees results as they come.
    Standard(BufWriter<Stdout>),
    /// A file written beside its final name and renamed by [`Destination::finish`]. What a link leads to is written, not the link; a
    /// device, a pipe and what the process has open already are written directly.
    File(PendingFile),
}

/// A file that is not complete yet; it is removed again unless it becomes so.
pub struct PendingFile {
    writer: BufWriter<File>,
    path: PathBuf,
    unfinished: Option<PathBuf>,
}

impl Destination {
    /// The file at `path`, or standard output.
    ///
    /// # Errors
    /// A file that cannot be created.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            None => Ok(Self::Standard(BufWriter::new(io::stdout()))),
            Some(path) => PendingFile::create(path)
                .map(Self::File)
                .map_err(|error| cannot_write(path, &error)),
        }
    }

    /// Whether a person watches the results appear.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(_)) && io::stdout().is_terminal()
    }

    /// Writes the results of one record.
    ///
    /// # Errors
    /// A full disk and the like, naming the file; a closed pipe as the [`io::Error`] itself.
    pub fn write(&mut self, text: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Standard(writer) => writer
                .write_all(text)
                .and_then(|()| writer.flush())
                .map_err(standard_output),
            Self::File(file) => file
                .writer
                .write_all(text)
                .map_err(|error| cannot_write(&file.path, &error)),
        }
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// As [`Destination::write`].
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Standard(mut writer) => writer.flush().map_err(standard_output),
            Self::File(mut file) => {
                let path = file.path.clone();
                file.finish().map_err(|error| cannot_write(&path, &error))
            }
        }
    }
}

impl PendingFile {
    fn create(path: &Path) -> io::Result<Self> {
        let existing = fs::metadata(path).ok();
        if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let special = existing.as_ref().is_some_and(|metadata| !metadata.is_file());
        let target = followed(path)?;
        let Some(path) = target.filter(|_| !special) else {
            return Ok(Self {
                writer: BufWriter::new(File::options().append(true).open(path)?),
                path: path.to_owned(),
                unfinished: None,
            });
        };
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(beside);
        let file = File::options().write(true).create_new(true).open(&beside)?;
        let pending = Self {
            writer: BufWriter::new(file),
            path,
            unfinished: Some(beside),
        };
        if let Some(metadata) = existing {
            pending.writer.get_ref().set_permissions(metadata.permissions())?;
        }
        Ok(pending)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        if let Some(beside) = &self.unfinished {
            self.writer.get_ref().sync_all()?;
            fs::rename(beside, &self.path)?;
            self.unfinished = None;
        }
        Ok(())
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

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.unfinished {
            fs::remove_file(beside).ok();
        }
    }
}

/// A closed pipe stays recognizable: it is not a failure of the program.
fn standard_output(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => anyhow!("standard output cannot be written: {error}"),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow!("{}: cannot be written: {error}", path.display())
}
