//! A layer of the waveform's LSTM, in two launches (`lstm.cu`): what all steps take from their inputs as one product, then the steps.
//!
//! Where a layer's recurrent weights fit the registers of one block they stay there for all steps, which is so for 128 hidden units in
//! 16 and 8 bits, the smallest network's. Otherwise (256 and 512 units, and f32) each step reads them again, from the L2 cache that holds
//! them: at batch 1 the 80 steps then take as long as one multiprocessor needs to read them 80 times. A block moves [`TILE`] records on together, so
//! that larger batches read them no more often. Batches that leave most of a GPU idle run in a [`chain`](crate::chain) instead.

use crate::operand::{Matrix, Packed, Weights, rounding, rounding_arguments, stride};
use crate::{Argument, CudaError, Launch, Precision, Quantization};

/// Records that one block moves on together; `TILE` in `device/cells.cuh`.
pub const TILE: usize = 8;
/// Hidden units that there are kernels for; 64 is for tests.
pub const HIDDEN: [usize; 4] = [64, 128, 256, 512];
/// The longest input of a layer.
pub const MAX_INPUTS: usize = 512;
/// Rows of inputs of one block of the product; `ROWS` in `lstm.cu`.
const ROWS: usize = 16;
/// Threads of one; `PROJECT_THREADS` in `lstm.cu`.
const PROJECT_THREADS: u32 = 128;
/// Hidden units of one.
const PROJECT_UNITS: usize = 32;
const GATES: usize = 4;

/// A layer's weights, gates in ONNX's order: input, output, forget, cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerWeights<'a> {
    /// `[4·hidden, inputs]`.
    pub input: Matrix<'a>,
    /// `[4·hidden, hidden]`.
    pub hidden: Matrix<'a>,
    /// `[8·hidden]`: of the input's gates, then of the hidden state's.
    pub biases: &'a [f32],
    /// How its inputs are rounded; for 8-bit weights, and only then. The hidden state is rounded to whole multiples of 1/32767.
    pub rounding: Option<Quantization>,
}

/// What a layer hands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output<M> {
    /// All outputs `[records, steps, hidden]` of [`Precision::plain`](crate::Precision::plain), the next layer's input.
    Steps(M),
    /// The last ones, f32 `[records, hidden]`: the latent.
    Last(M),
}

/// Where a layer's operands lie in device memory, each at a multiple of 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Buffers<M> {
    /// `[records, steps, inputs]` of [`Precision::plain`](crate::Precision::plain).
    pub input: M,
    /// What [`Lstm::pack`] gave.
    pub weights: Weights<M>,
    /// f32, [`Lstm::workspace`] values. Needs no initial values, and may be the same for all layers.
    pub workspace: M,
    /// Must not overlap the others.
    pub output: Output<M>,
}

/// The kernels for layers of one shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lstm {
    precision: Precision,
    inputs: usize,
    hidden: usize,
    rounding: Option<Quantization>,
}

impl Lstm {
    /// Kernels for layers of `hidden` units that read vectors of `inputs`, rounded so in 8 bits.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there are none: for another number of units than [`HIDDEN`]'s, inputs that are no multiple of 64
    /// up to [`MAX_INPUTS`], or a rounding that is missing in 8 bits or given elsewhere.
    pub fn new(
        precision: Precision,
        inputs: usize,
        hidden: usize,
        input: Option<Quantization>,
    ) -> Result<Self, CudaError> {
        if !HIDDEN.contains(&hidden) || inputs == 0 || !inputs.is_multiple_of(64) || inputs > MAX_INPUTS {
            return Err(CudaError::Launch(format!(
                "an LSTM layer of {hidden} units for {inputs} inputs has no CUDA kernel; {HIDDEN:?} units and multiples of 64 inputs up to {MAX_INPUTS} are supported"
            )));
        }
        Ok(Self {
            precision,
            inputs,
            hidden,
            rounding: rounding(precision, input)?,
        })
    }

    /// Packs a layer.
    ///
    /// Both matrices' rows are ordered by units in eights, of each eight their input, output, forget and cell gates: a lane then has
    /// all gates of its units. Terms, and sums likewise, by unit and then by gate: both biases added (f32), in 8 bits the factors
    /// of the input's sums and those of the state's.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when the weights are of another type or shape, or rounded otherwise than [`new`](Self::new) was told.
    pub fn pack(&self, layer: &LayerWeights<'_>) -> Result<Packed, CudaError> {
        if layer.rounding != self.rounding {
            return Err(CudaError::Launch(
                "an LSTM layer's inputs are rounded otherwise than its kernels' are".to_owned(),
            ));
        }
        let (hidden, outputs) = (self.hidden, GATES * self.hidden);
        let by_eight = |i: usize| i % 32 / 8 * hidden + i / 32 * 8 + i % 8;
        let by_unit = |i: usize| i % GATES * hidden + i / GATES;
        let mut packed = Packed::default();
        packed.push_matrix(self.precision, [outputs, self.inputs], layer.input, &by_eight)?;
        packed.push_matrix(self.precision, [outputs, hidden], layer.hidden, &by_eight)?;
        if layer.biases.len() != 2 * outputs {
            return Err(CudaError::Launch(format!(
                "{} biases of an LSTM layer; {} are expected",
                layer.biases.len(),
                2 * outputs
            )));
        }
        let bias = |i: usize| layer.biases[by_unit(i)] + layer.biases[outputs + by_unit(i)];
        packed.terms.extend((0..outputs).map(bias));
        if let Some(rounding) = self.rounding {
            let zero_point = i32::from(rounding.zero_point);
            packed.push_factors(outputs, layer.input, (rounding.scale, zero_point), &by_unit)?;
            // Bytes of the state are 128 too small in the product.
            packed.push_factors(outputs, layer.hidden, (1.0 / 32_767.0, -128), &by_unit)?;
        }
        Ok(packed)
    }

