//! The forward kernels: the products of the embedded maps with their moments, then softmax and the two results.

use super::bundle::{Bundle, Scratch, Source, scatter};
use super::embeddings::Embeddings;
use super::product::{Factor, product};
use super::vectors::{all_channels, get, over_lines, put, rows};
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Sum and sum of squares per similarity channel: products of the groups, then query maps, then key maps.
pub(super) struct Sums {
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

/// Writes the products `Σk query[k, i] · key[k, j]`, `[bundles, groups, span, span]` vectors, and sums up the three kinds of maps.
pub(super) fn products(isa: Isa, source: Source<'_>, products: &mut [f32]) -> Sums {
    let shape = source.shape;
    let parts = products.par_chunks_mut(shape.map()).enumerate();
    let partial: Vec<[[f64; 2]; 3]> = parts
        .map(|(index, products)| {
            Scratch::lend(&shape, false, |scratch| {
                isa.run(Products {
                    bundle: source.bundle(index),
                    products,
                    scratch,
                })
            })
        })
        .collect();
    let mut total = Sums {
        first: vec![0.0; 3 * shape.groups],
        second: vec![0.0; 3 * shape.groups],
    };
    for (index, moments) in partial.into_iter().enumerate() {
        for (kind, [first, second]) in moments.into_iter().enumerate() {
            let channel = kind * shape.groups + index % shape.groups;
            total.first[channel] += first;
            total.second[channel] += second;
        }
    }
    total
}

/// Writes `y₀, z₀, y₁, z₁, …` of every position, `[positions, 2C]`, from the products and the similarities' `scale` per
/// channel (their shifts drop out of the softmax).
pub(super) fn results(isa: Isa, source: Source<'_>, products: &[f32], scale: &[f32], pairs: &mut [f32]) {
    let shape = source.shape;
    let parts = products.par_chunks(shape.map()).enumerate();
    let found: Vec<Vec<f32>> = parts
        .map(|(index, products)| {
            Scratch::lend(&shape, false, |scratch| {
                isa.run(Results {
                    bundle: source.bundle(index),
                    products,
                    scale,
                    scratch,
                })
            })
        })
        .collect();
    scatter(&shape, &found, pairs, 0);
}

struct Products<'a> {
    bundle: Bundle<'a>,
    products: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Products<'_> {
    type Output = [[f64; 2]; 3];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [[f64; 2]; 3] {
        let Scratch {
            channels, maps, panels, ..
        } = self.scratch;
        self.bundle.load(simd, channels, maps);
        let span = self.bundle.source.shape.span();
        let [left, right] = maps.each_ref().map(|map| Factor {
            map,
            along: span,
            apart: 1,
        });
        product(simd, span, left, right, self.products, panels);
        let lines = self.bundle.lines().len();
        let mut moments = [[0.0; 2]; 3];
        for (kind, map) in [&*self.products, &maps[0], &maps[1]].into_iter().enumerate() {
            for row in map.chunks_exact(span * S::LANES) {
                let (mut first, mut second) = (simd.splat(0.0), simd.splat(0.0));
                for j in 0..span {
                    let x = get(simd, row, j);
                    first = simd.add(first, x);
                    second = simd.mul_add(x, x, second);
                }
                moments[kind][0] += over_lines(simd, first, lines);
                moments[kind][1] += over_lines(simd, second, lines);
            }
        }
        moments
    }
}

struct Results<'a> {
    bundle: Bundle<'a>,
    products: &'a [f32],
    scale: &'a [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Results<'_> {
    /// `y₀, z₀, …`: `[2·values, span]` vectors.
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let (bundle, source) = (self.bundle, self.bundle.source);
        let span = source.shape.span();
        let Scratch {
            channels,
            maps,
            rows: [row, _],
            ..
        } = self.scratch;
        bundle.load(simd, channels, maps);
        let scales = bundle.of_kinds(self.scale);
        let values = source.values();
        let mut results = vec![0.0; 2 * values.len() * span * S::LANES];
        for i in 0..span {
            bundle.attention(simd, [self.products, &maps[0], &maps[1]], scales, i, row);
            let start = values.start;
            all_channels!(values.clone(), |first| mixtures(
                simd,
                source.embeddings,
                channels,
                [start, first, i],
                row,
                &mut results
            ));
        }
        results
    }
}

/// `y[i] = Σj row[j] · v[c, j]` and `z[i] = Σj row[j] · E[c, i, j]` of channels from the `first` on; the values' are those from `start` on.
#[inline(always)]
fn mixtures<S: Simd, const N: usize>(
    simd: S,
    embeddings: &Embeddings,
    channels: &[f32],
    [start, first, i]: [usize; 3],
    row: &[f32],
    results: &mut [f32],
) {
    let span = row.len() / S::LANES;
    let values: [&[f32]; N] = rows(channels, first, row.len());
    let positions: [&[f32]; N] = embeddings.rows(first, i);
    let mut sums = [[simd.splat(0.0); 2]; N];
    for j in 0..span {
        let weight = get(simd, row, j);
        for c in 0..N {
            sums[c][0] = simd.mul_add(weight, get(simd, values[c], j), sums[c][0]);
            sums[c][1] = simd.mul_add(weight, simd.splat(positions[c][j]), sums[c][1]);
        }
    }
    for c in 0..N {
        let channel = 2 * (first + c - start);
        put(simd, sums[c][0], results, channel * span + i);
        put(simd, sums[c][1], results, (channel + 1) * span + i);
    }
}
