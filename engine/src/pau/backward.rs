//! Gradients over slices.
//!
//! Sums of coefficient gradients are deterministic: lanes add up at most [`stretch`] elements in `f32`, everything above that
//! is added in `f64` in the order of the data, and the cuts depend on nothing but the length.

use super::rational::{LaneSums, Rational, Sums};
use crate::simd::{Kernel, Simd};

/// Elements whose terms the lanes add up in `f32`: no more than 512 each, for equal terms err alike.
pub(super) const fn stretch(lanes: usize) -> usize {
    if lanes < 8 { 512 * lanes } else { 4096 }
}

/// Gradients of one chunk; the slices are equally long.
pub(super) struct Backward<'a, const M: usize, const N: usize> {
    pub(super) rational: &'a Rational<M, N>,
    pub(super) x: &'a [f32],
    pub(super) grad_y: &'a [f32],
    pub(super) grad_x: &'a mut [f32],
}

impl<const M: usize, const N: usize> Kernel for Backward<'_, M, N> {
    type Output = Sums<M, N>;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Sums<M, N> {
        let sums = self.sweep::<S, false>(simd);
        if sums.beyond { self.sweep::<S, true>(simd) } else { sums }
    }
}

impl<const M: usize, const N: usize> Backward<'_, M, N> {
    /// All elements; `EXACT` as in [`Splat::gradient`](super::rational::Splat::gradient).
    #[inline(always)]
    fn sweep<S: Simd, const EXACT: bool>(&mut self, simd: S) -> Sums<M, N> {
        let pau = self.rational.splat(simd);
        let mut sums = Sums::ZERO;
        let whole = self.x.len() / S::LANES * S::LANES;
        let (x, last_x) = self.x.split_at(whole);
        let (grad_y, last_grad_y) = self.grad_y.split_at(whole);
        let (grad_x, last_grad_x) = self.grad_x.split_at_mut(whole);
        for ((x, grad_y), grad_x) in x
            .chunks(stretch(S::LANES))
            .zip(grad_y.chunks(stretch(S::LANES)))
            .zip(grad_x.chunks_mut(stretch(S::LANES)))
        {
            let mut lanes = LaneSums::zero(simd);
            let data = x.chunks_exact(S::LANES).zip(grad_y.chunks_exact(S::LANES));
            for ((x, grad_y), grad_x) in data.zip(grad_x.chunks_exact_mut(S::LANES)) {
                let gradient = pau.gradient::<EXACT>(simd.load(x), simd.load(grad_y), &mut lanes, &mut sums);
                simd.store(gradient, grad_x);
            }
            lanes.add_to(&pau, &mut sums);
        }
        if !last_x.is_empty() {
            let mut lanes = LaneSums::zero(simd);
            let (x, grad_y) = (simd.load_partial(last_x), simd.load_partial(last_grad_y));
            simd.store_partial(pau.gradient::<EXACT>(x, grad_y, &mut lanes, &mut sums), last_grad_x);
            lanes.add_to(&pau, &mut sums);
        }
        sums
    }
}
