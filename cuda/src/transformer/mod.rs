//! The waveform's Transformer encoder (`transformer.cu`), two launches a layer: attention up to the mixed values, then everything else.
//!
//! One launch a layer, a block for each record, would leave 131 of 132 multiprocessors idle at batch 1: a layer's 30 million
//! multiply-adds and 400 KB of weights (16 bits, 128 wide inside) through one of them take some 40 µs. But heads depend on each other only through the output map,
//! and steps only through the attention. So the first launch has a block for every 32 channels of every record, which projects
//! their queries, keys and values and attends with the heads in them (eight blocks), and the second one for every 16 steps, which maps
//! the mixed values back, adds, normalizes, widens, narrows, adds, normalizes (five blocks): a tenth of the time for another launch. In batches
//! both fill the GPU. Between them lie the mixed values; within them nothing leaves a multiprocessor. No block of f32 or 16 bits needs more than 96 KB.

use crate::operand::{Matrix, Packed, Weights, depth, rounding, rounding_arguments, stride};
use crate::{Argument, CudaError, Element, Launch, Precision, Quantization};

/// Channels of one block of the attention; `SLICE` in `transformer.cu`.
const SLICE: usize = 32;
/// Steps of one block of the rest; `TILE` in `transformer.cu`.
const TILE: usize = 16;
/// Hidden channels that are widened and narrowed at a time; `PART` in `transformer.cu`.
const PART: usize = 128;

/// `y = W·x + b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear<'a> {
    /// `[outputs, inputs]`.
    pub weights: Matrix<'a>,
    /// `[outputs]`.
    pub bias: &'a [f32],
    /// How x is rounded; for 8-bit weights, and only then.
    pub input: Option<Quantization>,
}

/// A layer normalization's vectors, `[width]`; ε is 1e-5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm<'a> {
    /// Of each channel.
    pub scale: &'a [f32],
    /// Of each channel.
    pub shift: &'a [f32],
}

/// How the operands of an attention's products are rounded, as `dualnet_engine::plan::AttentionRounding` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionRounding {
    /// The queries, divided by the root of their length, and the keys.
    pub scores: [Quantization; 2],
    /// The softmax and the values.
    pub mixed: [Quantization; 2],
}

/// `x₁ = norm₁(x + attention(x))`, `norm₂(x₁ + W₂·gelu(W₁·x₁ + b₁) + b₂)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerWeights<'a> {
    /// Queries, keys and values, `[3·width, width]`.
    pub projection: Linear<'a>,
    /// `[width, width]`.
    pub output: Linear<'a>,
    /// `norm₁`.
    pub attention_norm: Norm<'a>,
    /// `[inner, width]`.
    pub widen: Linear<'a>,
    /// `[width, inner]`.
    pub narrow: Linear<'a>,
    /// `norm₂`.
    pub norm: Norm<'a>,
    /// For 8-bit weights, and only then.
    pub rounding: Option<AttentionRounding>,
}

/// A layer that is ready: its roundings stay here, its weights go to device memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    transformer: Transformer,
    inner: usize,
    per_head: usize,
    rounding: Option<Roundings>,
    /// To be copied to device memory.
    ///
    /// Matrices: projection, output map, widen, narrow. Terms: their biases one after the other, the first norm's scales and shifts, the
    /// second's, and in 8 bits the factors of the sums of the four maps. Sums of the four maps.
    pub packed: Packed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Roundings {
    projection: Quantization,
    output: Quantization,
    widen: Quantization,
    narrow: Quantization,
    attention: AttentionRounding,
}

/// Where a layer's operands lie in device memory, each at a multiple of 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Buffers<M> {
    /// [`Layer::packed`].
    pub weights: Weights<M>,
    /// f32 `[records, steps, width]`: the layer's input and output. The first layer writes it only.
    pub stream: M,
    /// `[records, steps, width]` of the kernels' own type ([`Precision::bytes`]); needs no initial values, the same for all layers.
    pub mixed: M,
    /// The first layer's input; `None` for the others.
    pub first: Option<First<M>>,
}

/// What the first layer reads, whose sum is its input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct First<M> {
    /// `[records, steps, width]` of [`Precision::plain`](crate::Precision::plain).
    pub ecg: M,
    /// f32 `[steps, width]`.
    pub positions: M,
}

/// The kernels for encoders of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transformer {
    precision: Precision,
    steps: usize,
    width: usize,
}

