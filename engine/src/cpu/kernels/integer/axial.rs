//! Axial attention along one line, for one group of channels, both operands of every product rounded to 8 bits (see
//! [`crate::plan::AxialAttention`] for the formula).
//!
//! Planes are laid out as in [`Group`](super::super::Group). Channels of queries and keys lie side by side in pairs, `[pair][position][2]`,
//! and so do those of their relative embeddings, which are stored reversed.

use super::super::PANEL;
use super::super::activate::Affine;
use super::super::rows::softmax_row;
use super::super::vecmath::exp;
use super::quantize::Rounding;
use crate::pau::rational::Rational;
use crate::simd::{Integer, Kernel, MAX_LANES};

/// Planes `[channel][position]` of `length` values, whole panels of them.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Planes<'a> {
    /// As they are.
    Floats(&'a [f32]),
    /// `F(scale·sum + shift)`, a factor and a term per plane.
    Sums(&'a [i32], Affine<'a>, &'a Rational<6, 4>),
}

/// Planes rounded, as panels of positions in pairs of channels: `[panel][pair][PANEL][2]`.
pub(in crate::cpu) struct PairsOfPlanes<'a> {
    pub(in crate::cpu) planes: Planes<'a>,
    pub(in crate::cpu) length: usize,
    /// An even number.
    pub(in crate::cpu) channels: usize,
    pub(in crate::cpu) rounding: Rounding,
    pub(in crate::cpu) to: &'a mut [i16],
}

impl Kernel for PairsOfPlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let panel_length = self.channels * PANEL;
        for pair in 0..self.channels / 2 {
            for at in (0..self.length).step_by(S::LANES) {
                let mut halves = [simd.splat_ints(0); 2];
                for (side, half) in halves.iter_mut().enumerate() {
                    let channel = 2 * pair + side;
                    let value = match self.planes {
                        Planes::Floats(planes) => simd.load(&planes[channel * self.length + at..]),
                        Planes::Sums(sums, affine, pau) => {
                            let sum = simd.to_floats(simd.load_ints(&sums[channel * self.length + at..]));
                            let (scale, shift) = (affine.scale[channel], affine.shift[channel]);
                            let u = simd.mul_add(sum, simd.splat(scale), simd.splat(shift));
                            let splat = pau.splat(simd);
                            if splat.beyond(simd.abs(u)) {
                                let mut lanes = [0.0; MAX_LANES];
                                simd.store(u, &mut lanes);
                                pau.exact_in_place(&mut lanes[..S::LANES]);
                                simd.load(&lanes)
                            } else {
                                splat.value_within(u)
                            }
                        }
                    };
                    *half = self.rounding.apply(simd, value);
                }
                let to = at / PANEL * panel_length + (pair * PANEL + at % PANEL) * 2;
                simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut self.to[to..]);
            }
        }
    }
}

/// How queries, keys and values are rounded.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct PartRoundings {
    pub(in crate::cpu) query: Rounding,
    pub(in crate::cpu) key: Rounding,
    pub(in crate::cpu) value: Rounding,
}

/// Where the rounded values go.
pub(in crate::cpu) enum Values<'a> {
    /// Planes.
    Plain(&'a mut [i16]),
    /// Columns in pairs, `[channel][pair][height][2]`; this height.
    Columns(&'a mut [i16], usize),
}

/// The parts of one group of a projection, rounded: `scale·sum + shift` of its `2·gc` planes.
pub(in crate::cpu) struct RoundParts<'a> {
    pub(in crate::cpu) sums: &'a [i32],
    /// Elements of a plane.
    pub(in crate::cpu) stride: usize,
    /// Per plane.
    pub(in crate::cpu) affine: Affine<'a>,
    /// `gc`.
    pub(in crate::cpu) channels: usize,
    pub(in crate::cpu) roundings: PartRoundings,
    /// Queries, then keys: `[pair][position][2]`, as many pairs as half the channels rounded up take.
    pub(in crate::cpu) pairs: [&'a mut [i16]; 2],
    pub(in crate::cpu) values: Values<'a>,
}

impl RoundParts<'_> {
    #[inline(always)]
    fn rounded<S: Integer>(&self, simd: S, plane: usize, at: usize, rounding: Rounding) -> S::Ints {
        let sum = simd.to_floats(simd.load_ints(&self.sums[plane * self.stride + at..]));
        let (scale, shift) = (self.affine.scale[plane], self.affine.shift[plane]);
        rounding.apply(simd, simd.mul_add(sum, simd.splat(scale), simd.splat(shift)))
    }
}

