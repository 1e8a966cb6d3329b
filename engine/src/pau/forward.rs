//! `y = F(x)` over slices.

use super::rational::Rational;
use crate::simd::{Kernel, Simd};

/// Out of place; `x` and `y` are equally long.
pub(super) struct Forward<'a, const M: usize, const N: usize> {
    pub(super) rational: &'a Rational<M, N>,
    pub(super) x: &'a [f32],
    pub(super) y: &'a mut [f32],
}

impl<const M: usize, const N: usize> Kernel for Forward<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pau = self.rational.splat(simd);
        let mut x = self.x.chunks_exact(S::LANES);
        let mut y = self.y.chunks_exact_mut(S::LANES);
        for (x, y) in (&mut x).zip(&mut y) {
            simd.store(pau.value(simd.load(x)), y);
        }
        simd.store_partial(pau.value(simd.load_partial(x.remainder())), y.into_remainder());
    }
}

/// In place.
pub(crate) struct ForwardInPlace<'a, const M: usize, const N: usize> {
    pub(crate) rational: &'a Rational<M, N>,
    pub(crate) x: &'a mut [f32],
}

impl<const M: usize, const N: usize> Kernel for ForwardInPlace<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pau = self.rational.splat(simd);
        let mut x = self.x.chunks_exact_mut(S::LANES);
        for x in &mut x {
            simd.store(pau.value(simd.load(x)), x);
        }
        let rest = x.into_remainder();
        simd.store_partial(pau.value(simd.load_partial(rest)), rest);
    }
}
