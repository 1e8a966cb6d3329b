//! Weight matrices as the kernels of the waveform's encoders read them (`device/packed.cuh`).
//!
//! A matrix `[outputs, inputs]` is cut into tiles of 16 outputs, those into steps of products (`Tile::DEPTH` in `device/product.cuh`), and
//! what the lanes of a warp take of a step lies as they take it, in one access of 16 bytes each: `[tile][step][lane]`. Lane 4g + t has, by
//! four bytes, of rows g, g + 8, g, g + 8 the t-th eight bytes of the step: their first halves, then the second ones. A step is 16 inputs of
//! 16 bits or 32 of 8; in f32 it is 4, and lane 4g + t takes rows g and g + 8 whole, stored once for every t: `[tile][step][g]`, then g + 8.

use crate::{Argument, CudaError, Element, Precision, Quantization};

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
    pub(crate) fn arguments(&self, precision: Precision) -> Vec<Argument<M>> {
        let sums = (precision == Precision::Int8).then_some(self.sums);
        [self.fragments, self.terms]
            .into_iter()
            .chain(sums)
            .map(Argument::Memory)
            .collect()
    }
}

/// A rounding as kernels take it: the inverse of the scale, then the zero point.
pub(crate) fn rounding_arguments<M>(rounding: Quantization) -> [Argument<M>; 2] {
    [
        Argument::F32(1.0 / rounding.scale),
        Argument::I32(i32::from(rounding.zero_point)),
    ]
}

/// Inputs of a step of products; `Tile::DEPTH` in `device/product.cuh`.
pub(crate) fn depth(precision: Precision) -> usize {
    match precision {
        Precision::Float(Element::F32) => 4,
        _ => 32 / precision.bytes(),
    }
}

/// Elements from one row of `length` to the next of an operand in shared memory; `stride_of` in `device/packed.cuh`.
pub(crate) fn stride(precision: Precision, length: usize) -> usize {
    match precision {
        Precision::Float(Element::F32) => length + 4,
        _ if length * precision.bytes() / 32 % 2 == 1 => length,
        _ => length + 32 / precision.bytes(),
    }
}

impl Packed {
    /// Appends a matrix whose row `order(i)` becomes output i.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when it is of another type or size, or its extents are not whole tiles and steps.
    pub(crate) fn push_matrix(
        &mut self,
        precision: Precision,
        [outputs, inputs]: [usize; 2],
        matrix: Matrix<'_>,
        order: &dyn Fn(usize) -> usize,
    ) -> Result<(), CudaError> {
        let length = match (matrix, precision) {
            (Matrix::Bytes { values, scales }, Precision::Int8) if scales.len() == outputs => values.len(),
            (Matrix::Floats(values), Precision::Float(_)) => values.len(),
            _ => return Err(wrong(precision, [outputs, inputs])),
        };
        let depth = depth(precision);
        if outputs % 16 != 0 || inputs % depth != 0 || outputs.checked_mul(inputs) != Some(length) {
            return Err(wrong(precision, [outputs, inputs]));
        }
        let places = places(precision);
        self.fragments.reserve(length * precision.bytes());
        for (tile, first) in
            (0..outputs / 16).flat_map(|tile| (0..inputs / depth).map(move |step| (tile, step * depth)))
        {
            let indices = places
                .iter()
                .map(|&(row, input)| order(16 * tile + row) * inputs + first + input);
            match (matrix, precision) {
                (Matrix::Floats(values), Precision::Float(element)) => {
                    self.fragments
                        .extend(element.encode(indices.map(|index| values[index])));
                }
                (Matrix::Bytes { values, .. }, _) => self.fragments.extend(indices.map(|index| values[index] as u8)),
                (Matrix::Floats(_), Precision::Int8) => {}
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

/// Row and input of each element of a tile's step, as they lie.
fn places(precision: Precision) -> Vec<(usize, usize)> {
    let depth = depth(precision);
    if depth == 4 {
        return (0..16 * depth).map(|i| (i / depth, i % depth)).collect();
    }
    let (of_lane, of_word) = (depth / 2, depth / 8);
    (0..16 * depth)
        .map(|i| {
            let (lane, word) = (i / of_lane, i % of_lane / of_word);
            let row = lane / 4 + word % 2 * 8;
            (row, lane % 4 * (depth / 4) + word / 2 * of_word + i % of_word)
        })
        .collect()
}

/// The rounding of a product's input: there must be one for 8-bit weights, and only then.
pub(crate) fn rounding(precision: Precision, given: Option<Quantization>) -> Result<Option<Quantization>, CudaError> {
    if given.is_some() == (precision == Precision::Int8) {
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
        depth(precision)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane's 16 bytes of every type, and that each element of a matrix lies somewhere once.
    #[test]
    fn elements_lie_where_lanes_take_them() {
        for (precision, lane, expected) in [
            (
                Precision::Int8,
                13,
                vec![
                    (3, 8),
                    (3, 9),
                    (3, 10),
                    (3, 11),
                    (11, 8),
                    (11, 9),
                    (11, 10),
                    (11, 11),
                    (3, 12),
                ],
            ),
            (
                Precision::Float(Element::F16),
                13,
                vec![(3, 4), (3, 5), (11, 4), (11, 5), (3, 6), (3, 7), (11, 6), (11, 7)],
            ),
            (Precision::Float(Element::F32), 9, vec![(9, 0), (9, 1), (9, 2), (9, 3)]),
        ] {
            let places = places(precision);
            let each = 16 / precision.bytes();
            assert_eq!(places[lane * each..][..expected.len()], expected, "{precision:?}");
            let mut sorted = places.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 16 * depth(precision));
            assert_eq!(sorted.last(), Some(&(15, depth(precision) - 1)));
        }
        let values: Vec<i8> = (0..32 * 64).map(|i| (i % 251) as i8).collect();
        let matrix = Matrix::Bytes {
            values: &values,
            scales: &[0.5; 32],
        };
        let mut packed = Packed::default();
        packed
            .push_matrix(Precision::Int8, [32, 64], matrix, &|i| 31 - i)
            .expect("whole tiles");
        // Tile 1, step 1, lane 13: output 19 of the order, inputs 40 on.
        let at = (3 * 32 + 13) * 16;
        assert_eq!(packed.fragments[at] as i8, values[(31 - 19) * 64 + 40]);
        packed
            .push_factors(32, matrix, (2.0, -3), &|i| 31 - i)
            .expect("small sums");
        let sum: i32 = values[31 * 64..].iter().map(|&w| i32::from(w)).sum();
        assert_eq!((packed.terms[0], packed.sums[0]), (1.0, -3 * sum));
    }

    #[test]
    fn matrices_of_another_shape_or_type_are_refused() {
        let mut packed = Packed::default();
        let zeros = [0.0; 512];
        let floats = Matrix::Floats(&zeros);
        let half = Precision::Float(Element::F16);
        for (precision, extents) in [
            (half, [16, 31]),
            (half, [8, 64]),
            (half, [16, 16]),
            (Precision::Int8, [16, 32]),
        ] {
            assert!(
                packed.push_matrix(precision, extents, floats, &|i| i).is_err(),
                "{extents:?}"
            );
        }
        packed.push_matrix(half, [16, 32], floats, &|i| i).expect("whole tiles");
        let scales = Matrix::Bytes {
            values: &[0; 512],
            scales: &[0.5; 15],
        };
        assert!(packed.push_matrix(Precision::Int8, [16, 32], scales, &|i| i).is_err());
    }
}
