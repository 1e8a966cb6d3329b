//! The signal formats of WFDB.
//!
//! Layout: WFDB Applications Guide, signal(5).

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
    /// NaN stands for the format's invalid-sample code.
    pub(super) samples: Vec<f32>,
    /// The first stored number.
    pub(super) first: Option<i64>,
    /// Sum of all stored numbers.
    sum: i64,
    gaps: i64,
    invalid: i64,
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

    /// The samples of `lead` out of `leads` interleaved ones; `data` holds whole frames and nothing else.
    pub(super) fn decode(self, data: &[u8], lead: usize, leads: usize) -> Stored {
        match self {
            Self::F16 => self.words(data, lead, leads, |word| i16::from_le_bytes(word).into()),
            Self::F61 => self.words(data, lead, leads, |word| i16::from_be_bytes(word).into()),
            Self::F24 => self.words(data, lead, leads, |[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8),
            Self::F32 => self.words(data, lead, leads, i32::from_le_bytes),
            Self::F80 => self.words(data, lead, leads, |[byte]| i32::from(byte) - 128),
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
                Stored::collect((lead..count).step_by(leads).map(sample), self.invalid())
            }
        }
    }

    fn words<const SIZE: usize>(
        self,
        data: &[u8],
        lead: usize,
        leads: usize,
        convert: impl Fn([u8; SIZE]) -> i32,
    ) -> Stored {
        let (words, _) = data.as_chunks::<SIZE>();
        Stored::collect(
            words.iter().skip(lead).step_by(leads).map(|word| convert(*word)),
            self.invalid(),
        )
    }
}

impl Stored {
    fn collect(values: impl Iterator<Item = i32>, invalid: i64) -> Self {
        let mut stored = Self {
            samples: Vec::new(),
            first: None,
            sum: 0,
            gaps: 0,
            invalid,
        };
        stored.samples = values
            .map(i64::from)
            .inspect(|value| {
                stored.first.get_or_insert(*value);
                stored.sum = stored.sum.wrapping_add(*value);
                stored.gaps += i64::from(*value == invalid);
            })
            .map(|value| if value == invalid { f32::NAN } else { value as f32 })
            .collect();
        stored
    }

    /// What a file without fixed layout holds of a lead in this `format`, or the index of the first sample that the
    /// format cannot hold: a fraction (of a lead in physical units, for instance) or a number out of its range.
    pub(super) fn from_samples(samples: &[f32], format: Format) -> Result<Self, usize> {
        let lowest = format.invalid() as f32;
        let fits = |sample: &f32| sample.fract() == 0.0 && (lowest..-lowest).contains(sample);
        match samples.iter().position(|sample| !fits(sample)) {
            Some(index) => Err(index),
            None => Ok(Self::collect(
                samples.iter().map(|sample| *sample as i32),
                format.invalid(),
            )),
        }
    }

    /// Whether a header's checksum fits. Writers differ in whether an invalid sample adds its own code or format 16's.
    pub(super) fn sums_to(&self, checksum: u16) -> bool {
        let other = self.sum.wrapping_add(self.gaps * (i64::from(i16::MIN) - self.invalid));
        self.sum as u16 == checksum || other as u16 == checksum
    }
}
