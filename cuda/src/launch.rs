//! What to run, whoever runs it.

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl Element {
    /// Every type that kernels are compiled for.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// As in the names of kernels.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// In which numbers the network's kernels multiply. They add up in f32, or in i32 where they multiply i8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point, without tensor cores: the reference.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit integers.
    I8,
}

impl Precision {
    /// Every one that kernels are compiled for.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::I8];

    /// As in the names of kernels.
    pub fn name(self) -> &'static str {
        match self {
            Self::I8 => "i8",
            _ => self.signal().name(),
        }
    }

    /// Bytes of a factor.
    pub fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            _ => self.signal().bytes(),
        }
    }

    /// What the encoder of the waveform reads and passes on from layer to layer: numbers of 8 bits are rounded where they are multiplied.
    pub fn signal(self) -> Element {
        match self {
            Self::F32 | Self::I8 => Element::F32,
            Self::F16 => Element::F16,
            Self::Bf16 => Element::Bf16,
        }
    }
}

/// How numbers are rounded to 8 bits: `q = round(x/scale) + zero_point`, ties to even, −128 to 127; `x ≈ scale·(q − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The distance of two neighbouring values.
    pub scale: f32,
    /// What 0 becomes.
    pub zero_point: i8,
}

impl Quantization {
    /// As kernels take it: the inverse of the scale, then the zero point.
    pub(crate) fn arguments<M>(self) -> [Argument<M>; 2] {
        [
            Argument::F32(1.0 / self.scale),
            Argument::I32(i32::from(self.zero_point)),
        ]
    }
}

/// An argument of a kernel. `M` is memory as whoever runs the launch names it: a device pointer on a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument<M> {
    /// Device memory.
    Memory(M),
    /// A whole number.
    I32(i32),
    /// A whole number.
    I64(i64),
    /// A number.
    F32(f32),
}

/// One kernel on one grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch<M> {
    /// The `.cu` file it is in, such as `pau`.
    pub family: &'static str,
    /// Its name.
    pub kernel: String,
    /// Blocks of a row.
    pub blocks: u32,
    /// Rows of blocks.
    pub rows: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Shared memory beyond what the kernel declares itself, in bytes.
    pub shared_bytes: u32,
    /// In the order of the kernel's parameters.
    pub arguments: Vec<Argument<M>>,
}
