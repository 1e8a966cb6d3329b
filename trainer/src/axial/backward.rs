//! The backward kernels: through the results to the similarities, then through the products to queries and keys.

use super::channels::{RowsMut, combine_back, combine_products_back, dots_back};
use super::embeddings::{Direction, Embeddings};
use super::maps::{Scratch, Source};
use super::rows::{STRETCH, affine, affine_and, dot, mixture, softmax};
use super::shape::Shape;
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Gradients of the results as affine maps of the gradient of the output and the results themselves.
#[derive(Clone, Copy)]
pub(super) struct Arriving<'a> {
    /// `[positions, C]`.
    pub(super) grad_out: &'a [f32],
    /// `[positions, 2C]`.
    pub(super) pairs: &'a [f32],
    /// `alpha · grad_out + beta · pair + delta`, per channel of the pairs.
    pub(super) lines: &'a [[f32; 3]],
}

/// What [`similarities`] sums up.
pub(super) struct Similarities {
    /// `Σ g` per similarity channel, channels as in [`super::forward::Sums`].
    pub(super) sum: Vec<f64>,
    /// `Σ g · x`.
    pub(super) product: Vec<f64>,
    /// Gradient of the relative embeddings, `[2·values, 2·span − 1]`: of the values' rows.
    pub(super) embeddings: Vec<f64>,
}

impl Similarities {
    pub(super) fn zeros(shape: &Shape) -> Self {
        Self {
            sum: vec![0.0; 3 * shape.groups],
            product: vec![0.0; 3 * shape.groups],
            embeddings: vec![0.0; 2 * shape.values() * (2 * shape.span() - 1)],
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.sum, &other.sum),
            (&mut self.product, &other.product),
            (&mut self.embeddings, &other.embeddings),
        ];
        for (total, other) in pairs {
            for (total, other) in total.iter_mut().zip(other) {
                *total += other;
            }
        }
    }
}

/// Writes the gradient `g` of the sum of the three normalized maps, laid out as the products, and those of the normalized
/// values into `[lines, span, 2C]`.
pub(super) fn similarities(
    isa: Isa,
    source: Source<'_>,
    products: &[f32],
    scale: &[f32],
    arriving: Arriving<'_>,
    gradients: &mut [f32],
    channels: &mut [f32],
) -> Similarities {
    let shape = source.shape;
    let lines = products
        .par_chunks(shape.line_maps())
        .zip(gradients.par_chunks_mut(shape.line_maps()))
        .zip(channels.par_chunks_mut(shape.span() * shape.projected()));
    let partial: Vec<LineSums> = lines
        .enumerate()
        .map_init(
            || Scratch::new(&shape),
            |scratch, (line, ((products, gradients), channels))| {
                isa.run(OfSimilarities {
                    source,
                    line,
                    products,
                    scale,
                    arriving,
                    gradients,
                    channels,
                    scratch,
                })
            },
        )
        .collect();
    let mut total = Similarities::zeros(&shape);
    for line in partial {
        for (total, line) in total.sum.iter_mut().zip(line.sum) {
            *total += line;
        }
        for (total, line) in total.product.iter_mut().zip(line.product) {
            *total += line;
        }
        line.embeddings.add_to(&mut total.embeddings);
    }
    total
}

/// Writes the gradients of the normalized queries and keys into `[lines, span, 2C]`, and adds those of their embeddings'
/// rows. `lines` are `[alpha, beta, delta]` per similarity channel: each map's gradient is `alpha · g + beta · map + delta`.
pub(super) fn queries_and_keys(
    isa: Isa,
    source: Source<'_>,
    products: &[f32],
    gradients: &[f32],
    lines: &[[f32; 3]],
    channels: &mut [f32],
    embeddings: &mut [f64],
) {
    let shape = source.shape;
    let each = products
        .par_chunks(shape.line_maps())
        .zip(gradients.par_chunks(shape.line_maps()))
        .zip(channels.par_chunks_mut(shape.span() * shape.projected()));
    let partial: Vec<Embeddings> = each
        .enumerate()
        .map_init(
            || Scratch::new(&shape),
            |scratch, (line, ((products, gradients), channels))| {
                isa.run(OfQueriesAndKeys {
                    source,
                    line,
                    products,
                    gradients,
                    lines,
                    channels,
                    scratch,
                })
            },
        )
        .collect();
    for line in partial {
        line.add_to(embeddings);
    }
}

