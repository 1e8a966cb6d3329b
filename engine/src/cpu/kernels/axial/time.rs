//! Attention along time: one line of one group, from its queries, keys and values to its outputs.
//!
//! The product of the two maps is the bulk of the work. Both stay in the second-level cache as they are computed, the query map by rows, the key map
//! by panels of its columns: a register tile of 6 rows of scores reads 6 columns of the one and a panel of the other. Those rows go on to
//! softmax and to the sum over the values while they are in the first-level cache. What a record's constant tail adds to the product is
//! known without a product (see [`super::equal`]).

use super::equal::{Equal, equal_scratch, equal_sums};
use super::{Group, NARROW};
use crate::cpu::kernels::rows::{exponentials, sum_of_lanes};
use crate::cpu::kernels::{PANEL, padded, tally};
use crate::simd::{Kernel, MAX_LANES, Simd};
use std::ops::Range;

/// The outputs of a line, in the group's `gc` planes `out`.
pub(in crate::cpu) struct AlongTime<'a> {
    pub(in crate::cpu) group: Group<'a>,
    /// The line's first element in a plane.
    pub(in crate::cpu) first: usize,
    /// Positions whose queries and keys are equal.
    pub(in crate::cpu) equal: Equal,
    /// [`along_time_scratch`] values.
    pub(in crate::cpu) scratch: &'a mut [f32],
    pub(in crate::cpu) out: &'a mut [f32],
}

/// Rows of scores computed together at most.
const ROWS: usize = 12;

/// Values of scratch for a line of `span` positions of `channels` channels.
pub(in crate::cpu) fn along_time_scratch(span: usize, channels: usize) -> usize {
    let width = padded(span);
    2 * span * width + span * padded(channels) + ROWS * width + equal_scratch(span)
}

impl Kernel for AlongTime<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Group { span, channels, .. } = self.group;
        let (half, width) = (channels / 2, padded(span));
        let equal = self.equal.if_many();
        tally::count(span * width * (2 * half + span - equal.len() + channels));
        let (query_map, rest) = self.scratch.split_at_mut(span * width);
        let (key_map, rest) = rest.split_at_mut(span * width);
        let (values, rest) = rest.split_at_mut(span * padded(channels));
        let (scores, rest) = rest.split_at_mut(ROWS * width);
        map(simd, &self.group, (0, self.first), (width, PANEL), query_map);
        map(simd, &self.group, (half, self.first), (PANEL, span * PANEL), key_map);
        if !self.group.is_narrow::<S>() {
            self.group.values_by_position(self.first, values);
        }
        let line = Line {
            group: self.group,
            first: self.first,
            query_map,
            key_map,
            products: match equal.len() {
                0 => &[],
                _ => equal_sums(simd, &self.group, self.first, equal, rest),
            },
            multiplied: [0..equal.start, equal.end..span],
            values,
        };
        match S::LANES {
            16 => line.rows::<S, 12, 1>(simd, scores, self.out),
            8 if S::REGISTERS >= 16 => line.rows::<S, 6, 2>(simd, scores, self.out),
            8 => line.rows::<S, 2, 2>(simd, scores, self.out),
            _ => line.rows::<S, 6, 4>(simd, scores, self.out),
        }
    }
}

impl Group<'_> {
    /// Whether the channels fill at most half a vector.
    #[inline(always)]
    fn is_narrow<S: Simd>(&self) -> bool {
        self.channels <= NARROW && 2 * self.channels <= S::LANES
    }

    /// The values of a line, `[position][channel]`, zeros where the channels end.
    #[inline(always)]
    fn values_by_position(&self, first: usize, values: &mut [f32]) {
        let length = padded(self.channels);
        for row in values.chunks_exact_mut(length) {
            row[self.channels..].fill(0.0);
        }
        for c in 0..self.channels {
            let plane = &self.plane(2 * (self.channels / 2) + c, first)[..self.span];
            for (row, &value) in values.chunks_exact_mut(length).zip(plane) {
                row[c] = value;
            }
        }
    }
}

/// `to [i, j] = Σ planes[channel + c, i]·E[channel + c, i, j]` over half the group's channels, from `channel` on. `strides` are the elements
/// between rows, and between panels of columns.
#[inline(always)]
fn map<S: Simd>(simd: S, group: &Group<'_>, (channel, first): (usize, usize), strides: (usize, usize), to: &mut [f32]) {
    for i in 0..group.span {
        let vectors = padded(group.span) / S::LANES;
        let mut vector = 0;
        while vector < vectors {
            let part = MapPart {
                channel,
                position: first + i,
                offset: group.span - 1 - i + vector * S::LANES,
                start: i * strides.0,
                column: vector * S::LANES,
                panel: strides.1,
            };
            match vectors - vector {
                1 => {
                    part.sums::<S, 1>(simd, group, to);
                    vector += 1;
                }
                2..6 => {
                    part.sums::<S, 2>(simd, group, to);
                    vector += 2;
                }
                _ => {
                    part.sums::<S, 6>(simd, group, to);
                    vector += 6;
                }
            }
        }
    }
}

