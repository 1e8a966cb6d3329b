//! Pooling by itself, and rounding to 8 bits by itself.

use super::{Extents, THREADS, blocks, check_extents, too_large};
use crate::{Argument, CudaError, Element, Launch, Precision, Quantization};

/// 2×2 average pooling (`side` 2; an odd row or column is dropped) or none (`side` 1), from a map of one type to one of another.
///
/// Kernels exist from every precision to itself, from every one to i8, and from i8 to f32. `from_rounding` and `to_rounding` are those of 8
/// bits. `channels` is a multiple of 4.
///
/// # Errors
/// [`CudaError::Launch`] for other types, sides and channels, and maps that are empty or too large.
pub fn pool<M: Copy>(
    (from, from_precision, from_rounding): (M, Precision, Option<Quantization>),
    (to, to_precision, to_rounding): (M, Precision, Option<Quantization>),
    [records, height, width, channels]: [usize; 4],
    side: usize,
) -> Result<Launch<M>, CudaError> {
    let compiled = from_precision == to_precision
        || to_precision == Precision::Int8
        || (from_precision, to_precision) == (Precision::Int8, Precision::Float(Element::F32));
    let rounded =
        |precision: Precision, rounding: Option<Quantization>| (precision == Precision::Int8) == rounding.is_some();
    let extents = Extents {
        records,
        height,
        width,
        inputs: channels,
        outputs: channels,
    };
    check_extents(extents)?;
    let fits = rounded(from_precision, from_rounding) && rounded(to_precision, to_rounding);
    if !compiled || !fits || ![1, 2].contains(&side) || height < side || width < side || channels % 4 != 0 {
        return Err(CudaError::Launch(format!(
            "pooling {side}×{side} of {height}×{width} pixels of {channels} channels from {} to {} has no CUDA kernel; 1×1 and 2×2 of \
             multiples of 4 channels, to the same type or to i8, are supported",
            from_precision.name(),
            to_precision.name()
        )));
    }
    let numbers = [records, height, width, channels, side];
    let zero = |rounding: Option<Quantization>| rounding.map_or(0, |rounding| i32::from(rounding.zero_point));
    let scale = from_rounding.map_or(1.0, |rounding| rounding.scale);
    let factor = to_rounding.map_or(1.0, |rounding| 1.0 / rounding.scale);
    let threads = records * (height / side) * (width / side) * (channels / 4);
    let mut arguments = [from, to].map(Argument::Memory).to_vec();
    arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
    arguments.extend([from_rounding, to_rounding].map(|rounding| Argument::I32(zero(rounding))));
    arguments.extend([scale, factor].map(Argument::F32));
    Ok(Launch {
        family: "residual",
        kernel: format!("residual_pool_{}_{}", from_precision.name(), to_precision.name()),
        blocks: blocks(threads).ok_or_else(|| too_large(extents))?,
        rows: 1,
        threads: THREADS,
        shared_bytes: 0,
        together: false,
        arguments,
    })
}
