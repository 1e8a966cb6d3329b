//! Through the results and the softmax to the sum of the normalized maps, and to the values.

use super::super::bundle::{Bundle, Scratch, Source, scatter};
use super::super::embeddings::{Embeddings, add_backwards, first_pair};
use super::super::shape::Shape;
use super::super::vectors::{add_product, all_channels, get, over_lines, put, rows};
use super::totals;
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Gradients of the results as affine maps of the gradient of the output and the results themselves.
#[derive(Clone, Copy)]
pub(in crate::axial) struct Arriving<'a> {
    /// `[positions, C]`.
    pub(in crate::axial) grad_out: &'a [f32],
    /// `[positions, 2C]`.
    pub(in crate::axial) pairs: &'a [f32],
    /// `alpha · grad_out + beta · pair + delta`, per channel of the pairs.
    pub(in crate::axial) lines: &'a [[f32; 3]],
}

/// What [`similarities`] sums up.
pub(in crate::axial) struct Similarities {
    /// `Σ g` per similarity channel, channels as in [`Sums`](super::super::forward::Sums).
    pub(in crate::axial) sum: Vec<f64>,
    /// `Σ g · x`.
    pub(in crate::axial) product: Vec<f64>,
    /// Gradient of the relative embeddings, `[2·values, 2·span − 1]`: of the values' rows.
    pub(in crate::axial) embeddings: Vec<f64>,
}

/// Writes the gradient `g` of the sum of the three normalized maps, laid out as the products, and those of the normalized
/// values into `[positions, 2C]`.
pub(in crate::axial) fn similarities(
    isa: Isa,
    source: Source<'_>,
    products: &[f32],
    scale: &[f32],
    arriving: Arriving<'_>,
    gradients: &mut [f32],
    projected: &mut [f32],
) -> Similarities {
    let shape = source.shape;
    let parts = products
        .par_chunks(shape.map())
        .zip(gradients.par_chunks_mut(shape.map()));
    let partial: Vec<GroupSums> = parts
        .enumerate()
        .map(|(index, (products, gradients))| {
            Scratch::lend(&shape, true, |scratch| {
                isa.run(OfSimilarities {
                    bundle: source.bundle(index),
                    products,
                    scale,
                    arriving,
                    gradients,
                    scratch,
                })
            })
        })
        .collect();
    let mut total = Similarities {
        sum: vec![0.0; 3 * shape.groups],
        product: vec![0.0; 3 * shape.groups],
        embeddings: vec![0.0; 2 * shape.values() * (2 * shape.span() - 1)],
    };
    let mut values = Vec::with_capacity(partial.len());
    for (index, part) in partial.into_iter().enumerate() {
        for kind in 0..3 {
            let channel = kind * shape.groups + index % shape.groups;
            total.sum[channel] += part.sum;
            total.product[channel] += part.products[kind];
        }
        add_backwards(&part.embeddings, shape.span(), &mut total.embeddings);
        values.push(part.values);
    }
    scatter(&shape, &values, projected, source.values().start);
    total
}

/// Of one group of one bundle.
struct GroupSums {
    sum: f64,
    products: [f64; 3],
    /// Laid out as [`Embeddings`].
    embeddings: Vec<f64>,
    /// Gradients of the values: `[values, span]` vectors.
    values: Vec<f32>,
}

struct OfSimilarities<'a> {
    bundle: Bundle<'a>,
    products: &'a [f32],
    scale: &'a [f32],
    arriving: Arriving<'a>,
    gradients: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Arriving<'_> {
    /// Reads the gradients of `y`, then of `z`, of one group: `[2·values, span]` vectors.
    #[inline(always)]
    fn read(&self, bundle: &Bundle<'_>, lanes: usize, out: &mut [f32]) {
        let shape: &Shape = &bundle.source.shape;
        let (span, values) = (shape.span(), shape.values());
        let own = bundle.group * values..(bundle.group + 1) * values;
        let lines = &self.lines[2 * own.start..2 * own.end];
        for (lane, line) in bundle.lines().enumerate() {
            for step in 0..span {
                let position = shape.position(line, step);
                let gradients = &self.grad_out[position * shape.channels..][own.clone()];
                let pairs = &self.pairs[position * shape.projected()..][2 * own.start..2 * own.end];
                for (c, gradient) in gradients.iter().enumerate() {
                    for part in 0..2 {
                        let [alpha, beta, delta] = lines[2 * c + part];
                        let towards = alpha * gradient + beta * pairs[2 * c + part] + delta;
                        out[((part * values + c) * span + step) * lanes + lane] = towards;
                    }
                }
            }
        }
    }
}

