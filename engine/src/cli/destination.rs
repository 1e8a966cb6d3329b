//! Where results go: standard output, or a file that appears only when it is complete.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use dualnet_engine::pending::PendingFile;

use super::unfinished;

/// A place for results.
pub enum Destination {
    /// Standard output, flushed after every record so that a reader sees results as they come.
    Standard(BufWriter<Stdout>),
    /// A file that [`Destination::finish`] gives its name.
    File(PendingFile, PathBuf),
}

impl Destination {
    /// The file at `path`; standard output without one, or for `-`.
    ///
    /// # Errors
    /// A file that cannot be created.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            return Ok(Self::Standard(BufWriter::new(io::stdout())));
        };
        unfinished::listen();
        let file = PendingFile::create(path).map_err(|error| cannot_write(path, &error))?;
        if let Some(unfinished) = file.unfinished() {
            unfinished::remove_when_ended(unfinished);
        }
        Ok(Self::File(file, path.to_owned()))
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
            Self::File(file, path) => file.write_all(text).map_err(|error| cannot_write(path, &error)),
        }
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// As [`Destination::write`].
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Standard(mut writer) => writer.flush().map_err(standard_output),
            Self::File(file, path) => file.finish().map_err(|error| cannot_write(&path, &error)),
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
