//! `log.jsonl`: one JSON object per event.

use crate::error::TrainerError;
use dualnet_engine::pending;
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of lines such as `{"event":"epoch","time":1700000000.5,"epoch":1,"train_loss":1.2}`.
///
/// The events are `step`, `epoch` and `validation`; `time` is in seconds since 1970. A number that is not finite is `null`.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// The file's name in a run's folder.
    pub const NAME: &str = "log.jsonl";

    /// The log at `path`, with only what belongs to the first `epoch` epochs and the first `steps` optimizer steps kept: a
    /// resumed run writes the rest again. A last line that was cut off is dropped.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when the file cannot be read or written; [`TrainerError::File`], with the line's number, when a
    /// line is no JSON object.
    pub fn open(path: &Path, epoch: usize, steps: u64) -> Result<Self, TrainerError> {
        let io = |source| TrainerError::Io {
            path: path.to_owned(),
            source,
        };
        match std::fs::read(path) {
            Ok(bytes) => {
                let kept = kept(&bytes, epoch, steps).map_err(|line| TrainerError::File {
                    path: path.to_owned(),
                    reason: format!("line {line} is not a JSON object, as every line of a run's log is"),
                })?;
                if kept != bytes {
                    pending::write(path, &kept).map_err(io)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Adds one line: the event's name, the time, and `entries`.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when the file cannot be written.
    pub fn append(&mut self, event: &str, entries: Map<String, Value>) -> Result<(), TrainerError> {
        let mut object = Map::new();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        object.insert("event".to_owned(), event.into());
        object.insert("time".to_owned(), (time.as_millis() as f64 / 1000.0).into());
        object.extend(entries);
        let line = format!("{}\n", Value::Object(object));
        self.file.write_all(line.as_bytes()).map_err(|source| TrainerError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The lines to keep, or the number of the first that cannot be understood.
fn kept(bytes: &[u8], epoch: usize, steps: u64) -> Result<Vec<u8>, usize> {
    let mut kept = Vec::with_capacity(bytes.len());
    let whole = bytes
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    for (index, line) in whole.enumerate() {
        let object: Map<String, Value> = serde_json::from_slice(line).map_err(|_| index + 1)?;
        let count = |name: &str| object.get(name).and_then(Value::as_u64);
        // A step belongs to the epoch under way, of which the checkpoint may know the beginning.
        let known = match count("step") {
            Some(step) => step <= steps,
            None => count("epoch").is_none_or(|of| of <= epoch as u64),
        };
        if known {
            kept.extend_from_slice(line);
        }
    }
    Ok(kept)
}
