//! Attention along time: the two maps of a line, and its outputs from their product.

use super::Group;
use crate::cpu::kernels::rows::softmax_row;
use crate::cpu::kernels::{PANEL, tally};
use crate::simd::{Kernel, Simd};

/// The two maps of a line along time: `query_map [i, r]` of `qe[r, i]`, rows of `width`, and `ke` in panels of its columns.
pub(in crate::cpu) struct TimeMaps<'a> {
    pub(in crate::cpu) group: Group<'a>,
    /// The line's first element in a plane.
    pub(in crate::cpu) first: usize,
    /// The span in whole panels.
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) query_map: &'a mut [f32],
    pub(in crate::cpu) key_map: &'a mut [f32],
}

impl Kernel for TimeMaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let group = self.group;
        let (span, half, stride) = (group.span, group.channels / 2, group.embeddings.stride);
        tally::count(2 * span * self.width * half);
        for (i, row) in self.query_map.chunks_exact_mut(self.width).take(span).enumerate() {
            for r in (0..self.width).step_by(S::LANES) {
                let mut sum = simd.splat(0.0);
                for c in 0..half {
                    let embedding = simd.load(&group.embeddings.forward_queries[c * stride + span - 1 - i + r..]);
                    sum = simd.mul_add(simd.load(&group.plane(c, self.first)[r..]), embedding, sum);
                }
                simd.store(sum, &mut row[r..]);
            }
        }
        let embeddings = &group.embeddings.maps[half * stride..];
        for (panel, rows) in self.key_map.chunks_exact_mut(span * PANEL).enumerate() {
            for (r, row) in rows.chunks_exact_mut(PANEL).enumerate() {
                for v in (0..PANEL).step_by(S::LANES) {
                    let mut sum = simd.splat(0.0);
                    for c in 0..half {
                        let key = simd.splat(group.plane(half + c, self.first)[r]);
                        let embedding = simd.load(&embeddings[c * stride + span - 1 - r + panel * PANEL + v..]);
                        sum = simd.mul_add(key, embedding, sum);
                    }
                    simd.store(sum, &mut row[v..]);
                }
            }
        }
    }
}

/// From the maps' product to the outputs of a line along time: `products [span, width]`, overwritten; `out`: the group's `gc` planes.
pub(in crate::cpu) struct TimeOutputs<'a> {
    pub(in crate::cpu) group: Group<'a>,
    pub(in crate::cpu) first: usize,
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) key_map: &'a [f32],
    pub(in crate::cpu) products: &'a mut [f32],
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for TimeOutputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let group = self.group;
        let (span, half, stride) = (group.span, group.channels / 2, group.embeddings.stride);
        tally::count(span * self.width * (half + group.channels));
        let [product_factor, query_factor, key_factor] = group.similarity.map(|factor| simd.splat(factor));
        for (i, row) in self.products.chunks_exact_mut(self.width).take(span).enumerate() {
            let shift = span - 1 - i;
            for j in (0..self.width).step_by(S::LANES) {
                let mut query = simd.splat(0.0);
                for c in 0..half {
                    let embedding = simd.load(&group.embeddings.maps[c * stride + shift + j..]);
                    query = simd.mul_add(simd.splat(group.plane(c, self.first)[i]), embedding, query);
                }
                let key = simd.load(&self.key_map[(j / PANEL * span + i) * PANEL + j % PANEL..]);
                let mut sum = simd.mul(product_factor, simd.load(&row[j..]));
                sum = simd.mul_add(query_factor, query, sum);
                simd.store(simd.mul_add(key_factor, key, sum), &mut row[j..]);
            }
            softmax_row(simd, row, span);
            for c in 0..group.channels {
                let values = &group.plane(2 * half + c, self.first)[..self.width];
                let embedding = &group.embeddings.values[c * stride + shift..][..self.width];
                let mut sums = [simd.splat(0.0); 2];
                let mut turn = 0;
                for j in (0..self.width).step_by(S::LANES) {
                    let value = simd.add(simd.load(&values[j..]), simd.load(&embedding[j..]));
                    sums[turn] = simd.mul_add(simd.load(&row[j..]), value, sums[turn]);
                    turn = 1 - turn;
                }
                self.out[c * group.stride + self.first + i] = sum_of_lanes(simd, simd.add(sums[0], sums[1]));
            }
        }
    }
}

/// The sum of the lanes, by halves: much shorter a chain than [`Simd::sum`]'s.
#[inline(always)]
fn sum_of_lanes<S: Simd>(simd: S, vector: S::Vector) -> f32 {
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
