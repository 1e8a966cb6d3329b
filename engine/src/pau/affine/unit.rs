//! `y = gain · F(scale · x + shift + shortcut)` and its gradients.

use super::operands::{Affine, Block, Lines};
use super::pattern::{fold, period};
use super::pooled::{Incoming, Part};
use super::{ChannelsLast, expect_length};
use crate::pau::backward;
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

/// Writes `y`, `[samples, pixels, channels]`.
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_forward(pau: &Pau, shape: ChannelsLast, operands: Affine<'_>, y: &mut [f32]) {
    operands.expect_extents(shape);
    expect_length("y", y, shape.elements());
    if y.is_empty() {
        return;
    }
    let samples = y.par_chunks_mut(shape.sample()).enumerate();
    with_order!(pau, rational => samples.for_each(|(sample, y)| {
        y.par_chunks_mut(shape.block()).enumerate().for_each(|(index, y)| {
            let first = index * shape.block();
            let block = operands.part(shape, sample, first..first + y.len());
            pau.isa().run(Forward { rational, block, y: &mut *y });
            operands.drop_elements(pau.isa(), shape, sample, first, y);
        });
    }));
}

/// Writes `grad_u = grad_y · gain · F'(u)`, which is the gradient of the shortcut too, and returns the sums that the gradients
/// of everything else are made of. `grad_y` and `grad_u` are `[samples, pixels, channels]`.
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_backward(
    pau: &Pau,
    shape: ChannelsLast,
    operands: Affine<'_>,
    grad_y: &[f32],
    grad_u: &mut [f32],
) -> AffineGradients {
    expect_length("grad_y", grad_y, shape.elements());
    backward_of(pau, shape, operands, &Incoming::Whole(grad_y), grad_u)
}

