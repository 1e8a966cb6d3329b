//! The functions `autograd.cpp` calls: an axial attention between its projection and its output, forward and backward.

use super::backward::{Arriving, queries_and_keys, similarities};
use super::bundle::Source;
use super::embeddings::Embeddings;
use super::forward::{products, results};
use super::norm::Norm;
use super::shape::Shape;
use crate::statistics::{Statistics, from_batch, from_running};
use dualnet_engine::pau::affine::{InputGradient, affine_input_gradient, channel_moments};
use dualnet_engine::simd::Isa;
use rayon::prelude::*;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// One batch normalization, as the shim passes it; gradients are null on the way forward, running statistics on the way back.
#[repr(C)]
struct RawNorm {
    gamma: *const f32,
    beta: *const f32,
    running_mean: *mut f32,
    running_variance: *mut f32,
    grad_gamma: *mut f32,
    grad_beta: *mut f32,
}

/// Borrowed tensors, as the shim passes them.
#[repr(C)]
pub(super) struct Operands {
    shape: Shape,
    batch_statistics: usize,
    /// `[positions, 2C]`.
    projected: *const f32,
    /// `[2·values, 2·span − 1]`.
    embeddings: *const f32,
    /// Of queries, keys and values; of the similarities; of the results.
    norms: [RawNorm; 3],
    /// Mean, then reciprocal deviation, of each norm in turn.
    statistics: *mut f64,
    /// `[bundles, groups, span, span]` vectors.
    products: *mut f32,
    /// `[positions, 2C]`.
    pairs: *mut f32,
}

/// The function pointers; each function returns 0, or 1 when no instruction set can be chosen.
#[repr(C)]
pub(super) struct Kernels {
    forward: unsafe extern "C" fn(*const Operands, *mut f32) -> i32,
    backward: unsafe extern "C" fn(*const Operands, *const f32, *mut f32, *mut f32, *mut f32) -> i32,
}

pub(super) static KERNELS: Kernels = Kernels { forward, backward };

/// Channels of the three norms.
fn widths(shape: &Shape) -> [usize; 3] {
    [shape.projected(), 3 * shape.groups, shape.projected()]
}

/// Means and reciprocal deviations of the three norms.
fn split(shape: &Shape, statistics: &[f64]) -> [(usize, usize); 3] {
    debug_assert_eq!(statistics.len(), 2 * widths(shape).iter().sum::<usize>());
    let mut first = 0;
    widths(shape).map(|width| {
        let at = (first, first + width);
        first += 2 * width;
        at
    })
}

fn of<'a>(statistics: &'a [f64], (mean, reciprocal): (usize, usize)) -> Statistics<'a> {
    let width = reciprocal - mean;
    Statistics {
        mean: &statistics[mean..reciprocal],
        reciprocal: &statistics[reciprocal..reciprocal + width],
    }
}

impl RawNorm {
    /// # Safety
    /// Weight and bias must be valid for `width` numbers.
    unsafe fn norm<'a>(&self, width: usize) -> Norm<'a> {
        // SAFETY: the caller vouches for it.
        unsafe {
            Norm {
                gamma: from_raw_parts(self.gamma, width),
                beta: from_raw_parts(self.beta, width),
            }
        }
    }
}

