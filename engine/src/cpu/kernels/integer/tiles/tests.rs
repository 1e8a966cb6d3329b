use super::super::{Pairs, PointTransform, Product, Results, Rounding, integer_weights};
use super::*;
use crate::cpu::kernels::Operand;
use crate::cpu::kernels::testing::{integers, isas, numbers, within};
use crate::pau::Pau;
use crate::pau::reference::Point;
use crate::simd::Isa;

/// A map with its border, the filters, and a shortcut.
struct Case {
    height: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
    columns: usize,
    map: Vec<i16>,
    filters: Vec<i16>,
    shortcut: Vec<f32>,
}

impl Case {
    /// Every value an end of its range, or anything between.
    fn new((height, width, inputs, outputs): (usize, usize, usize, usize), extreme: bool) -> Self {
        let columns = width.next_multiple_of(4) + 2;
        let end = |values: Vec<i16>, largest: i16| -> Vec<i16> {
            let end = |value: i16| if value < 0 { -largest } else { largest };
            values
                .into_iter()
                .map(|value| if extreme { end(value) } else { value })
                .collect()
        };
        let mut map = vec![0; (height + 8) * columns * inputs];
        let values = end(integers("map", height * width * inputs, 255), 255);
        for (row, values) in values.chunks(width * inputs).enumerate() {
            map[((row + 1) * columns + 1) * inputs..][..width * inputs].copy_from_slice(values);
        }
        Self {
            height,
            width,
            inputs,
            outputs,
            columns,
            map,
            filters: end(integers("filters", 9 * inputs * outputs, 127), 127),
            shortcut: numbers("shortcut", (height + 8) * columns * outputs),
        }
    }

    fn sum(&self, y: usize, x: usize, output: usize) -> i64 {
        let mut sum = 0;
        for tap in 0..9 {
            for input in 0..self.inputs {
                let pixel = (y + tap / 3) * self.columns + x + tap % 3;
                let weight = self.filters[(output * self.inputs + input) * 9 + tap];
                sum += i64::from(self.map[pixel * self.inputs + input]) * i64::from(weight);
            }
        }
        sum
    }

    fn offsets(&self, rows: usize, channels: usize, first: usize) -> Vec<usize> {
        (0..rows).map(|row| (row * self.columns + first) * channels).collect()
    }

    /// Products of all tiles, and their strides.
    fn products(&self, isa: Isa, scheme: IntegerScheme, tiles: usize) -> (Vec<i32>, (usize, usize)) {
        let mut packed = Pairs::zeros(scheme.0.points(), self.inputs, self.outputs);
        for output in 0..self.outputs {
            for input in 0..self.inputs {
                let filter: [i8; 9] =
                    std::array::from_fn(|tap| self.filters[(output * self.inputs + input) * 9 + tap] as i8);
                integer_weights(scheme, &filter, |point, value| {
                    packed.set((point, input, output), value)
                });
            }
        }
        let rows = self.height.next_multiple_of(TILE_ROWS);
        let count = rows / TILE_ROWS * tiles;
        let (point, product) = (count * self.inputs + 32, count * self.outputs + 16);
        let mut points = vec![i16::MIN; scheme.0.points() * point];
        isa.run(PointTransform {
            scheme,
            map: &self.map,
            rows: &self.offsets(rows + 2, self.inputs, 0),
            channels: self.inputs,
            tiles,
            points: &mut points,
            strides: (self.inputs, point),
        });
        let mut products = vec![i32::MIN; scheme.0.points() * product];
        isa.run(Product {
            batch: scheme.0.points(),
            a: &points,
            a_rows: Operand {
                rows: &(0..count).map(|tile| tile * self.inputs).collect::<Vec<_>>(),
                stride: point,
            },
            b: packed.view(),
            c: Results::Sums(&mut products),
            c_rows: Operand {
                rows: &(0..count).map(|tile| tile * self.outputs).collect::<Vec<_>>(),
                stride: product,
            },
        });
        (products, (self.outputs, product))
    }
}

const CASES: [(usize, usize, usize, usize); 6] = [
    (9, 33, 16, 32),
    (8, 16, 32, 16),
    (5, 3, 48, 16),
    (17, 2, 16, 16),
    (1, 1, 16, 16),
    (35, 4, 48, 48),
];

