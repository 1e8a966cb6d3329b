//! `y = F(scale · x + shift)` and its gradients.

use super::pattern::{fold, period, repeat};
use super::{ChannelsLast, expect_length};
use crate::pau::backward::STRETCH;
use crate::pau::order::with_order;
use crate::pau::rational::{LaneSums, Rational, Sums};
use crate::pau::{Gradients, Pau};
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;

/// What [`affine_backward`] sums up.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineGradients {
    /// Gradients of the PAU's coefficients.
    pub coefficients: Gradients,
    /// `Σ_p ∂L/∂u`, `[samples, channels]`: the gradient of `shift`.
    pub sum_u: Vec<f64>,
    /// `Σ_p ∂L/∂u · x`, `[samples, channels]`: the gradient of `scale`.
    pub sum_ux: Vec<f64>,
}

/// `y = F(scale · x + shift)`; `x` and `y` are `[samples, pixels, channels]`, `scale` and `shift` `[samples, channels]`.
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_forward(pau: &Pau, shape: ChannelsLast, x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) {
    expect_length("x", x, shape.elements());
    expect_length("y", y, shape.elements());
    expect_length("scale", scale, shape.lines());
    expect_length("shift", shift, shape.lines());
    if x.is_empty() {
        return;
    }
    let lines = scale.par_chunks(shape.channels).zip(shift.par_chunks(shape.channels));
    let samples = x
        .par_chunks(shape.sample())
        .zip(y.par_chunks_mut(shape.sample()))
        .zip(lines);
    with_order!(pau, rational => samples.for_each(|((x, y), (scale, shift))| {
        x.par_chunks(shape.block()).zip(y.par_chunks_mut(shape.block())).for_each(|(x, y)| {
            pau.isa().run(Forward { rational, x, scale, shift, y });
        });
    }));
}

/// `grad_u = grad_y · F'(u)` at `u = scale · x + shift`, and the sums that the gradients of everything else are made of.
/// Extents as in [`affine_forward`].
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_backward(
    pau: &Pau,
    shape: ChannelsLast,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    grad_y: &[f32],
    grad_u: &mut [f32],
) -> AffineGradients {
    expect_length("x", x, shape.elements());
    expect_length("grad_y", grad_y, shape.elements());
    expect_length("grad_u", grad_u, shape.elements());
    expect_length("scale", scale, shape.lines());
    expect_length("shift", shift, shape.lines());
    let (mut sum_u, mut sum_ux) = (vec![0.0; shape.lines()], vec![0.0; shape.lines()]);
    if x.is_empty() {
        return AffineGradients {
            coefficients: pau.backward(&[], &[], &mut []),
            sum_u,
            sum_ux,
        };
    }
    let (sample, block, isa) = (shape.sample(), shape.block(), pau.isa());
    let lines = scale.par_chunks(shape.channels).zip(shift.par_chunks(shape.channels));
    let samples = x
        .par_chunks(sample)
        .zip(grad_y.par_chunks(sample))
        .zip(grad_u.par_chunks_mut(sample))
        .zip(lines);
    let coefficients = with_order!(pau, rational => {
        let partials: Vec<Partial<_, _>> = samples
            .flat_map(|(((x, grad_y), grad_u), (scale, shift))| {
                let blocks = x.par_chunks(block).zip(grad_y.par_chunks(block)).zip(grad_u.par_chunks_mut(block));
                blocks.map(move |((x, grad_y), grad_u)| {
                    isa.run(Backward { rational, x, scale, shift, grad_y, grad_u })
                })
            })
            .collect();
        for (i, partial) in partials.iter().enumerate() {
            let first = i / shape.blocks_per_sample() * shape.channels;
            add(&mut sum_u[first..first + shape.channels], &partial.u);
            add(&mut sum_ux[first..first + shape.channels], &partial.ux);
        }
        pau.gradients(partials.into_iter().map(|partial| partial.coefficients))
    });
    AffineGradients {
        coefficients,
        sum_u,
        sum_ux,
    }
}

fn add(sums: &mut [f64], terms: &[f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

/// One block of a record; `scale` and `shift` hold one value per channel.
struct Forward<'a, const M: usize, const N: usize> {
    rational: &'a Rational<M, N>,
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    y: &'a mut [f32],
}

impl<const M: usize, const N: usize> Kernel for Forward<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pau = self.rational.splat(simd);
        let period = period(self.scale.len());
        let (scale, shift) = (repeat(self.scale, self.x.len()), repeat(self.shift, self.x.len()));
        let whole = self.x.len() / S::LANES * S::LANES;
        let (x, last_x) = self.x.split_at(whole);
        let (y, last_y) = self.y.split_at_mut(whole);
        for (x, y) in x.chunks(period).zip(y.chunks_mut(period)) {
            let data = x.chunks_exact(S::LANES).zip(y.chunks_exact_mut(S::LANES));
            let lines = scale.chunks_exact(S::LANES).zip(shift.chunks_exact(S::LANES));
            for ((x, y), (scale, shift)) in data.zip(lines) {
                let u = simd.mul_add(simd.load(scale), simd.load(x), simd.load(shift));
                simd.store(pau.value(u), y);
            }
        }
        let at = whole % period..whole % period + last_x.len();
        let (scale, shift) = (simd.load_partial(&scale[at.clone()]), simd.load_partial(&shift[at]));
        let u = simd.mul_add(scale, simd.load_partial(last_x), shift);
        simd.store_partial(pau.value(u), last_y);
    }
}

