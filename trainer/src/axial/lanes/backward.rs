//! The way back: through the results to the similarities, then through the products to queries and keys.

use super::super::backward::{Arriving, Similarities};
use super::super::maps::Source;
use super::super::shape::Shape;
use super::{Bundle, Group, add_product, get, over_lines, put, write_columns};
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// As [`backward::similarities`](super::super::backward::similarities); maps are laid out as the products.
pub(in super::super) fn similarities(
    isa: Isa,
    source: Source<'_>,
    products: &[f32],
    scale: &[f32],
    arriving: Arriving<'_>,
    gradients: &mut [f32],
    channels: &mut [f32],
) -> Similarities {
    let shape = source.shape;
    let (maps, rows) = (shape.bundle_maps(), shape.bundle() * shape.projected());
    let bundles = products.par_chunks(maps).zip(gradients.par_chunks_mut(maps));
    let bundles = bundles.zip(source.projected.par_chunks(rows).zip(channels.par_chunks_mut(rows)));
    let bundles = bundles.zip(arriving.pairs.par_chunks(rows));
    let bundles = bundles.zip(arriving.grad_out.par_chunks(shape.bundle() * shape.channels));
    let partial: Vec<Similarities> = bundles
        .map(|((((products, gradients), (projected, channels)), pairs), grad_out)| {
            isa.run(OfSimilarities {
                bundle: Bundle { source, projected },
                products,
                scale,
                arriving: Arriving {
                    grad_out,
                    pairs,
                    ..arriving
                },
                gradients,
                channels,
            })
        })
        .collect();
    let mut total = Similarities::zeros(&shape);
    for bundle in partial {
        total.add(&bundle);
    }
    total
}

/// As [`backward::queries_and_keys`](super::super::backward::queries_and_keys).
pub(in super::super) fn queries_and_keys(
    isa: Isa,
    source: Source<'_>,
    products: &[f32],
    gradients: &[f32],
    lines: &[[f32; 3]],
    channels: &mut [f32],
    embeddings: &mut [f64],
) {
    let shape = source.shape;
    let (maps, rows) = (shape.bundle_maps(), shape.bundle() * shape.projected());
    let bundles = products.par_chunks(maps).zip(gradients.par_chunks(maps));
    let bundles = bundles.zip(source.projected.par_chunks(rows).zip(channels.par_chunks_mut(rows)));
    let partial: Vec<Vec<f64>> = bundles
        .map(|((products, gradients), (projected, channels))| {
            isa.run(OfQueriesAndKeys {
                bundle: Bundle { source, projected },
                products,
                gradients,
                lines,
                channels,
            })
        })
        .collect();
    for bundle in partial {
        for (total, bundle) in embeddings.iter_mut().zip(bundle) {
            *total += bundle;
        }
    }
}

/// The gradients of the relative embeddings, `[2·values, 2·span − 1]` vectors.
struct Embeddings {
    sums: Vec<f32>,
    span: usize,
}

impl Embeddings {
    fn zeros(shape: &Shape, lanes: usize) -> Self {
        let span = shape.span();
        Self {
            sums: vec![0.0; 2 * shape.values() * (2 * span - 1) * lanes],
            span,
        }
    }

    /// Adds `a · b` to that of `E[c, i, j]`.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, [c, i, j]: [usize; 3], a: S::Vector, b: S::Vector) {
        let index = c * (2 * self.span - 1) + i + self.span - 1 - j;
        add_product(simd, a, b, &mut self.sums, index);
    }

    #[inline(always)]
    fn over_lines<S: Simd>(&self, simd: S, lines: usize) -> Vec<f64> {
        let mut totals = vec![0.0; self.sums.len() / S::LANES];
        for (index, total) in totals.iter_mut().enumerate() {
            *total = over_lines(simd, get(simd, &self.sums, index), lines);
        }
        totals
    }
}

struct OfSimilarities<'a> {
    bundle: Bundle<'a>,
    products: &'a [f32],
    scale: &'a [f32],
    /// Of the bundle's lines.
    arriving: Arriving<'a>,
    gradients: &'a mut [f32],
    channels: &'a mut [f32],
}

impl Arriving<'_> {
    /// Reads the gradients of `y`, then of `z`, of one group: `[2·values, span]` vectors.
    #[inline(always)]
    fn read_lanes(&self, shape: &Shape, group: usize, lanes: usize, out: &mut [f32]) {
        let (span, values) = (shape.span(), shape.values());
        let rows = self.grad_out.chunks_exact(shape.channels);
        for (position, (gradients, pairs)) in rows.zip(self.pairs.chunks_exact(shape.projected())).enumerate() {
            let (line, step) = (position / span, position % span);
            for c in 0..values {
                let channel = group * values + c;
                for part in 0..2 {
                    let [alpha, beta, delta] = self.lines[2 * channel + part];
                    let gradient = alpha * gradients[channel] + beta * pairs[2 * channel + part] + delta;
                    out[((part * values + c) * span + step) * lanes + line] = gradient;
                }
            }
        }
    }
}

