//! Attention along frequency: all lines of a group, one to a lane.

use super::super::super::{tally, vecmath::exp};
use super::IntegerGroup;
use crate::simd::{Integer, Kernel};

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
        tally::count(height * span * span * 2 * (2 * group.pairs_of_channels() + pairs + group.channels));
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
