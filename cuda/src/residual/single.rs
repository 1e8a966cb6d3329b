//! The first convolution, of a single channel.

use super::{
    Conditions, Extents, Rounded, THREADS, activation, blocks, check_channels, check_extents, check_stride, pack,
    too_large, unlike,
};
use crate::pau::Coefficients;
use crate::{Argument, CudaError, Launch, Precision, Quantization};

/// Rows of a thread of `residual_single`; `SINGLE_ROWS` in `residual.cu`.
const SINGLE_ROWS: usize = 4;

/// The 3×3 convolution of a single channel, the network's first: without pooling and shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single {
    precision: Precision,
    extents: Extents,
}

/// What [`Single`] reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SingleOperands<M> {
    /// `[records, height, width]`, of the precision's type, of f32 for 8 bits.
    pub input: M,
    /// How it is rounded on the way, in 8 bits.
    pub input_rounding: Option<Quantization>,
    /// [`PackedSingle::values`](super::PackedSingle::values) of 9 taps.
    pub weights: M,
    /// The norm's.
    pub conditions: Conditions<M>,
    /// F, order 5/4.
    pub activation: Option<Coefficients<M>>,
    /// `[records, height, width, outputs]` of the precision.
    pub output: M,
    /// How it is rounded, in 8 bits.
    pub output_rounding: Option<Quantization>,
}

impl Single {
    /// For `extents` whose `inputs` is 1.
    ///
    /// # Errors
    /// As [`Convolution::new`](super::Convolution::new).
    pub fn new(precision: Precision, extents: Extents) -> Result<Self, CudaError> {
        check_channels(pack::GROUP, extents.outputs)?;
        check_extents(extents)?;
        if extents.inputs != 1 {
            return Err(CudaError::Launch(format!(
                "{} channels are not a single one",
                extents.inputs
            )));
        }
        Ok(Self { precision, extents })
    }

    /// One launch.
    ///
    /// # Errors
    /// As [`Convolution::launch`](super::Convolution::launch).
    pub fn launch<M: Copy>(&self, operands: &SingleOperands<M>) -> Result<Launch<M>, CudaError> {
        let Extents {
            records,
            height,
            width,
            outputs,
            ..
        } = self.extents;
        let [input, output] = match (self.precision, operands.input_rounding, operands.output_rounding) {
            (Precision::Int8, Some(_), Some(_)) | (Precision::Float(_), None, None) => [
                Rounded::of(self.precision, operands.input_rounding)?,
                Rounded::of(self.precision, operands.output_rounding)?,
            ],
            _ => return Err(unlike(self.precision)),
        };
        let threads = records * height.div_ceil(SINGLE_ROWS) * width * (outputs / 4);
        let (coefficients, counts) = activation(operands.activation, operands.input);
        let mut arguments: Vec<Argument<M>> = [operands.input, operands.weights, operands.conditions.values]
            .into_iter()
            .chain(coefficients)
            .chain([operands.output])
            .map(Argument::Memory)
            .collect();
        let stride = check_stride(operands.conditions.stride)?;
        let numbers = [records, height, width, outputs, stride, counts[0], counts[1]];
        arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
        arguments.extend([input.zero_point, output.zero_point].map(Argument::I32));
        arguments.extend([input.factor, output.factor].map(Argument::F32));
        Ok(Launch {
            family: "residual",
            kernel: format!("residual_single_{}_{}", self.precision.plain().name(), output.name),
            blocks: blocks(threads).ok_or_else(|| too_large(self.extents))?,
            rows: 1,
            threads: THREADS,
            shared_bytes: 0,
            together: false,
            arguments,
        })
    }
}
