//! Attention along a short axis: as many lines at once as a vector has lanes, one line in each.
//!
//! A row of a map over pairs of positions would fill a part of a vector only. Here whatever belongs to a pair of positions is one vector, and
//! lanes never meet before sums are taken over lines. Lines lie one after the other in a channels-last map, because the axis is the width.

mod backward;
mod forward;

pub(super) use backward::{queries_and_keys, similarities};
pub(super) use forward::{products, results};

use super::maps::Source;
use super::rows::exponential;
use dualnet_engine::simd::Simd;

// Loops count by index, and no vector passes through a closure, as in `channels.rs`.

/// The longest axis that is computed so: a map of its pairs stays in the fastest cache.
pub(super) const LONGEST: usize = 16;

/// Vector number `index`.
#[inline(always)]
fn get<S: Simd>(simd: S, from: &[f32], index: usize) -> S::Vector {
    simd.load(&from[index * S::LANES..(index + 1) * S::LANES])
}

#[inline(always)]
fn put<S: Simd>(simd: S, vector: S::Vector, to: &mut [f32], index: usize) {
    simd.store(vector, &mut to[index * S::LANES..(index + 1) * S::LANES]);
}

/// Adds `a · b` to vector number `index`.
#[inline(always)]
fn add_product<S: Simd>(simd: S, a: S::Vector, b: S::Vector, to: &mut [f32], index: usize) {
    put(simd, simd.mul_add(a, b, get(simd, to, index)), to, index);
}

/// The sum of the lanes of so many lines.
#[inline(always)]
fn over_lines<S: Simd>(simd: S, vector: S::Vector, lines: usize) -> f64 {
    let lanes = simd.lanes(vector);
    let mut sum = 0.0;
    for lane in &lanes[..lines] {
        sum += f64::from(*lane);
    }
    sum
}

/// What the kernels compute with: a bundle of lines.
#[derive(Clone, Copy)]
struct Bundle<'a> {
    source: Source<'a>,
    /// Queries, keys and values of the bundle's lines before their normalization, `[lines, span, 2C]`.
    projected: &'a [f32],
}

/// The normalized channels and the maps of one group, in vectors.
struct Group {
    /// `[2·values, span]`: queries, keys, values.
    channels: Vec<f32>,
    /// `[span, span]`: of the queries and of the keys.
    maps: [Vec<f32>; 2],
}

impl Group {
    fn new(bundle: &Bundle<'_>, lanes: usize) -> Self {
        let (span, values) = (bundle.source.shape.span(), bundle.source.shape.values());
        let map = || vec![0.0; span * span * lanes];
        Self {
            channels: vec![0.0; 2 * values * span * lanes],
            maps: [map(), map()],
        }
    }
}

impl Bundle<'_> {
    fn lines(&self) -> usize {
        self.projected.len() / (self.source.shape.span() * self.source.shape.projected())
    }

    /// `E[c, i, j]`, which is the same for all lines.
    #[inline(always)]
    fn embedding(&self, c: usize, i: usize, j: usize) -> f32 {
        let embeddings = self.source.embeddings;
        embeddings.forward[c * embeddings.length + i + self.source.shape.span() - 1 - j]
    }

    /// Reads the channels of a group, normalized, and computes the maps `Σc a[c, i] · E[c, i, j]` of its queries and keys.
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, group: usize, to: &mut Group) {
        let (shape, span) = (self.source.shape, self.source.shape.span());
        let count = 2 * shape.values();
        let own = group * count..(group + 1) * count;
        let (scale, shift) = (&self.source.scale[own.clone()], &self.source.shift[own.clone()]);
        for (line, rows) in self.projected.chunks_exact(span * shape.projected()).enumerate() {
            for (step, row) in rows.chunks_exact(shape.projected()).enumerate() {
                for (c, x) in row[own.clone()].iter().enumerate() {
                    to.channels[(c * span + step) * S::LANES + line] = scale[c] * x + shift[c];
                }
            }
        }
        let half = shape.queries();
        for i in 0..span {
            for j in 0..span {
                for kind in 0..2 {
                    let mut sum = simd.splat(0.0);
                    for c in kind * half..(kind + 1) * half {
                        let factor = simd.splat(self.embedding(c, i, j));
                        sum = simd.mul_add(get(simd, &to.channels, c * span + i), factor, sum);
                    }
                    put(simd, sum, &mut to.maps[kind], i * span + j);
                }
            }
        }
    }

    /// Row `i` of the attention: softmax of the maps, of which `products` is `[span, span]`, each times its scale.
    #[inline(always)]
    fn attention<S: Simd>(
        &self,
        simd: S,
        group: &Group,
        products: &[f32],
        scales: [f32; 3],
        i: usize,
        row: &mut [f32],
    ) {
        let span = self.source.shape.span();
        let row = &mut row[..span * S::LANES];
        let [of_product, of_query, of_key] = [simd.splat(scales[0]), simd.splat(scales[1]), simd.splat(scales[2])];
        let mut largest = simd.splat(f32::MIN);
        for j in 0..span {
            let at = i * span + j;
            let mut sum = simd.mul(of_query, get(simd, &group.maps[0], at));
            sum = simd.mul_add(of_product, get(simd, products, at), sum);
            sum = simd.mul_add(of_key, get(simd, &group.maps[1], at), sum);
            largest = simd.max(sum, largest);
            put(simd, sum, row, j);
        }
        for j in 0..span {
            put(simd, simd.sub(get(simd, row, j), largest), row, j);
        }
        for value in &mut *row {
            *value = exponential(*value);
        }
        let mut sum = simd.splat(0.0);
        for j in 0..span {
            sum = simd.add(sum, get(simd, row, j));
        }
        let factor = simd.div(simd.splat(1.0), sum);
        for j in 0..span {
            put(simd, simd.mul(get(simd, row, j), factor), row, j);
        }
    }
}

/// Writes vectors `[columns, span]` to the columns from the `first` on of the lines' rows, `[lines, span, width]`.
#[inline(always)]
fn write_columns(from: &[f32], lanes: usize, span: usize, rows: &mut [f32], width: usize, first: usize) {
    let columns = from.len() / (span * lanes);
    for (line, rows) in rows.chunks_exact_mut(span * width).enumerate() {
        for (step, row) in rows.chunks_exact_mut(width).enumerate() {
            for (c, to) in row[first..first + columns].iter_mut().enumerate() {
                *to = from[(c * span + step) * lanes + line];
            }
        }
    }
}
