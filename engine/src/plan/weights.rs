//! Tensors stored in a model file, borrowed, and how the values they meet are rounded.

use half::f16;

use super::graph::Mismatch;

/// A tensor, row-major, in the file's bytes: of floats of 16 bits or 32, read as 32, or of 8-bit integers with a scale per output.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    stored: Stored<'a>,
}

/// How the file has them, little-endian.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored<'a> {
    Half(&'a [[u8; 2]]),
    Single(&'a [[u8; 4]]),
    /// The scale of a value is that of its output, `index / inner % outputs`.
    Bytes {
        values: &'a [u8],
        scales: &'a [[u8; 4]],
        inner: usize,
    },
}

impl<'a> Weights<'a> {
    pub(super) fn new(stored: Stored<'a>) -> Self {
        Self { stored }
    }

    /// Its number of values.
    pub fn len(self) -> usize {
        match self.stored {
            Stored::Half(values) => values.len(),
            Stored::Single(values) => values.len(),
            Stored::Bytes { values, .. } => values.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether it is stored in 8 bits.
    pub fn is_int8(self) -> bool {
        matches!(self.stored, Stored::Bytes { .. })
    }

    /// The value at a row-major position.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn at(self, index: usize) -> f32 {
        match self.stored {
            Stored::Half(values) => f16::from_le_bytes(values[index]).to_f32(),
            Stored::Single(values) => f32::from_le_bytes(values[index]),
            Stored::Bytes { values, .. } => f32::from(values[index] as i8) * self.scale_at(index),
        }
    }

    /// The 8-bit value at a row-major position; 0 in a tensor of floats.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn byte(self, index: usize) -> i8 {
        match self.stored {
            Stored::Bytes { values, .. } => values[index] as i8,
            _ => 0,
        }
    }

    /// What the 8-bit value at a row-major position is multiplied by; 1 in a tensor of floats.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn scale_at(self, index: usize) -> f32 {
        match self.stored {
            Stored::Bytes { scales, inner, .. } => f32::from_le_bytes(scales[index / inner % scales.len()]),
            _ => 1.0,
        }
    }

    /// All values.
    pub fn iter(self) -> impl ExactSizeIterator<Item = f32> + 'a {
        (0..self.len()).map(move |index| self.at(index))
    }

    /// Its values to the beginning of `to`, which has room for them.
    pub(crate) fn copy_to(self, to: &mut [f32]) {
        to.iter_mut().zip(self.iter()).for_each(|(to, from)| *to = from);
    }

    /// The largest sum of magnitudes of an output's 8-bit values.
    pub(crate) fn largest_row(self) -> u64 {
        let Stored::Bytes { values, scales, inner } = self.stored else {
            return 0;
        };
        let magnitude = |value: &u8| u64::from((*value as i8).unsigned_abs());
        let mut sums = vec![0_u64; scales.len()];
        match inner {
            1 => {
                for row in values.chunks(sums.len().max(1)) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += magnitude(value);
                    }
                }
            }
            _ => {
                for (index, row) in values.chunks(inner.max(1)).enumerate() {
                    sums[index % scales.len()] += row.iter().map(magnitude).sum::<u64>();
                }
            }
        }
        sums.into_iter().max().unwrap_or(0)
    }

    /// Fails when a sum of these times integers of magnitude `largest` could reach `2^bits`.
    pub(super) fn check_sums(self, largest: u64, bits: u32) -> Result<(), Mismatch> {
        let sum = self.largest_row().saturating_mul(largest);
        if sum < 1 << bits {
            return Ok(());
        }
        Err(Mismatch::whole(format!(
            "a sum of quantized products could reach {sum}, which the kernels hold below 2^{bits}"
        )))
    }
}

/// How an activation is rounded to 8 bits: `round(x/scale) + zero_point`, −128 to 127.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The distance of two neighbouring values, between 2⁻⁶⁰ and 2³⁰.
    pub scale: f32,
    /// What 0 becomes.
    pub zero_point: i8,
}

impl Quantization {
    /// The largest magnitude of a rounded value minus the zero point.
    pub fn largest(self) -> u64 {
        let zero_point = i64::from(self.zero_point);
        (zero_point + 128).max(127 - zero_point).unsigned_abs()
    }