impl Transformer {
    /// Kernels for `steps` vectors of `width`: 80 of 256, and 16 of 64 for tests.
    ///
    /// # Errors
    /// [`CudaError::Launch`] for any others.
    pub fn new(precision: Precision, steps: usize, width: usize) -> Result<Self, CudaError> {
        if ![(80, 256), (16, 64)].contains(&(steps, width)) {
            return Err(CudaError::Launch(format!(
                "a Transformer over {steps} steps of {width} has no CUDA kernel; 80 of 256 is supported"
            )));
        }
        Ok(Self {
            precision,
            steps,
            width,
        })
    }

    /// Packs a layer of `heads` heads whose inner vectors have `inner` channels.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when heads are not of 8, 16 or 32 channels, `inner` is no multiple of 128, or weights or roundings are of another type
    /// or shape than these.
    pub fn layer(&self, heads: usize, inner: usize, layer: &LayerWeights<'_>) -> Result<Layer, CudaError> {
        let (precision, width) = (self.precision, self.width);
        let per_head = width.checked_div(heads).unwrap_or(0);
        if ![8, 16, 32].contains(&per_head) || per_head * heads != width || inner == 0 || !inner.is_multiple_of(PART) {
            return Err(CudaError::Launch(format!(
                "a Transformer layer of {heads} heads, {inner} wide inside, has no CUDA kernel; heads of 8, 16 or 32 channels and multiples of {PART} are supported"
            )));
        }
        let mut packed = Packed::default();
        let maps = [
            (&layer.projection, [3 * width, width]),
            (&layer.output, [width, width]),
            (&layer.widen, [inner, width]),
            (&layer.narrow, [width, inner]),
        ];
        let mut inputs = [None; 4];
        let as_given = |i: usize| i;
        for ((linear, extents), input) in maps.into_iter().zip(&mut inputs) {
            packed.push_matrix(precision, extents, linear.weights, &as_given)?;
            packed.push_terms(extents[0], linear.bias)?;
            *input = rounding(precision, linear.input)?;
        }
        for norm in [layer.attention_norm, layer.norm] {
            packed.push_terms(width, norm.scale)?;
            packed.push_terms(width, norm.shift)?;
        }
        for ((linear, extents), input) in maps.into_iter().zip(inputs) {
            if let Some(input) = input {
                let factors = (input.scale, i32::from(input.zero_point));
                packed.push_factors(extents[0], linear.weights, factors, &as_given)?;
            }
        }
        let rounding = match (inputs, layer.rounding) {
            ([Some(projection), Some(output), Some(widen), Some(narrow)], Some(attention)) => Some(Roundings {
                projection,
                output,
                widen,
                narrow,
                attention,
            }),
            ([None, None, None, None], None) => None,
            _ => {
                return Err(CudaError::Launch(
                    "an attention of another type than its layer's weights".to_owned(),
                ));
            }
        };
        Ok(Layer {
            transformer: *self,
            inner,
            per_head,
            rounding,
            packed,
        })
    }

    /// The latent, f32 `[records, width]`: the mean over all steps of the normalized `stream`, f32 `[records, steps, width]`; `norm` is
    /// f32 `[2, width]`, scales and shifts.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there is nothing to do or too much.
    pub fn mean<M>(&self, records: usize, stream: M, norm: M, latent: M) -> Result<Launch<M>, CudaError> {
        Ok(Launch {
            family: "transformer",
            kernel: format!("transformer_mean_{}_{}", self.steps, self.width),
            blocks: self.blocks(records, 1)?,
            rows: 1,
            threads: 256,
            shared_bytes: 0,
            together: false,
            arguments: [stream, norm, latent].map(Argument::Memory).into(),
        })
    }

    fn kernel(&self, what: &str) -> String {
        format!(
            "transformer_{what}_{}_{}_{}",
            self.precision.name(),
            self.steps,
            self.width
        )
    }

    /// So many blocks for each record; every number in a kernel must stay below 2³¹.
    fn blocks(&self, records: usize, each: usize) -> Result<u32, CudaError> {
        let values = records.checked_mul(self.steps * self.width);
        if records == 0 || values.is_none_or(|values| i32::try_from(values).is_err()) {
            return Err(CudaError::Launch(format!(
                "a Transformer over {records} records; 1 to {} are supported",
                i32::MAX as usize / (self.steps * self.width)
            )));
        }
        Ok((records * each) as u32)
    }

    /// Elements of dynamic shared memory of a block of the attention: the input, over which the softmax is written later, queries and keys, values.
    fn attention_elements(&self) -> usize {
        let precision = self.precision;
        let phase = if precision == Precision::Float(Element::F32) {
            2
        } else {
            1
        };
        let x = self.steps * stride(precision, self.width / phase);
        let steps = self.steps.next_multiple_of(depth(precision));
        // Of each of so many warps, the softmax of 16 steps.
        let attending = self.steps / 8 * TILE * stride(precision, steps);
        let queries = self.steps * stride(precision, SLICE.next_multiple_of(depth(precision)));
        x.max(attending) + 2 * queries + SLICE * stride(precision, steps)
    }
}