/// Some vectors of a map's row.
struct MapPart {
    channel: usize,
    /// Of the row, in a plane.
    position: usize,
    /// Where the embeddings for them begin.
    offset: usize,
    /// Where the row begins.
    start: usize,
    /// The first column.
    column: usize,
    /// Elements between panels.
    panel: usize,
}

impl MapPart {
    #[inline(always)]
    fn sums<S: Simd, const V: usize>(self, simd: S, group: &Group<'_>, to: &mut [f32]) {
        let mut sums = [simd.splat(0.0); V];
        for c in self.channel..self.channel + group.channels / 2 {
            let value = simd.splat(group.plane(c, self.position)[0]);
            let embedding = &group.embeddings.maps[c * group.embeddings.stride + self.offset..][..V * S::LANES];
            for v in 0..V {
                sums[v] = simd.mul_add(value, simd.load(&embedding[v * S::LANES..]), sums[v]);
            }
        }
        for v in 0..V {
            let column = self.column + v * S::LANES;
            let at = self.start + column / PANEL * self.panel + column % PANEL;
            simd.store(sums[v], &mut to[at..]);
        }
    }
}

/// What the scores and outputs of a line are made of.
struct Line<'a> {
    group: Group<'a>,
    first: usize,
    /// `[span, width]`.
    query_map: &'a [f32],
    /// The same in panels, `[panel][span][PANEL]`.
    key_map: &'a [f32],
    /// What the other positions add to the product, `[span, width]`; nothing where there are none.
    products: &'a [f32],
    /// The positions whose products are summed.
    multiplied: [Range<usize>; 2],
    /// `[span, padded channels]`; undefined for a narrow group.
    values: &'a [f32],
}

