//! One pass over a weight, its gradient and its moments, where all four lie in the processor's memory in one order.

use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;
use std::slice::from_raw_parts_mut;
use tch::{Device, Kind, Tensor};

/// The numbers of one step of rectified Adam.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// β1 and 1 − β1, each rounded by itself.
    pub(super) first: [f32; 2],
    /// β2 and 1 − β2.
    pub(super) second: [f32; 2],
    pub(super) eps: f32,
    /// Factor of `m / (√v + eps)` or, while the step is not rectified, of `m`.
    pub(super) size: f32,
    pub(super) is_rectified: bool,
}

/// Elements of a parallel task.
const CHUNK: usize = 1 << 14;

/// Moves the weight and clears the gradient; `false`, with nothing done, where the tensors are not of one dense order of
/// float32 numbers on the CPU.
pub(super) fn apply(isa: Isa, step: Step, tensors: [&Tensor; 4]) -> bool {
    let [weight, ..] = tensors;
    let length = weight.numel();
    let fits = length > 0
        && is_dense(weight)
        && tensors.iter().all(|tensor| {
            tensor.kind() == Kind::Float
                && tensor.device() == Device::Cpu
                && tensor.size() == weight.size()
                && tensor.stride() == weight.stride()
        });
    let pointers = tensors.map(|tensor| tensor.data_ptr().cast::<f32>());
    let is_distinct = (0..4).all(|i| !pointers[i].is_null() && (0..i).all(|j| pointers[i] != pointers[j]));
    if !fits || !is_distinct {
        return false;
    }
    // SAFETY: each tensor holds `length` float32 numbers from its pointer on, without holes; they are four allocations, and
    // while the optimizer steps nobody else reads or writes a weight, its gradient or its moments.
    let [weight, gradient, first, second] = pointers.map(|pointer| unsafe { from_raw_parts_mut(pointer, length) });
    let weights = weight.par_chunks_mut(CHUNK).zip(gradient.par_chunks_mut(CHUNK));
    let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
    weights.zip(moments).for_each(|((weight, gradient), (first, second))| {
        isa.run(Chunk {
            step,
            weight,
            gradient,
            first,
            second,
        });
    });
    true
}

/// Whether the elements fill one stretch of memory, in whatever order of axes.
fn is_dense(tensor: &Tensor) -> bool {
    let mut axes: Vec<(i64, i64)> = tensor.stride().into_iter().zip(tensor.size()).collect();
    axes.retain(|&(_, extent)| extent != 1);
    axes.sort_unstable();
    let mut expected = 1;
    axes.into_iter().all(|(stride, extent)| {
        let is_next = stride == expected;
        expected *= extent;
        is_next
    })
}

struct Chunk<'a> {
    step: Step,
    weight: &'a mut [f32],
    gradient: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for Chunk<'_> {
    type Output = ();

    /// Plain arithmetic, which the compiler turns into vectors; element by element as libtorch's operations would.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Step {
            first: [beta1, rest1],
            second: [beta2, rest2],
            eps,
            size,
            is_rectified,
        } = self.step;
        let moments = self.first.iter_mut().zip(self.second);
        for ((weight, gradient), (first, second)) in self.weight.iter_mut().zip(self.gradient).zip(moments) {
            let g = *gradient;
            *first = *first * beta1 + g * rest1;
            *second = *second * beta2 + g * (g * rest2);
            let direction = if is_rectified {
                *first / (second.sqrt() + eps)
            } else {
                *first
            };
            *weight += direction * size;
            *gradient = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_of_axes_without_holes_is_dense() {
        let whole = Tensor::zeros([2, 3, 4, 5], (Kind::Float, Device::Cpu));
        assert!(is_dense(&whole));
        assert!(is_dense(&whole.permute([0, 2, 3, 1])));
        assert!(is_dense(&whole.narrow(0, 1, 1)));
        assert!(!is_dense(&whole.narrow(1, 0, 2)));
        assert!(!is_dense(&whole.expand([7, 2, 3, 4, 5], false)));
    }

    /// One rectified and one plain step of two numbers, by hand.
    #[test]
    fn a_step_is_the_formula() {
        let tensor = |values: [f32; 2]| Tensor::from_slice(&values);
        let isa = Isa::detect().expect("an instruction set");
        for is_rectified in [true, false] {
            let (weight, gradient) = (tensor([1.0, -2.0]), tensor([0.5, -0.25]));
            let (first, second) = (tensor([0.1, 0.2]), tensor([0.04, 0.09]));
            let step = Step {
                first: [0.9, 0.1],
                second: [0.999, 0.001],
                eps: 1e-8,
                size: -0.01,
                is_rectified,
            };
            assert!(apply(isa, step, [&weight, &gradient, &first, &second]));
            let expected =
                [(1.0, 0.5, 0.1, 0.04), (-2.0, -0.25, 0.2, 0.09)].map(|(w, g, m, v): (f64, f64, f64, f64)| {
                    let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
                    w - 0.01 * if is_rectified { m / (v.sqrt() + 1e-8) } else { m }
                });
            for (i, expected) in expected.into_iter().enumerate() {
                assert!((weight.double_value(&[i as i64]) - expected).abs() < 1e-6);
                assert_eq!(gradient.double_value(&[i as i64]), 0.0);
            }
        }
        let scalar = tensor([1.0, 1.0]);
        let step = Step {
            first: [0.9, 0.1],
            second: [0.999, 0.001],
            eps: 1e-8,
            size: -0.01,
            is_rectified: true,
        };
        assert!(
            !apply(isa, step, [&scalar, &scalar, &scalar, &scalar]),
            "one tensor four times"
        );
    }
}
