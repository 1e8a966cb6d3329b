//! Compressed elements of level-5 files.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use crate::record::{MAX_SAMPLES, RecordError};

/// A byte of a deflate stream stands for at most this many.
const MAX_DEFLATE_RATIO: u64 = 1032;
/// The most that the compressed elements of a file may stand for together: a matrix of the most samples, and what stands in front of it.
pub(super) const MOST: u64 = 8 * MAX_SAMPLES + 128;

/// The content of a compressed element, inflated as far as it is wanted.
#[derive(Debug)]
pub(in crate::record) struct Inflater<'a> {
    file: &'a str,
    /// Where the element begins in the file.
    offset: usize,
    decoder: ZlibDecoder<&'a [u8]>,
    inflated: Vec<u8>,
    limit: u64,
    /// Where the element inside ends.
    announced: u64,
}

impl<'a> Inflater<'a> {
    /// The element `deflated` at byte `offset` of `file`, which may stand for `left` bytes.
    pub(super) fn new(file: &'a str, offset: usize, deflated: &'a [u8], left: u64) -> Self {
        Self {
            file,
            offset,
            decoder: ZlibDecoder::new(deflated),
            inflated: Vec::new(),
            limit: (deflated.len() as u64).saturating_mul(MAX_DEFLATE_RATIO).min(left),
            announced: 0,
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

    /// States where the element inside the content ends.
    pub(super) fn announce(&mut self, end: u64) {
        self.announced = end;
    }

    /// Goes on to the end, where the checksum is, and keeps nothing more. Returns how many bytes the element stands for.
    ///
    /// # Errors
    /// A stream that is damaged, ends before the element inside does, or stands for more than is left.
    pub(super) fn finish(mut self) -> Result<u64, RecordError> {
        let kept = self.inflated.len() as u64;
        self.pass_over(kept)
    }

    /// Goes on to the end from byte `passed` of the content. Returns where that is.
    fn pass_over(&mut self, passed: u64) -> Result<u64, RecordError> {
        let room = (self.limit + 1).saturating_sub(passed);
        match io::copy(&mut self.decoder.by_ref().take(room), &mut io::sink()) {
            Ok(rest) if rest < room && passed + rest < self.announced => {
                Err(self.ended("compressed element", 0, self.announced, passed + rest))
            }
            Ok(rest) if rest < room => Ok(passed + rest),
            Ok(_) => Err(RecordError::TooLarge {
                file: self.file.to_owned(),
                what: format!(
                    "the content of the compressed elements up to that at byte {}, counted in bytes,",
                    self.offset
                ),
                limit: MOST,
            }),
            Err(cause) => Err(self.failed(&cause)),
        }
    }

    /// Hands over the `length` bytes of the content from `start` on, which is among what is kept, in pieces of `size` bytes, and goes on
    /// to the end.
    ///
    /// # Errors
    /// A stream that is damaged or ends before, and what `take` returns.
    pub(super) fn pieces(
        mut self,
        start: usize,
        length: u64,
        size: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let kept = std::mem::take(&mut self.inflated);
        let mut left = length;
        let mut piece = Vec::new();
        let mut waiting = kept.get(start..).unwrap_or_default();
        while left > 0 {
            let wanted = left.min(size as u64);
            piece.clear();
            let read = waiting
                .chain(self.decoder.by_ref())
                .take(wanted)
                .read_to_end(&mut piece);
            read.map_err(|cause| self.failed(&cause))?;
            if (piece.len() as u64) < wanted {
                let available = length - left + piece.len() as u64;
                return Err(self.ended("matrix", start as u64, length, available));
            }
            waiting = &waiting[waiting.len().min(piece.len())..];
            take(&piece)?;
            left -= wanted;
        }
        self.pass_over((kept.len() as u64).max(start as u64 + length)).map(drop)
    }

    fn ended(&self, what: &str, offset: u64, needed: u64, available: u64) -> RecordError {
        RecordError::Truncated {
            file: self.file.to_owned(),
            what: what.to_owned(),
            offset,
            needed,
            available,
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
