//! A linear map with its packed weights.

use super::super::kernels::{Aligned, Gemm, MatVec, Operand, Packed, padded};
use crate::plan;
use crate::simd::Isa;

/// `y = W·x + b`, both padded.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    weights: Packed,
    bias: Aligned,
}

impl Dense {
    pub(super) fn new(linear: &plan::Linear<'_>) -> Self {
        let weights = Packed::of(padded(linear.inputs), linear.outputs, |input, output| {
            if input < linear.inputs {
                linear.weight(output, input)
            } else {
                0.0
            }
        });
        let mut bias = Aligned::zeros(weights.columns());
        if let Some(values) = linear.bias {
            for (to, from) in bias.iter_mut().zip(values.iter()) {
                *to = from;
            }
        }
        Self { weights, bias }
    }

    /// Padded length of `x`.
    pub(super) fn inputs(&self) -> usize {
        self.weights.rows()
    }

    /// Padded length of `y`.
    pub(super) fn outputs(&self) -> usize {
        self.weights.columns()
    }

    /// One vector.
    pub(super) fn vector(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        isa.run(MatVec {
            x,
            b: self.weights.view(),
            bias: Some(&self.bias),
            y,
        });
    }

    /// As many vectors as `rows`, `x [rows, inputs]` whose rows are `stride` apart to `y [rows, outputs]`, padded.
    pub(super) fn rows(&self, isa: Isa, rows: usize, (x, stride): (&[f32], usize), y: &mut [f32]) {
        let offsets = |width: usize| (0..rows).map(|row| row * width).collect::<Vec<usize>>();
        isa.run(Gemm {
            batch: 1,
            a: x,
            a_rows: Operand {
                rows: &offsets(stride),
                stride: 0,
            },
            b: self.weights.view(),
            bias: Some(&self.bias),
            c: y,
            c_rows: Operand {
                rows: &offsets(self.outputs()),
                stride: 0,
            },
        });
    }
}
