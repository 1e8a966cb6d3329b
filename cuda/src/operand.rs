//! Weight matrices as the kernels read them (`device/operand.cuh`).
//!
//! A matrix `[outputs, inputs]` is cut into tiles of 16 outputs, those into chunks of inputs, and what a warp's lanes read of a
//! chunk lies in the order in which they read it: `[tile][chunk][half][lane]`, 16 bytes each. Half h and lane 4g + t hold row g + 8h
//! and 16 consecutive bytes of it, the t-th of the chunk's: chunks are 32 inputs of 16 bits or 64 of 8. In f32 a chunk is 4 inputs,
//! and lanes 4g … 4g + 3 read the same 16 bytes, which are stored once: `[tile][chunk][half][g]`.

use crate::{CudaError, Precision, Quantization};
use half::{bf16, f16};

/// A row-major matrix `[outputs, inputs]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Matrix<'a> {
    /// Rounded to the kernels' type when they are packed.
    Floats(&'a [f32]),
    /// 8-bit values, and a scale per output.
    Bytes {
        /// `[outputs, inputs]`.
        values: &'a [i8],
        /// `[outputs]`.
        scales: &'a [f32],
    },
}

/// What a kernel reads of a layer's weights, ready to be copied to device memory; each of the three at a multiple of 256 bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// Matrices in the layout of this module, little-endian.
    pub fragments: Vec<u8>,
    /// Biases, factors of integer sums, scales and shifts of norms.
    pub terms: Vec<f32>,
    /// Of 8-bit weights, what is subtracted from integer sums; otherwise empty.
    pub sums: Vec<i32>,
}

/// [`Packed`] in device memory. `sums` is not read where it is empty: any address will do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights<M> {
    /// [`Packed::fragments`].
    pub fragments: M,
    /// [`Packed::terms`].
    pub terms: M,
    /// [`Packed::sums`].
    pub sums: M,
}

impl<M: Copy> Weights<M> {
    pub(crate) fn arguments(&self, precision: Precision) -> Vec<crate::Argument<M>> {
        let mut arguments = vec![
            crate::Argument::Memory(self.fragments),
            crate::Argument::Memory(self.terms),
        ];
        if precision == Precision::I8 {
            arguments.push(crate::Argument::Memory(self.sums));
        }
        arguments
    }
}

/// Inputs of a chunk.
pub(crate) fn chunk(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 4,
        _ => 64 / precision.bytes(),
    }
}

/// Elements from one row of an operand in shared memory to the next: as `STRIDE` in `device/operand.cuh`.
pub(crate) fn stride(precision: Precision, length: usize) -> usize {
    match precision {
        Precision::F32 => length + 4,
        _ if length * precision.bytes() % 128 == 64 => length,
        _ => length + 64 / precision.bytes(),
    }
}

impl Packed {
    /// Appends a matrix whose row `order(i)` becomes output i.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when it is of another type or size, or its extents are not whole tiles and chunks.
    pub(crate) fn push_matrix(
        &mut self,
        precision: Precision,
        [outputs, inputs]: [usize; 2],
        matrix: Matrix<'_>,
        order: &dyn Fn(usize) -> usize,
    ) -> Result<(), CudaError> {
        let length = match (matrix, precision) {
            (Matrix::Bytes { values, scales }, Precision::I8) if scales.len() == outputs => values.len(),
            (Matrix::Floats(values), Precision::F32 | Precision::F16 | Precision::Bf16) => values.len(),
            _ => return Err(wrong(precision, [outputs, inputs])),
        };
        let each = 16 / precision.bytes();
        let depth = chunk(precision);
        if outputs % 16 != 0 || inputs % depth != 0 || outputs.checked_mul(inputs) != Some(length) {
            return Err(wrong(precision, [outputs, inputs]));
        }
        let lanes = if precision == Precision::F32 { 1 } else { 4 };
        self.fragments.reserve(length * precision.bytes());
        for tile in 0..outputs / 16 {
            for chunk in 0..inputs / depth {
                for row in 0..16 {
                    let from = order(16 * tile + row) * inputs + chunk * depth;
                    for t in 0..lanes {
                        for k in from + each * t..from + each * (t + 1) {
                            match (matrix, precision) {
                                (Matrix::Bytes { values, .. }, _) => self.fragments.push(values[k] as u8),
                                (Matrix::Floats(values), Precision::F16) => {
                                    self.fragments.extend(f16::from_f32(values[k]).to_le_bytes());
                                }
                                (Matrix::Floats(values), Precision::Bf16) => {
                                    self.fragments.extend(bf16::from_f32(values[k]).to_le_bytes());
                                }
                                (Matrix::Floats(values), _) => self.fragments.extend(values[k].to_le_bytes()),
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends, for each output in the same order, the factor of its integer sums, which is `factor` times its scale, to the terms, and
    /// `multiple` times the sum of its weights to the sums; nothing for floats.
    pub(crate) fn push_factors(
        &mut self,
        outputs: usize,
        matrix: Matrix<'_>,
        (factor, multiple): (f32, i32),
        order: &dyn Fn(usize) -> usize,
    ) -> Result<(), CudaError> {
        let Matrix::Bytes { values, scales } = matrix else {
            return Ok(());
        };
        let inputs = values.len() / outputs.max(1);
        for output in 0..outputs {
            let row = order(output);
            self.terms.push(factor * scales[row]);
            let sum: i64 = values[row * inputs..][..inputs].iter().map(|&w| i64::from(w)).sum();
            let sum = i32::try_from(sum * i64::from(multiple)).map_err(|_| {
                CudaError::Launch("sums of 8-bit products reach 2^31, which the kernels hold below".to_owned())
            })?;
            self.sums.push(sum);
        }
        Ok(())
    }

    /// Appends terms.
    ///
    /// # Errors
    /// [`CudaError::Launch`] unless there are `count`.
    pub(crate) fn push_terms(&mut self, count: usize, terms: &[f32]) -> Result<(), CudaError> {
        if terms.len() != count {
            return Err(CudaError::Launch(format!(
                "a vector of {} values; {count} are expected",
                terms.len()
            )));
        }
        self.terms.extend(terms);
        Ok(())
    }
}

/// The rounding of a product's input: there must be one for 8-bit weights, and only then.
pub(crate) fn rounding(precision: Precision, given: Option<Quantization>) -> Result<Option<Quantization>, CudaError> {
    if given.is_some() == (precision == Precision::I8) {
        return Ok(given);
    }
    Err(CudaError::Launch(format!(
        "{} products {} a rounding of their inputs",
        precision.name(),
        if given.is_some() { "take no" } else { "need" }
    )))
}

fn wrong(precision: Precision, [outputs, inputs]: [usize; 2]) -> CudaError {
    CudaError::Launch(format!(
        "no {} matrix of [{outputs}, {inputs}]; multiples of 16 and {} are supported, of 8-bit weights with a scale per output",
        precision.name(),
        chunk(precision)
    ))
}
