//! Both axes against the definition.

use super::*;
use crate::cpu::kernels::PANEL;
use crate::cpu::kernels::testing::{isas, numbers, within};
use std::ops::Range;

const SIMILARITY: [f32; 3] = [0.7, -1.3, 0.9];

/// The definition, in `f64`, for one line: `line(plane, i)`, `relative(channel, offset)` for queries, keys and values.
fn reference(
    (span, channels): (usize, usize),
    line: impl Fn(usize, usize) -> f64,
    relative: impl Fn(usize, usize) -> f64,
) -> Vec<Vec<f64>> {
    let half = channels / 2;
    let embedded = |channel: usize, i: usize, j: usize| relative(channel, i + span - 1 - j);
    let map = |first: usize, i: usize, j: usize| -> f64 {
        (first..first + half).map(|c| line(c, i) * embedded(c, i, j)).sum()
    };
    let mut out = vec![vec![0.0; span]; channels];
    for i in 0..span {
        let score = |j: usize| {
            let product: f64 = (0..span).map(|r| map(0, r, i) * map(half, r, j)).sum();
            let terms = [product, map(0, i, j), map(half, i, j)];
            terms
                .iter()
                .zip(SIMILARITY)
                .map(|(term, factor)| term * f64::from(factor))
                .sum::<f64>()
                .exp()
        };
        let total: f64 = (0..span).map(score).sum();
        for (c, row) in out.iter_mut().enumerate() {
            let value = |j: usize| line(2 * half + c, j) + embedded(2 * half + c, i, j);
            row[i] = (0..span).map(|j| score(j) / total * value(j)).sum();
        }
    }
    out
}

/// Both axes against the definition. 2e-5: scores of magnitude 10 have an error of 1e-6, which the exponential passes on.
#[test]
fn both_axes_follow_the_definition() {
    for (span, across, channels) in [(1_usize, 3_usize, 4), (4, 18, 6), (21, 2, 4), (13, 3, 20)] {
        follow_the_definition((span, across, channels), 0..0);
    }
}

/// Along time where some positions, at either end or in the middle, are equal: a few, which are multiplied like others, and so many that their
/// products are known. The same bound.
#[test]
fn equal_positions_follow_the_definition() {
    for equal in [0..9, 3..21, 8..17, 20..45, 0..45, 41..45] {
        follow_the_definition((45, 2, 4), equal);
    }
    follow_the_definition((140, 1, 8), 70..138);
}

/// `equal`: positions of a line whose queries, keys and values are those of the first of them.
fn follow_the_definition((span, across, channels): (usize, usize, usize), equal: Range<usize>) {
    let half = channels / 2;
    let stride = 2 * span.next_multiple_of(PANEL);
    let length = 2 * span - 1;
    let relative = numbers("relative", 2 * channels * length);
    let mut maps = vec![0.0; 2 * half * stride];
    let value_stride = channels.next_multiple_of(PANEL);
    let mut values = vec![0.0; length * value_stride];
    let mut value_rows = vec![0.0; if channels <= NARROW { channels * stride } else { 0 }];
    for offset in 0..length {
        let from = |c: usize| relative[c * length + length - 1 - offset];
        (0..2 * half).for_each(|c| maps[c * stride + offset] = from(c));
        for c in 0..channels {
            values[offset * value_stride + c] = from(2 * half + c);
            if channels <= NARROW {
                value_rows[c * stride + offset] = from(2 * half + c);
            }
        }
    }
    let relative = |c: usize, offset: usize| f64::from(relative[c * length + offset]);
    for time in if equal.is_empty() { &[true, false][..] } else { &[true] } {
        let time = *time;
        let (height, width) = if time { (span, across) } else { (across, span) };
        let padded = height.next_multiple_of(PANEL);
        let plane = padded * width;
        let mut planes = numbers("planes", 2 * channels * plane);
        for line in planes.chunks_exact_mut(padded).filter(|_| !equal.is_empty()) {
            let value = line[equal.start];
            line[equal.clone()].fill(value);
        }
        let group = Group {
            planes: &planes,
            stride: plane,
            channels,
            span,
            embeddings: Embeddings {
                maps: &maps,
                stride,
                values: &values,
                value_rows: &value_rows,
            },
            similarity: SIMILARITY,
        };
        for isa in isas() {
            let mut out = vec![f32::NAN; channels * plane];
            if time {
                for column in 0..width {
                    isa.run(AlongTime {
                        group,
                        first: column * padded,
                        equal: Equal {
                            start: equal.start,
                            end: equal.end,
                        },
                        scratch: &mut vec![f32::NAN; along_time_scratch(span, channels)],
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
                let expected = reference((span, channels), |c, i| f64::from(planes[c * plane + at(i)]), relative);
                for (c, row) in expected.iter().enumerate() {
                    for (i, &expected) in row.iter().enumerate() {
                        within(isa, out[c * plane + at(i)], expected, 2e-5);
                    }
                }
            }
        }
    }
}
