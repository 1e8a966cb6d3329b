//! Reading what may have no end: a pipe, a device, a file of another kind than was meant.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Everything `reader` yields; `None` where that is more than `most` bytes, of which no more are read.
///
/// # Errors
/// What reading it meets.
pub fn read_up_to(most: u64, reader: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let length = reader.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((length as u64 <= most).then_some(bytes))
}

/// The text in the file at `path`.
///
/// # Errors
/// What opening and reading it meets; more than `most` bytes; bytes that are no UTF-8.
pub fn text_up_to(most: u64, path: &Path) -> io::Result<String> {
    let bytes = read_up_to(most, File::open(path)?)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most} bytes")))?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_is_allowed_is_read_and_nothing_longer() {
        assert_eq!(read_up_to(3, &b"abc"[..]).expect("bytes"), Some(b"abc".to_vec()));
        assert_eq!(read_up_to(2, &b"abc"[..]).expect("bytes"), None);
        assert_eq!(read_up_to(0, io::empty()).expect("bytes"), Some(Vec::new()));
        assert_eq!(
            read_up_to(1 << 20, io::repeat(7)).expect("bytes"),
            None,
            "what has no end"
        );
        assert_eq!(read_up_to(u64::MAX, &b"abc"[..]).expect("bytes"), Some(b"abc".to_vec()));
    }

    #[test]
    fn a_text_is_read_whole_or_told_why_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("text");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).expect("a file");
            text_up_to(4, &path).map_err(|error| error.to_string())
        };
        assert_eq!(read("aµb".as_bytes()).as_deref(), Ok("aµb"));
        assert_eq!(read(b"12345"), Err("longer than 4 bytes".to_owned()));
        assert_eq!(read(b"\xff"), Err("no UTF-8 text".to_owned()));
        assert_eq!(
            text_up_to(4, &directory.path().join("none")).map_err(|error| error.kind()),
            Err(io::ErrorKind::NotFound)
        );
    }
}
