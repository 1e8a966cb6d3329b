//! Linear maps with their packed weights.

use super::super::kernels::integer::{Pairs, Product, Quantize, Results, Rounding};
use super::super::kernels::{Aligned, Buffer, Gemm, MatVec, Operand, Packed, padded};
use crate::plan;
use crate::simd::Isa;

/// `y = W·x + b`, both padded.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    weights: Weights,
    inputs: usize,
    bias: Aligned,
}

/// `[inputs, outputs]`.
#[derive(Clone, Debug)]
enum Weights {
    Float(Packed),
    /// 8-bit, with the factor of each output's sums and how inputs are rounded.
    Integer(Pairs<i16>, Aligned, Rounding),
}

/// `y = W·x + b` of floats, for one vector at a time, both padded.
#[derive(Clone, Debug)]
pub(super) struct DenseVector {
    weights: Packed,
    bias: Aligned,
}

fn packed(linear: &plan::Linear<'_>) -> Packed {
    Packed::of(padded(linear.inputs), linear.outputs, |input, output| {
        if input < linear.inputs {
            linear.weight(output, input)
        } else {
            0.0
        }
    })
}

fn bias(linear: &plan::Linear<'_>) -> Aligned {
    let mut bias = Aligned::zeros(padded(linear.outputs));
    if let Some(values) = linear.bias {
        values.copy_to(&mut bias);
    }
    bias
}

impl DenseVector {
    pub(super) fn new(linear: &plan::Linear<'_>) -> Self {
        Self {
            weights: packed(linear),
            bias: bias(linear),
        }
    }

    /// Padded length of `x`.
    pub(super) fn inputs(&self) -> usize {
        self.weights.rows()
    }

    /// Padded length of `y`.
    pub(super) fn outputs(&self) -> usize {
        self.weights.columns()
    }

    pub(super) fn run(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        isa.run(MatVec {
            x,
            b: self.weights.view(),
            bias: Some(&self.bias),
            y,
        });
    }
}

impl Dense {
    pub(super) fn new(linear: &plan::Linear<'_>) -> Self {
        let inputs = padded(linear.inputs);
        let weights = match linear.input {
            None => Weights::Float(packed(linear)),
            Some(rounding) => {
                let packed = Pairs::of(inputs, linear.outputs, |input, output| match input < linear.inputs {
                    true => linear.byte(output, input).0.into(),
                    false => 0,
                });
                let mut factors = Aligned::zeros(packed.columns());
                for (output, factor) in factors.iter_mut().take(linear.outputs).enumerate() {
                    *factor = rounding.scale * linear.byte(output, 0).1;
                }
                Weights::Integer(packed, factors, rounding.into())
            }
        };
        Self {
            weights,
            inputs,
            bias: bias(linear),
        }
    }

    /// Padded length of `y`.
    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// As many vectors as `rows`, `x [rows, inputs]` whose rows are `stride` apart to `y [rows, outputs]`, padded.
    pub(super) fn rows(
        &self,
        isa: Isa,
        rows: usize,
        (x, stride): (&[f32], usize),
        y: &mut [f32],
        bytes: &mut Buffer<i16>,
    ) {
        let offsets = |width: usize| (0..rows).map(|row| row * width).collect::<Vec<usize>>();
        let (from, to) = (offsets(stride), offsets(self.outputs()));
        let (a_rows, c_rows) = (Operand::of(&from), Operand::of(&to));
        match &self.weights {
            Weights::Float(weights) => isa.run(Gemm {
                batch: 1,
                a: x,
                a_rows,
                b: weights.view(),
                bias: Some(&self.bias),
                c: y,
                c_rows,
            }),
            Weights::Integer(weights, factors, rounding) => {
                let length = (rows - 1) * stride + self.inputs;
                isa.run(Quantize {
                    from: &x[..length],
                    to: bytes.resize(length),
                    rounding: *rounding,
                });
                isa.run(Product {
                    batch: 1,
                    a: bytes,
                    a_rows,
                    b: weights.view(),
                    c: Results::Values(y, factors, &self.bias),
                    c_rows,
                });
            }
        }
    }
}
