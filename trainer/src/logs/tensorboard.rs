//! Event files of TensorBoard: TFRecords of `tensorflow.Event` messages, of which scalars need a handful of fields.
//!
//! A record is its length (u64), a masked CRC-32C of the length, the bytes, and a masked CRC-32C of the bytes, all
//! little-endian. The field numbers are those of TensorFlow's `event.proto` and `summary.proto`.

use crate::error::TrainerError;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const PREFIX: &str = "events.out.tfevents.";

/// One event file. A file is never appended to: a run that is resumed begins a new one, and TensorBoard joins them.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file `events.out.tfevents.<unix seconds>.<host>` in `folder`, which makes TensorBoard forget what earlier files
    /// there hold of steps after `steps`.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when the file cannot be written.
    pub fn create(folder: &Path, steps: u64) -> Result<Self, TrainerError> {
        let host = host();
        // TensorBoard reads the files in the order of their names, whatever a clock said that wrote them.
        let mut seconds = newest(folder)
            .map_or(0, |newest| newest.saturating_add(1))
            .max(now().as_secs());
        let mut events = loop {
            let path = folder.join(format!("{PREFIX}{seconds:010}.{host}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break Self { path, file },
                Err(error) if error.kind() == ErrorKind::AlreadyExists => seconds += 1,
                Err(source) => return Err(TrainerError::Io { path, source }),
            }
        };
        events.write(&Message::event(0).text(event::FILE_VERSION, "brain.Event:2"))?;
        let start = Message::default().integer(session_log::STATUS, session_log::START);
        events.write(&Message::event(steps + 1).message(event::SESSION_LOG, &start))?;
        Ok(events)
    }

    /// Adds the scalars of one step: pairs of tag and value, which is kept as float32.
    ///
    /// # Errors
    /// [`TrainerError::Io`] when the file cannot be written.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), TrainerError> {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let value = Message::default()
                .text(value::TAG, tag)
                .float(value::SIMPLE_VALUE, *value as f32);
            summary = summary.message(summary::VALUE, &value);
        }
        self.write(&Message::event(step).message(event::SUMMARY, &summary))
    }

    fn write(&mut self, Message(bytes): &Message) -> Result<(), TrainerError> {
        let length = (bytes.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(bytes.len() + 16);
        record.extend_from_slice(&length);
        record.extend_from_slice(&masked_crc(&length).to_le_bytes());
        record.extend_from_slice(bytes);
        record.extend_from_slice(&masked_crc(bytes).to_le_bytes());
        self.file.write_all(&record).map_err(|source| TrainerError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The greatest number of seconds in the names of a folder's event files.
fn newest(folder: &Path) -> Option<u64> {
    let seconds = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
    };
    std::fs::read_dir(folder).ok()?.flatten().filter_map(seconds).max()
}

/// TFRecord's checksum: a CRC stored next to its own data would otherwise check as itself.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

mod event {
    pub(super) const WALL_TIME: u32 = 1;
    pub(super) const STEP: u32 = 2;
    pub(super) const FILE_VERSION: u32 = 3;
    pub(super) const SUMMARY: u32 = 5;
    pub(super) const SESSION_LOG: u32 = 7;
}

mod summary {
    pub(super) const VALUE: u32 = 1;
}

mod value {
    pub(super) const TAG: u32 = 1;
    pub(super) const SIMPLE_VALUE: u32 = 2;
}

mod session_log {
    pub(super) const STATUS: u32 = 1;
    pub(super) const START: u64 = 1;
}

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    const VARINT: u32 = 0;
    const FIXED64: u32 = 1;
    const DELIMITED: u32 = 2;
    const FIXED32: u32 = 5;

    fn event(step: u64) -> Self {
        Self::default()
            .key(event::WALL_TIME, Self::FIXED64)
            .bytes(&now().as_secs_f64().to_le_bytes())
            .integer(event::STEP, step)
    }

    fn integer(self, field: u32, value: u64) -> Self {
        self.key(field, Self::VARINT).varint(value)
    }

    fn float(self, field: u32, value: f32) -> Self {
        self.key(field, Self::FIXED32).bytes(&value.to_le_bytes())
    }

    fn text(self, field: u32, text: &str) -> Self {
        self.delimited(field, text.as_bytes())
    }

    fn message(self, field: u32, Self(bytes): &Self) -> Self {
        self.delimited(field, bytes)
    }

    fn delimited(self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, Self::DELIMITED).varint(bytes.len() as u64).bytes(bytes)
    }

    fn key(self, field: u32, wire_type: u32) -> Self {
        self.varint(u64::from(field << 3 | wire_type))
    }

    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The machine's name as far as it fits into a file name, where the system says it; `dualnet` elsewhere.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain: String = name
        .trim()
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "-_.".contains(*character))
        .take(64)
        .collect();
    if plain.is_empty() { "dualnet".to_owned() } else { plain }
}
