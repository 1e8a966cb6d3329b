//! Convolutions of feature maps with everything that follows them, and pooling (`residual.cu`).
//!
//! Maps are channels-last, `[records, height, width, channels]`, contiguous, at multiples of 256 bytes. A convolution has stride 1, 3×3
//! taps padded by 1 or 1×1, and gives for every output
//!
//! `y = pool(F(scale·sum + shift + shortcut))`
//!
//! with the scale and shift of a conditional norm, and shortcut, F and 2×2 average pooling where they are asked for: a
//! residual block is two launches. The first convolution, of a single channel, is [`Single`]; [`Convolution`] is all others.
//!
//! **8 bits.** A map of 8-bit values holds `q` of `value = scale·(q − zero_point)`. Sums of their products are exact, less the zero point,
//! at the border too. What the sum is multiplied by (`Packed::factors`) is **part of the norm's scale**: fold it into the rows of the
//! condition's weights, or into the fixed scales. Conditions must be within 1e28 for 8-bit results to be defined; `head` looks at that.
//! A map that is not rounded is f32 then: what [`Convolution`] gives without rounding, the single channel of the first block, and
//! the pooled input that an axial block adds.

mod convolution;
mod pack;
mod pool;
mod single;
mod tiling;

pub use convolution::{Convolution, Operands};
pub use pack::{Filters, Packed, PackedSingle, pack, pack_single};
pub use pool::pool;
pub use single::{Single, SingleOperands};
pub use tiling::Tiling;

use crate::pau::Coefficients;
use crate::{CudaError, Precision, Quantization};

/// Threads of a block; `THREADS` in `residual.cu`.
const THREADS: u32 = 128;

/// Extents of a convolution's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Records.
    pub records: usize,
    /// Extent along time of the input.
    pub height: usize,
    /// Extent along frequency of the input.
    pub width: usize,
    /// Channels of the input, a multiple of 16.
    pub inputs: usize,
    /// Channels of the output, a multiple of 16.
    pub outputs: usize,
}

/// A packed convolution in device memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights<M> {
    /// [`Packed::values`].
    pub values: M,
    /// [`Packed::sums`], i32; any memory for floats.
    pub sums: M,
    /// [`Packed::factors`], f32, which only a projection reads; any memory otherwise.
    pub factors: M,
}

/// Scale and shift per record and output, f32: record r's scales begin at `r·stride`, its shifts `outputs` further on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions<M> {
    /// Those of record 0, at a multiple of 16 bytes.
    pub values: M,
    /// Values from a record to the next: a multiple of 4, 0 when all records have the same.
    pub stride: usize,
}

/// What a convolution adds before the activation. Its map has the height and width of the convolution's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shortcut<M> {
    /// Nothing.
    None,
    /// A map of the output's channels and the input's type; the rounding is that of 8 bits.
    Identity(M, Option<Quantization>),
    /// A map of the output's channels which is not rounded: f32 for 8 bits, otherwise the same as `Identity`.
    Plain(M),
    /// The 1×1 convolution of a map of the input's type, of so many channels (a multiple of 16), by a packed convolution of 1 tap; the
    /// rounding is that of 8 bits.
    Projection(M, usize, Weights<M>, Option<Quantization>),
    /// The 1×1 convolution of a map of one channel ([`PackedSingle::values`]), in the input's type; for 8 bits of f32, which is
    /// rounded like this on the way.
    Single(M, M, Option<Quantization>),
}

/// How kernels round what they read or write, or do not.
struct Rounded {
    name: &'static str,
    factor: f32,
    zero_point: i32,
}

impl Rounded {
    fn of(precision: Precision, rounding: Option<Quantization>) -> Result<Self, CudaError> {
        match (precision, rounding) {
            (_, Some(rounding)) if precision == Precision::Int8 => Ok(Self {
                name: "i8",
                factor: 1.0 / rounding.scale,
                zero_point: rounding.zero_point.into(),
            }),
            (_, None) => Ok(Self {
                name: precision.plain().name(),
                factor: 1.0,
                zero_point: 0,
            }),
            _ => Err(unlike(precision)),
        }
    }
}

/// Coefficients or any memory, and their numbers, 0 for no activation.
fn activation<M: Copy>(unit: Option<Coefficients<M>>, any: M) -> ([M; 2], [usize; 2]) {
    match unit {
        Some(unit) => ([unit.numerator, unit.denominator], [6, 4]),
        None => ([any, any], [0, 0]),
    }
}

/// Blocks for so many threads.
fn blocks(threads: usize) -> Option<u32> {
    let blocks = threads.div_ceil(THREADS as usize);
    (blocks * THREADS as usize <= i32::MAX as usize).then_some(blocks as u32)
}

fn check_channels(inputs: usize, outputs: usize) -> Result<(), CudaError> {
    if inputs > 0 && outputs > 0 && inputs.is_multiple_of(pack::GROUP) && outputs.is_multiple_of(pack::GROUP) {
        return Ok(());
    }
    Err(CudaError::Launch(format!(
        "a convolution of {inputs} to {outputs} channels has no CUDA kernel; multiples of 16 are supported"
    )))
}

/// Elements are counted in 64 bits, pixels and everything else in 31.
fn check_extents(extents: Extents) -> Result<(), CudaError> {
    let Extents {
        records,
        height,
        width,
        inputs,
        outputs,
    } = extents;
    let pixels = height
        .checked_add(2)
        .and_then(|height| records.checked_mul(height))
        .and_then(|rows| rows.checked_mul(width));
    let fits = |value: usize| value > 0 && i32::try_from(value).is_ok();
    match pixels {
        Some(pixels) if [records, height, width, inputs, outputs, pixels].into_iter().all(fits) => Ok(()),
        _ => Err(too_large(extents)),
    }
}

fn check_stride(stride: usize) -> Result<usize, CudaError> {
    if stride.is_multiple_of(4) && i32::try_from(stride).is_ok() {
        return Ok(stride);
    }
    Err(CudaError::Launch(format!(
        "conditions {stride} values apart are not at multiples of 4"
    )))
}

fn too_large(extents: Extents) -> CudaError {
    let Extents {
        records,
        height,
        width,
        inputs,
        outputs,
    } = extents;
    CudaError::Launch(format!(
        "{records} maps of {height}×{width} pixels, {inputs} to {outputs} channels, are too large for CUDA, or empty"
    ))
}

fn unlike(precision: Precision) -> CudaError {
    CudaError::Launch(format!(
        "maps of {} are rounded in 8 bits, and only then",
        precision.name()
    ))
}
