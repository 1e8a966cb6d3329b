//! The forward kernels: the products of the embedded maps with their moments, then softmax and the two results.

use super::channels::dots;
use super::embeddings::Direction;
use super::maps::{Scratch, Source};
use super::rows::{mixture, powers, softmax};
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Sum and sum of squares per similarity channel: products of the groups, then query maps, then key maps.
pub(super) struct Sums {
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

/// Writes the products `qk`, `[lines, groups, span, stride]`, and sums up the three kinds of maps.
pub(super) fn products(isa: Isa, source: Source<'_>, products: &mut [f32]) -> Sums {
    let lines = products.par_chunks_mut(source.shape.line_maps()).enumerate();
    let partial: Vec<Sums> = lines
        .map_init(
            || Scratch::new(&source.shape),
            |scratch, (line, products)| {
                isa.run(Products {
                    source,
                    line,
                    products,
                    scratch,
                })
            },
        )
        .collect();
    Sums::total(source.shape.groups, partial)
}

/// Writes `y₀, z₀, y₁, z₁, …` of every position, `[positions, 2C]`, from the products and the similarities' `scale` per
/// channel (their shifts drop out of the softmax).
pub(super) fn results(isa: Isa, source: Source<'_>, products: &[f32], scale: &[f32], pairs: &mut [f32]) {
    let shape = source.shape;
    let width = shape.projected();
    let records = pairs.par_chunks_mut(shape.height * shape.width * width);
    let records = records.zip(products.par_chunks(shape.lines_per_record() * shape.line_maps()));
    records.enumerate().for_each(|(record, (pairs, products))| {
        let first = record * shape.lines_per_record();
        let lines: Vec<Vec<f32>> = products
            .par_chunks(shape.line_maps())
            .enumerate()
            .map_init(
                || Scratch::new(&shape),
                |scratch, (line, products)| {
                    isa.run(Results {
                        source,
                        line: first + line,
                        products,
                        scale,
                        scratch,
                    })
                },
            )
            .collect();
        for (line, rows) in lines.iter().enumerate() {
            for (step, row) in rows.chunks_exact(width).enumerate() {
                pairs[shape.position(line, step) * width..][..width].copy_from_slice(row);
            }
        }
    });
}

impl Sums {
    /// Adds up in order.
    pub(super) fn total(groups: usize, parts: Vec<Self>) -> Self {
        let mut total = Self::zeros(groups);
        for part in parts {
            for (total, part) in total.first.iter_mut().zip(part.first) {
                *total += part;
            }
            for (total, part) in total.second.iter_mut().zip(part.second) {
                *total += part;
            }
        }
        total
    }

    pub(super) fn zeros(groups: usize) -> Self {
        Self {
            first: vec![0.0; 3 * groups],
            second: vec![0.0; 3 * groups],
        }
    }
}

struct Products<'a> {
    source: Source<'a>,
    line: usize,
    products: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Products<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        let (source, shape) = (self.source, self.source.shape);
        let Scratch {
            channels,
            steps,
            maps: [queries, keys, ..],
            panels,
            ..
        } = self.scratch;
        let mut sums = Sums::zeros(shape.groups);
        for (group, products) in self.products.chunks_exact_mut(shape.map()).enumerate() {
            source.load(self.line, group, channels, steps);
            source.by_columns(simd, channels, source.queries(), queries);
            source.by_rows(simd, steps, source.keys(), keys);
            source.product(simd, queries, keys, products, panels);
            for (kind, map) in [&*products, &*queries, &*keys].into_iter().enumerate() {
                let channel = kind * shape.groups + group;
                let (first, second) = powers(simd, map);
                sums.first[channel] += first;
                sums.second[channel] += second;
            }
        }
        sums
    }
}

struct Results<'a> {
    source: Source<'a>,
    line: usize,
    products: &'a [f32],
    scale: &'a [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Results<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let (source, shape) = (self.source, self.source.shape);
        let Scratch {
            channels,
            steps,
            rows: [attention, query, key, _],
            ..
        } = self.scratch;
        let mut out = vec![0.0; shape.span() * shape.projected()];
        for (group, products) in self.products.chunks_exact(shape.map()).enumerate() {
            source.load(self.line, group, channels, steps);
            let scales = [0, 1, 2].map(|kind| self.scale[kind * shape.groups + group]);
            let values = shape.rows(channels, source.values().start);
            for i in 0..shape.span() {
                let product = &products[i * shape.stride..(i + 1) * shape.stride];
                source.row(simd, steps, source.queries(), i, query);
                source.row(simd, steps, source.keys(), i, key);
                mixture(simd, scales, [product, query, key], attention);
                softmax(simd, attention, shape.span());
                let first = i * shape.projected() + group * 2 * shape.values();
                let pairs = &mut out[first..first + 2 * shape.values()];
                let positions = source.embeddings.row(Direction::Backward, source.values().start, i);
                dots(simd, attention, [values, positions], pairs);
            }
        }
        out
    }
}