struct LineSums {
    sum: Vec<f64>,
    product: Vec<f64>,
    embeddings: Embeddings,
}

struct OfSimilarities<'a> {
    source: Source<'a>,
    line: usize,
    products: &'a [f32],
    scale: &'a [f32],
    arriving: Arriving<'a>,
    gradients: &'a mut [f32],
    channels: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Arriving<'_> {
    /// Reads the gradients of `y`, then of `z`, of one line and group: `[span, 2·values]`.
    #[inline(always)]
    fn read(&self, shape: &Shape, line: usize, group: usize, out: &mut [f32]) {
        let values = shape.values();
        let own = group * values..(group + 1) * values;
        let lines = &self.lines[2 * own.start..2 * own.end];
        for step in 0..shape.span() {
            let position = shape.position(line, step);
            let gradients = &self.grad_out[position * shape.channels..][own.clone()];
            let pairs = &self.pairs[position * shape.projected()..][2 * own.start..2 * own.end];
            let (of_y, of_z) = out[step * 2 * values..][..2 * values].split_at_mut(values);
            let pairs = pairs.as_chunks::<2>().0.iter().zip(lines.as_chunks::<2>().0);
            let each = pairs.zip(gradients).zip(of_y.iter_mut().zip(of_z));
            for (((pair, [y, z]), gradient), (of_y, of_z)) in each {
                *of_y = y[0] * gradient + y[1] * pair[0] + y[2];
                *of_z = z[0] * gradient + z[1] * pair[1] + z[2];
            }
        }
    }
}

impl Kernel for OfSimilarities<'_> {
    type Output = LineSums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> LineSums {
        let (source, shape, line) = (self.source, self.source.shape, self.line);
        let (values, stride, span) = (shape.values(), shape.stride, shape.span());
        let first_value = source.values().start;
        let Scratch {
            channels,
            steps,
            gradients: value_gradients,
            results,
            rows: [attention, query, key, towards],
            ..
        } = self.scratch;
        let mut sum = vec![0.0; 3 * shape.groups];
        let mut product_sum = vec![0.0; 3 * shape.groups];
        let mut embeddings = Embeddings::zeros(2 * values, span, stride);
        for group in 0..shape.groups {
            source.load(line, group, channels, steps);
            self.arriving.read(&shape, line, group, results);
            value_gradients[..values * stride].fill(0.0);
            let scales = [0, 1, 2].map(|kind| self.scale[kind * shape.groups + group]);
            let values_of = shape.rows(channels, first_value);
            let map = group * shape.map()..(group + 1) * shape.map();
            let products = &self.products[map.clone()];
            let gradients = &mut self.gradients[map];
            let mut sums = [simd.splat(0.0); 4];
            let mut summed = 0;
            for i in 0..span {
                let product = &products[i * stride..(i + 1) * stride];
                let gradient = &mut gradients[i * stride..(i + 1) * stride];
                source.row(simd, steps, source.queries(), i, query);
                source.row(simd, steps, source.keys(), i, key);
                mixture(simd, scales, [product, query, key], attention);
                softmax(simd, attention, span);
                let (of_y, of_z) = results[i * 2 * values..(i + 1) * 2 * values].split_at(values);
                let positions = source.embeddings.row(Direction::Backward, first_value, i);
                let mut of_rows = [
                    RowsMut {
                        values: value_gradients,
                        apart: stride,
                    },
                    embeddings.row_mut(Direction::Backward, first_value, i),
                ];
                towards.fill(0.0);
                dots_back(
                    simd,
                    [of_y, of_z],
                    attention,
                    [values_of, positions],
                    &mut of_rows,
                    towards,
                );
                let mean = dot(simd, attention, towards);
                let mean = simd.splat(mean);
                let mut at = 0;
                while at + S::LANES <= stride {
                    let part = at..at + S::LANES;
                    let towards = simd.sub(simd.load(&towards[part.clone()]), mean);
                    let g = simd.mul(simd.load(&attention[part.clone()]), towards);
                    simd.store(g, &mut gradient[part.clone()]);
                    sums[0] = simd.add(sums[0], g);
                    sums[1] = simd.mul_add(g, simd.load(&product[part.clone()]), sums[1]);
                    sums[2] = simd.mul_add(g, simd.load(&query[part.clone()]), sums[2]);
                    sums[3] = simd.mul_add(g, simd.load(&key[part]), sums[3]);
                    at += S::LANES;
                }
                summed += stride / S::LANES;
                if summed >= STRETCH || i + 1 == span {
                    let total = simd.sum(sums[0]);
                    for kind in 0..3 {
                        sum[kind * shape.groups + group] += total;
                        product_sum[kind * shape.groups + group] += simd.sum(sums[kind + 1]);
                    }
                    sums = [simd.splat(0.0); 4];
                    summed = 0;
                }
            }
            let first = group * 2 * values + first_value;
            for (step, row) in self.channels.chunks_exact_mut(shape.projected()).enumerate() {
                for (c, to) in row[first..first + values].iter_mut().enumerate() {
                    *to = value_gradients[c * stride + step];
                }
            }
        }
        LineSums {
            sum,
            product: product_sum,
            embeddings,
        }
    }
}

