//! Lines that are computed together, one in each lane of a vector: lanes never meet before sums are taken over lines.
//!
//! Vectors of a group lie `[channels, span]` and `[span, span]`. Where there are fewer lines than lanes, the last lanes hold what is never read.

use super::embeddings::Embeddings;
use super::product::Panels;
use super::shape::Shape;
use super::vectors::{all_channels, get, put, softmax, splats};
use dualnet_engine::cpu::Aligned;
use dualnet_engine::simd::Simd;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// What the attention maps are computed from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) shape: Shape,
    /// Queries, keys and values before their normalization, `[positions, 2C]`.
    pub(super) projected: &'a [f32],
    /// The normalization as `scale · x + shift` per channel.
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) embeddings: &'a Embeddings,
}

/// One group of the lines of one bundle.
#[derive(Clone, Copy)]
pub(super) struct Bundle<'a> {
    pub(super) source: Source<'a>,
    pub(super) bundle: usize,
    pub(super) group: usize,
}

/// Buffers for one group, kept from one to the next.
#[derive(Default)]
pub(super) struct Scratch {
    /// Normalized queries, keys and values, `[2·values, span]`.
    pub(super) channels: Aligned,
    /// `Σc a[c, i] · E[c, i, j]` of the queries and of the keys, `[span, span]`.
    pub(super) maps: [Aligned; 2],
    /// `[span, span]`.
    pub(super) more_maps: [Aligned; 2],
    pub(super) panels: Panels,
    /// `[span]`.
    pub(super) rows: [Aligned; 2],
    /// Gradients of the results: of `y`, then of `z`, `[2·values, span]`.
    pub(super) results: Aligned,
    /// Gradients of the relative embeddings, `[2·values, 2·span − 1]`, laid out as [`Embeddings`].
    pub(super) embeddings: Aligned,
}

thread_local! {
    /// Each thread's own, as large as it has ever had to be.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

impl Scratch {
    /// Lends this thread's buffers, as large as these extents ask for, whatever they hold; what only the way back needs, only when it is one.
    pub(super) fn lend<T>(shape: &Shape, is_way_back: bool, take: impl FnOnce(&mut Self) -> T) -> T {
        let (span, values) = (shape.span(), shape.values());
        SCRATCH.with_borrow_mut(|scratch| {
            let mut sizes = vec![(&mut scratch.channels, 2 * values * span)];
            sizes.extend(scratch.maps.iter_mut().map(|map| (map, span * span)));
            sizes.extend(scratch.rows.iter_mut().map(|row| (row, span)));
            if is_way_back {
                sizes.extend(scratch.more_maps.iter_mut().map(|map| (map, span * span)));
                sizes.push((&mut scratch.results, 2 * values * span));
                sizes.push((&mut scratch.embeddings, 2 * values * (2 * span - 1)));
            }
            for (buffer, vectors) in sizes {
                buffer.resize(vectors * shape.lanes);
            }
            take(scratch)
        })
    }
}

impl<'a> Source<'a> {
    /// Number `index` of the groups of all bundles.
    pub(super) fn bundle(self, index: usize) -> Bundle<'a> {
        Bundle {
            source: self,
            bundle: index / self.shape.groups,
            group: index % self.shape.groups,
        }
    }

    /// Channels of the queries in [`Scratch::channels`], and rows of their embeddings.
    pub(super) fn queries(&self) -> Range<usize> {
        0..self.shape.queries()
    }

    pub(super) fn keys(&self) -> Range<usize> {
        self.shape.queries()..2 * self.shape.queries()
    }

    pub(super) fn values(&self) -> Range<usize> {
        2 * self.shape.queries()..2 * self.shape.values()
    }
}

