//! Compressed elements of level-5 files.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use crate::record::{MAX_SAMPLES, RecordError};

/// A byte of a deflate stream stands for at most this many.
const MAX_DEFLATE_RATIO: u64 = 1032;
/// The largest content: a matrix of the most samples, and what stands in front of it.
const MOST: u64 = 8 * MAX_SAMPLES + 128;

/// The content of a compressed element, inflated as far as it is wanted.
pub(super) struct Inflater<'a, 'f> {
    file: &'f str,
    /// Where the element begins in the file.
    offset: usize,
    decoder: ZlibDecoder<&'a [u8]>,
    inflated: Vec<u8>,
    limit: u64,
}

impl<'a, 'f> Inflater<'a, 'f> {
    pub(super) fn new(file: &'f str, offset: usize, deflated: &'a [u8]) -> Self {
        Self {
            file,
            offset,
            decoder: ZlibDecoder::new(deflated),
            inflated: Vec::new(),
            limit: (deflated.len() as u64).saturating_mul(MAX_DEFLATE_RATIO).min(MOST),
        }
    }

    /// What is kept so far.
    pub(super) fn kept(&self) -> &[u8] {
        &self.inflated
    }

    /// Keeps the content up to byte `end`, or all of it where it ends before.
    ///
    /// # Errors
    /// A stream that is damaged.
    pub(super) fn keep(&mut self, end: u64) -> Result<(), RecordError> {
        let more = end.min(self.limit).saturating_sub(self.inflated.len() as u64);
        let result = self.decoder.by_ref().take(more).read_to_end(&mut self.inflated);
        result.map(drop).map_err(|cause| self.failed(&cause))
    }

    /// Goes on to the end, where the checksum is, and keeps nothing more.
    ///
    /// # Errors
    /// A stream that is damaged, or stands for more than the numbers of a recording.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, RecordError> {
        let room = self.limit + 1 - self.inflated.len() as u64;
        match io::copy(&mut self.decoder.by_ref().take(room), &mut io::sink()) {
            Ok(rest) if rest < room => Ok(self.inflated),
            Ok(_) => Err(RecordError::TooLarge {
                file: self.file.to_owned(),
                what: format!("the compressed element at byte {}, counted in bytes,", self.offset),
                limit: self.limit,
            }),
            Err(cause) => Err(self.failed(&cause)),
        }
    }

    fn failed(&self, cause: &io::Error) -> RecordError {
        let reason = match cause.kind() {
            io::ErrorKind::OutOfMemory => {
                return RecordError::Io {
                    file: self.file.to_owned(),
                    cause: io::ErrorKind::OutOfMemory.into(),
                };
            }
            io::ErrorKind::UnexpectedEof => "the compressed element ends early".to_owned(),
            _ => format!("the compressed element is corrupt ({cause})"),
        };
        RecordError::Damaged {
            file: self.file.to_owned(),
            offset: self.offset as u64,
            reason,
        }
    }
}