impl Kernel for RoundParts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(mut self, simd: S) {
        let half = self.channels / 2;
        let roundings = [self.roundings.query, self.roundings.key];
        for part in 0..2 {
            for pair in 0..half.div_ceil(2) {
                for at in (0..self.stride).step_by(S::LANES) {
                    let mut halves = [simd.splat_ints(0); 2];
                    for side in 0..2 {
                        if 2 * pair + side < half {
                            let plane = part * half + 2 * pair + side;
                            halves[side] = self.rounded(simd, plane, at, roundings[part]);
                        }
                    }
                    let to = 2 * (pair * self.stride + at);
                    simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut self.pairs[part][to..]);
                }
            }
        }
        let rounding = self.roundings.value;
        match std::mem::replace(&mut self.values, Values::Plain(&mut [])) {
            Values::Plain(to) => {
                for channel in 0..self.channels {
                    for at in (0..self.stride).step_by(S::LANES) {
                        let value = self.rounded(simd, 2 * half + channel, at, rounding);
                        simd.store_narrow(value, &mut to[channel * self.stride + at..]);
                    }
                }
            }
            Values::Columns(to, height) => {
                let columns = self.stride / height;
                let pairs = columns.div_ceil(2);
                for channel in 0..self.channels {
                    for pair in 0..pairs {
                        for at in (0..height).step_by(S::LANES) {
                            let mut halves = [simd.splat_ints(0); 2];
                            for side in 0..2 {
                                let column = 2 * pair + side;
                                if column < columns {
                                    halves[side] =
                                        self.rounded(simd, 2 * half + channel, column * height + at, rounding);
                                }
                            }
                            let to = &mut to[2 * ((channel * pairs + pair) * height + at)..];
                            simd.store_shorts(simd.pair_ints(halves[0], halves[1]), to);
                        }
                    }
                }
            }
        }
    }
}

/// Relative embeddings, rounded: rows of `stride` values or pairs, zeros behind the `2·span − 1`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct IntegerEmbeddings<'a> {
    pub(in crate::cpu) stride: usize,
    /// Queries, not reversed: `[pair][offset][2]`.
    pub(in crate::cpu) forward_queries: &'a [i16],
    /// Queries and keys, reversed: `[pair][reversed offset][2]`.
    pub(in crate::cpu) maps: [&'a [i16]; 2],
    /// Values, `gc` rows.
    pub(in crate::cpu) values: &'a [i16],
}

/// One group's rounded parts.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct IntegerGroup<'a> {
    /// Queries and keys, as [`RoundParts`] makes them.
    pub(in crate::cpu) pairs: [&'a [i16]; 2],
    /// Values, likewise.
    pub(in crate::cpu) values: &'a [i16],
    /// Elements between planes.
    pub(in crate::cpu) stride: usize,
    /// `gc`.
    pub(in crate::cpu) channels: usize,
    /// Positions of a line.
    pub(in crate::cpu) span: usize,
    pub(in crate::cpu) embeddings: IntegerEmbeddings<'a>,
    /// What a sum of the query map and of the key map stands for.
    pub(in crate::cpu) map_factors: [f32; 2],
    /// How the maps are rounded for their product.
    pub(in crate::cpu) map_roundings: [Rounding; 2],
    /// Factors of the sums of product, query map and key map in the similarity.
    pub(in crate::cpu) similarity: [f32; 3],
    /// How the softmax is rounded.
    pub(in crate::cpu) weight: Rounding,
    /// Factor of the sums over values, and of those over value embeddings for each channel.
    pub(in crate::cpu) value_factor: f32,
    pub(in crate::cpu) position_factors: &'a [f32],
}

