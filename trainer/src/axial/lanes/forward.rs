//! The products of the embedded maps with their moments, then softmax and the two results.

use super::super::forward::Sums;
use super::super::maps::Source;
use super::{Bundle, Group, get, over_lines, put, write_columns};
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// As [`forward::products`](super::super::forward::products); products are `[bundles, groups, span, span]` vectors.
pub(in super::super) fn products(isa: Isa, source: Source<'_>, products: &mut [f32]) -> Sums {
    let shape = source.shape;
    let bundles = products
        .par_chunks_mut(shape.bundle_maps())
        .zip(source.projected.par_chunks(shape.bundle() * shape.projected()));
    let partial: Vec<Sums> = bundles
        .map(|(products, projected)| {
            let bundle = Bundle { source, projected };
            isa.run(Products { bundle, products })
        })
        .collect();
    Sums::total(shape.groups, partial)
}

/// As [`forward::results`](super::super::forward::results).
pub(in super::super) fn results(isa: Isa, source: Source<'_>, products: &[f32], scale: &[f32], pairs: &mut [f32]) {
    let shape = source.shape;
    let rows = shape.bundle() * shape.projected();
    let bundles = products.par_chunks(shape.bundle_maps());
    let bundles = bundles.zip(source.projected.par_chunks(rows).zip(pairs.par_chunks_mut(rows)));
    bundles.for_each(|(products, (projected, pairs))| {
        let bundle = Bundle { source, projected };
        isa.run(Results {
            bundle,
            products,
            scale,
            pairs,
        });
    });
}

struct Products<'a> {
    bundle: Bundle<'a>,
    products: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        let Self { bundle, products } = self;
        let shape = bundle.source.shape;
        let (span, lines) = (shape.span(), bundle.lines());
        let mut own = Group::new(&bundle, S::LANES);
        let mut sums = Sums::zeros(shape.groups);
        for (group, products) in products.chunks_exact_mut(span * span * S::LANES).enumerate() {
            bundle.load(simd, group, &mut own);
            for i in 0..span {
                for j in 0..span {
                    let mut sum = simd.splat(0.0);
                    for k in 0..span {
                        let query = get(simd, &own.maps[0], k * span + i);
                        sum = simd.mul_add(query, get(simd, &own.maps[1], k * span + j), sum);
                    }
                    put(simd, sum, products, i * span + j);
                }
            }
            for (kind, map) in [&*products, &own.maps[0], &own.maps[1]].into_iter().enumerate() {
                let (mut first, mut second) = (simd.splat(0.0), simd.splat(0.0));
                for at in 0..span * span {
                    let x = get(simd, map, at);
                    first = simd.add(first, x);
                    second = simd.mul_add(x, x, second);
                }
                sums.first[kind * shape.groups + group] += over_lines(simd, first, lines);
                sums.second[kind * shape.groups + group] += over_lines(simd, second, lines);
            }
        }
        sums
    }
}

struct Results<'a> {
    bundle: Bundle<'a>,
    products: &'a [f32],
    scale: &'a [f32],
    pairs: &'a mut [f32],
}

impl Kernel for Results<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            bundle,
            products,
            scale,
            pairs,
        } = self;
        let (source, shape) = (bundle.source, bundle.source.shape);
        let (span, values) = (shape.span(), shape.values());
        let first = source.values().start;
        let mut own = Group::new(&bundle, S::LANES);
        let mut row = vec![0.0; span * S::LANES];
        let mut results = vec![0.0; 2 * values * span * S::LANES];
        for (group, products) in products.chunks_exact(span * span * S::LANES).enumerate() {
            bundle.load(simd, group, &mut own);
            let scales = [0, 1, 2].map(|kind| scale[kind * shape.groups + group]);
            for i in 0..span {
                bundle.attention(simd, &own, products, scales, i, &mut row);
                for c in first..first + values {
                    let (mut y, mut z) = (simd.splat(0.0), simd.splat(0.0));
                    for j in 0..span {
                        let weight = get(simd, &row, j);
                        y = simd.mul_add(weight, get(simd, &own.channels, c * span + j), y);
                        z = simd.mul_add(weight, simd.splat(bundle.embedding(c, i, j)), z);
                    }
                    put(simd, y, &mut results, 2 * (c - first) * span + i);
                    put(simd, z, &mut results, (2 * (c - first) + 1) * span + i);
                }
            }
            let column = group * 2 * values;
            write_columns(&results, S::LANES, span, pairs, shape.projected(), column);
        }
    }
}
