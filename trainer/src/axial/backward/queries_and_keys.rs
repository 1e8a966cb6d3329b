//! Through the three maps to queries, keys and their embeddings.

use super::super::bundle::{Bundle, Scratch, Source, scatter};
use super::super::embeddings::{Embeddings, add_backwards, first_pair};
use super::super::product::{Factor, product};
use super::super::vectors::{add_product, all_channels, get, put, splats};
use super::totals;
use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Writes the gradients of the normalized queries and keys into `[positions, 2C]`, and adds those of their embeddings'
/// rows. `lines` are `[alpha, beta, delta]` per similarity channel: each map's gradient is `alpha · g + beta · map + delta`.
pub(in crate::axial) fn queries_and_keys(
    isa: Isa,
    source: Source<'_>,
    products: &[f32],
    gradients: &[f32],
    lines: &[[f32; 3]],
    projected: &mut [f32],
    embeddings: &mut [f64],
) {
    let shape = source.shape;
    let parts = products.par_chunks(shape.map()).zip(gradients.par_chunks(shape.map()));
    let partial: Vec<(Vec<f32>, Vec<f64>)> = parts
        .enumerate()
        .map(|(index, (products, gradients))| {
            Scratch::lend(&shape, true, |scratch| {
                isa.run(OfQueriesAndKeys {
                    bundle: source.bundle(index),
                    products,
                    gradients,
                    lines,
                    scratch,
                })
            })
        })
        .collect();
    let (channels, of_embeddings): (Vec<_>, Vec<_>) = partial.into_iter().unzip();
    for part in &of_embeddings {
        add_backwards(part, shape.span(), embeddings);
    }
    scatter(&shape, &channels, projected, source.queries().start);
}

struct OfQueriesAndKeys<'a> {
    bundle: Bundle<'a>,
    products: &'a [f32],
    gradients: &'a [f32],
    lines: &'a [[f32; 3]],
    scratch: &'a mut Scratch,
}

impl Kernel for OfQueriesAndKeys<'_> {
    /// Gradients of queries and keys, `[2·queries, span]` vectors, and of the embeddings.
    type Output = (Vec<f32>, Vec<f64>);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (Vec<f32>, Vec<f64>) {
        let (bundle, source) = (self.bundle, self.bundle.source);
        let span = source.shape.span();
        let Scratch {
            channels,
            maps,
            more_maps: [of_product, of_map],
            panels,
            embeddings,
            ..
        } = self.scratch;
        bundle.load(simd, channels, maps);
        embeddings.fill(0.0);
        let mut of_channels = vec![0.0; 2 * source.shape.queries() * span * S::LANES];
        let lines = bundle.of_kinds(self.lines);
        let [alpha, beta, delta] = splats(simd, lines[0]);
        for at in 0..span * span {
            let constant = simd.mul_add(beta, get(simd, self.products, at), delta);
            put(
                simd,
                simd.mul_add(alpha, get(simd, self.gradients, at), constant),
                of_product,
                at,
            );
        }
        // From Σk query[k, i] · key[k, j]: the gradient of query[k, i] is Σj of_product[i, j] · key[k, j], that of key[k, j] the sum over i.
        for (kind, which) in [source.queries(), source.keys()].into_iter().enumerate() {
            let left = Factor {
                map: &maps[1 - kind],
                along: 1,
                apart: span,
            };
            let (along, apart) = if kind == 0 { (1, span) } else { (span, 1) };
            let right = Factor {
                map: of_product,
                along,
                apart,
            };
            product(simd, span, left, right, of_map, panels);
            let [alpha, beta, delta] = splats(simd, lines[1 + kind]);
            for k in 0..span {
                let own = k * span * S::LANES..(k + 1) * span * S::LANES;
                let (map, gradients) = (&maps[kind][own.clone()], &self.gradients[own.clone()]);
                let towards = &mut of_map[own];
                for j in 0..span {
                    let constant = simd.add(simd.mul_add(beta, get(simd, map, j), delta), get(simd, towards, j));
                    put(simd, simd.mul_add(alpha, get(simd, gradients, j), constant), towards, j);
                }
                all_channels!(which.clone(), |first| embed_back(
                    simd,
                    source.embeddings,
                    channels,
                    [first, k],
                    towards,
                    [&mut of_channels, embeddings]
                ));
            }
        }
        let lines = bundle.lines().len();
        (of_channels, totals(simd, embeddings, lines))
    }
}

/// The way back through row `i` of the map of channels from the `first` on, which has the gradient `towards`.
#[inline(always)]
fn embed_back<S: Simd, const N: usize>(
    simd: S,
    embeddings: &Embeddings,
    channels: &[f32],
    [first, i]: [usize; 2],
    towards: &[f32],
    [of_channels, of_embeddings]: [&mut [f32]; 2],
) {
    let span = towards.len() / S::LANES;
    let positions: [&[f32]; N] = embeddings.rows(first, i);
    let (mut factors, mut sums) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
    for c in 0..N {
        factors[c] = get(simd, channels, (first + c) * span + i);
    }
    for j in 0..span {
        let x = get(simd, towards, j);
        for c in 0..N {
            sums[c] = simd.mul_add(x, simd.splat(positions[c][j]), sums[c]);
            add_product(simd, factors[c], x, of_embeddings, first_pair(first + c, span, i) + j);
        }
    }
    for c in 0..N {
        put(simd, sums[c], of_channels, (first + c) * span + i);
    }
}