impl IntegerGroup<'_> {
    fn pairs_of_channels(&self) -> usize {
        (self.channels / 2).div_ceil(2)
    }

    /// The pair of channels of a part at a position.
    #[inline(always)]
    fn pair(&self, part: usize, pair: usize, at: usize) -> [i16; 2] {
        let at = 2 * (pair * self.stride + at);
        [self.pairs[part][at], self.pairs[part][at + 1]]
    }

    /// Sums of the query (0) or key (1) map of row `i` from column `j` on, for the position `at` of the row in a plane.
    #[inline(always)]
    fn map_row<S: Integer>(&self, simd: S, part: usize, at: usize, i: usize, j: usize) -> S::Ints {
        let mut sums = simd.no_sums();
        for pair in 0..self.pairs_of_channels() {
            let value = simd.splat_pair(self.pair(part, pair, at));
            let row = 2 * (pair * self.embeddings.stride + self.span - 1 - i + j);
            sums = simd.dot(value, simd.load_shorts(&self.embeddings.maps[part][row..]), sums);
        }
        simd.total(sums)
    }

    /// A sum of a map, rounded for the product.
    #[inline(always)]
    fn rounded<S: Integer>(&self, simd: S, part: usize, sums: S::Ints) -> S::Ints {
        let value = simd.mul(simd.to_floats(sums), simd.splat(self.map_factors[part]));
        self.map_roundings[part].apply(simd, value)
    }
}

/// The two maps of a line along time, for a [`Product`](super::Product): `query_map [i, r]` of `qe[r, i]`, rows of `width`, and `ke` in
/// panels of its columns, pairs of rows.
pub(in crate::cpu) struct IntegerTimeMaps<'a> {
    pub(in crate::cpu) group: IntegerGroup<'a>,
    /// The line's first element in a plane.
    pub(in crate::cpu) first: usize,
    /// The span in whole panels.
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) query_map: &'a mut [i16],
    pub(in crate::cpu) key_map: &'a mut [i16],
}

impl Kernel for IntegerTimeMaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let group = self.group;
        let (span, stride) = (group.span, group.embeddings.stride);
        for (i, row) in self.query_map.chunks_exact_mut(self.width).take(span).enumerate() {
            for r in (0..self.width).step_by(S::LANES) {
                let mut sums = simd.no_sums();
                for pair in 0..group.pairs_of_channels() {
                    let query = simd.load_shorts(&group.pairs[0][2 * (pair * group.stride + self.first + r)..]);
                    let at = 2 * (pair * stride + span - 1 - i + r);
                    sums = simd.dot(query, simd.load_shorts(&group.embeddings.forward_queries[at..]), sums);
                }
                simd.store_narrow(group.rounded(simd, 0, simd.total(sums)), &mut row[r..]);
            }
        }
        let pairs = span.div_ceil(2);
        for (panel, rows) in self.key_map.chunks_exact_mut(pairs * 2 * PANEL).enumerate() {
            for (pair, row) in rows.chunks_exact_mut(2 * PANEL).enumerate() {
                for v in (0..PANEL).step_by(S::LANES) {
                    let mut halves = [simd.splat_ints(0); 2];
                    for side in 0..2 {
                        let r = 2 * pair + side;
                        if r < span {
                            let sums = group.map_row(simd, 1, self.first + r, r, panel * PANEL + v);
                            halves[side] = group.rounded(simd, 1, sums);
                        }
                    }
                    simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut row[2 * v..]);
                }
            }
        }
    }
}