/// [`affine_backward`] for a gradient that may be that of the means.
pub(super) fn backward_of(
    pau: &Pau,
    shape: ChannelsLast,
    operands: Affine<'_>,
    grad_y: &Incoming<'_>,
    grad_u: &mut [f32],
) -> AffineGradients {
    operands.expect_extents(shape);
    expect_length("grad_u", grad_u, shape.elements());
    let (mut sum_u, mut sum_ux) = (vec![0.0; shape.lines()], vec![0.0; shape.lines()]);
    if grad_u.is_empty() {
        return AffineGradients {
            coefficients: pau.backward(&[], &[], &mut []),
            sum_u,
            sum_ux,
        };
    }
    let (length, isa) = (shape.block(), pau.isa());
    let samples = grad_u.par_chunks_mut(shape.sample()).enumerate();
    let coefficients = with_order!(pau, rational => {
        let partials: Vec<Partial<_, _>> = samples
            .flat_map(|(sample, grad_u)| {
                let blocks = grad_u.par_chunks_mut(length).enumerate();
                blocks.map(move |(index, grad_u)| {
                    let first = index * length;
                    let block = operands.part(shape, sample, first..first + grad_u.len());
                    let part = Part { shape, sample, elements: first..first + grad_u.len() };
                    grad_y.with_part(isa, operands, part, |grad_y| {
                        isa.run(Backward { rational, block, grad_y, grad_u })
                    })
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

/// Some pixels of one sample.
pub(super) struct Forward<'a, const M: usize, const N: usize> {
    pub(super) rational: &'a Rational<M, N>,
    pub(super) block: Block<'a>,
    pub(super) y: &'a mut [f32],
}

impl<const M: usize, const N: usize> Kernel for Forward<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.block.shortcut.is_some(), self.block.gain.is_some()) {
            (false, false) => self.sweep::<S, false, false>(simd),
            (false, true) => self.sweep::<S, false, true>(simd),
            (true, false) => self.sweep::<S, true, false>(simd),
            (true, true) => self.sweep::<S, true, true>(simd),
        }
    }
}

impl<const M: usize, const N: usize> Forward<'_, M, N> {
    /// The whole block; `SHORTCUT` and `GAIN` say whether there is one, and other values stand in for what there is not.
    #[inline(always)]
    fn sweep<S: Simd, const SHORTCUT: bool, const GAIN: bool>(self, simd: S) {
        let pau = self.rational.splat(simd);
        let period = period(self.block.channels());
        let Lines { scale, shift, gain } = self.block.lines();
        let gain = gain.as_deref().unwrap_or(&scale);
        let whole = self.y.len() / S::LANES * S::LANES;
        let (x, last_x) = self.block.x.split_at(whole);
        let (shortcut, last_shortcut) = self.block.shortcut.unwrap_or(self.block.x).split_at(whole);
        let (y, last_y) = self.y.split_at_mut(whole);
        let rows = x.chunks(period).zip(shortcut.chunks(period));
        for ((x, shortcut), y) in rows.zip(y.chunks_mut(period)) {
            let data = x.chunks_exact(S::LANES).zip(shortcut.chunks_exact(S::LANES));
            let data = data.zip(y.chunks_exact_mut(S::LANES));
            let lines = scale.chunks_exact(S::LANES).zip(shift.chunks_exact(S::LANES));
            let lines = lines.zip(gain.chunks_exact(S::LANES));
            for (((x, shortcut), y), ((scale, shift), gain)) in data.zip(lines) {
                let mut u = simd.mul_add(simd.load(scale), simd.load(x), simd.load(shift));
                if SHORTCUT {
                    u = simd.add(u, simd.load(shortcut));
                }
                let mut value = pau.value(u);
                if GAIN {
                    value = simd.mul(value, simd.load(gain));
                }
                simd.store(value, y);
            }
        }
        let at = whole % period..whole % period + last_y.len();
        let (scale, shift) = (
            simd.load_partial(&scale[at.clone()]),
            simd.load_partial(&shift[at.clone()]),
        );
        let mut u = simd.mul_add(scale, simd.load_partial(last_x), shift);
        if SHORTCUT {
            u = simd.add(u, simd.load_partial(last_shortcut));
        }
        let mut value = pau.value(u);
        if GAIN {
            value = simd.mul(value, simd.load_partial(&gain[at]));
        }
        simd.store_partial(value, last_y);
    }
}

struct Backward<'a, const M: usize, const N: usize> {
    rational: &'a Rational<M, N>,
    block: Block<'a>,
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
    fn run<S: Simd>(self, simd: S) -> Partial<M, N> {
        if self.block.shortcut.is_some() {
            self.retrying::<S, true>(simd)
        } else {
            self.retrying::<S, false>(simd)
        }
    }
}

impl<const M: usize, const N: usize> Backward<'_, M, N> {
    #[inline(always)]
    fn retrying<S: Simd, const SHORTCUT: bool>(mut self, simd: S) -> Partial<M, N> {
        let partial = self.sweep::<S, SHORTCUT, false>(simd);
        if partial.coefficients.beyond {
            self.sweep::<S, SHORTCUT, true>(simd)
        } else {
            partial
        }
    }

    /// The whole block; `SHORTCUT` as in [`Forward::sweep`], `EXACT` as in
    /// [`Splat::gradient`](crate::pau::rational::Splat::gradient).
    #[inline(always)]
    fn sweep<S: Simd, const SHORTCUT: bool, const EXACT: bool>(&mut self, simd: S) -> Partial<M, N> {
        let pau = self.rational.splat(simd);
        let period = period(self.block.channels());
        let stretch = period * (backward::stretch(S::LANES) / period).max(1);
        let Lines { scale, shift, gain } = self.block.lines();
        let gain = gain.unwrap_or_else(|| vec![1.0; scale.len()]);
        let (mut sum_u, mut sum_ux) = (vec![0.0; scale.len()], vec![0.0; scale.len()]);
        let mut coefficients = Sums::ZERO;
        let whole = self.grad_u.len() / S::LANES * S::LANES;
        let (x, last_x) = self.block.x.split_at(whole);
        let (shortcut, last_shortcut) = self.block.shortcut.unwrap_or(self.block.x).split_at(whole);
        let (grad_y, last_grad_y) = self.grad_y.split_at(whole);
        let (grad_u, last_grad_u) = self.grad_u.split_at_mut(whole);
        let stretches = x.chunks(stretch).zip(shortcut.chunks(stretch));
        let stretches = stretches.zip(grad_y.chunks(stretch).zip(grad_u.chunks_mut(stretch)));
        for ((x, shortcut), (grad_y, grad_u)) in stretches {
            let mut lanes = LaneSums::zero(simd);
            let rows = x.chunks(period).zip(shortcut.chunks(period));
            let rows = rows.zip(grad_y.chunks(period).zip(grad_u.chunks_mut(period)));
            for ((x, shortcut), (grad_y, grad_u)) in rows {
                let data = x.chunks_exact(S::LANES).zip(shortcut.chunks_exact(S::LANES));
                let gradients = grad_y.chunks_exact(S::LANES).zip(grad_u.chunks_exact_mut(S::LANES));
                let lines = scale.chunks_exact(S::LANES).zip(shift.chunks_exact(S::LANES));
                let lines = lines.zip(gain.chunks_exact(S::LANES));
                let sums = sum_u.chunks_exact_mut(S::LANES).zip(sum_ux.chunks_exact_mut(S::LANES));
                for (((x, shortcut), (grad_y, grad_u)), (((scale, shift), gain), (sum_u, sum_ux))) in
                    data.zip(gradients).zip(lines.zip(sums))
                {
                    let x = simd.load(x);
                    let mut u = simd.mul_add(simd.load(scale), x, simd.load(shift));
                    if SHORTCUT {
                        u = simd.add(u, simd.load(shortcut));
                    }
                    let grad_y = simd.mul(simd.load(grad_y), simd.load(gain));
                    let gradient = pau.gradient::<EXACT>(u, grad_y, &mut lanes, &mut coefficients);
                    simd.store(gradient, grad_u);
                    simd.store(simd.add(simd.load(sum_u), gradient), sum_u);
                    simd.store(simd.mul_add(gradient, x, simd.load(sum_ux)), sum_ux);
                }
            }
            lanes.add_to(&pau, &mut coefficients);
        }
        if !last_x.is_empty() {
            let at = whole % period..whole % period + last_x.len();
            let x = simd.load_partial(last_x);
            let scale = simd.load_partial(&scale[at.clone()]);
            let mut u = simd.mul_add(scale, x, simd.load_partial(&shift[at.clone()]));
            if SHORTCUT {
                u = simd.add(u, simd.load_partial(last_shortcut));
            }
            let grad_y = simd.mul(simd.load_partial(last_grad_y), simd.load_partial(&gain[at.clone()]));
            let mut lanes = LaneSums::zero(simd);
            let gradient = pau.gradient::<EXACT>(u, grad_y, &mut lanes, &mut coefficients);
            lanes.add_to(&pau, &mut coefficients);
            simd.store_partial(gradient, last_grad_u);
            let (sum_u, sum_ux) = (&mut sum_u[at.clone()], &mut sum_ux[at]);
            simd.store_partial(simd.add(simd.load_partial(sum_u), gradient), sum_u);
            simd.store_partial(simd.mul_add(gradient, x, simd.load_partial(sum_ux)), sum_ux);
        }
        let (mut u, mut ux) = (vec![0.0; self.block.channels()], vec![0.0; self.block.channels()]);
        fold(&sum_u, &mut u);
        fold(&sum_ux, &mut ux);
        Partial { coefficients, u, ux }
    }
}
