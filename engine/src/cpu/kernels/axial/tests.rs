//! Both axes against the definition.

use super::*;
use crate::cpu::kernels::testing::{isas, numbers, within};
use crate::cpu::kernels::{Gemm, Operand, Panels};

const CHANNELS: usize = 4;
const HALF: usize = CHANNELS / 2;
const SIMILARITY: [f32; 3] = [0.7, -1.3, 0.9];

/// The definition, in `f64`, for one line: `line(plane, i)`, `relative(channel, offset)` for queries, keys and values.
fn reference(span: usize, line: impl Fn(usize, usize) -> f64, relative: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
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
