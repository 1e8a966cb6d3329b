//! MATLAB level 5 (files saved with `-v6` and `-v7`): a 128-byte header, then tagged elements, whole matrices among
//! them, each of which may be compressed.
//!
//! Layout: "MAT-File Format", The MathWorks, chapter on level 5 MAT-files.

use super::inflate::{Inflater, MOST};
use super::{Array, LONGEST_NAME, Number, Present, Values, data_size, name_of, slice, unsupported};
use crate::record::RecordError;

const HEADER: usize = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// Inflated bytes of an element that are looked at before the rest: its matrix's name is among them.
const HEAD: u64 = 1 << 16;
const COMPLEX: u32 = 0x0800;
const LOGICAL: u32 = 0x0200;

/// Whether `bytes` begin with a level-5 (or HDF5-based 7.3) header.
pub(super) fn recognize(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MATLAB")
        || bytes
            .get(124..HEADER)
            .is_some_and(|mark| matches!(mark, [0, 1 | 2, b'I', b'M'] | [1 | 2, 0, b'M', b'I']))
}

/// The variable `wanted`; every other element must be whole too.
pub(super) fn find<'a>(file: &'a str, bytes: &'a [u8], wanted: &str) -> Result<Array<'a>, RecordError> {
    let header = slice(file, bytes, "file header", 0, HEADER as u64)?;
    let reader = Reader {
        file,
        bytes,
        big_endian: header[126..] == *b"MI",
        base: 0,
    };
    if header[126..] != *b"IM" && header[126..] != *b"MI" {
        return Err(reader.damaged(126, "no byte-order mark"));
    }
    match reader.u16(124)? {
        0x0100 => {}
        0x0200 => {
            return Err(RecordError::Unsupported {
                file: file.to_owned(),
                found: "a MATLAB 7.3 (HDF5) file".to_owned(),
                supported: "save it with -v7 or -v4",
            });
        }
        version => return Err(reader.damaged(124, &format!("unknown version {version:#06x}"))),
    }

    let mut present = Present::default();
    let mut found = None;
    let mut left = MOST;
    let mut offset = HEADER;
    while offset < bytes.len() {
        let element = reader.element(offset, "element")?;
        let wanted = found.is_none().then_some(wanted);
        let array = match element.kind {
            MATRIX => reader.matrix(element.body, element.length, &mut present, wanted)?,
            COMPRESSED => reader.compressed((offset, reader.body(&element)?), &mut left, &mut present, wanted)?,
            kind => return Err(reader.damaged(offset, &format!("element of unknown type {kind}"))),
        };
        found = found.or(array);
        offset = element.next;
    }
    found.ok_or_else(|| present.without(file, wanted))
}

/// A tagged element: what it is, and where its body lies.
struct Element {
    kind: u32,
    body: usize,
    length: u32,
    next: usize,
}

/// What stands in front of a matrix's values.
struct Opening {
    flags: u32,
    dimensions: Element,
    name: String,
    /// Where the values' element begins.
    values: usize,
}

/// A matrix that is read, without its values.
struct Described {
    name: String,
    rows: u64,
    columns: u64,
    number: Number,
    values: Element,
}