impl Bundle<'_> {
    /// Lines of the bundle.
    pub(super) fn lines(&self) -> Range<usize> {
        let shape = &self.source.shape;
        let first = self.bundle * shape.lanes;
        first..(first + shape.lanes).min(shape.lines())
    }

    /// The group's numbers among those of all similarity channels: of its products, its query maps and its key maps.
    pub(super) fn of_kinds<T: Copy>(&self, of_channels: &[T]) -> [T; 3] {
        [0, 1, 2].map(|kind| of_channels[kind * self.source.shape.groups + self.group])
    }

    /// Reads the channels of the group, normalized, and computes the maps of its queries and keys.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S, channels: &mut [f32], maps: &mut [Aligned; 2]) {
        let (source, span) = (self.source, self.source.shape.span());
        let count = 2 * source.shape.values();
        let own = self.group * count..(self.group + 1) * count;
        let (scale, shift) = (&source.scale[own.clone()], &source.shift[own.clone()]);
        for (lane, line) in self.lines().enumerate() {
            for step in 0..span {
                let row = source.shape.position(line, step) * source.shape.projected();
                let row = &source.projected[row + own.start..row + own.end];
                for (c, x) in row.iter().enumerate() {
                    channels[(c * span + step) * S::LANES + lane] = scale[c] * x + shift[c];
                }
            }
        }
        for (which, map) in [source.queries(), source.keys()].into_iter().zip(maps) {
            for i in 0..span {
                let row = &mut map[i * span * S::LANES..(i + 1) * span * S::LANES];
                let start = which.start;
                all_channels!(which.clone(), |first| embed(
                    simd,
                    source.embeddings,
                    channels,
                    [start, first, i],
                    row
                ));
            }
        }
    }

    /// Row `i` of the attention: softmax of the three maps, each times its scale; `products` is `[span, span]`.
    #[inline(always)]
    pub(super) fn attention<S: Simd>(
        &self,
        simd: S,
        [products, queries, keys]: [&[f32]; 3],
        scales: [f32; 3],
        i: usize,
        row: &mut [f32],
    ) {
        let span = self.source.shape.span();
        let own = i * span * S::LANES..(i + 1) * span * S::LANES;
        let (products, queries, keys) = (&products[own.clone()], &queries[own.clone()], &keys[own]);
        let [of_product, of_query, of_key] = splats(simd, scales);
        for j in 0..span {
            let mut sum = simd.mul(of_query, get(simd, queries, j));
            sum = simd.mul_add(of_product, get(simd, products, j), sum);
            put(simd, simd.mul_add(of_key, get(simd, keys, j), sum), row, j);
        }
        softmax(simd, row);
    }
}

/// Adds channels from the `first` on to row `i` of their map, which begins with those of channel `start`.
#[inline(always)]
fn embed<S: Simd, const N: usize>(
    simd: S,
    embeddings: &Embeddings,
    channels: &[f32],
    [start, first, i]: [usize; 3],
    row: &mut [f32],
) {
    let span = row.len() / S::LANES;
    let positions: [&[f32]; N] = embeddings.rows(first, i);
    let mut factors = [simd.splat(0.0); N];
    for c in 0..N {
        factors[c] = get(simd, channels, (first + c) * span + i);
    }
    for j in 0..span {
        let mut sum = match first == start {
            true => simd.splat(0.0),
            false => get(simd, row, j),
        };
        for c in 0..N {
            sum = simd.mul_add(factors[c], simd.splat(positions[c][j]), sum);
        }
        put(simd, sum, row, j);
    }
}

/// Puts vectors `[columns, span]` of every group of every bundle into the columns `first ..` of its group's part of a map `[positions, 2C]`.
pub(super) fn scatter(shape: &Shape, from: &[Vec<f32>], map: &mut [f32], first: usize) {
    let (span, lanes, width) = (shape.span(), shape.lanes, shape.projected());
    let own = width / shape.groups;
    let record = shape.height * shape.width;
    map.par_chunks_mut(record * width)
        .enumerate()
        .for_each(|(index, rows)| {
            for across in 0..shape.lines_per_record() {
                let line = index * shape.lines_per_record() + across;
                let (bundle, lane) = (line / lanes, line % lanes);
                for step in 0..span {
                    let row = (shape.position(line, step) - index * record) * width;
                    let row = &mut rows[row..row + width];
                    for (group, to) in row.chunks_exact_mut(own).enumerate() {
                        let vectors = &from[bundle * shape.groups + group];
                        for (c, vector) in vectors.chunks_exact(span * lanes).enumerate() {
                            to[first + c] = vector[step * lanes + lane];
                        }
                    }
                }
            }
        });
}
