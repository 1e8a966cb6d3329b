//! Both axes against the definition.

use super::super::{PairPanels, Product, Results};
use super::*;
use crate::cpu::kernels::activate::Affine;
use crate::cpu::kernels::testing::{integers, isas, numbers, within};
use crate::cpu::kernels::{Equal, Operand, PANEL};

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

/// Both axes, an odd number of channels in a half, spans of either parity; along time also positions that are equal, at either end or in the
/// middle, from even and odd ones on, a few and many. 1e-6 where outputs are about 1: all sums are exact, and no value of these numbers lies
/// so near a tie that `f32` rounds it otherwise.
#[test]
fn both_axes_of_bytes_follow_the_definition() {
    let rounding = |(scale, zero_point)| Rounding::new(scale, zero_point);
    for (span, across, equal) in [
        (1_usize, 3_usize, 0..0),
        (4, 18, 0..0),
        (21, 2, 0..0),
        (5, 3, 0..0),
        (21, 2, 3..21),
        (22, 2, 4..22),
        (45, 1, 7..34),
        (45, 1, 8..33),
        (45, 1, 0..38),
        (45, 1, 41..45),
        (45, 1, 0..45),
    ] {
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
        for time in if equal.is_empty() { &[true, false][..] } else { &[true] } {
            let time = *time;
            let (height, width) = if time { (span, across) } else { (across, span) };
            let padded = height.next_multiple_of(PANEL);
            let plane = padded * width;
            let mut sums: Vec<i32> = integers("sums", 2 * CHANNELS * plane, 30_000)
                .into_iter()
                .map(i32::from)
                .collect();
            for line in sums.chunks_exact_mut(padded).filter(|_| !equal.is_empty()) {
                let value = line[equal.start];
                line[equal.clone()].fill(value);
            }
            let contraction = Contraction::new(
                span,
                Equal {
                    start: equal.start,
                    end: equal.end,
                },
            );
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
                    let pairs = contraction.pairs();
                    let rows: Vec<usize> = (0..span).map(|i| i * padded).collect();
                    for column in 0..width {
                        let mut query_map = vec![i16::MIN; span * padded];
                        let mut key_map = vec![i16::MIN; 2 * pairs * padded];
                        let mut products = vec![i32::MIN; span * padded];
                        let first = column * padded;
                        let mut known = vec![i32::MIN; contraction.sums()];
                        isa.run(IntegerTimeMaps {
                            group,
                            contraction,
                            first,
                            width: padded,
                            query_map: &mut query_map,
                            key_map: &mut key_map,
                            known: KnownScratch {
                                profiles: &mut vec![i16::MIN; contraction.profiles()],
                                sums: &mut known,
                            },
                        });
                        isa.run(Product {
                            batch: 1,
                            a: &query_map,
                            a_rows: Operand::of(&rows),
                            b: PairPanels {
                                data: &key_map,
                                pairs,
                                panels: padded / PANEL,
                            },
                            c: Results::Sums(&mut products),
                            c_rows: Operand::of(&rows),
                        });
                        isa.run(IntegerTimeOutputs {
                            group,
                            first,
                            width: padded,
                            products: &products,
                            known: contraction.known(&known),
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