/// From the maps' product to the outputs of a line along time: `products [span, width]`; `out`: the group's `gc` planes.
pub(in crate::cpu) struct IntegerTimeOutputs<'a> {
    pub(in crate::cpu) group: IntegerGroup<'a>,
    pub(in crate::cpu) first: usize,
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) products: &'a [i32],
    /// As long as a row.
    pub(in crate::cpu) row: &'a mut [f32],
    /// Likewise.
    pub(in crate::cpu) weights: &'a mut [i16],
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for IntegerTimeOutputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let group = self.group;
        let (span, width) = (group.span, self.width);
        let [product_factor, query_factor, key_factor] = group.similarity.map(|factor| simd.splat(factor));
        let value_factor = simd.splat(group.value_factor);
        for (i, products) in self.products.chunks_exact(width).take(span).enumerate() {
            for j in (0..width).step_by(S::LANES) {
                let query = simd.to_floats(group.map_row(simd, 0, self.first + i, i, j));
                let key = simd.to_floats(group.map_row(simd, 1, self.first + i, i, j));
                let mut sum = simd.mul(product_factor, simd.to_floats(simd.load_ints(&products[j..])));
                sum = simd.mul_add(query_factor, query, sum);
                simd.store(simd.mul_add(key_factor, key, sum), &mut self.row[j..]);
            }
            softmax_row(simd, &mut self.row[..width], span);
            for j in (0..width).step_by(S::LANES) {
                let weight = group.weight.apply(simd, simd.load(&self.row[j..]));
                simd.store_narrow(weight, &mut self.weights[j..]);
            }
            for c in 0..group.channels {
                let values = &group.values[c * group.stride + self.first..][..width];
                let embedding = &group.embeddings.values[c * group.embeddings.stride + span - 1 - i..][..width];
                let (mut by_value, mut by_position) = (simd.no_sums(), simd.no_sums());
                for j in (0..width).step_by(S::SHORTS) {
                    let end = width.min(j + S::SHORTS);
                    let load = [&self.weights[j..end], &values[j..end], &embedding[j..end]];
                    let mut loaded = [simd.splat_pair([0; 2]); 3];
                    for (to, from) in loaded.iter_mut().zip(load) {
                        *to = if from.len() == S::SHORTS {
                            simd.load_shorts(from)
                        } else {
                            simd.load_shorts_partial(from)
                        };
                    }
                    by_value = simd.dot(loaded[0], loaded[1], by_value);
                    by_position = simd.dot(loaded[0], loaded[2], by_position);
                }
                let position_factor = simd.splat(group.position_factors[c]);
                let value = simd.mul(simd.to_floats(simd.total(by_value)), value_factor);
                let sum = simd.mul_add(simd.to_floats(simd.total(by_position)), position_factor, value);
                self.out[c * group.stride + self.first + i] = sum_of_lanes(simd, sum);
            }
        }
    }
}