impl Line<'_> {
    /// All rows, `R` at a time, the last ones again where `R` does not divide them.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(&self, simd: S, scores: &mut [f32], out: &mut [f32]) {
        let span = self.group.span;
        if span < R {
            for i in 0..span {
                self.block::<S, 1, V>(simd, i, scores, out);
            }
            return;
        }
        for i in (0..span).step_by(R) {
            self.block::<S, R, V>(simd, i.min(span - R), scores, out);
        }
    }

    /// Rows `i..i + R`.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(&self, simd: S, i: usize, scores: &mut [f32], out: &mut [f32]) {
        let (span, width) = (self.group.span, padded(self.group.span));
        for panel in 0..width / PANEL {
            self.scores::<S, R, V>(simd, i, panel * PANEL, scores);
        }
        let mut inverses = [0.0; R];
        for (row, inverse) in scores.chunks_exact_mut(width).zip(&mut inverses) {
            *inverse = exponentials(simd, row, span);
        }
        let channels = self.group.channels;
        if self.group.is_narrow::<S>() {
            for (k, inverse) in inverses.into_iter().enumerate() {
                self.narrow_outputs(simd, i + k, &scores[k * width..][..width], inverse, out);
            }
            return;
        }
        let mut c = 0;
        while c < channels {
            if R * 2 + 4 <= S::REGISTERS && c + S::LANES < channels {
                self.outputs::<S, R, 2>(simd, (i, c), scores, inverses, out);
                c += 2 * S::LANES;
            } else {
                self.outputs::<S, R, 1>(simd, (i, c), scores, inverses, out);
                c += S::LANES;
            }
        }
    }

    /// `α·qk + β·qe + γ·ke` of `R` rows from `i` on and a panel of columns from `j` on.
    #[inline(always)]
    fn scores<S: Simd, const R: usize, const V: usize>(&self, simd: S, i: usize, j: usize, scores: &mut [f32]) {
        let (span, width) = (self.group.span, padded(self.group.span));
        let panel = &self.key_map[j * span..][..span * PANEL];
        let mut sums = [[simd.splat(0.0); V]; R];
        if !self.products.is_empty() {
            for k in 0..R {
                let products = &self.products[(i + k) * width + j..][..PANEL];
                for v in 0..V {
                    sums[k][v] = simd.load(&products[v * S::LANES..]);
                }
            }
        }
        for positions in &self.multiplied {
            let query_map = &self.query_map[positions.start * width..positions.end * width];
            let panel = &panel[positions.start * PANEL..positions.end * PANEL];
            for (queries, keys) in query_map.chunks_exact(width).zip(panel.as_chunks::<PANEL>().0) {
                let queries = &queries[i..i + R];
                let mut columns = [simd.splat(0.0); V];
                for v in 0..V {
                    columns[v] = simd.load(&keys[v * S::LANES..]);
                }
                for k in 0..R {
                    let query = simd.splat(queries[k]);
                    for v in 0..V {
                        sums[k][v] = simd.mul_add(query, columns[v], sums[k][v]);
                    }
                }
            }
        }
        let [product_factor, query_factor, key_factor] = self.group.similarity.map(|factor| simd.splat(factor));
        for k in 0..R {
            for v in 0..V {
                let lane = v * S::LANES;
                let query = simd.load(&self.query_map[(i + k) * width + j + lane..]);
                let key = simd.load(&panel[(i + k) * PANEL + lane..]);
                let mut sum = simd.mul(product_factor, sums[k][v]);
                sum = simd.mul_add(query_factor, query, sum);
                sum = simd.mul_add(key_factor, key, sum);
                simd.store(sum, &mut scores[k * width + j + lane..]);
            }
        }
    }

    /// `factor·Σⱼ weights[i, j]·(v[c, j] + position[c]·Ev[c, i, j])` of `R` rows from `i` on, a factor each, and `V` vectors of channels from
    /// `c` on.
    #[inline(always)]
    fn outputs<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        (i, c): (usize, usize),
        weights: &[f32],
        factors: [f32; R],
        out: &mut [f32],
    ) {
        let (span, width, length) = (self.group.span, padded(self.group.span), padded(self.group.channels));
        let mut rows: [&[f32]; R] = [&[]; R];
        for k in 0..R {
            rows[k] = &weights[k * width..][..span];
        }
        // The embeddings of row i + k at j are `R − 1 − k + j` positions behind those of the last row at 0.
        let embeddings = &self.group.embeddings.values[(span - i - R) * length + c..];
        let mut sums = [[simd.splat(0.0); V]; R];
        for (j, values_of) in self.values.chunks_exact(length).enumerate().take(span) {
            let values_of = &values_of[c..][..V * S::LANES];
            let mut values = [simd.splat(0.0); V];
            for v in 0..V {
                values[v] = simd.load(&values_of[v * S::LANES..]);
            }
            let embeddings = &embeddings[j * length..][..(R - 1) * length + V * S::LANES];
            for k in 0..R {
                let weight = simd.splat(rows[k][j]);
                for v in 0..V {
                    let embedding = simd.load(&embeddings[(R - 1 - k) * length + v * S::LANES..]);
                    sums[k][v] = simd.mul_add(weight, simd.add(values[v], embedding), sums[k][v]);
                }
            }
        }
        for v in 0..V {
            let from = c + v * S::LANES;
            let mut lanes = [[0.0; MAX_LANES]; R];
            for k in 0..R {
                simd.store(sums[k][v], &mut lanes[k]);
            }
            for channel in from..(from + S::LANES).min(self.group.channels) {
                let plane = &mut out[channel * self.group.stride + self.first + i..][..R];
                for k in 0..R {
                    plane[k] = factors[k] * lanes[k][channel - from];
                }
            }
        }
    }

    /// The same of one row and all channels of a group that does not fill a vector: sums run along the positions.
    #[inline(always)]
    fn narrow_outputs<S: Simd>(&self, simd: S, i: usize, weights: &[f32], factor: f32, out: &mut [f32]) {
        let mut c = 0;
        while c < self.group.channels {
            if c + 4 <= self.group.channels {
                self.channel_outputs::<S, 4>(simd, (i, c), weights, factor, out);
                c += 4;
            } else {
                self.channel_outputs::<S, 2>(simd, (i, c), weights, factor, out);
                c += 2;
            }
        }
    }

    /// The same of the channels `c..c + C`.
    #[inline(always)]
    fn channel_outputs<S: Simd, const C: usize>(
        &self,
        simd: S,
        (i, c): (usize, usize),
        weights: &[f32],
        factor: f32,
        out: &mut [f32],
    ) {
        let Group { span, channels, .. } = self.group;
        let (width, stride) = (padded(span), self.group.embeddings.stride);
        let (mut values, mut embeddings): ([&[f32]; C], [&[f32]; C]) = ([&[]; C], [&[]; C]);
        for k in 0..C {
            values[k] = &self.group.plane(channels + c + k, self.first)[..width];
            let row = (c + k) * stride + span - 1 - i;
            embeddings[k] = &self.group.embeddings.value_rows[row..][..width];
        }
        // Behind the span weights are zero, planes and embeddings any finite numbers.
        let mut sums = [simd.splat(0.0); C];
        for j in (0..width).step_by(S::LANES) {
            let weight = simd.load(&weights[j..]);
            for k in 0..C {
                let value = simd.add(simd.load(&values[k][j..]), simd.load(&embeddings[k][j..]));
                sums[k] = simd.mul_add(weight, value, sums[k]);
            }
        }
        for k in 0..C {
            out[(c + k) * self.group.stride + self.first + i] = factor * sum_of_lanes(simd, sums[k]);
        }
    }
}
