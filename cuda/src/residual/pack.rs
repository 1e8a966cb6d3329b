//! Weights of a convolution in the order in which the lanes of a warp take them.

use crate::operand::depth;
use crate::{CudaError, Precision, Quantization};

/// Weights as a network has them: `[outputs, inputs, taps]`, 9 taps by rows along time, or 1.
#[derive(Clone, Copy, Debug)]
pub enum Filters<'a> {
    /// Floats.
    Float(&'a [f32]),
    /// 8-bit values with a scale per output, and how the input they meet is rounded.
    Int8(&'a [i8], &'a [f32], Quantization),
}

/// What to put into device memory for a convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// The weights, `[taps, inputs/depth, outputs/16, 16·depth]`, little-endian elements of the convolution's precision. `depth` is 16
    /// for f16 and bf16, 32 for i8 (inputs beyond the last are zeros) and 4 for f32. A tile of 16 outputs by `depth` inputs lies as
    /// lanes take it: with lane = 4·g + t, element e of lane's 16 bytes, and E = 8 bytes' elements,
    /// output `4·(g/2) + 2·(e/E) + g%2` and input `E·t + e%E`; for f32, `[t, output − 4·t, input]` once for all g.
    pub values: Vec<u8>,
    /// i8: `−zero_point·Σ weights` per output, which a sum of products of uncentred values lacks. Empty for floats.
    pub sums: Vec<i32>,
    /// i8: what a sum of each output is to be multiplied by, `input.scale·scale`. Empty for floats.
    pub factors: Vec<f32>,
}

/// Outputs of a tile.
pub(super) const GROUP: usize = 16;

/// Packs the weights of a convolution of more than one channel.
///
/// # Errors
/// [`CudaError::Launch`] unless inputs and outputs are multiples of 16, taps 1 or 9, the weights as many and of the precision.
pub fn pack(
    precision: Precision,
    filters: Filters<'_>,
    outputs: usize,
    inputs: usize,
    taps: usize,
) -> Result<Packed, CudaError> {
    super::check_channels(inputs, outputs)?;
    check(filters, outputs, inputs, taps)?;
    let depth = depth(precision);
    let order = order(precision);
    let at =
        |tap: usize, output: usize, input: usize| (input < inputs).then_some((output * inputs + input) * taps + tap);
    let places = (0..taps).flat_map(|tap| {
        (0..inputs.div_ceil(depth)).flat_map({
            let order = &order;
            move |step| {
                (0..outputs / GROUP).flat_map(move |group| {
                    order
                        .iter()
                        .map(move |&(output, input)| at(tap, group * GROUP + output, step * depth + input))
                })
            }
        })
    });
    match (precision, filters) {
        (Precision::Float(element), Filters::Float(weights)) => Ok(Packed {
            values: element.encode(places.map(|place| place.map_or(0.0, |index| weights[index]))),
            sums: Vec::new(),
            factors: Vec::new(),
        }),
        (Precision::Int8, Filters::Int8(weights, scales, input)) => Ok(Packed {
            values: places
                .map(|place| place.map_or(0, |index| weights[index] as u8))
                .collect(),
            sums: weights
                .chunks_exact(inputs * taps)
                .map(|row| -i32::from(input.zero_point) * row.iter().map(|&weight| i32::from(weight)).sum::<i32>())
                .collect(),
            factors: scales.iter().map(|scale| input.scale * scale).collect(),
        }),
        _ => Err(CudaError::Launch(format!(
            "weights of another type than {} cannot be packed for it",
            precision.name()
        ))),
    }
}

/// Output and input, within a tile, of each element in packed order.
fn order(precision: Precision) -> Vec<(usize, usize)> {
    let depth = depth(precision);
    (0..GROUP * depth)
        .map(|index| {
            if depth == 4 {
                return (index / 4, index % 4);
            }
            let each = depth / 4;
            let (lane, element) = (index / (2 * each), index % (2 * each));
            let (g, t) = (lane / 4, lane % 4);
            (4 * (g / 2) + 2 * (element / each) + g % 2, each * t + element % each)
        })
        .collect()
}

/// Weights of a convolution of a single channel, for device memory.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedSingle {
    /// f32 `[taps, outputs]`; 8-bit weights as the whole numbers they are, for a 1×1 shortcut times their factors.
    pub values: Vec<f32>,
    /// For 9 taps of i8, what a sum of each output is to be multiplied by, `input.scale·scale`; otherwise empty.
    pub factors: Vec<f32>,
}

