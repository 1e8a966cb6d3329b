//! What stands between the encoders and the probabilities (`head.cu`): the conditions that the latent gives all norms, and the head.
//!
//! All arithmetic is f32. Conditions are `[records, Σ 2·channels]`: of each conditional norm its scales, then its shifts, the
//! norms one after another. A kernel of `residual` takes the address of its norm's in the first record and the row's length.

use crate::pau::Coefficients;
use crate::{Argument, CudaError, Launch, Precision, Quantization};

/// Threads of a block of `head_conditions`; `CONDITION_THREADS` in `head.cu`.
const CONDITION_THREADS: u32 = 256;
/// Outputs, and records, of one.
const CONDITION_TILE: [usize; 2] = [32, 8];
/// Threads of a block of `head`; `THREADS` in `head.cu`.
const THREADS: u32 = 512;
/// The most values of the latent, of what the classifier reads and of the features' channels; `WIDEST` in `head.cu`.
const WIDEST: usize = 2048;
/// The most classes.
const MOST_CLASSES: usize = 32;

/// A norm whose scale and shift are made of the latent.
#[derive(Clone, Copy, Debug)]
pub struct ConditionalNorm<'a> {
    /// `W [2·channels, latent]`: `[scale, shift] = W·latent`.
    pub weight: &'a [f32],
    /// What each channel's scale is multiplied by: `Packed::factors` of an 8-bit convolution; empty for floats.
    pub factors: &'a [f32],
}

/// Packs the conditions of all norms, in their order: f32 `[latent, Σ 2·channels]`.
///
/// # Errors
/// [`CudaError::Launch`] for weights of other extents.
pub fn pack_conditions(norms: &[ConditionalNorm<'_>], latent: usize) -> Result<Vec<f32>, CudaError> {
    let mut rows = Vec::new();
    for norm in norms {
        let channels = norm.weight.len() / (2 * latent.max(1));
        let fits =
            channels > 0 && norm.weight.len() == 2 * channels * latent && [0, channels].contains(&norm.factors.len());
        if !fits {
            return Err(CudaError::Launch(format!(
                "{} weights and {} factors are not a norm's conditions of {latent} values",
                norm.weight.len(),
                norm.factors.len()
            )));
        }
        rows.extend(norm.weight.chunks_exact(latent).enumerate().map(|(row, weights)| {
            let factor = norm.factors.get(row).copied().unwrap_or(1.0);
            (weights, factor)
        }));
    }
    Ok((0..latent)
        .flat_map(|input| rows.iter().map(move |(weights, factor)| weights[input] * factor))
        .collect())
}

/// Conditions of a norm that does not depend on a latent, to be read with a stride of 0: scales of 1 or `factors`, then `shift`.
pub fn fixed_conditions(shift: &[f32], factors: &[f32]) -> Vec<f32> {
    let scales = (0..shift.len()).map(|channel| factors.get(channel).copied().unwrap_or(1.0));
    scales.chain(shift.iter().copied()).collect()
}

/// All conditions of `records` records: f32 `latent [records, latent]` times `weights [latent, total]` to `conditions [records, total]`.
///
/// # Errors
/// [`CudaError::Launch`] for more than 2048 values of the latent, none, or too many of anything.
pub fn conditions<M>(
    latent: M,
    weights: M,
    conditions: M,
    [records, width, total]: [usize; 3],
) -> Result<Launch<M>, CudaError> {
    let [blocks, rows] = [total.div_ceil(CONDITION_TILE[0]), records.div_ceil(CONDITION_TILE[1])];
    if width == 0 || width > WIDEST || blocks == 0 || rows == 0 || rows > 0xffff || i32::try_from(total).is_err() {
        return Err(CudaError::Launch(format!(
            "{total} conditions of {width} values for {records} records have no CUDA kernel; 1 to {WIDEST} values are supported"
        )));
    }
    let mut arguments = [latent, weights, conditions]
        .map(Argument::Memory)
        .into_iter()
        .collect::<Vec<_>>();
    arguments.extend([records, width, total].map(|number| Argument::I32(number as i32)));
    Ok(Launch {
        family: "head",
        kernel: "head_conditions".to_owned(),
        blocks: blocks as u32,
        rows: rows as u32,
        threads: CONDITION_THREADS,
        shared_bytes: 0,
        together: false,
        arguments,
    })
}

/// Packs a linear map, `[outputs, inputs]`, for [`Features::linear`]: f32 `[inputs, outputs]`, outputs padded with zeros to a multiple of 4.
///
/// # Errors
/// [`CudaError::Launch`] for weights of other extents.
pub fn pack_linear(weight: &[f32], outputs: usize, inputs: usize) -> Result<Vec<f32>, CudaError> {
    if weight.len() != outputs * inputs {
        return Err(CudaError::Launch(format!(
            "{} weights are not a linear map of {inputs} to {outputs} values",
            weight.len()
        )));
    }
    let padded = outputs.next_multiple_of(4);
    Ok((0..inputs)
        .flat_map(|input| {
            (0..padded).map(move |output| match output < outputs {
                true => weight[output * inputs + input],
                false => 0.0,
            })
        })
        .collect())
}

/// `softmax(W₂·(F(W₁·mean(features) + b₁) + latent) + b₂)`, or with one of the two terms alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Records.
    pub records: usize,
    /// Length of what the classifier reads; the latent's, if there is one.
    pub joined: usize,
    /// Classes.
    pub classes: usize,
}

