//! The signal formats of WFDB.
//!
//! Layout: WFDB Applications Guide, signal(5).

use crate::record::lead::Kept;

/// How the samples of a signal file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// 16 bits, little endian.
    F16,
    /// 24 bits, little endian.
    F24,
    /// 32 bits, little endian.
    F32,
    /// 16 bits, big endian.
    F61,
    /// 8 bits, offset binary.
    F80,
    /// 12 bits, two samples in three bytes.
    F212,
}

/// The samples of one lead, with what a header can be checked against.
pub(super) struct Stored {
    format: Format,
    /// Numbers that are not samples of the lead any more, from the first on.
    skew: usize,
    /// NaN stands for the format's invalid-sample code.
    pub(super) samples: Kept,
    /// The first stored number.
    pub(super) first: Option<i64>,
    count: usize,
    /// Sum of all stored numbers.
    sum: i64,
    gaps: i64,
}

impl Format {
    /// The format that headers call `code`.
    pub(super) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            16 => Self::F16,
            24 => Self::F24,
            32 => Self::F32,
            61 => Self::F61,
            80 => Self::F80,
            212 => Self::F212,
            _ => return None,
        })
    }

    /// What headers call it.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::F16 => 16,
            Self::F24 => 24,
            Self::F32 => 32,
            Self::F61 => 61,
            Self::F80 => 80,
            Self::F212 => 212,
        }
    }

    /// The number that marks an invalid sample: the lowest the format can hold.
    pub(super) fn invalid(self) -> i64 {
        match self {
            Self::F16 | Self::F61 => i16::MIN.into(),
            Self::F24 => -(1 << 23),
            Self::F32 => i32::MIN.into(),
            Self::F80 => i8::MIN.into(),
            Self::F212 => -(1 << 11),
        }
    }

    /// Bytes that `count` samples occupy.
    pub(super) fn bytes(self, count: u64) -> u128 {
        let count = u128::from(count);
        match self {
            Self::F16 | Self::F61 => 2 * count,
            Self::F24 => 3 * count,
            Self::F32 => 4 * count,
            Self::F80 => count,
            Self::F212 => (3 * count).div_ceil(2),
        }
    }

    /// Whole samples in `bytes` bytes.
    pub(super) fn count(self, bytes: u64) -> u64 {
        match self {
            Self::F16 | Self::F61 => bytes / 2,
            Self::F24 => bytes / 3,
            Self::F32 => bytes / 4,
            Self::F80 => bytes,
            Self::F212 => bytes / 3 * 2 + u64::from(bytes % 3 == 2),
        }
    }

    /// Hands over the numbers of `lead` out of `leads` interleaved ones; `data` holds whole frames and nothing else.
    fn decode(self, data: &[u8], lead: usize, leads: usize, take: impl FnMut(i32)) {
        match self {
            Self::F16 => words(data, lead, leads, |word| i16::from_le_bytes(word).into(), take),
            Self::F61 => words(data, lead, leads, |word| i16::from_be_bytes(word).into(), take),
            Self::F24 => words(
                data,
                lead,
                leads,
                |[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8,
                take,
            ),
            Self::F32 => words(data, lead, leads, i32::from_le_bytes, take),
            Self::F80 => words(data, lead, leads, |[byte]| i32::from(byte) - 128, take),
            Self::F212 => {
                let count = self.count(data.len() as u64) as usize / leads * leads;
                let sample = |index: usize| {
                    let pair = index / 2 * 3;
                    let bits = match index % 2 {
                        0 => u16::from(data[pair]) | u16::from(data[pair + 1] & 0x0f) << 8,
                        _ => u16::from(data[pair + 2]) | u16::from(data[pair + 1] & 0xf0) << 4,
                    };
                    i32::from((bits << 4).cast_signed() >> 4)
                };
                (lead..count).step_by(leads).map(sample).for_each(take);
            }
        }
    }
}

fn words<const SIZE: usize>(
    data: &[u8],
    lead: usize,
    leads: usize,
    convert: impl Fn([u8; SIZE]) -> i32,
    take: impl FnMut(i32),
) {
    let (words, _) = data.as_chunks::<SIZE>();
    words
        .iter()
        .skip(lead)
        .step_by(leads)
        .map(|word| convert(*word))
        .for_each(take);
}

impl Stored {
    /// No numbers yet of a lead in `format`, whose first sample comes after `skew` of them.
    pub(super) fn new(format: Format, skew: usize) -> Self {
        Self {
            format,
            skew,
            samples: Kept::default(),
            first: None,
            count: 0,
            sum: 0,
            gaps: 0,
        }
    }

    /// Takes the numbers of `lead` out of `leads` interleaved ones; `data` holds whole frames and nothing else.
    pub(super) fn decode(&mut self, data: &[u8], lead: usize, leads: usize) {
        self.format.decode(data, lead, leads, |number| self.push(number));
    }

    /// Takes the samples that a file without fixed layout holds, or gives the number of the first one that the format cannot hold, and that
    /// sample: a fraction (of a lead in physical units, for instance) or a number out of its range.
    pub(super) fn take(&mut self, samples: &[f32]) -> Result<(), (usize, f32)> {
        let lowest = self.format.invalid() as f32;
        let fits = |sample: f32| sample.fract() == 0.0 && (lowest..-lowest).contains(&sample);
        for &sample in samples {
            if !fits(sample) {
                return Err((self.count, sample));
            }
            self.push(sample as i32);
        }
        Ok(())
    }

    fn push(&mut self, number: i32) {
        let number = i64::from(number);
        let is_gap = number == self.format.invalid();
        self.first.get_or_insert(number);
        self.sum = self.sum.wrapping_add(number);
        self.gaps += i64::from(is_gap);
        if self.count >= self.skew {
            self.samples.push(if is_gap { f32::NAN } else { number as f32 });
        }
        self.count += 1;
    }

    /// Whether a header's checksum fits. Writers differ in whether an invalid sample adds its own code or format 16's.
    pub(super) fn sums_to(&self, checksum: u16) -> bool {
        let other = self
            .sum
            .wrapping_add(self.gaps * (i64::from(i16::MIN) - self.format.invalid()));
        self.sum as u16 == checksum || other as u16 == checksum
    }
}
