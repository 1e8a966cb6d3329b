//! The number types of `.mat` files.

/// How one number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::record) enum Number {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Number {
    /// Bytes per number.
    pub(in crate::record) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// The number at `index` of `data`, if it is a finite float64.
    pub(super) fn double(self, data: &[u8], big_endian: bool, index: usize) -> Option<f64> {
        let (words, _) = data.as_chunks();
        let mut word = *words.get(index).filter(|_| self == Self::F64)?;
        if big_endian {
            word.reverse();
        }
        Some(f64::from_le_bytes(word)).filter(|number| number.is_finite())
    }

    /// Every `stride`-th number of `data` from the `first` on, as float32.
    pub(super) fn gather(self, data: &[u8], big_endian: bool, first: usize, stride: usize) -> Vec<f32> {
        macro_rules! gather {
            ($number:ty) => {
                numbers(data, first, stride, |mut bytes| {
                    if big_endian {
                        bytes.reverse();
                    }
                    <$number>::from_le_bytes(bytes) as f32
                })
            };
        }
        match self {
            Self::I8 => gather!(i8),
            Self::U8 => gather!(u8),
            Self::I16 => gather!(i16),
            Self::U16 => gather!(u16),
            Self::I32 => gather!(i32),
            Self::U32 => gather!(u32),
            Self::I64 => gather!(i64),
            Self::U64 => gather!(u64),
            Self::F32 => gather!(f32),
            Self::F64 => gather!(f64),
        }
    }
}

fn numbers<const SIZE: usize>(
    data: &[u8],
    first: usize,
    stride: usize,
    convert: impl Fn([u8; SIZE]) -> f32,
) -> Vec<f32> {
    let (words, _) = data.as_chunks::<SIZE>();
    words
        .iter()
        .skip(first)
        .step_by(stride.max(1))
        .map(|word| convert(*word))
        .collect()
}