impl Kernel for OfSimilarities<'_> {
    type Output = Similarities;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Similarities {
        let Self { bundle, arriving, .. } = self;
        let (source, shape) = (bundle.source, bundle.source.shape);
        let (span, values, lines) = (shape.span(), shape.values(), bundle.lines());
        let first = source.values().start;
        let map = span * span * S::LANES;
        let mut own = Group::new(&bundle, S::LANES);
        let (mut row, mut towards) = (vec![0.0; span * S::LANES], vec![0.0; span * S::LANES]);
        let mut results = vec![0.0; 2 * values * span * S::LANES];
        let mut of_values = vec![0.0; values * span * S::LANES];
        let mut embeddings = Embeddings::zeros(&shape, S::LANES);
        let mut found = Similarities::zeros(&shape);
        for group in 0..shape.groups {
            bundle.load(simd, group, &mut own);
            arriving.read_lanes(&shape, group, S::LANES, &mut results);
            of_values.fill(0.0);
            let scales = [0, 1, 2].map(|kind| self.scale[kind * shape.groups + group]);
            let products = &self.products[group * map..(group + 1) * map];
            let gradients = &mut self.gradients[group * map..(group + 1) * map];
            let mut sums = [simd.splat(0.0); 4];
            for i in 0..span {
                bundle.attention(simd, &own, products, scales, i, &mut row);
                let mut mean = simd.splat(0.0);
                for j in 0..span {
                    let weight = get(simd, &row, j);
                    let mut sum = simd.splat(0.0);
                    for c in 0..values {
                        let of_y = get(simd, &results, c * span + i);
                        let of_z = get(simd, &results, (values + c) * span + i);
                        sum = simd.mul_add(of_y, get(simd, &own.channels, (first + c) * span + j), sum);
                        sum = simd.mul_add(of_z, simd.splat(bundle.embedding(first + c, i, j)), sum);
                        add_product(simd, of_y, weight, &mut of_values, c * span + j);
                        embeddings.add(simd, [first + c, i, j], of_z, weight);
                    }
                    mean = simd.mul_add(weight, sum, mean);
                    put(simd, sum, &mut towards, j);
                }
                for j in 0..span {
                    let at = i * span + j;
                    let g = simd.mul(get(simd, &row, j), simd.sub(get(simd, &towards, j), mean));
                    put(simd, g, gradients, at);
                    sums[0] = simd.add(sums[0], g);
                    sums[1] = simd.mul_add(g, get(simd, products, at), sums[1]);
                    sums[2] = simd.mul_add(g, get(simd, &own.maps[0], at), sums[2]);
                    sums[3] = simd.mul_add(g, get(simd, &own.maps[1], at), sums[3]);
                }
            }
            let total = over_lines(simd, sums[0], lines);
            for kind in 0..3 {
                found.sum[kind * shape.groups + group] = total;
                found.product[kind * shape.groups + group] = over_lines(simd, sums[kind + 1], lines);
            }
            let column = group * 2 * values + first;
            write_columns(&of_values, S::LANES, span, self.channels, shape.projected(), column);
        }
        found.embeddings = embeddings.over_lines(simd, lines);
        found
    }
}

struct OfQueriesAndKeys<'a> {
    bundle: Bundle<'a>,
    products: &'a [f32],
    gradients: &'a [f32],
    lines: &'a [[f32; 3]],
    channels: &'a mut [f32],
}

impl Kernel for OfQueriesAndKeys<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f64> {
        let bundle = self.bundle;
        let shape = bundle.source.shape;
        let (span, half) = (shape.span(), shape.queries());
        let map = span * span * S::LANES;
        let mut own = Group::new(&bundle, S::LANES);
        let mut of_product = vec![0.0; map];
        let mut of_channels = vec![0.0; 2 * half * span * S::LANES];
        let mut embeddings = Embeddings::zeros(&shape, S::LANES);
        for group in 0..shape.groups {
            bundle.load(simd, group, &mut own);
            of_channels.fill(0.0);
            let products = &self.products[group * map..(group + 1) * map];
            let gradients = &self.gradients[group * map..(group + 1) * map];
            let [alpha, beta, delta] = splats(simd, self.lines[group]);
            for at in 0..span * span {
                let constant = simd.mul_add(beta, get(simd, products, at), delta);
                let gradient = simd.mul_add(alpha, get(simd, gradients, at), constant);
                put(simd, gradient, &mut of_product, at);
            }
            // The product is Σk query[k, i] · key[k, j]: row k of one map meets it together with row k of the other.
            for kind in 0..2 {
                let [alpha, beta, delta] = splats(simd, self.lines[(1 + kind) * shape.groups + group]);
                let other = &own.maps[1 - kind];
                for k in 0..span {
                    for at in 0..span {
                        let pair = k * span + at;
                        let mut towards = simd.mul_add(beta, get(simd, &own.maps[kind], pair), delta);
                        towards = simd.mul_add(alpha, get(simd, gradients, pair), towards);
                        for across in 0..span {
                            let index = match kind {
                                0 => at * span + across,
                                _ => across * span + at,
                            };
                            let factor = get(simd, other, k * span + across);
                            towards = simd.mul_add(get(simd, &of_product, index), factor, towards);
                        }
                        for c in kind * half..(kind + 1) * half {
                            let factor = simd.splat(bundle.embedding(c, k, at));
                            add_product(simd, towards, factor, &mut of_channels, c * span + k);
                            let channel = get(simd, &own.channels, c * span + k);
                            embeddings.add(simd, [c, k, at], towards, channel);
                        }
                    }
                }
            }
            let column = group * 2 * shape.values();
            write_columns(&of_channels, S::LANES, span, self.channels, shape.projected(), column);
        }
        embeddings.over_lines(simd, bundle.lines())
    }
}

/// Each number in every lane.
#[inline(always)]
fn splats<S: Simd>(simd: S, [a, b, c]: [f32; 3]) -> [S::Vector; 3] {
    [simd.splat(a), simd.splat(b), simd.splat(c)]
}
