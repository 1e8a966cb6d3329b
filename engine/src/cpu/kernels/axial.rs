//! Axial attention along one line, for one group of channels (see [`crate::plan::AxialAttention`] for the formula).
//!
//! Data are planes here: `[channel][column][height]`, the height padded to whole panels. Along time a line's positions lie side by side, and
//! vectors run along them; along frequency lines lie side by side, and vectors run across them. Relative embeddings are stored reversed,
//! so that the row `E[c, i, ·]` is a stretch of them.
//!
//! The product of the two maps, the bulk of the work along time, is a [`Gemm`](super::Gemm) between [`TimeMaps`] and [`TimeOutputs`].

use super::PANEL;
use super::rows::softmax_row;
use super::vecmath::exp;
use crate::simd::{Kernel, Simd};

/// One group's planes: queries, keys, values.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Group<'a> {
    /// `gc/2`, `gc/2` and `gc` planes.
    pub(in crate::cpu) planes: &'a [f32],
    /// Elements between planes.
    pub(in crate::cpu) stride: usize,
    /// `gc`.
    pub(in crate::cpu) channels: usize,
    /// Positions of a line.
    pub(in crate::cpu) span: usize,
    pub(in crate::cpu) embeddings: Embeddings<'a>,
    /// Factors of product, query map and key map.
    pub(in crate::cpu) similarity: [f32; 3],
}

/// `[channel][reversed offset]`, rows of `stride`, zeros behind the `2·span − 1` values.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Embeddings<'a> {
    pub(in crate::cpu) stride: usize,
    /// Queries, not reversed; `gc/2` rows.
    pub(in crate::cpu) forward_queries: &'a [f32],
    /// Queries, then keys; `gc/2` rows each.
    pub(in crate::cpu) maps: &'a [f32],
    /// Values times the group's position factors, `gc` rows.
    pub(in crate::cpu) values: &'a [f32],
}

impl<'a> Group<'a> {
    /// A plane from an element on.
    #[inline(always)]
    fn plane(&self, channel: usize, first: usize) -> &'a [f32] {
        &self.planes[channel * self.stride + first..]
    }
}

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
                        let embedding = simd.splat(group.embeddings.values[c * stride + span - 1 - i + j]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, numbers, within};
    use crate::cpu::kernels::{Gemm, Operand, Panels};

    const CHANNELS: usize = 4;
    const HALF: usize = CHANNELS / 2;
    const SIMILARITY: [f32; 3] = [0.7, -1.3, 0.9];

    /// The definition, in `f64`, for one line: `line(plane, i)`, `relative(channel, offset)` for queries, keys and values.
    fn reference(
        span: usize,
        line: impl Fn(usize, usize) -> f64,
        relative: impl Fn(usize, usize) -> f64,
    ) -> Vec<Vec<f64>> {
        let embedded = |channel: usize, i: usize, j: usize| relative(channel, i + span - 1 - j);
        let map = |first: usize, i: usize, j: usize| -> f64 {
            (first..first + HALF).map(|c| line(c, i) * embedded(c, i, j)).sum()
        };
        let mut out = vec![vec![0.0; span]; CHANNELS];
        for i in 0..span {
            let score = |j: usize| {
                let product: f64 = (0..span).map(|r| map(0, r, i) * map(HALF, r, j)).sum();
                let terms = [product, map(0, i, j), map(HALF, i, j)];
                terms
                    .iter()
                    .zip(SIMILARITY)
                    .map(|(term, factor)| term * f64::from(factor))
                    .sum::<f64>()
                    .exp()
            };
            let total: f64 = (0..span).map(score).sum();
            for (c, row) in out.iter_mut().enumerate() {
                let value = |j: usize| line(2 * HALF + c, j) + embedded(2 * HALF + c, i, j);
                row[i] = (0..span).map(|j| score(j) / total * value(j)).sum();
            }
        }
        out
    }

    /// Both axes against the definition. 2e-5: scores of magnitude 10 have an error of 1e-6, which the exponential passes on.
    #[test]
    fn both_axes_follow_the_definition() {
        for (span, across) in [(1_usize, 3_usize), (4, 18), (21, 2)] {
            let stride = 2 * span.next_multiple_of(PANEL);
            let length = 2 * span - 1;
            let relative = numbers("relative", 2 * CHANNELS * length);
            let stored = |channels: std::ops::Range<usize>, reversed: bool| -> Vec<f32> {
                let row = |c: usize| {
                    let mut row = relative[c * length..][..length].to_vec();
                    if reversed {
                        row.reverse();
                    }
                    row.resize(stride, 0.0);
                    row
                };
                channels.flat_map(row).collect()
            };
            let (forward, maps) = (stored(0..HALF, false), stored(0..2 * HALF, true));
            let values = stored(2 * HALF..2 * CHANNELS, true);
            let relative = |c: usize, offset: usize| f64::from(relative[c * length + offset]);
            for time in [true, false] {
                let (height, width) = if time { (span, across) } else { (across, span) };
                let padded = height.next_multiple_of(PANEL);
                let plane = padded * width;
                let planes = numbers("planes", 2 * CHANNELS * plane);
                let group = Group {
                    planes: &planes,
                    stride: plane,
                    channels: CHANNELS,
                    span,
                    embeddings: Embeddings {
                        stride,
                        forward_queries: &forward,
                        maps: &maps,
                        values: &values,
                    },
                    similarity: SIMILARITY,
                };
                for isa in isas() {
                    let mut out = vec![f32::NAN; CHANNELS * plane];
                    if time {
                        let rows: Vec<usize> = (0..span).map(|i| i * padded).collect();
                        for column in 0..width {
                            let mut buffers = [(); 3].map(|()| vec![f32::NAN; span * padded]);
                            let [query_map, key_map, products] = &mut buffers;
                            let first = column * padded;
                            isa.run(TimeMaps {
                                group,
                                first,
                                width: padded,
                                query_map,
                                key_map,
                            });
                            isa.run(Gemm {
                                batch: 1,
                                a: query_map,
                                a_rows: Operand { rows: &rows, stride: 0 },
                                b: Panels {
                                    data: key_map,
                                    rows: span,
                                    panels: padded / PANEL,
                                },
                                bias: None,
                                c: products,
                                c_rows: Operand { rows: &rows, stride: 0 },
                            });
                            isa.run(TimeOutputs {
                                group,
                                first,
                                width: padded,
                                key_map,
                                products,
                                out: &mut out,
                            });
                        }
                    } else {
                        isa.run(Frequency {
                            group,
                            height: padded,
                            scratch: &mut vec![f32::NAN; 3 * PANEL * span * span],
                            out: &mut out,
                        });
                    }
                    for line in 0..across {
                        let at = |i: usize| if time { line * padded + i } else { i * padded + line };
                        let expected = reference(span, |c, i| f64::from(planes[c * plane + at(i)]), relative);
                        for (c, row) in expected.iter().enumerate() {
                            for (i, &expected) in row.iter().enumerate() {
                                within(isa, out[c * plane + at(i)], expected, 2e-5);
                            }
                        }
                    }
                }
            }
        }
    }
}
