//! The gradient that leaves a batch normalization.

use super::pattern::{period, repeat};
use super::{ChannelsLast, expect_length};
use crate::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Coefficients of [`affine_input_gradient`].
#[derive(Clone, Copy, Debug)]
pub struct InputGradient<'a> {
    /// Factor of `grad_u`, `[samples, channels]`.
    pub alpha: &'a [f32],
    /// Factor of `x`, `[channels]`.
    pub beta: &'a [f32],
    /// Constant, `[channels]`.
    pub delta: &'a [f32],
}

/// `out = alpha · grad_u + beta · x + delta`; `x`, `grad_u` and `out` are `[samples, pixels, channels]`.
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_input_gradient(
    isa: Isa,
    shape: ChannelsLast,
    x: &[f32],
    grad_u: &[f32],
    coefficients: InputGradient<'_>,
    out: &mut [f32],
) {
    let InputGradient { alpha, beta, delta } = coefficients;
    expect_length("x", x, shape.elements());
    expect_length("grad_u", grad_u, shape.elements());
    expect_length("out", out, shape.elements());
    expect_length("alpha", alpha, shape.lines());
    expect_length("beta", beta, shape.channels);
    expect_length("delta", delta, shape.channels);
    if x.is_empty() {
        return;
    }
    let (sample, block) = (shape.sample(), shape.block());
    let samples = x
        .par_chunks(sample)
        .zip(grad_u.par_chunks(sample))
        .zip(out.par_chunks_mut(sample));
    samples
        .zip(alpha.par_chunks(shape.channels))
        .for_each(|(((x, grad_u), out), alpha)| {
            let blocks = x
                .par_chunks(block)
                .zip(grad_u.par_chunks(block))
                .zip(out.par_chunks_mut(block));
            blocks.for_each(|((x, grad_u), out)| {
                isa.run(Block {
                    x,
                    grad_u,
                    alpha,
                    beta,
                    delta,
                    out,
                })
            });
        });
}

/// One block of a record; `alpha` holds one value per channel.
struct Block<'a> {
    x: &'a [f32],
    grad_u: &'a [f32],
    alpha: &'a [f32],
    beta: &'a [f32],
    delta: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let period = period(self.beta.len());
        let elements = self.x.len();
        let (alpha, beta) = (repeat(self.alpha, elements), repeat(self.beta, elements));
        let delta = repeat(self.delta, elements);
        let whole = elements / S::LANES * S::LANES;
        let (x, last_x) = self.x.split_at(whole);
        let (grad_u, last_grad_u) = self.grad_u.split_at(whole);
        let (out, last_out) = self.out.split_at_mut(whole);
        for ((x, grad_u), out) in x.chunks(period).zip(grad_u.chunks(period)).zip(out.chunks_mut(period)) {
            let data = x.chunks_exact(S::LANES).zip(grad_u.chunks_exact(S::LANES));
            let data = data.zip(out.chunks_exact_mut(S::LANES));
            let lines = alpha.chunks_exact(S::LANES).zip(beta.chunks_exact(S::LANES));
            let lines = lines.zip(delta.chunks_exact(S::LANES));
            for (((x, grad_u), out), ((alpha, beta), delta)) in data.zip(lines) {
                let from_x = simd.mul_add(simd.load(beta), simd.load(x), simd.load(delta));
                simd.store(simd.mul_add(simd.load(alpha), simd.load(grad_u), from_x), out);
            }
        }
        let at = whole % period..whole % period + last_x.len();
        let (alpha, beta) = (
            simd.load_partial(&alpha[at.clone()]),
            simd.load_partial(&beta[at.clone()]),
        );
        let from_x = simd.mul_add(beta, simd.load_partial(last_x), simd.load_partial(&delta[at]));
        simd.store_partial(simd.mul_add(alpha, simd.load_partial(last_grad_u), from_x), last_out);
    }
}