    pub(super) fn check_scale(scale: f32) -> Result<f32, Mismatch> {
        const SMALLEST: f32 = f32::from_bits((127 - 60) << 23);
        if (SMALLEST..=(1 << 30) as f32).contains(&scale) {
            return Ok(scale);
        }
        Err(Mismatch::whole(format!(
            "a scale is {scale:e}: 2⁻⁶⁰ to 2³⁰ is expected"
        )))
    }
}

/// `y = W·x + b`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Length of `x`.
    pub inputs: usize,
    /// Length of `y`.
    pub outputs: usize,
    /// `b`, if there is one.
    pub bias: Option<Weights<'a>>,
    /// How `x` is rounded; the weights are 8-bit then, and only then.
    pub input: Option<Quantization>,
    weight: Weights<'a>,
    /// Whether the file has `[inputs, outputs]` and not `[outputs, inputs]`.
    inputs_first: bool,
}

impl<'a> Linear<'a> {
    pub(super) fn new(
        weight: Weights<'a>,
        extents: [usize; 2],
        inputs_first: bool,
        bias: Option<Weights<'a>>,
        input: Option<Quantization>,
    ) -> Result<Self, Mismatch> {
        let [outputs, inputs] = if inputs_first {
            [extents[1], extents[0]]
        } else {
            extents
        };
        if inputs == 0 || outputs == 0 {
            return Err(Mismatch::whole("a linear map without inputs or outputs".to_owned()));
        }
        if bias.is_some_and(|bias| bias.len() != outputs) {
            return Err(Mismatch::whole(format!(
                "a bias for {outputs} outputs is of another length"
            )));
        }
        check_operands(input, weight, 31)?;
        Ok(Self {
            inputs,
            outputs,
            bias,
            input,
            weight,
            inputs_first,
        })
    }

    /// `W[output][input]`.
    ///
    /// # Panics
    /// Beyond the extents.
    pub fn weight(&self, output: usize, input: usize) -> f32 {
        self.weight.at(self.index(output, input))
    }

    /// The 8-bit value and the scale of `W[output][input]`.
    ///
    /// # Panics
    /// Beyond the extents.
    pub fn byte(&self, output: usize, input: usize) -> (i8, f32) {
        let index = self.index(output, input);
        (self.weight.byte(index), self.weight.scale_at(index))
    }

    fn index(&self, output: usize, input: usize) -> usize {
        let [row, column, width] = if self.inputs_first {
            [input, output, self.outputs]
        } else {
            [output, input, self.inputs]
        };
        row * width + column
    }

    /// Multiply-adds for one `x`.
    pub fn multiply_adds(&self) -> u64 {
        (self.inputs * self.outputs) as u64
    }
}

/// Fails unless both operands of a product are quantized or none is, and its sums stay below `2^bits`.
pub(super) fn check_operands(input: Option<Quantization>, weight: Weights<'_>, bits: u32) -> Result<(), Mismatch> {
    match (input, weight.is_int8()) {
        (None, false) => Ok(()),
        (Some(input), true) => weight.check_sums(input.largest(), bits),
        _ => Err(Mismatch::whole(
            "one operand of a product is quantized and the other is not".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outputs in rows, in columns and in the middle, against the definition.
    #[test]
    fn the_largest_row_is_that_of_an_output() {
        let values: Vec<u8> = (0..120_u32).map(|i| (i * 83 % 256) as u8).collect();
        for (outputs, inner) in [(6, 20), (20, 1), (5, 4), (1, 120), (120, 1)] {
            let scales = vec![[0; 4]; outputs];
            let mut sums = vec![0_u64; outputs];
            for (index, &value) in values.iter().enumerate() {
                sums[index / inner % outputs] += u64::from((value as i8).unsigned_abs());
            }
            let weights = Weights::new(Stored::Bytes {
                values: &values,
                scales: &scales,
                inner,
            });
            assert_eq!(Some(weights.largest_row()), sums.into_iter().max(), "{outputs} {inner}");
        }
    }
}