/// Of both schemes, at the ends of the ranges too: with the identity for an activation a sum leaves as it is, below 2²⁴. Pixels that are
/// not to be written stay as they were.
#[test]
fn sums_of_tiles_are_exact() {
    for isa in isas() {
        let pau = Pau::with_isa(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 4], isa).unwrap();
        for (case, extreme) in CASES.into_iter().flat_map(|case| [(case, false), (case, true)]) {
            let case = Case::new(case, extreme);
            for largest in [1, 1 << 26] {
                let scheme = IntegerScheme::fitting(case.width, largest).unwrap();
                let tiles = case.width.div_ceil(scheme.0.outputs());
                let (products, strides) = case.products(isa, scheme, tiles);
                let (scale, shift) = (vec![1.0 / scheme.factor(); case.outputs], vec![0.0; case.outputs]);
                let mut out = vec![f32::NAN; case.height * case.columns * case.outputs + 1];
                isa.run(Transform {
                    points: Points {
                        scheme,
                        products: &products,
                        strides,
                        tiles,
                    },
                    affine: Affine {
                        scale: &scale,
                        shift: &shift,
                    },
                    pau: pau.published_order().unwrap(),
                    added: Added::Nothing,
                    rows: &case.offsets(case.height, case.outputs, 1),
                    width: case.width,
                    to: Target::Floats(&mut out),
                });
                for (index, &found) in out.iter().enumerate() {
                    let (pixel, output) = (index / case.outputs, index % case.outputs);
                    let (y, x) = (pixel / case.columns, pixel % case.columns);
                    if y >= case.height || !(1..=case.width).contains(&x) {
                        assert!(found.is_nan(), "a pixel outside was written");
                        continue;
                    }
                    assert_eq!(found as i64, case.sum(y, x - 1, output), "{isa:?}, {scheme:?}");
                }
            }
        }
    }
}

/// Means of 2×2 activations with either kind of shortcut, as floats against the definition in `f64` (2e-6 of each activation), and
/// rounded: one step more than that.
#[test]
fn pooled_tiles_follow_the_definition() {
    const NUMERATOR: [f32; 6] = [0.03, 0.5, 1.6, 2.0, 0.9, 0.15];
    const DENOMINATOR: [f32; 4] = [0.0, 4.0, 0.1, 0.3];
    let exact = |u: f64| Point::new(&NUMERATOR[..], &DENOMINATOR[..], u).value;
    for isa in isas() {
        let pau = Pau::with_isa(&NUMERATOR, &DENOMINATOR, isa).unwrap();
        for case in CASES.map(|case| Case::new(case, false)) {
            let scheme = IntegerScheme::fitting(case.width, 1).unwrap();
            let tiles = case.width.div_ceil(scheme.0.outputs());
            let (products, strides) = case.products(isa, scheme, tiles);
            let unit = 1e-6_f32;
            let (scale, shift) = (vec![unit / scheme.factor(); case.outputs], vec![0.25; case.outputs]);
            let bytes = integers("bytes", case.shortcut.len(), 255);
            let (height, width) = (case.height / 2, case.width / 2);
            let (rows, starts) = (
                case.offsets(case.height + 8, case.outputs, 1),
                case.offsets(height, case.outputs, 0),
            );
            let step = 0.02;
            for by_bytes in [false, true] {
                let mut floats = vec![f32::NAN; height * case.columns * case.outputs + 1];
                let mut rounded = vec![i16::MIN; floats.len()];
                let targets = [
                    Target::Floats(&mut floats),
                    Target::Quantized(&mut rounded, Rounding::new(step, -100)),
                ];
                for to in targets {
                    isa.run(Transform {
                        points: Points {
                            scheme,
                            products: &products,
                            strides,
                            tiles,
                        },
                        affine: Affine {
                            scale: &scale,
                            shift: &shift,
                        },
                        pau: pau.published_order().unwrap(),
                        added: match by_bytes {
                            true => Added::Bytes(&bytes, 0.01, &rows[1..]),
                            false => Added::Floats(&case.shortcut, &rows[1..]),
                        },
                        rows: &starts,
                        width,
                        to,
                    });
                }
                for (index, &found) in floats.iter().enumerate() {
                    let (pixel, output) = (index / case.outputs, index % case.outputs);
                    let (y, x) = (pixel / case.columns, pixel % case.columns);
                    if y >= height || x >= width {
                        assert!(
                            found.is_nan() && rounded[index] == i16::MIN,
                            "a pixel outside was written"
                        );
                        continue;
                    }
                    let mut mean = 0.0;
                    for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let (y, x) = (2 * y + dy, 2 * x + dx);
                        let at = ((y + 1) * case.columns + x + 1) * case.outputs + output;
                        let shortcut = match by_bytes {
                            true => f64::from(bytes[at]) * f64::from(0.01_f32),
                            false => f64::from(case.shortcut[at]),
                        };
                        mean += exact(f64::from(unit) * case.sum(y, x, output) as f64 + 0.25 + shortcut) / 4.0;
                    }
                    within(isa, found, mean, 3e-6 * (1.0 + mean.abs()));
                    let bounded = mean.clamp(-28.0 * f64::from(step), 227.0 * f64::from(step));
                    within(isa, f32::from(rounded[index]) * step, bounded, 0.51 * f64::from(step));
                }
            }
        }
    }
}
