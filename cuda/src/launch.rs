//! What to run, whoever runs it.

use half::{bf16, f16};

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

    /// The values rounded to this type, little-endian, as they lie in device memory.
    pub fn encode(self, values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        let values = values.into_iter();
        match self {
            Self::F32 => values.flat_map(f32::to_le_bytes).collect(),
            Self::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            Self::Bf16 => values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
        }
    }
}

/// Type of the operands of a kernel's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Floats.
    Float(Element),
    /// 8-bit integers, `value = scale·(q − zero_point)`.
    Int8,
}

impl Precision {
    /// Every one that kernels are compiled for.
    pub const ALL: [Self; 4] = [
        Self::Float(Element::F32),
        Self::Float(Element::F16),
        Self::Float(Element::Bf16),
        Self::Int8,
    ];

    /// As in the names of kernels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float(element) => element.name(),
            Self::Int8 => "i8",
        }
    }

    /// Bytes of one operand.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float(element) => element.bytes(),
            Self::Int8 => 1,
        }
    }

    /// Type of what is read or passed on without being rounded to 8 bits: f32 beside products of 8 bits, otherwise that of the operands.
    pub fn plain(self) -> Element {
        match self {
            Self::Float(element) => element,
            Self::Int8 => Element::F32,
        }
    }
}

/// How values are rounded to 8 bits: `q = clamp(round(x/scale) + zero_point, −128, 127)`, ties to the even number;
/// `value = scale·(q − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The distance of two neighbouring values.
    pub scale: f32,
    /// What 0 becomes.
    pub zero_point: i8,
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
    /// A real number.
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
    /// Whether all blocks must run at the same time, because they wait for one another.
    pub together: bool,
    /// In the order of the kernel's parameters.
    pub arguments: Vec<Argument<M>>,
}

impl<M: Copy> Launch<M> {
    /// The same launch with other names for its memory.
    ///
    /// # Errors
    /// Those of `place`.
    pub fn placed<N, E>(&self, mut place: impl FnMut(M) -> Result<N, E>) -> Result<Launch<N>, E> {
        let placed = |argument: &Argument<M>| {
            Ok(match *argument {
                Argument::Memory(memory) => Argument::Memory(place(memory)?),
                Argument::I32(number) => Argument::I32(number),
                Argument::I64(number) => Argument::I64(number),
                Argument::F32(number) => Argument::F32(number),
            })
        };
        Ok(Launch {
            family: self.family,
            kernel: self.kernel.clone(),
            blocks: self.blocks,
            rows: self.rows,
            threads: self.threads,
            shared_bytes: self.shared_bytes,
            together: self.together,
            arguments: self.arguments.iter().map(placed).collect::<Result<_, E>>()?,
        })
    }
}
