//! MATLAB level 4: a file is a sequence of matrices, each a 20-byte header, a name and the numbers.
//!
//! Layout: "MAT-File Format", The MathWorks, chapter on level 4 MAT-files.

use super::{Array, LONGEST_NAME, Number, Present, Values, data_size, name_of, slice, unsupported};
use crate::record::RecordError;

const HEADER: usize = 20;

/// What a matrix of a level-4 file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Numeric,
    Text,
    Sparse,
}

/// The 20 bytes in front of a matrix.
struct Header {
    big_endian: bool,
    number: Number,
    kind: Kind,
    rows: i32,
    columns: i32,
    complex: bool,
    name_length: u32,
}

/// Whether `bytes` begin with a plausible matrix header.
pub(super) fn recognize(bytes: &[u8]) -> bool {
    bytes
        .first_chunk()
        .is_some_and(|header| Header::parse(header).is_some())
}

/// The variable `wanted`; every other matrix must be whole too.
pub(super) fn find<'a>(file: &str, bytes: &'a [u8], wanted: &str) -> Result<Array<'a>, RecordError> {
    let mut present = Present::default();
    let mut found = None;
    let mut offset = 0;
    while offset < bytes.len() {
        let start = offset;
        let header = slice(file, bytes, "matrix header", start, HEADER as u64)?;
        let damaged = |reason: &str| RecordError::Damaged {
            file: file.to_owned(),
            offset: start as u64,
            reason: reason.to_owned(),
        };
        let header = header
            .first_chunk()
            .and_then(Header::parse)
            .ok_or_else(|| damaged("no matrix header"))?;
        let (Ok(rows), Ok(columns)) = (u64::try_from(header.rows), u64::try_from(header.columns)) else {
            return Err(damaged("a matrix of negative size"));
        };
        offset += HEADER;
        let name = name_of(slice(file, bytes, "variable name", offset, header.name_length.into())?);
        offset += header.name_length as usize;
        let size = data_size(file, rows, columns, header.number)?;
        let data = slice(file, bytes, "matrix", offset, size << u32::from(header.complex))?;
        if name == wanted && found.is_none() {
            match header.kind {
                Kind::Text => return Err(unsupported(file, &name, "text")),
                Kind::Sparse => return Err(unsupported(file, &name, "sparse matrix")),
                Kind::Numeric if header.complex => return Err(unsupported(file, &name, "complex matrix")),
                Kind::Numeric => {}
            }
            found = Some(Array {
                name: name.clone(),
                rows: rows as usize,
                columns: columns as usize,
                number: header.number,
                big_endian: header.big_endian,
                values: Values::Plain(data),
                offset,
            });
        }
        present.push(&name);
        offset += data.len();
    }
    found.ok_or_else(|| present.without(file, wanted))
}

impl Header {
    /// `None` when no level-4 file that this program reads has these bytes (VAX and Cray numbers included).
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let little: [u32; 5] = std::array::from_fn(|index| {
            u32::from_le_bytes([
                bytes[4 * index],
                bytes[4 * index + 1],
                bytes[4 * index + 2],
                bytes[4 * index + 3],
            ])
        });
        let big_endian = little[0] > 9999;
        let [kind, rows, columns, complex, name_length] = if big_endian {
            little.map(u32::swap_bytes)
        } else {
            little
        };
        if kind / 1000 != u32::from(big_endian) || (kind / 100) % 10 != 0 {
            return None;
        }
        if complex > 1 || name_length == 0 || name_length > LONGEST_NAME {
            return None;
        }
        Some(Self {
            big_endian,
            number: match (kind / 10) % 10 {
                0 => Number::F64,
                1 => Number::F32,
                2 => Number::I32,
                3 => Number::I16,
                4 => Number::U16,
                5 => Number::U8,
                _ => return None,
            },
            kind: match kind % 10 {
                0 => Kind::Numeric,
                1 => Kind::Text,
                2 => Kind::Sparse,
                _ => return None,
            },
            rows: rows.cast_signed(),
            columns: columns.cast_signed(),
            complex: complex == 1,
            name_length,
        })
    }
}