    /// f32 values of the workspace: `[records, steps, hidden, 4]`.
    pub fn workspace(&self, records: usize, steps: usize) -> usize {
        records * steps * GATES * self.hidden
    }

    /// The launches of a layer for `[records, steps]` inputs, from a state of zeros.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there is nothing to do or too much.
    pub fn launches<M: Copy>(
        &self,
        [records, steps]: [usize; 2],
        buffers: Buffers<M>,
    ) -> Result<[Launch<M>; 2], CudaError> {
        let Buffers {
            input,
            weights,
            workspace,
            output,
        } = buffers;
        let project = self.projection([records, steps], [input, workspace], weights, (workspace, 0))?;
        let (place, last) = match output {
            Output::Steps(place) => (place, 0),
            Output::Last(place) => (place, 1),
        };
        let mut arguments = vec![Argument::Memory(workspace)];
        arguments.extend(weights.arguments(self.precision));
        arguments.extend([Argument::Memory(place), Argument::Memory(place), Argument::I32(last)]);
        // In range: `projection` has refused more.
        arguments.extend([records, steps, self.inputs].map(|number| Argument::I32(number as i32)));
        let recur = Launch {
            family: "lstm",
            kernel: format!("lstm_steps_{}_{}", self.precision.name(), self.hidden),
            blocks: records.div_ceil(TILE) as u32,
            rows: 1,
            threads: if self.hidden < 128 { 128 } else { 512 },
            shared_bytes: 0,
            together: false,
            arguments,
        };
        Ok([project, recur])
    }

    /// What all steps take from the layer's inputs, from `[records, steps, inputs]` to the workspace; `counters` so many of which become 0.
    pub(crate) fn projection<M: Copy>(
        &self,
        [records, steps]: [usize; 2],
        [input, workspace]: [M; 2],
        weights: Weights<M>,
        (counters, count): (M, usize),
    ) -> Result<Launch<M>, CudaError> {
        let number = |value: usize| i32::try_from(value).ok();
        let rows = records.checked_mul(steps).and_then(number).filter(|&rows| rows > 0);
        let (Some(rows), Some(count)) = (rows, number(count)) else {
            return Err(CudaError::Launch(format!(
                "an LSTM over {records} records of {steps} steps; 1 to 2^31 of both together are supported"
            )));
        };
        let mut arguments = vec![Argument::Memory(input)];
        arguments.extend(weights.arguments(self.precision));
        arguments.push(Argument::Memory(workspace));
        arguments.extend([rows, self.inputs as i32, self.hidden as i32].map(Argument::I32));
        arguments.extend([Argument::Memory(counters), Argument::I32(count)]);
        arguments.extend(self.rounding.map(rounding_arguments).into_iter().flatten());
        Ok(Launch {
            family: "lstm",
            kernel: format!("lstm_project_{}", self.precision.name()),
            blocks: rows.unsigned_abs().div_ceil(ROWS as u32),
            rows: (self.hidden / PROJECT_UNITS) as u32,
            threads: PROJECT_THREADS,
            shared_bytes: (ROWS * stride(self.precision, self.inputs) * self.precision.bytes()) as u32,
            together: false,
            arguments,
        })
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn hidden(&self) -> usize {
        self.hidden
    }

    pub(crate) fn rounding(&self) -> Option<Quantization> {
        self.rounding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    const HALF: Precision = Precision::Float(Element::F16);
    const ROUNDING: Quantization = Quantization {
        scale: 0.5,
        zero_point: 3,
    };

    #[test]
    fn shapes_and_types_without_kernels_are_refused() {
        for (precision, inputs, hidden, rounding) in [
            (HALF, 256, 100, None),
            (HALF, 0, 128, None),
            (HALF, 576, 128, None),
            (HALF, 96, 128, None),
            (HALF, 256, 128, Some(ROUNDING)),
            (Precision::Int8, 256, 128, None),
        ] {
            assert!(
                Lstm::new(precision, inputs, hidden, rounding).is_err(),
                "{inputs} {hidden}"
            );
        }
        let lstm = Lstm::new(HALF, 64, 64, None).expect("a layer for tests");
        let zeros = vec![0.0; 256 * 64];
        let layer = LayerWeights {
            input: Matrix::Floats(&zeros),
            hidden: Matrix::Floats(&zeros),
            biases: &zeros[..512],
            rounding: None,
        };
        let packed = lstm.pack(&layer).expect("a layer of zeros");
        assert_eq!(
            (packed.fragments.len(), packed.terms.len(), packed.sums.len()),
            (4 * 256 * 64, 256, 0)
        );
        let shorter = LayerWeights {
            biases: &zeros[..511],
            ..layer
        };
        let rounded = LayerWeights {
            rounding: Some(ROUNDING),
            ..layer
        };
        assert!(lstm.pack(&shorter).is_err() && lstm.pack(&rounded).is_err());
    }

    #[test]
    fn grids_cover_every_row_and_record() {
        let lstm = Lstm::new(HALF, 256, 512, None).expect("a layer with kernels");
        let buffers = Buffers {
            input: 0,
            weights: Weights {
                fragments: 0,
                terms: 0,
                sums: 0,
            },
            workspace: 0,
            output: Output::Last(0),
        };
        let [project, recur] = lstm.launches([9, 80], buffers).expect("work to do");
        assert_eq!((project.blocks, project.rows, recur.blocks), (45, 16, 2));
        assert_eq!(recur.kernel, "lstm_steps_f16_512");
        assert!(lstm.launches([0, 80], buffers).is_err() && lstm.launches([1 << 30, 80], buffers).is_err());
    }
}
