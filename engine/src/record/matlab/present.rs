//! The names of a file's variables, for the message that the wanted one is not among them.

use crate::record::RecordError;
use crate::record::error::LISTED;

/// The first names, and how many there are.
#[derive(Default)]
pub(super) struct Present {
    names: Vec<String>,
    more: usize,
}

impl Present {
    pub(super) fn push(&mut self, name: &str) {
        match self.names.len() < LISTED {
            true => self.names.push(name.to_owned()),
            false => self.more += 1,
        }
    }

    /// The error that `wanted` is none of them.
    pub(super) fn without(self, file: &str, wanted: &str) -> RecordError {
        RecordError::NoSuchVariable {
            file: file.to_owned(),
            wanted: wanted.to_owned(),
            present: self.names,
            more: self.more,
        }
    }
}