/// The sum of the lanes, by halves.
#[inline(always)]
fn sum_of_lanes<S: Integer>(simd: S, vector: S::Vector) -> f32 {
    let mut lanes = simd.lanes(vector);
    let mut width = S::LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// All lines of a group along frequency; `height` of them, whole panels.
pub(in crate::cpu) struct IntegerFrequency<'a> {
    pub(in crate::cpu) group: IntegerGroup<'a>,
    pub(in crate::cpu) height: usize,
    /// `2·PANEL·span²`.
    pub(in crate::cpu) sums: &'a mut [i32],
    /// `2·PANEL·(2·span + 1)·⌈span/2⌉`.
    pub(in crate::cpu) pairs: &'a mut [i16],
    /// `PANEL·span`.
    pub(in crate::cpu) row: &'a mut [f32],
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for IntegerFrequency<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let group = self.group;
        let (span, height, stride) = (group.span, self.height, group.embeddings.stride);
        let pairs = span.div_ceil(2);
        let [product_factor, query_factor, key_factor] = group.similarity.map(|factor| simd.splat(factor));
        let value_factor = simd.splat(group.value_factor);
        let map_length = span * span * S::LANES;
        let (maps, weights) = self.pairs.split_at_mut(2 * pairs * span * S::SHORTS);
        for first in (0..height).step_by(S::LANES) {
            for part in 0..2 {
                for i in 0..span {
                    for j in 0..span {
                        let mut sums = simd.no_sums();
                        for pair in 0..group.pairs_of_channels() {
                            let at = 2 * (pair * group.stride + i * height + first);
                            let value = simd.load_shorts(&group.pairs[part][at..]);
                            let row = 2 * (pair * stride + span - 1 - i + j);
                            let embedding = &group.embeddings.maps[part][row..][..2];
                            sums = simd.dot(value, simd.splat_pair([embedding[0], embedding[1]]), sums);
                        }
                        let to = part * map_length + (i * span + j) * S::LANES;
                        simd.store_ints(simd.total(sums), &mut self.sums[to..]);
                    }
                }
                // Pairs of rows of the map, for every column.
                for pair in 0..pairs {
                    for column in 0..span {
                        let mut halves = [simd.splat_ints(0); 2];
                        for side in 0..2 {
                            let row = 2 * pair + side;
                            if row < span {
                                let at = part * map_length + (row * span + column) * S::LANES;
                                halves[side] = group.rounded(simd, part, simd.load_ints(&self.sums[at..]));
                            }
                        }
                        let to = ((part * pairs + pair) * span + column) * S::SHORTS;
                        simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut maps[to..]);
                    }
                }
            }
            for i in 0..span {
                let mut largest = simd.splat(f32::NEG_INFINITY);
                for j in 0..span {
                    let mut product = simd.no_sums();
                    for pair in 0..pairs {
                        let query = simd.load_shorts(&maps[(pair * span + i) * S::SHORTS..]);
                        let key = simd.load_shorts(&maps[((pairs + pair) * span + j) * S::SHORTS..]);
                        product = simd.dot(query, key, product);
                    }
                    let at = (i * span + j) * S::LANES;
                    let query = simd.to_floats(simd.load_ints(&self.sums[at..]));
                    let key = simd.to_floats(simd.load_ints(&self.sums[map_length + at..]));
                    let mut sum = simd.mul(product_factor, simd.to_floats(simd.total(product)));
                    sum = simd.mul_add(query_factor, query, sum);
                    sum = simd.mul_add(key_factor, key, sum);
                    simd.store(sum, &mut self.row[j * S::LANES..]);
                    largest = simd.max(sum, largest);
                }
                let mut total = simd.splat(0.0);
                for j in 0..span {
                    let power = exp(simd, simd.sub(simd.load(&self.row[j * S::LANES..]), largest));
                    simd.store(power, &mut self.row[j * S::LANES..]);
                    total = simd.add(total, power);
                }
                let inverse = simd.div(simd.splat(1.0), total);
                for pair in 0..pairs {
                    let mut halves = [simd.splat_ints(0); 2];
                    for side in 0..2 {
                        let j = 2 * pair + side;
                        if j < span {
                            let weight = simd.mul(simd.load(&self.row[j * S::LANES..]), inverse);
                            halves[side] = group.weight.apply(simd, weight);
                        }
                    }
                    simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut weights[pair * S::SHORTS..]);
                }
                for c in 0..group.channels {
                    let (mut by_value, mut by_position) = (simd.no_sums(), simd.no_sums());
                    for pair in 0..pairs {
                        let weight = simd.load_shorts(&weights[pair * S::SHORTS..]);
                        let value = simd.load_shorts(&group.values[2 * ((c * pairs + pair) * height + first)..]);
                        let at = c * stride + span - 1 - i + 2 * pair;
                        let embedding = &group.embeddings.values[at..][..2];
                        by_value = simd.dot(weight, value, by_value);
                        by_position = simd.dot(weight, simd.splat_pair([embedding[0], embedding[1]]), by_position);
                    }
                    let value = simd.mul(simd.to_floats(simd.total(by_value)), value_factor);
                    let position_factor = simd.splat(group.position_factors[c]);
                    let sum = simd.mul_add(simd.to_floats(simd.total(by_position)), position_factor, value);
                    simd.store(sum, &mut self.out[c * group.stride + i * height + first..]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PairPanels, Product, Results};
    use super::*;
    use crate::cpu::kernels::Operand;
    use crate::cpu::kernels::testing::{integers, isas, numbers, within};

    const CHANNELS: usize = 6;
    const HALF: usize = CHANNELS / 2;
    const SIMILARITY: [f32; 3] = [2e-5, 3e-5, -5e-5];
    const MAP_FACTORS: [f32; 2] = [1e-4, 2e-4];
    const VALUE_FACTOR: f32 = 1e-5;

    fn round(x: f64, (scale, zero_point): (f32, i8)) -> f64 {
        let zero_point = f64::from(zero_point);
        (x / f64::from(scale))
            .round_ties_even()
            .clamp(-128.0 - zero_point, 127.0 - zero_point)
    }

    const PARTS: [(f32, i8); 3] = [(0.008, 3), (0.009, -7), (0.0071, 0)];
    const MAPS: [(f32, i8); 2] = [(0.05, 2), (0.07, -3)];
    const WEIGHT: (f32, i8) = (1.0 / 255.0, -128);

    /// The definition for one line, in `f64`, rounded where the kernels round: `line(plane, i)` is a projected value, `relative(channel,
    /// offset)` a rounded embedding.
    fn reference(
        span: usize,
        line: impl Fn(usize, usize) -> f64,
        relative: impl Fn(usize, usize) -> f64,
        position: &[f32],
    ) -> Vec<Vec<f64>> {
        let part = |c: usize, i: usize| {
            let part = usize::from(c >= HALF) + usize::from(c >= 2 * HALF);
            round(line(c, i), PARTS[part])
        };
        let embedded = |c: usize, i: usize, j: usize| relative(c, i + span - 1 - j);
        let map = |first: usize, i: usize, j: usize| -> f64 {
            (first..first + HALF).map(|c| part(c, i) * embedded(c, i, j)).sum()
        };
        let rounded = |which: usize, sum: f64| round(f64::from(MAP_FACTORS[which]) * sum, MAPS[which]);
        let mut out = vec![vec![0.0; span]; CHANNELS];
        for i in 0..span {
            let score = |j: usize| {
                let product: f64 = (0..span)
                    .map(|r| rounded(0, map(0, r, i)) * rounded(1, map(HALF, r, j)))
                    .sum();
                let terms = [product, map(0, i, j), map(HALF, i, j)];
                let terms = terms
                    .iter()
                    .zip(SIMILARITY)
                    .map(|(term, factor)| term * f64::from(factor));
                terms.sum::<f64>().exp()
            };
            let total: f64 = (0..span).map(score).sum();
            for (c, row) in out.iter_mut().enumerate() {
                let weight = |j: usize| round(score(j) / total, WEIGHT);
                let plane = 2 * HALF + c;
                let values: f64 = (0..span).map(|j| weight(j) * part(plane, j)).sum();
                let positions: f64 = (0..span).map(|j| weight(j) * embedded(plane, i, j)).sum();
                row[i] = f64::from(VALUE_FACTOR) * values + f64::from(position[c]) * positions;
            }
        }
        out
    }

    /// Both axes, an odd number of channels in a half, spans of either parity. 1e-6 where outputs are about 1: all sums are exact, and no
    /// value of these numbers lies so near a tie that `f32` rounds it otherwise.
    #[test]
    fn both_axes_of_bytes_follow_the_definition() {
        let rounding = |(scale, zero_point)| Rounding::new(scale, zero_point);
        for (span, across) in [(1_usize, 3_usize), (4, 18), (21, 2), (5, 3)] {
            let stride = 2 * span.next_multiple_of(PANEL);
            let length = 2 * span - 1;
            let relative = integers("relative", 2 * CHANNELS * length, 127);
            let row = |c: usize, reversed: bool| {
                let mut row = relative[c * length..][..length].to_vec();
                if reversed {
                    row.reverse();
                }
                row.resize(stride, 0);
                row
            };
            let pairs = |first: usize, reversed: bool| -> Vec<i16> {
                let mut out = vec![0; HALF.div_ceil(2) * stride * 2];
                for c in 0..HALF {
                    for (offset, value) in row(first + c, reversed).into_iter().enumerate() {
                        out[(c / 2 * stride + offset) * 2 + c % 2] = value;
                    }
                }
                out
            };
            let forward = pairs(0, false);
            let maps = [pairs(0, true), pairs(HALF, true)];
            let value_rows: Vec<i16> = (2 * HALF..2 * CHANNELS).flat_map(|c| row(c, true)).collect();
            let position: Vec<f32> = numbers("position", CHANNELS).iter().map(|x| 3e-5 * x).collect();
            for time in [true, false] {
                let (height, width) = if time { (span, across) } else { (across, span) };
                let padded = height.next_multiple_of(PANEL);
                let plane = padded * width;
                let sums: Vec<i32> = integers("sums", 2 * CHANNELS * plane, 30_000)
                    .into_iter()
                    .map(i32::from)
                    .collect();
                let scale: Vec<f32> = numbers("scale", 2 * CHANNELS).iter().map(|x| 4e-5 * x).collect();
                let shift: Vec<f32> = numbers("shift", 2 * CHANNELS).iter().map(|x| 0.3 * x).collect();
                for isa in isas() {
                    let pair_length = HALF.div_ceil(2) * plane * 2;
                    let (mut queries, mut keys) = (vec![0; pair_length], vec![0; pair_length]);
                    let columns = width.div_ceil(2) * padded * 2;
                    let mut values = vec![0; CHANNELS * if time { plane } else { columns }];
                    isa.run(RoundParts {
                        sums: &sums,
                        stride: plane,
                        affine: Affine {
                            scale: &scale,
                            shift: &shift,
                        },
                        channels: CHANNELS,
                        roundings: PartRoundings {
                            query: rounding(PARTS[0]),
                            key: rounding(PARTS[1]),
                            value: rounding(PARTS[2]),
                        },
                        pairs: [&mut queries, &mut keys],
                        values: match time {
                            true => Values::Plain(&mut values),
                            false => Values::Columns(&mut values, padded),
                        },
                    });
                    let group = IntegerGroup {
                        pairs: [&queries, &keys],
                        values: &values,
                        stride: plane,
                        channels: CHANNELS,
                        span,
                        embeddings: IntegerEmbeddings {
                            stride,
                            forward_queries: &forward,
                            maps: [&maps[0], &maps[1]],
                            values: &value_rows,
                        },
                        map_factors: MAP_FACTORS,
                        map_roundings: MAPS.map(rounding),
                        similarity: SIMILARITY,
                        weight: rounding(WEIGHT),
                        value_factor: VALUE_FACTOR,
                        position_factors: &position,
                    };
                    let mut out = vec![f32::NAN; CHANNELS * plane];
                    let pairs = span.div_ceil(2);
                    if time {
                        let rows: Vec<usize> = (0..span).map(|i| i * padded).collect();
                        for column in 0..width {
                            let mut query_map = vec![i16::MIN; span * padded];
                            let mut key_map = vec![i16::MIN; 2 * pairs * padded];
                            let mut products = vec![i32::MIN; span * padded];
                            let first = column * padded;
                            isa.run(IntegerTimeMaps {
                                group,
                                first,
                                width: padded,
                                query_map: &mut query_map,
                                key_map: &mut key_map,
                            });
                            isa.run(Product {
                                batch: 1,
                                a: &query_map,
                                a_rows: Operand { rows: &rows, stride: 0 },
                                b: PairPanels {
                                    data: &key_map,
                                    pairs,
                                    panels: padded / PANEL,
                                },
                                c: Results::Sums(&mut products),
                                c_rows: Operand { rows: &rows, stride: 0 },
                            });
                            isa.run(IntegerTimeOutputs {
                                group,
                                first,
                                width: padded,
                                products: &products,
                                row: &mut vec![0.0; padded],
                                weights: &mut vec![0; padded],
                                out: &mut out,
                            });
                        }
                    } else {
                        isa.run(IntegerFrequency {
                            group,
                            height: padded,
                            sums: &mut vec![0; 2 * PANEL * span * span],
                            pairs: &mut vec![0; 2 * PANEL * (2 * span + 1) * pairs],
                            row: &mut vec![0.0; PANEL * span],
                            out: &mut out,
                        });
                    }
                    for line in 0..across {
                        let at = |i: usize| if time { line * padded + i } else { i * padded + line };
                        let value = |c: usize, i: usize| {
                            f64::from(scale[c]) * f64::from(sums[c * plane + at(i)]) + f64::from(shift[c])
                        };
                        let relative = |c: usize, offset: usize| f64::from(relative[c * length + offset]);
                        let expected = reference(span, value, relative, &position);
                        for (c, row) in expected.iter().enumerate() {
                            for (i, &expected) in row.iter().enumerate() {
                                within(isa, out[c * plane + at(i)], expected, 1e-6);
                            }
                        }
                    }
                }
            }
        }
    }
}