unsafe extern "C" fn forward(operands: *const Operands, out: *mut f32) -> i32 {
    // SAFETY: the shim passes live, contiguous tensors whose extents it has derived from `shape`; statistics, products, pairs
    // and out are freshly allocated, and nobody else uses the running statistics during the call.
    let (o, shape, projected, embeddings, norms, statistics, maps, pairs, out) = unsafe {
        let o = &*operands;
        let shape = o.shape;
        let widths = widths(&shape);
        (
            o,
            shape,
            from_raw_parts(o.projected, shape.positions() * shape.projected()),
            from_raw_parts(o.embeddings, shape.projected() / shape.groups * (2 * shape.span() - 1)),
            [0, 1, 2].map(|i| o.norms[i].norm(widths[i])),
            from_raw_parts_mut(o.statistics, 2 * widths.iter().sum::<usize>()),
            from_raw_parts_mut(o.products, shape.maps()),
            from_raw_parts_mut(o.pairs, shape.positions() * shape.projected()),
            from_raw_parts_mut(out, shape.positions() * shape.channels),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    let at = split(&shape, statistics);
    let mut fill = |index: usize, count: usize, moments: Option<(&[f64], &[f64])>| {
        let (mean, reciprocal) = at[index];
        let width = reciprocal - mean;
        let (means, reciprocals) = statistics[mean..mean + 2 * width].split_at_mut(width);
        // SAFETY: the shim passes running statistics of as many channels as the norm has.
        let running = unsafe {
            (
                from_raw_parts_mut(o.norms[index].running_mean, width),
                from_raw_parts_mut(o.norms[index].running_variance, width),
            )
        };
        match moments {
            Some(moments) => from_batch(moments, count as f64, (means, reciprocals), running),
            None => from_running((running.0, running.1), (means, reciprocals)),
        }
        norms[index].lines(Statistics {
            mean: means,
            reciprocal: reciprocals,
        })
    };
    let batch_statistics = o.batch_statistics != 0;
    let of_map = |x: &[f32]| {
        let moments = channel_moments(isa, shape.channels_last(shape.projected()), x);
        (moments.mean, moments.variance)
    };

    let moments = batch_statistics.then(|| of_map(projected));
    let moments = moments.as_ref().map(|(mean, variance)| (&mean[..], &variance[..]));
    let (scale, shift) = fill(0, shape.positions(), moments);
    let embeddings = Embeddings::new(embeddings, shape.span());
    let source = Source {
        shape,
        projected,
        scale: &scale,
        shift: &shift,
        embeddings: &embeddings,
    };

    let sums = products(isa, source, maps);
    let count = shape.similarities() as f64;
    let mean: Vec<f64> = sums.first.iter().map(|sum| sum / count).collect();
    let squares = sums.second.iter().zip(&mean);
    let variance: Vec<f64> = squares
        .map(|(sum, mean)| (sum / count - mean * mean).max(0.0))
        .collect();
    let moments = batch_statistics.then_some((&mean[..], &variance[..]));
    let (similarity, _) = fill(1, shape.similarities(), moments);
    results(isa, source, maps, &similarity, pairs);

    let moments = batch_statistics.then(|| of_map(pairs));
    let moments = moments.as_ref().map(|(mean, variance)| (&mean[..], &variance[..]));
    let (scale, shift) = fill(2, shape.positions(), moments);
    let shift: Vec<f32> = shift.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
    let width = shape.projected();
    let rows = out
        .par_chunks_mut(shape.channels * shape.width)
        .zip(pairs.par_chunks(width * shape.width));
    rows.for_each(|(out, pairs)| {
        for (out, pairs) in out.chunks_exact_mut(shape.channels).zip(pairs.chunks_exact(width)) {
            let lines = scale.chunks_exact(2).zip(&shift);
            for ((out, pair), (scale, shift)) in out.iter_mut().zip(pairs.chunks_exact(2)).zip(lines) {
                *out = scale[0] * pair[0] + (scale[1] * pair[1] + shift);
            }
        }
    });
    0
}

unsafe extern "C" fn backward(
    operands: *const Operands,
    grad_out: *const f32,
    gradients: *mut f32,
    grad_projected: *mut f32,
    grad_embeddings: *mut f32,
) -> i32 {
    // SAFETY: as in `forward`, with the tensors that it saved; every gradient is freshly allocated with the extents of what
    // it is the gradient of.
    let (
        o,
        shape,
        projected,
        embeddings,
        norms,
        statistics,
        maps,
        pairs,
        grad_out,
        gradients,
        grad_projected,
        grad_embeddings,
    ) = unsafe {
        let o = &*operands;
        let shape = o.shape;
        let widths = widths(&shape);
        let relative = shape.projected() / shape.groups * (2 * shape.span() - 1);
        (
            o,
            shape,
            from_raw_parts(o.projected, shape.positions() * shape.projected()),
            from_raw_parts(o.embeddings, relative),
            [0, 1, 2].map(|i| o.norms[i].norm(widths[i])),
            from_raw_parts(o.statistics.cast_const(), 2 * widths.iter().sum::<usize>()),
            from_raw_parts(o.products.cast_const(), shape.maps()),
            from_raw_parts(o.pairs.cast_const(), shape.positions() * shape.projected()),
            from_raw_parts(grad_out, shape.positions() * shape.channels),
            from_raw_parts_mut(gradients, shape.maps()),
            from_raw_parts_mut(grad_projected, shape.positions() * shape.projected()),
            from_raw_parts_mut(grad_embeddings, relative),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    let at = split(&shape, statistics);
    let through = |index: usize, count: usize, sums: (&[f64], &[f64])| {
        let width = widths(&shape)[index];
        // SAFETY: the shim passes gradients of as many channels as the norm has, used here only.
        let gradients = unsafe {
            (
                from_raw_parts_mut(o.norms[index].grad_gamma, width),
                from_raw_parts_mut(o.norms[index].grad_beta, width),
            )
        };
        let statistics = of(statistics, at[index]);
        norms[index].backward(statistics, o.batch_statistics != 0, count, sums, gradients)
    };

    let (sum, centred) = centred_sums(&shape, of(statistics, at[2]).mean, pairs, |position, channel| {
        grad_out[position * shape.channels + channel / 2]
    });
    let of_results = through(2, shape.positions(), (&sum, &centred));

    let (scale, shift) = norms[0].lines(of(statistics, at[0]));
    let embeddings = Embeddings::new(embeddings, shape.span());
    let source = Source {
        shape,
        projected,
        scale: &scale,
        shift: &shift,
        embeddings: &embeddings,
    };
    let (similarity, _) = norms[1].lines(of(statistics, at[1]));
    let arriving = Arriving {
        grad_out,
        pairs,
        lines: &of_results,
    };
    let mut normalized = vec![0.0; projected.len()];
    let mut found = similarities(isa, source, maps, &similarity, arriving, gradients, &mut normalized);
    let means = of(statistics, at[1]).mean.iter().zip(&found.sum);
    let centred: Vec<f64> = found
        .product
        .iter()
        .zip(means)
        .map(|(product, (mean, sum))| product - mean * sum)
        .collect();
    let of_similarities = through(1, shape.similarities(), (&found.sum, &centred));
    queries_and_keys(
        isa,
        source,
        maps,
        gradients,
        &of_similarities,
        &mut normalized,
        &mut found.embeddings,
    );
    for (to, &from) in grad_embeddings.iter_mut().zip(&found.embeddings) {
        *to = from as f32;
    }

    let width = shape.projected();
    let (sum, centred) = centred_sums(&shape, of(statistics, at[0]).mean, projected, |position, channel| {
        normalized[position * width + channel]
    });
    let of_projected = through(0, shape.positions(), (&sum, &centred));
    let part = |index: usize| -> Vec<f32> { of_projected.iter().map(|line| line[index]).collect() };
    let coefficients = InputGradient {
        alpha: &part(0),
        beta: &part(1),
        delta: &part(2),
    };
    let extents = shape.channels_last(width);
    affine_input_gradient(isa, extents, projected, &normalized, coefficients, grad_projected);
    0
}

/// Per channel of `x [positions, 2C]`: `Σ g` and `Σ g · (x − mean)`, in an order that does not depend on the threads.
fn centred_sums(
    shape: &Shape,
    mean: &[f64],
    x: &[f32],
    gradient: impl Fn(usize, usize) -> f32 + Sync,
) -> (Vec<f64>, Vec<f64>) {
    let width = shape.projected();
    let rows = shape.width * 8;
    let partial: Vec<(Vec<f64>, Vec<f64>)> = x
        .par_chunks(rows * width)
        .enumerate()
        .map(|(block, x)| {
            let (mut sum, mut centred) = (vec![0.0; width], vec![0.0; width]);
            for (row, x) in x.chunks_exact(width).enumerate() {
                for channel in 0..width {
                    let g = f64::from(gradient(block * rows + row, channel));
                    sum[channel] += g;
                    centred[channel] += g * (f64::from(x[channel]) - mean[channel]);
                }
            }
            (sum, centred)
        })
        .collect();
    let (mut sum, mut centred) = (vec![0.0; width], vec![0.0; width]);
    for (block_sum, block_centred) in partial {
        for channel in 0..width {
            sum[channel] += block_sum[channel];
            centred[channel] += block_centred[channel];
        }
    }
    (sum, centred)
}
