//! Attention along frequency: all lines of a group, one to a lane.

use super::Group;
use crate::cpu::kernels::vecmath::exp;
use crate::cpu::kernels::{padded, tally};
use crate::simd::{Kernel, Simd};

/// All lines of a group along frequency; `height` of them, whole panels.
pub(in crate::cpu) struct Frequency<'a> {
    pub(in crate::cpu) group: Group<'a>,
    pub(in crate::cpu) height: usize,
    /// `2·span² + span` vectors of any length: `3·PANEL·span²` values do.
    pub(in crate::cpu) scratch: &'a mut [f32],
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for Frequency<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let group = self.group;
        let (span, half, stride) = (group.span, group.channels / 2, group.embeddings.stride);
        let [product_factor, query_factor, key_factor] = group.similarity.map(|factor| simd.splat(factor));
        tally::count(self.height * span * span * (2 * half + span + group.channels));
        let value_stride = padded(group.channels);
        let pairs = span * span * S::LANES;
        let (query_map, rest) = self.scratch.split_at_mut(pairs);
        let (key_map, weights) = rest.split_at_mut(pairs);
        for first in (0..self.height).step_by(S::LANES) {
            for i in 0..span {
                for j in 0..span {
                    let (mut query, mut key) = (simd.splat(0.0), simd.splat(0.0));
                    for c in 0..half {
                        let at = c * stride + span - 1 - i + j;
                        let embedding = simd.splat(group.embeddings.maps[at]);
                        query = simd.mul_add(simd.load(group.plane(c, i * self.height + first)), embedding, query);
                        let embedding = simd.splat(group.embeddings.maps[half * stride + at]);
                        key = simd.mul_add(
                            simd.load(group.plane(half + c, i * self.height + first)),
                            embedding,
                            key,
                        );
                    }
                    simd.store(query, &mut query_map[(i * span + j) * S::LANES..]);
                    simd.store(key, &mut key_map[(i * span + j) * S::LANES..]);
                }
            }
            for i in 0..span {
                let mut largest = simd.splat(f32::NEG_INFINITY);
                for j in 0..span {
                    let mut product = simd.splat(0.0);
                    for r in 0..span {
                        let query = simd.load(&query_map[(r * span + i) * S::LANES..]);
                        let key = simd.load(&key_map[(r * span + j) * S::LANES..]);
                        product = simd.mul_add(query, key, product);
                    }
                    let at = (i * span + j) * S::LANES;
                    let mut sum = simd.mul(product_factor, product);
                    sum = simd.mul_add(query_factor, simd.load(&query_map[at..]), sum);
                    sum = simd.mul_add(key_factor, simd.load(&key_map[at..]), sum);
                    simd.store(sum, &mut weights[j * S::LANES..]);
                    largest = simd.max(sum, largest);
                }
                let mut total = simd.splat(0.0);
                for j in 0..span {
                    let power = exp(simd, simd.sub(simd.load(&weights[j * S::LANES..]), largest));
                    simd.store(power, &mut weights[j * S::LANES..]);
                    total = simd.add(total, power);
                }
                let inverse = simd.div(simd.splat(1.0), total);
                for c in 0..group.channels {
                    let mut sum = simd.splat(0.0);
                    for j in 0..span {
                        let embedding = simd.splat(group.embeddings.values[(span - 1 - i + j) * value_stride + c]);
                        let value = simd.load(group.plane(2 * half + c, j * self.height + first));
                        sum = simd.mul_add(simd.load(&weights[j * S::LANES..]), simd.add(value, embedding), sum);
                    }
                    let at = c * group.stride + i * self.height + first;
                    simd.store(simd.mul(sum, inverse), &mut self.out[at..]);
                }
            }
        }
    }
}