impl Layer {
    /// The launches of the layer.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there is nothing to do or too much.
    pub fn launches<M: Copy>(&self, records: usize, buffers: Buffers<M>) -> Result<[Launch<M>; 2], CudaError> {
        let transformer = self.transformer;
        let precision = transformer.precision;
        let Buffers {
            weights,
            stream,
            mixed,
            first,
        } = buffers;
        // What is not read needs an address all the same.
        let (ecg, positions) = first.map_or((stream, stream), |first| (first.ecg, first.positions));
        let mut arguments = [ecg, positions, stream].map(Argument::Memory).to_vec();
        arguments.push(Argument::I32(i32::from(first.is_some())));
        arguments.extend(weights.arguments(precision));
        arguments.push(Argument::Memory(mixed));
        arguments.extend([self.per_head, self.inner].map(|number| Argument::I32(number as i32)));
        if let Some(roundings) = &self.rounding {
            let AttentionRounding {
                scores: [query, key],
                mixed: [weight, value],
            } = roundings.attention;
            for rounding in [roundings.projection, query, key, weight, value, roundings.output] {
                arguments.extend(rounding_arguments(rounding));
            }
            arguments.push(Argument::F32(query.scale * key.scale));
            arguments.push(Argument::F32(weight.scale * value.scale));
        }
        let attend = Launch {
            family: "transformer",
            kernel: transformer.kernel("attend"),
            blocks: transformer.blocks(records, transformer.width / SLICE)?,
            rows: 1,
            threads: 384,
            shared_bytes: (transformer.attention_elements() * precision.bytes()) as u32,
            together: false,
            arguments,
        };
        let mut arguments = vec![Argument::Memory(mixed), Argument::Memory(stream)];
        arguments.extend(weights.arguments(precision));
        arguments.push(Argument::I32(self.inner as i32));
        if let Some(roundings) = &self.rounding {
            arguments.extend(rounding_arguments(roundings.widen));
            arguments.extend(rounding_arguments(roundings.narrow));
        }
        let feed = Launch {
            family: "transformer",
            kernel: transformer.kernel("feed"),
            blocks: transformer.blocks(records, transformer.steps / TILE)?,
            rows: 1,
            threads: 256,
            shared_bytes: 0,
            together: false,
            arguments,
        };
        Ok([attend, feed])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No block of any precision asks for more shared memory than the smallest multiprocessor gives it.
    #[test]
    fn shared_memory_fits_every_device() {
        for precision in Precision::ALL {
            let transformer = Transformer::new(precision, 80, 256).expect("the networks' size");
            let bytes = transformer.attention_elements() * precision.bytes();
            assert!(bytes <= 96 << 10, "{}: {bytes}", precision.name());
            assert_eq!(transformer.mean(3, 0, 0, 0).expect("work to do").blocks, 3);
            assert!(transformer.mean(0, 0, 0, 0).is_err() && transformer.mean(1 << 20, 0, 0, 0).is_err());
        }
        assert!(Transformer::new(Precision::Int8, 81, 256).is_err());
    }

    #[test]
    fn layers_without_kernels_are_refused() {
        let transformer = Transformer::new(Precision::Float(Element::F32), 16, 64).expect("the tests' size");
        let zeros = vec![0.0; 3 * 64 * 64];
        let linear = |outputs: usize, inputs: usize| Linear {
            weights: Matrix::Floats(&zeros[..outputs * inputs]),
            bias: &zeros[..outputs],
            input: None,
        };
        let norm = Norm {
            scale: &zeros[..64],
            shift: &zeros[..64],
        };
        let layer = LayerWeights {
            projection: linear(192, 64),
            output: linear(64, 64),
            attention_norm: norm,
            widen: linear(128, 64),
            narrow: linear(64, 128),
            norm,
            rounding: None,
        };
        let packed = transformer.layer(8, 128, &layer).expect("a layer of zeros").packed;
        assert_eq!(packed.terms.len(), 9 * 64 + 128);
        for (heads, inner) in [(0, 128), (1, 128), (3, 128), (16, 128), (8, 0), (8, 96), (8, 256)] {
            assert!(transformer.layer(heads, inner, &layer).is_err(), "{heads} {inner}");
        }
        let rounding = Quantization {
            scale: 1.0,
            zero_point: 0,
        };
        let half_rounded = LayerWeights {
            rounding: Some(AttentionRounding {
                scores: [rounding; 2],
                mixed: [rounding; 2],
            }),
            ..layer
        };
        assert!(transformer.layer(8, 128, &half_rounded).is_err());
    }
}