/// The map of the last block and what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features<M> {
    /// `[records, positions, channels]`.
    pub map: M,
    /// Its type.
    pub precision: Precision,
    /// How it is rounded, in 8 bits.
    pub rounding: Option<Quantization>,
    /// Its positions.
    pub positions: usize,
    /// Its channels.
    pub channels: usize,
    /// W₁, of [`pack_linear`].
    pub linear: M,
    /// b₁ f32 `[joined]`.
    pub bias: M,
    /// F, order 5/4: 6 and 4 coefficients.
    pub activation: Coefficients<M>,
}

/// What the head reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operands<M> {
    /// The spectrogram's, if it is not ablated.
    pub features: Option<Features<M>>,
    /// f32 `[records, joined]`, if the signal encoder is not ablated.
    pub latent: Option<M>,
    /// W₂ f32 `[classes, joined]`.
    pub classifier: M,
    /// b₂ f32 `[classes]`.
    pub bias: M,
    /// All conditions of an 8-bit network, and the number of a record's: where one is beyond 1e28 or not a number, which rounding to 8
    /// bits would hide, the record's probabilities are not numbers.
    pub conditions: Option<(M, usize)>,
    /// f32 `[records, classes]`.
    pub probabilities: M,
}

impl Head {
    /// One launch.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there is neither term, for extents that are 0 or beyond 2048 values or channels and 32 classes, and for a
    /// rounding that does not fit the type.
    pub fn launch<M: Copy>(&self, operands: &Operands<M>) -> Result<Launch<M>, CudaError> {
        let &Head {
            records,
            joined,
            classes,
        } = self;
        let counts = |value: usize, most: usize| (1..=most).contains(&value);
        let whole = counts(records, i32::MAX as usize)
            && counts(joined, WIDEST)
            && counts(classes, MOST_CLASSES)
            && operands
                .conditions
                .is_none_or(|(_, count)| i32::try_from(count).is_ok())
            && operands
                .features
                .is_none_or(|features| counts(features.channels, WIDEST) && counts(features.positions, 1 << 20));
        if !whole || operands.features.is_none() && operands.latent.is_none() {
            return Err(CudaError::Launch(format!(
                "a head of {joined} values and {classes} classes has no CUDA kernel; features or a latent of up to {WIDEST} values and up to \
                 {MOST_CLASSES} classes are supported"
            )));
        }
        let any = operands.classifier;
        let features = operands.features.unwrap_or(Features {
            map: any,
            precision: Precision::ALL[0],
            rounding: None,
            positions: 0,
            channels: 0,
            linear: any,
            bias: any,
            activation: Coefficients {
                numerator: any,
                denominator: any,
            },
        });
        if (features.precision == Precision::Int8) != features.rounding.is_some() {
            return Err(CudaError::Launch(
                "features are rounded in 8 bits, and only then".to_owned(),
            ));
        }
        let rounding = features.rounding.unwrap_or(Quantization {
            scale: 1.0,
            zero_point: 0,
        });
        let (conditions, count) = operands.conditions.unwrap_or((any, 0));
        let memory = [
            features.map,
            features.linear,
            features.bias,
            features.activation.numerator,
            features.activation.denominator,
            operands.latent.unwrap_or(any),
            operands.classifier,
            operands.bias,
            conditions,
            operands.probabilities,
        ];
        let numbers = [
            features.positions,
            features.channels,
            joined,
            operands.latent.is_some().into(),
            classes,
            count,
        ];
        let mut arguments = memory.map(Argument::Memory).to_vec();
        arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
        arguments.push(Argument::I32(rounding.zero_point.into()));
        arguments.push(Argument::F32(rounding.scale));
        Ok(Launch {
            family: "head",
            kernel: format!("head_{}", features.precision.name()),
            blocks: records as u32,
            rows: 1,
            threads: THREADS,
            shared_bytes: 0,
            together: false,
            arguments,
        })
    }
}
