//! The bytes behind the instructions.

use super::Step;
use std::io::{BufRead, Error, ErrorKind, Read};

const ENDS: &str = "ends in the middle of an instruction";
/// The longest module or class name.
const MAX_LINE: usize = 1024;

/// How much a pickle may ask for. What is streamed as a [`Payload`] does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the instructions, with the texts and bytes that are held.
    pub bytes: u64,
    /// Instructions; each costs at most some 100 bytes of memory.
    pub instructions: u64,
}

/// A buffered reader that knows where it is.
#[derive(Debug)]
pub struct Input<R> {
    reader: R,
    position: u64,
    bytes_left: u64,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(reader: R, bytes: u64) -> Self {
        Self {
            reader,
            position: 0,
            bytes_left: bytes,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is left behind the last instruction.
    pub fn into_reader(self) -> R {
        self.reader
    }

    pub(super) fn byte(&mut self) -> Step<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| explain(&error))?;
        self.count(N as u64)?;
        Ok(bytes)
    }

    /// `count` bytes; memory grows with what is there, not with what is claimed.
    pub(super) fn take(&mut self, count: u64) -> Step<Vec<u8>> {
        let possible = count.min(self.bytes_left.saturating_add(1));
        let mut bytes = Vec::new();
        let mut part = (&mut self.reader).take(possible);
        part.read_to_end(&mut bytes).map_err(|error| explain(&error))?;
        if (bytes.len() as u64) < possible {
            return Err(ENDS.to_owned());
        }
        self.count(count)?;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, count: u64) -> Step<String> {
        String::from_utf8(self.take(count)?).map_err(|_| "a text that is not UTF-8".to_owned())
    }

    pub(super) fn line(&mut self) -> Step<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if line.len() == MAX_LINE => return Err(format!("a name of more than {MAX_LINE} bytes")),
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).map_err(|_| "a name that is not UTF-8".to_owned())
    }

    pub(super) fn payload(&mut self, bytes: u64, is_latin1: bool) -> Payload<'_>
    where
        R: Sized,
    {
        Payload {
            reader: &mut self.reader,
            position: &mut self.position,
            left: bytes,
            is_latin1,
            lead: None,
        }
    }

    fn count(&mut self, bytes: u64) -> Step<()> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or("more bytes than such a file can have")?;
        self.position += bytes;
        Ok(())
    }
}

/// A long text or long bytes, to be read as a stream of bytes; of a text each character, which is in latin-1, is one.
pub struct Payload<'a> {
    reader: &'a mut dyn BufRead,
    position: &'a mut u64,
    /// Bytes of the pickle that are left.
    left: u64,
    is_latin1: bool,
    /// The first byte of a character of two.
    lead: Option<u8>,
}

impl Payload<'_> {
    /// Whether it is a text.
    pub fn is_text(&self) -> bool {
        self.is_latin1
    }

    /// How many bytes are left; `None` of a text, which does not say how many characters it has.
    pub fn left(&self) -> Option<u64> {
        (!self.is_latin1).then_some(self.left)
    }

    /// Passes over `count` bytes.
    ///
    /// # Errors
    /// There are fewer, or they cannot be read.
    pub fn skip(&mut self, count: u64) -> Step<()> {
        let passed = std::io::copy(&mut self.take(count), &mut std::io::sink()).map_err(|error| explain(&error))?;
        (passed == count).then_some(()).ok_or_else(|| TOO_SHORT.to_owned())
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    /// There are fewer, or they cannot be read.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Step<()> {
        self.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof if self.left == 0 => TOO_SHORT.to_owned(),
            _ => explain(&error),
        })
    }

    /// Passes over the rest; how many bytes it had.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn skip_rest(&mut self) -> Step<u64> {
        std::io::copy(self, &mut std::io::sink()).map_err(|error| explain(&error))
    }
}

const TOO_SHORT: &str = "has fewer bytes than its shape says";

impl Read for Payload<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while !out.is_empty() {
            if self.left == 0 {
                return match self.lead {
                    None => Ok(0),
                    Some(_) => Err(beyond_latin1()),
                };
            }
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let available = &available[..available.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
            let (used, made) = if self.is_latin1 {
                decode(available, out, &mut self.lead)?
            } else {
                let count = available.len().min(out.len());
                out[..count].copy_from_slice(&available[..count]);
                (count, count)
            };
            self.reader.consume(used);
            self.left -= used as u64;
            *self.position += used as u64;
            if made > 0 {
                return Ok(made);
            }
        }
        Ok(0)
    }
}

/// From UTF-8 to latin-1; how many bytes were used and made.
fn decode(utf8: &[u8], out: &mut [u8], lead: &mut Option<u8>) -> std::io::Result<(usize, usize)> {
    let mut made = 0;
    for (used, &byte) in utf8.iter().enumerate() {
        if made == out.len() {
            return Ok((used, made));
        }
        out[made] = match (lead.take(), byte) {
            (None, 0..0x80) => byte,
            (None, 0xc2 | 0xc3) => {
                *lead = Some(byte);
                continue;
            }
            (Some(first), 0x80..0xc0) => (first & 3) << 6 | byte & 0x3f,
            _ => return Err(beyond_latin1()),
        };
        made += 1;
    }
    Ok((utf8.len(), made))
}

fn beyond_latin1() -> Error {
    Error::new(ErrorKind::InvalidData, "a text beyond latin-1 where bytes are expected")
}

fn explain(error: &Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => ENDS.to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read_all(bytes: &[u8], length: u64, buffer: usize) -> std::io::Result<Vec<u8>> {
        let mut input = Input::new(BufReader::with_capacity(buffer, bytes), 0);
        let mut out = Vec::new();
        input.payload(length, true).read_to_end(&mut out)?;
        assert_eq!(input.position(), length);
        Ok(out)
    }

    #[test]
    fn latin1_is_decoded_across_buffers() {
        let every: Vec<u8> = (0..=255).collect();
        let text: String = every.iter().map(|&byte| char::from(byte)).collect();
        for buffer in [1, 2, 3, 7, 512] {
            let read = read_all(text.as_bytes(), text.len() as u64, buffer).expect("latin-1");
            assert_eq!(read, every);
        }
    }

    #[test]
    fn what_is_not_latin1_is_refused() {
        for text in ["Ā", "→", "a\u{10ffff}"] {
            assert!(read_all(text.as_bytes(), text.len() as u64, 16).is_err(), "{text}");
        }
        assert!(read_all(&[0x80], 1, 16).is_err(), "no first byte");
        assert!(read_all(&[0xc2], 1, 16).is_err(), "no second byte");
        assert!(read_all(&[0xc2, b'a'], 2, 16).is_err(), "no second byte");
        assert!(read_all(b"abc", 4, 16).is_err(), "cut");
    }

    #[test]
    fn claimed_sizes_reserve_nothing() {
        let mut input = Input::new(&b"abc"[..], u64::MAX);
        assert!(input.take(u64::MAX / 2).expect_err("cut").contains("in the middle"));
        let mut input = Input::new(&[b'a'; 64][..], 8);
        assert!(input.take(16).expect_err("over the limit").contains("more bytes"));
    }
}
