//! Both axes against the definition.

use super::*;
use crate::cpu::kernels::PANEL;
use crate::cpu::kernels::testing::{isas, numbers, within};

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
    for (span, across, channels) in [(1_usize, 3_usize, 4), (4, 18, 4), (21, 2, 4), (13, 3, 20)] {
        let half = channels / 2;
        let stride = 2 * span.next_multiple_of(PANEL);
        let length = 2 * span - 1;
        let relative = numbers("relative", 2 * channels * length);
        let mut maps = vec![0.0; 2 * half * stride];
        let value_stride = channels.next_multiple_of(PANEL);
        let mut values = vec![0.0; length * value_stride];
        for offset in 0..length {
            let from = |c: usize| relative[c * length + length - 1 - offset];
            (0..2 * half).for_each(|c| maps[c * stride + offset] = from(c));
            (0..channels).for_each(|c| values[offset * value_stride + c] = from(2 * half + c));
        }
        let relative = |c: usize, offset: usize| f64::from(relative[c * length + offset]);
        for time in [true, false] {
            let (height, width) = if time { (span, across) } else { (across, span) };
            let padded = height.next_multiple_of(PANEL);
            let plane = padded * width;
            let planes = numbers("planes", 2 * channels * plane);
            let group = Group {
                planes: &planes,
                stride: plane,
                channels,
                span,
                embeddings: Embeddings {
                    maps: &maps,
                    stride,
                    values: &values,
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
}
