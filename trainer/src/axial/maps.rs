//! What forward and backward pass share: the operands, and the maps of one line and group.

use super::channels::{combine, combine_products};
use super::embeddings::{Direction, Embeddings};
use super::gemm::{Panels, product};
use super::shape::Shape;
use dualnet_engine::simd::Simd;
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

/// Buffers for one line and group; maps are `[span, stride]`, zero from column `span` on.
pub(super) struct Scratch {
    /// Normalized queries, keys and values, `[2·values, stride]`.
    pub(super) channels: Vec<f32>,
    /// The same, `[span, 2·values]`.
    pub(super) steps: Vec<f32>,
    /// Gradients of [`channels`](Self::channels).
    pub(super) gradients: Vec<f32>,
    /// Gradients of the results of one group: of `y`, then of `z`, `[span, 2·values]`.
    pub(super) results: Vec<f32>,
    pub(super) maps: [Vec<f32>; 4],
    pub(super) rows: [Vec<f32>; 4],
    pub(super) panels: Panels,
}

impl Scratch {
    pub(super) fn new(shape: &Shape) -> Self {
        let channels = || vec![0.0; 2 * shape.values() * shape.stride];
        Self {
            channels: channels(),
            steps: vec![0.0; 2 * shape.values() * shape.span()],
            gradients: channels(),
            results: vec![0.0; 2 * shape.values() * shape.span()],
            maps: std::array::from_fn(|_| Vec::new()),
            rows: std::array::from_fn(|_| vec![0.0; shape.stride]),
            panels: Panels::default(),
        }
    }
}

impl Source<'_> {
    /// Channels of the queries in [`Scratch::channels`], and rows of their embeddings.
    pub(super) fn queries(&self) -> Range<usize> {
        0..self.shape.queries()
    }

    pub(super) fn keys(&self) -> Range<usize> {
        self.shape.queries()..2 * self.shape.queries()
    }

    pub(super) fn values(&self) -> Range<usize> {
        2 * self.shape.queries()..2 * self.shape.queries() + self.shape.values()
    }

    /// Reads the channels of one line and group, normalized.
    #[inline(always)]
    pub(super) fn load(&self, line: usize, group: usize, channels: &mut [f32], steps: &mut [f32]) {
        let Shape { stride, .. } = self.shape;
        let count = 2 * self.shape.values();
        let own = group * count..(group + 1) * count;
        let (scale, shift) = (&self.scale[own.clone()][..count], &self.shift[own.clone()][..count]);
        let first = self.shape.position(line, 0);
        let apart = match self.shape.along_height {
            0 => 1,
            _ => self.shape.width,
        };
        for step in 0..self.shape.span() {
            let row = &self.projected[(first + step * apart) * self.shape.projected()..][own.clone()][..count];
            let normalized = &mut steps[step * count..][..count];
            for c in 0..count {
                normalized[c] = scale[c] * row[c] + shift[c];
            }
        }
        for (c, row) in channels.chunks_exact_mut(stride).enumerate() {
            for (to, normalized) in row.iter_mut().zip(steps.chunks_exact(count)) {
                *to = normalized[c];
            }
        }
    }

    /// Row `i` of the map `Σc a[c, i] · E[c, i, j]` of the channels `which`, over `j`.
    #[inline(always)]
    pub(super) fn row<S: Simd>(&self, simd: S, steps: &[f32], which: Range<usize>, i: usize, out: &mut [f32]) {
        let first = 2 * self.shape.values() * i;
        let factors = &steps[first + which.start..first + which.end];
        let rows = self.embeddings.row(Direction::Backward, which.start, i);
        combine(simd, factors, rows, out);
        out[self.shape.span()..].fill(0.0);
    }

    /// Column `j` of the same map, over `i`.
    #[inline(always)]
    pub(super) fn column<S: Simd>(&self, simd: S, channels: &[f32], which: Range<usize>, j: usize, out: &mut [f32]) {
        let weights = self.shape.rows(channels, which.start);
        let rows = self.embeddings.row(Direction::Forward, which.start, j);
        combine_products(simd, which.len(), weights, rows, out);
        out[self.shape.span()..].fill(0.0);
    }

    /// The whole map by rows.
    #[inline(always)]
    pub(super) fn by_rows<S: Simd>(&self, simd: S, steps: &[f32], which: Range<usize>, map: &mut Vec<f32>) {
        map.resize(self.shape.map(), 0.0);
        let Shape { stride, .. } = self.shape;
        for i in 0..self.shape.span() {
            self.row(simd, steps, which.clone(), i, &mut map[i * stride..(i + 1) * stride]);
        }
    }

    /// The whole map transposed: by columns.
    #[inline(always)]
    pub(super) fn by_columns<S: Simd>(&self, simd: S, channels: &[f32], which: Range<usize>, map: &mut Vec<f32>) {
        map.resize(self.shape.map(), 0.0);
        let Shape { stride, .. } = self.shape;
        for j in 0..self.shape.span() {
            self.column(simd, channels, which.clone(), j, &mut map[j * stride..(j + 1) * stride]);
        }
    }

    /// `out = left · right`.
    #[inline(always)]
    pub(super) fn product<S: Simd>(&self, simd: S, left: &[f32], right: &[f32], out: &mut [f32], panels: &mut Panels) {
        product(simd, self.shape.span(), self.shape.stride, left, right, out, panels);
    }
}