/// Kinds of similarity channels; the first are products.
const QUERIES: usize = 1;
const KEYS: usize = 2;

struct OfQueriesAndKeys<'a> {
    source: Source<'a>,
    line: usize,
    products: &'a [f32],
    gradients: &'a [f32],
    lines: &'a [[f32; 3]],
    channels: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for OfQueriesAndKeys<'_> {
    type Output = Embeddings;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Embeddings {
        let (source, shape, line) = (self.source, self.source.shape, self.line);
        let (values, stride, span) = (shape.values(), shape.stride, shape.span());
        let mut embeddings = Embeddings::zeros(2 * values, span, stride);
        let half = shape.queries();
        let Scratch {
            channels,
            steps,
            gradients: own_gradients,
            maps: [first, second, of_product, of_map],
            rows: [row, towards, ..],
            panels,
            ..
        } = self.scratch;
        of_product.resize(shape.map(), 0.0);
        of_map.resize(shape.map(), 0.0);
        for group in 0..shape.groups {
            source.load(line, group, channels, steps);
            let of_channels = &mut own_gradients[..2 * half * stride];
            of_channels.fill(0.0);
            let lines = [0, 1, 2].map(|kind| self.lines[kind * shape.groups + group]);
            let map = group * shape.map()..(group + 1) * shape.map();
            let gradients = &self.gradients[map.clone()];
            affine(simd, lines[0], gradients, &self.products[map], of_product);
            for i in 0..span {
                of_product[i * stride + span..(i + 1) * stride].fill(0.0);
            }

            // Keys: along rows, from the product and from their own map.
            source.by_rows(simd, steps, source.queries(), first);
            source.product(simd, first, of_product, of_map, panels);
            // Queries: along columns from the product, along rows from their own map, which is at hand.
            for (which, kind) in [(source.keys(), KEYS), (source.queries(), QUERIES)] {
                for i in 0..span {
                    let gradient = &gradients[i * stride..(i + 1) * stride];
                    source.row(simd, steps, which.clone(), i, row);
                    match kind {
                        KEYS => {
                            let of_row = &of_map[i * stride..(i + 1) * stride];
                            affine_and(simd, lines[kind], [gradient, row, of_row], towards);
                        }
                        _ => affine(simd, lines[kind], gradient, row, towards),
                    }
                    towards[span..].fill(0.0);
                    let factors = &steps[i * 2 * values..][which.clone()];
                    let rows = source.embeddings.row(Direction::Backward, which.start, i);
                    let mut sums = RowsMut {
                        values: &mut of_channels[which.start * stride + i..],
                        apart: stride,
                    };
                    let mut gradients = embeddings.row_mut(Direction::Backward, which.start, i);
                    combine_back(simd, towards, factors, rows, &mut sums, &mut gradients);
                }
            }
            source.by_columns(simd, channels, source.keys(), second);
            source.product(simd, of_product, second, of_map, panels);
            for i in 0..span {
                let towards = &of_map[i * stride..(i + 1) * stride];
                let first = source.queries().start;
                let weights = shape.rows(channels, first);
                let rows = source.embeddings.row(Direction::Forward, first, i);
                let mut gradients = [
                    RowsMut {
                        values: &mut of_channels[first * stride..],
                        apart: stride,
                    },
                    embeddings.row_mut(Direction::Forward, first, i),
                ];
                combine_products_back(simd, half, towards, [weights, rows], &mut gradients);
            }
            let start = group * 2 * values;
            for (step, row) in self.channels.chunks_exact_mut(shape.projected()).enumerate() {
                for (c, to) in row[start..start + 2 * half].iter_mut().enumerate() {
                    *to = of_channels[c * stride + step];
                }
            }
        }
        embeddings
    }
}