impl Kernel for OfSimilarities<'_> {
    type Output = GroupSums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> GroupSums {
        let (bundle, source) = (self.bundle, self.bundle.source);
        let (span, lines) = (source.shape.span(), bundle.lines().len());
        let Scratch {
            channels,
            maps,
            rows: [attention, towards],
            results,
            embeddings,
            ..
        } = self.scratch;
        bundle.load(simd, channels, maps);
        self.arriving.read(&bundle, S::LANES, results);
        embeddings.fill(0.0);
        let scales = bundle.of_kinds(self.scale);
        let mut values = vec![0.0; source.shape.values() * span * S::LANES];
        let (mut sum, mut products) = (0.0, [0.0; 3]);
        for i in 0..span {
            bundle.attention(simd, [self.products, &maps[0], &maps[1]], scales, i, attention);
            towards.fill(0.0);
            let start = source.values().start;
            all_channels!(source.values(), |first| mixtures_back(
                simd,
                source.embeddings,
                channels,
                [start, first, i],
                results,
                attention,
                [&mut values, embeddings],
                towards
            ));
            let mut mean = simd.splat(0.0);
            for j in 0..span {
                mean = simd.mul_add(get(simd, attention, j), get(simd, towards, j), mean);
            }
            let own = i * span * S::LANES..(i + 1) * span * S::LANES;
            let gradients = &mut self.gradients[own.clone()];
            let (product, query, key) = (&self.products[own.clone()], &maps[0][own.clone()], &maps[1][own]);
            let mut sums = [simd.splat(0.0); 4];
            for j in 0..span {
                let g = simd.mul(get(simd, attention, j), simd.sub(get(simd, towards, j), mean));
                put(simd, g, gradients, j);
                sums[0] = simd.add(sums[0], g);
                sums[1] = simd.mul_add(g, get(simd, product, j), sums[1]);
                sums[2] = simd.mul_add(g, get(simd, query, j), sums[2]);
                sums[3] = simd.mul_add(g, get(simd, key, j), sums[3]);
            }
            sum += over_lines(simd, sums[0], lines);
            for kind in 0..3 {
                products[kind] += over_lines(simd, sums[kind + 1], lines);
            }
        }
        GroupSums {
            sum,
            products,
            embeddings: totals(simd, embeddings, lines),
            values,
        }
    }
}

/// The way back through a row of results: `towards[j] += Σc y[c] · v[c, j] + z[c] · E[c, i, j]`, and the gradients of the values and of
/// their embeddings take `y[c] · row[j]` and `z[c] · row[j]`. `results` holds the gradients `y`, then `z`; the values' channels are those
/// from `start` on.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn mixtures_back<S: Simd, const N: usize>(
    simd: S,
    embeddings: &Embeddings,
    channels: &[f32],
    [start, first, i]: [usize; 3],
    results: &[f32],
    row: &[f32],
    [of_values, of_embeddings]: [&mut [f32]; 2],
    towards: &mut [f32],
) {
    let length = row.len();
    let span = length / S::LANES;
    let count = results.len() / (2 * length);
    let channel = first - start;
    let values: [&[f32]; N] = rows(channels, first, length);
    let positions: [&[f32]; N] = embeddings.rows(first, i);
    let (mut y, mut z) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
    for c in 0..N {
        y[c] = get(simd, results, (channel + c) * span + i);
        z[c] = get(simd, results, (count + channel + c) * span + i);
    }
    for j in 0..span {
        let weight = get(simd, row, j);
        let mut sum = get(simd, towards, j);
        for c in 0..N {
            sum = simd.mul_add(y[c], get(simd, values[c], j), sum);
            sum = simd.mul_add(z[c], simd.splat(positions[c][j]), sum);
            add_product(simd, y[c], weight, of_values, (channel + c) * span + j);
            add_product(simd, z[c], weight, of_embeddings, first_pair(first + c, span, i) + j);
        }
        put(simd, sum, towards, j);
    }
}
