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

/// An argument of a kernel. `M` is memory as whoever runs the launch names it: a device pointer on a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument<M> {
    /// Device memory.
    Memory(M),
    /// A whole number.
    I32(i32),
    /// A whole number.
    I64(i64),
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
