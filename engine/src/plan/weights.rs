//! Tensors stored in a model file, borrowed.

use half::f16;

use super::graph::Mismatch;

/// A tensor of floats, row-major, in the file's bytes; of 16 bits or 32, read as 32.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    stored: Stored<'a>,
}

/// How the file has them, little-endian.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored<'a> {
    Half(&'a [[u8; 2]]),
    Single(&'a [[u8; 4]]),
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
        }
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value at a row-major position.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn at(self, index: usize) -> f32 {
        match self.stored {
            Stored::Half(values) => f16::from_le_bytes(values[index]).to_f32(),
            Stored::Single(values) => f32::from_le_bytes(values[index]),
        }
    }

    /// All values.
    pub fn iter(self) -> impl ExactSizeIterator<Item = f32> + 'a {
        (0..self.len()).map(move |index| self.at(index))
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
    ) -> Result<Self, Mismatch> {
        let [outputs, inputs] = if inputs_first {
            [extents[1], extents[0]]
        } else {
            extents
        };
        if bias.is_some_and(|bias| bias.len() != outputs) {
            return Err(Mismatch::whole(format!(
                "a bias for {outputs} outputs is of another length"
            )));
        }
        Ok(Self {
            inputs,
            outputs,
            bias,
            weight,
            inputs_first,
        })
    }

    /// `W[output][input]`.
    ///
    /// # Panics
    /// Beyond the extents.
    pub fn weight(&self, output: usize, input: usize) -> f32 {
        let [row, column, width] = if self.inputs_first {
            [input, output, self.outputs]
        } else {
            [output, input, self.inputs]
        };
        self.weight.at(row * width + column)
    }

    /// Multiply-adds for one `x`.
    pub fn multiply_adds(&self) -> u64 {
        (self.inputs * self.outputs) as u64
    }
}