/// Bounds-checked access to the elements in `bytes`.
struct Reader<'a> {
    file: &'a str,
    bytes: &'a [u8],
    big_endian: bool,
    /// Where the compressed element begins whose content `bytes` are; 0 for the file itself.
    base: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, offset: usize, reason: &str) -> RecordError {
        let offset = if self.base == 0 { offset } else { self.base };
        RecordError::Damaged {
            file: self.file.to_owned(),
            offset: offset as u64,
            reason: reason.to_owned(),
        }
    }

    fn word<const SIZE: usize>(&self, offset: usize) -> Result<[u8; SIZE], RecordError> {
        let bytes = slice(self.file, self.bytes, "element", offset, SIZE as u64)?;
        let mut word = [0; SIZE];
        word.copy_from_slice(bytes);
        if self.big_endian {
            word.reverse();
        }
        Ok(word)
    }

    fn u16(&self, offset: usize) -> Result<u16, RecordError> {
        self.word(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: usize) -> Result<u32, RecordError> {
        self.word(offset).map(u32::from_le_bytes)
    }

    /// The element at `offset`, whose body lies within the file.
    fn element(&self, offset: usize, what: &str) -> Result<Element, RecordError> {
        let element = self.tag(offset)?;
        slice(self.file, self.bytes, what, element.body, element.length.into())?;
        Ok(element)
    }

    /// What the tag at `offset` says. Bodies of up to four bytes share the tag's eight.
    fn tag(&self, offset: usize) -> Result<Element, RecordError> {
        let tag = self.u32(offset)?;
        Ok(if tag >> 16 != 0 {
            let length = tag >> 16;
            if length > 4 {
                return Err(self.damaged(offset, &format!("a small element of {length} bytes")));
            }
            Element {
                kind: tag & 0xffff,
                body: offset + 4,
                length,
                next: offset + 8,
            }
        } else {
            let (length, body) = (self.u32(offset + 4)?, offset + 8);
            let padded = if tag == COMPRESSED {
                length.into()
            } else {
                u64::from(length).next_multiple_of(8)
            };
            let next = usize::try_from(padded).map_or(usize::MAX, |padded| body.saturating_add(padded));
            Element {
                kind: tag,
                body,
                length,
                next,
            }
        })
    }

    fn body(&self, element: &Element) -> Result<&'a [u8], RecordError> {
        slice(self.file, self.bytes, "element", element.body, element.length.into())
    }

    /// The matrix whose subelements begin at `start`, if it is the variable `wanted`; its name joins `present`.
    fn matrix(
        &self,
        start: usize,
        length: u32,
        present: &mut Present,
        wanted: Option<&str>,
    ) -> Result<Option<Array<'a>>, RecordError> {
        let end = start as u64 + u64::from(length);
        let inside = Reader {
            bytes: slice(self.file, self.bytes, "matrix", 0, end)?,
            ..*self
        };
        let Some(described) = inside.variable(start, end, present, wanted)? else {
            return Ok(None);
        };
        let values = Values::Plain(inside.body(&described.values)?);
        Ok(Some(self.array(described, values)))
    }

    fn array<'v>(&self, described: Described, values: Values<'v>) -> Array<'v> {
        Array {
            name: described.name,
            rows: described.rows as usize,
            columns: described.columns as usize,
            number: described.number,
            big_endian: self.big_endian,
            values,
            offset: described.values.body,
        }
    }

    /// What a matrix from byte `start` to `end` holds, if it is the variable `wanted`; its name joins `present`. Its values need not be in
    /// memory.
    fn variable(
        &self,
        start: usize,
        end: u64,
        present: &mut Present,
        wanted: Option<&str>,
    ) -> Result<Option<Described>, RecordError> {
        if start as u64 == end {
            return Ok(None);
        }
        let Opening {
            flags: flags_word,
            dimensions,
            name: text,
            values: offset,
        } = self.opening(start)?;
        present.push(&text);
        if Some(text.as_str()) != wanted {
            return Ok(None);
        }
        let class = match flags_word & 0xff {
            1 => Err("cell array"),
            2 => Err("structure"),
            3 => Err("object"),
            4 => Err("text"),
            5 => Err("sparse matrix"),
            6..=15 if flags_word & COMPLEX != 0 => Err("complex matrix"),
            6..=15 if flags_word & LOGICAL != 0 => Err("logical matrix"),
            6..=15 => Ok(()),
            _ => Err("not numeric"),
        };
        class.map_err(|kind| unsupported(self.file, &text, kind))?;
        let (rows, columns) = self.rows_and_columns(&dimensions, &text)?;
        let values = self.tag(offset)?;
        let available = end.saturating_sub(values.body as u64);
        if u64::from(values.length) > available {
            return Err(RecordError::Truncated {
                file: self.file.to_owned(),
                what: "matrix".to_owned(),
                offset: values.body as u64,
                needed: values.length.into(),
                available,
            });
        }
        let number = match values.kind {
            1 => Number::I8,
            2 => Number::U8,
            3 => Number::I16,
            4 => Number::U16,
            5 => Number::I32,
            6 => Number::U32,
            7 => Number::F32,
            9 => Number::F64,
            12 => Number::I64,
            13 => Number::U64,
            kind => return Err(self.damaged(offset, &format!("numbers of unknown type {kind}"))),
        };
        let size = data_size(self.file, rows, columns, number)?;
        if size != u64::from(values.length) {
            let reason = format!(
                "{rows} rows and {columns} columns need {size} bytes, {} are announced",
                values.length
            );
            return Err(self.damaged(offset, &reason));
        }
        Ok(Some(Described {
            name: text,
            rows,
            columns,
            number,
            values,
        }))
    }

    /// What stands in front of a matrix's values.
    fn opening(&self, start: usize) -> Result<Opening, RecordError> {
        let flags = self.element(start, "array flags")?;
        if flags.length != 8 {
            return Err(self.damaged(start, "array flags of another size than 8 bytes"));
        }
        let dimensions = self.element(flags.next, "dimensions")?;
        let name = self.element(dimensions.next, "variable name")?;
        if name.length > LONGEST_NAME {
            let reason = format!(
                "a variable name of {} bytes; at most {LONGEST_NAME} are read",
                name.length
            );
            return Err(self.damaged(dimensions.next, &reason));
        }
        Ok(Opening {
            flags: self.u32(flags.body)?,
            name: name_of(self.body(&name)?),
            dimensions,
            values: name.next,
        })
    }

    /// The matrix inside a compressed element, if it is the variable `wanted`; its name joins `present`. Nothing but the beginning is kept in
    /// memory; what the element stands for is taken from the bytes that are `left` to the file.
    fn compressed(
        &self,
        (offset, deflated): (usize, &'a [u8]),
        left: &mut u64,
        present: &mut Present,
        wanted: Option<&str>,
    ) -> Result<Option<Array<'a>>, RecordError> {
        let mut content = Inflater::new(self.file, offset, deflated, *left);
        content.keep(HEAD)?;
        let head = Reader {
            file: self.file,
            bytes: content.kept(),
            big_endian: self.big_endian,
            base: offset,
        };
        let element = head.tag(0)?;
        let end = element.body as u64 + u64::from(element.length);
        let described = match element.kind {
            MATRIX => head.variable(element.body, end, present, wanted)?,
            _ => None,
        };
        content.announce(end);
        let Some(described) = described else {
            *left -= content.finish()?;
            return Ok(None);
        };
        *left = left.saturating_sub(end);
        let start = described.values.body;
        Ok(Some(self.array(described, Values::Deflated { content, start })))
    }

    fn rows_and_columns(&self, dimensions: &Element, name: &str) -> Result<(u64, u64), RecordError> {
        if dimensions.length < 8 || !dimensions.length.is_multiple_of(4) {
            return Err(self.damaged(dimensions.body, "fewer than two dimensions"));
        }
        let mut sizes = [0; 2];
        for index in 0..dimensions.length as usize / 4 {
            let size = self.u32(dimensions.body + 4 * index)?.cast_signed();
            match (sizes.get_mut(index), u64::try_from(size)) {
                (_, Err(_)) => return Err(self.damaged(dimensions.body, "a matrix of negative size")),
                (Some(slot), Ok(size)) => *slot = size,
                (None, Ok(1)) => {}
                (None, Ok(_)) => return Err(unsupported(self.file, name, "array of more than two dimensions")),
            }
        }
        Ok((sizes[0], sizes[1]))
    }
}
