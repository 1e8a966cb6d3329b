//! The elements of tensors as files hold them, and how they are read.

use super::Data;
use half::{bf16, f16};

/// The type of an element in a file, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    BF16,
    F32,
    F64,
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
}

impl Element {
    /// Bytes of one.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// Those that are whole in `bytes`: real numbers in float32, integers and truth values in int64.
    pub(super) fn decode(self, bytes: &[u8]) -> Data {
        match self {
            Self::F16 => floats(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::BF16 => floats(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F32 => floats(bytes, f32::from_le_bytes),
            Self::F64 => floats(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::Bool | Self::U8 => integers(bytes, |[b]: [u8; 1]| i64::from(b)),
            Self::I8 => integers(bytes, |b| i64::from(i8::from_le_bytes(b))),
            Self::I16 => integers(bytes, |b| i64::from(i16::from_le_bytes(b))),
            Self::I32 => integers(bytes, |b| i64::from(i32::from_le_bytes(b))),
            Self::I64 => integers(bytes, i64::from_le_bytes),
        }
    }
}

fn floats<const W: usize>(bytes: &[u8], convert: impl Fn([u8; W]) -> f32) -> Data {
    Data::F32(bytes.as_chunks::<W>().0.iter().map(|&chunk| convert(chunk)).collect())
}

fn integers<const W: usize>(bytes: &[u8], convert: impl Fn([u8; W]) -> i64) -> Data {
    Data::I64(bytes.as_chunks::<W>().0.iter().map(|&chunk| convert(chunk)).collect())
}