/// Packs the weights of a convolution of one channel.
///
/// # Errors
/// [`CudaError::Launch`] unless outputs are a multiple of 16, taps 1 or 9, and the weights as many.
pub fn pack_single(filters: Filters<'_>, outputs: usize, taps: usize) -> Result<PackedSingle, CudaError> {
    super::check_channels(GROUP, outputs)?;
    check(filters, outputs, 1, taps)?;
    let places = (0..taps).flat_map(|tap| (0..outputs).map(move |output| (output, output * taps + tap)));
    Ok(match filters {
        Filters::Float(weights) => PackedSingle {
            values: places.map(|(_, index)| weights[index]).collect(),
            factors: Vec::new(),
        },
        Filters::Int8(weights, scales, input) if taps == 1 => PackedSingle {
            values: places
                .map(|(output, index)| f32::from(weights[index]) * (input.scale * scales[output]))
                .collect(),
            factors: Vec::new(),
        },
        Filters::Int8(weights, scales, input) => PackedSingle {
            values: places.map(|(_, index)| f32::from(weights[index])).collect(),
            factors: scales.iter().map(|scale| input.scale * scale).collect(),
        },
    })
}

fn check(filters: Filters<'_>, outputs: usize, inputs: usize, taps: usize) -> Result<(), CudaError> {
    let (count, scales) = match filters {
        Filters::Float(weights) => (weights.len(), outputs),
        Filters::Int8(weights, scales, _) => (weights.len(), scales.len()),
    };
    if ![1, 9].contains(&taps) || count != outputs * inputs * taps || scales != outputs {
        return Err(CudaError::Launch(format!(
            "{count} weights and {scales} scales are not a convolution of {inputs} to {outputs} channels with 1 or 9 taps"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    /// Every weight once and nothing else but the zeros beyond the inputs.
    #[test]
    fn packing_loses_nothing() {
        for (precision, inputs) in [
            (Precision::Float(Element::F32), 16),
            (Precision::Float(Element::F16), 48),
            (Precision::Int8, 16),
        ] {
            let order = order(precision);
            let mut seen: Vec<_> = order.clone();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), order.len(), "{precision:?}");
            assert!(
                order
                    .iter()
                    .all(|&(output, input)| output < GROUP && input < depth(precision))
            );
            let weights: Vec<i8> = (0..32 * inputs).map(|index| (index % 251) as i8).collect();
            let floats: Vec<f32> = weights.iter().map(|&weight| weight.into()).collect();
            let scales = [0.5; 32];
            let rounding = Quantization {
                scale: 2.0,
                zero_point: 3,
            };
            let filters = match precision {
                Precision::Int8 => Filters::Int8(&weights, &scales, rounding),
                Precision::Float(_) => Filters::Float(&floats),
            };
            let packed = pack(precision, filters, 32, inputs, 1).expect("weights");
            let rows = inputs.next_multiple_of(depth(precision));
            assert_eq!(packed.values.len(), 32 * rows * precision.bytes());
            if precision == Precision::Int8 {
                let sum = |bytes: &mut dyn Iterator<Item = i8>| bytes.map(i32::from).sum::<i32>();
                let packed_sum = sum(&mut packed.values.iter().map(|&byte| byte as i8));
                assert_eq!(packed_sum, sum(&mut weights.iter().copied()));
                assert_eq!(packed.sums.iter().sum::<i32>(), -3 * packed_sum);
                assert_eq!(packed.factors, [1.0; 32]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let precision = Precision::Float(Element::F16);
        for (count, outputs, inputs, taps) in [(255, 16, 16, 1), (256, 16, 16, 2), (192, 16, 12, 1), (0, 16, 0, 1)] {
            let error = pack(precision, Filters::Float(&vec![0.0; count]), outputs, inputs, taps).unwrap_err();
            assert!(error.to_string().contains("convolution"), "{error}");
        }
        let error = pack(Precision::Int8, Filters::Float(&[0.0; 256]), 16, 16, 1).unwrap_err();
        assert!(error.to_string().contains("i8"), "{error}");
        assert!(pack_single(Filters::Float(&[0.0; 16]), 16, 9).is_err());
    }
}