/// One block of a record; `scale` and `shift` hold one value per channel.
struct Backward<'a, const M: usize, const N: usize> {
    rational: &'a Rational<M, N>,
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    grad_y: &'a [f32],
    grad_u: &'a mut [f32],
}

/// Sums over one block: of the coefficients' gradients, and per channel.
struct Partial<const M: usize, const N: usize> {
    coefficients: Sums<M, N>,
    u: Vec<f64>,
    ux: Vec<f64>,
}

impl<const M: usize, const N: usize> Kernel for Backward<'_, M, N> {
    type Output = Partial<M, N>;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Partial<M, N> {
        let partial = self.sweep::<S, false>(simd);
        if partial.coefficients.beyond {
            self.sweep::<S, true>(simd)
        } else {
            partial
        }
    }
}

impl<const M: usize, const N: usize> Backward<'_, M, N> {
    /// The whole block; `EXACT` as in [`Splat::gradient`](crate::pau::rational::Splat::gradient).
    #[inline(always)]
    fn sweep<S: Simd, const EXACT: bool>(&mut self, simd: S) -> Partial<M, N> {
        let pau = self.rational.splat(simd);
        let period = period(self.scale.len());
        let stretch = period * (STRETCH / period).max(1);
        let (scale, shift) = (repeat(self.scale, self.x.len()), repeat(self.shift, self.x.len()));
        let (mut sum_u, mut sum_ux) = (vec![0.0; scale.len()], vec![0.0; scale.len()]);
        let mut coefficients = Sums::ZERO;
        let whole = self.x.len() / S::LANES * S::LANES;
        let (x, last_x) = self.x.split_at(whole);
        let (grad_y, last_grad_y) = self.grad_y.split_at(whole);
        let (grad_u, last_grad_u) = self.grad_u.split_at_mut(whole);
        let stretches = x
            .chunks(stretch)
            .zip(grad_y.chunks(stretch))
            .zip(grad_u.chunks_mut(stretch));
        for ((x, grad_y), grad_u) in stretches {
            let mut lanes = LaneSums::zero(simd);
            for ((x, grad_y), grad_u) in x
                .chunks(period)
                .zip(grad_y.chunks(period))
                .zip(grad_u.chunks_mut(period))
            {
                let data = x.chunks_exact(S::LANES).zip(grad_y.chunks_exact(S::LANES));
                let data = data.zip(grad_u.chunks_exact_mut(S::LANES));
                let lines = scale.chunks_exact(S::LANES).zip(shift.chunks_exact(S::LANES));
                let sums = sum_u.chunks_exact_mut(S::LANES).zip(sum_ux.chunks_exact_mut(S::LANES));
                for (((x, grad_y), grad_u), ((scale, shift), (sum_u, sum_ux))) in data.zip(lines.zip(sums)) {
                    let x = simd.load(x);
                    let u = simd.mul_add(simd.load(scale), x, simd.load(shift));
                    let gradient = pau.gradient::<EXACT>(u, simd.load(grad_y), &mut lanes, &mut coefficients);
                    simd.store(gradient, grad_u);
                    simd.store(simd.add(simd.load(sum_u), gradient), sum_u);
                    simd.store(simd.mul_add(gradient, x, simd.load(sum_ux)), sum_ux);
                }
            }
            lanes.add_to(&pau, &mut coefficients);
        }
        if !last_x.is_empty() {
            let at = whole % period..whole % period + last_x.len();
            let (scale, shift) = (
                simd.load_partial(&scale[at.clone()]),
                simd.load_partial(&shift[at.clone()]),
            );
            let x = simd.load_partial(last_x);
            let u = simd.mul_add(scale, x, shift);
            let mut lanes = LaneSums::zero(simd);
            let gradient = pau.gradient::<EXACT>(u, simd.load_partial(last_grad_y), &mut lanes, &mut coefficients);
            lanes.add_to(&pau, &mut coefficients);
            simd.store_partial(gradient, last_grad_u);
            let (sum_u, sum_ux) = (&mut sum_u[at.clone()], &mut sum_ux[at]);
            simd.store_partial(simd.add(simd.load_partial(sum_u), gradient), sum_u);
            simd.store_partial(simd.mul_add(gradient, x, simd.load_partial(sum_ux)), sum_ux);
        }
        let (mut u, mut ux) = (vec![0.0; self.scale.len()], vec![0.0; self.scale.len()]);
        fold(&sum_u, &mut u);
        fold(&sum_ux, &mut ux);
        Partial { coefficients, u, ux }
    }
}
