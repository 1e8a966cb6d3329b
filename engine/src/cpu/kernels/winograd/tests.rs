//! Whole tiles against the definition.

use super::*;
use crate::cpu::kernels::testing::{isas, numbers, within};
use crate::cpu::kernels::{Affine, Gemm, Operand};
use crate::pau::Pau;
use crate::pau::reference::Point;
use crate::simd::Isa;

/// A map with its border, the filters, and what the epilogue needs.
struct Case {
    height: usize,
    inputs: usize,
    outputs: usize,
    columns: usize,
    map: Vec<f32>,
    filters: Vec<f32>,
    shortcut: Vec<f32>,
}

const NUMERATOR: [f32; 6] = [0.03, 0.5, 1.6, 2.0, 0.9, 0.15];
const DENOMINATOR: [f32; 4] = [0.0, 4.0, 0.1, 0.3];

impl Case {
    fn new(height: usize, width: usize, inputs: usize, outputs: usize) -> Self {
        let columns = width.next_multiple_of(4) + 2;
        let mut map = vec![0.0; (height + 8) * columns * inputs];
        let values = numbers("map", height * width * inputs);
        for (row, values) in values.chunks(width * inputs).enumerate() {
            map[((row + 1) * columns + 1) * inputs..][..width * inputs].copy_from_slice(values);
        }
        Self {
            height,
            inputs,
            outputs,
            columns,
            map,
            filters: numbers("filters", 9 * inputs * outputs),
            shortcut: numbers("shortcut", (height + 8) * columns * outputs),
        }
    }

    /// `scale·conv + shift`, and the sum of its terms' magnitudes.
    fn sum(&self, y: usize, x: usize, output: usize) -> (f64, f64) {
        let (mut sum, mut scale) = (0.0, 0.0_f64);
        for tap in 0..9 {
            for input in 0..self.inputs {
                let pixel = (y + tap / 3) * self.columns + x + tap % 3;
                let weight = self.filters[(output * self.inputs + input) * 9 + tap];
                let term = f64::from(self.map[pixel * self.inputs + input]) * f64::from(weight);
                sum += term;
                scale += term.abs();
            }
        }
        (1.5 * sum + 0.25, 1.5 * scale)
    }

    fn shortcut(&self, y: usize, x: usize, output: usize) -> f64 {
        f64::from(self.shortcut[((y + 1) * self.columns + x + 1) * self.outputs + output])
    }

    fn offsets(&self, rows: usize, channels: usize, first: usize) -> Vec<usize> {
        (0..rows).map(|row| (row * self.columns + first) * channels).collect()
    }

    /// Products of all tiles, and their strides.
    fn products(&self, isa: Isa, scheme: Scheme, tiles: usize) -> (Vec<f32>, (usize, usize)) {
        let weight = |output: usize, input: usize, tap: usize| self.filters[(output * self.inputs + input) * 9 + tap];
        let packed = pack_filters(isa, scheme, (self.inputs, self.outputs), weight);
        let rows = self.height.next_multiple_of(TILE_ROWS);
        let count = rows / TILE_ROWS * tiles;
        let (point, product) = (count * self.inputs + 16, count * self.outputs + 16);
        let mut points = vec![f32::NAN; scheme.points() * point];
        isa.run(InputTransform {
            scheme,
            map: &self.map,
            rows: &self.offsets(rows + 2, self.inputs, 0),
            channels: self.inputs,
            tiles,
            points: &mut points,
            strides: (self.inputs, point),
            panel: PANEL,
        });
        let mut products = vec![f32::NAN; scheme.points() * product];
        isa.run(Gemm {
            batch: scheme.points(),
            a: &points,
            a_rows: Operand {
                rows: &(0..count).map(|tile| tile * self.inputs).collect::<Vec<_>>(),
                stride: point,
            },
            b: packed.view(),
            bias: None,
            c: &mut products,
            c_rows: Operand {
                rows: &(0..count).map(|tile| tile * self.outputs).collect::<Vec<_>>(),
                stride: product,
            },
        });
        (products, (self.outputs, product))
    }
}

/// Activations and pooled activations of both schemes against the definition in `f64`. The bound is 2e-5 of the sum of the
/// terms' magnitudes: tiles of 4×4 cost about 20 times a direct sum's error. Pixels that are not to be written stay as they were.
#[test]
fn tiles_are_convolutions() {
    let cases = [
        (9, 33, 16, 32),
        (8, 16, 32, 16),
        (5, 3, 48, 16),
        (17, 2, 16, 16),
        (1, 1, 16, 16),
        (35, 4, 64, 48),
    ];
    for isa in isas() {
        let pau = Pau::with_isa(&NUMERATOR, &DENOMINATOR, isa).unwrap();
        let exact = |u: f64| Point::new(&NUMERATOR[..], &DENOMINATOR[..], u).value;
        for (height, width, inputs, outputs) in cases {
            let case = Case::new(height, width, inputs, outputs);
            let (scale, shift) = (vec![1.5; outputs], vec![0.25; outputs]);
            let affine = Affine {
                scale: &scale,
                shift: &shift,
            };
            let scheme = Scheme::of(width);
            let tiles = width.div_ceil(scheme.outputs());
            let (products, strides) = case.products(isa, scheme, tiles);
            let mut transform = OutputTransform {
                scheme,
                products: &products,
                strides,
                tiles,
                affine,
                rows: &case.offsets(height, outputs, 1),
                width,
            };
            let mut out = vec![f32::NAN; height * case.columns * outputs + 1];
            isa.run(StoreTransform {
                outputs: transform,
                pau: pau.published_order().unwrap(),
                out: &mut out,
            });
            for (index, &found) in out.iter().enumerate() {
                let (y, x, output) = (
                    index / outputs / case.columns,
                    index / outputs % case.columns,
                    index % outputs,
                );
                if y >= height || !(1..=width).contains(&x) {
                    assert!(found.is_nan(), "a pixel outside was written");
                    continue;
                }
                let (sum, scale) = case.sum(y, x - 1, output);
                within(isa, found, exact(sum), 2e-5 * scale + 2e-6);
            }

            let rows = case.offsets(height / 2, outputs, 0);
            (transform.rows, transform.width) = (&rows, width / 2);
            let mut pooled = vec![f32::NAN; height / 2 * case.columns * outputs + 1];
            isa.run(PoolTransform {
                outputs: transform,
                pau: pau.published_order().unwrap(),
                shortcut: Shortcut {
                    map: &case.shortcut,
                    rows: &case.offsets(height + 8, outputs, 1)[1..],
                },
                out: &mut pooled,
            });
            for (index, &found) in pooled.iter().enumerate() {
                let (y, x, output) = (
                    index / outputs / case.columns,
                    index / outputs % case.columns,
                    index % outputs,
                );
                if y >= height / 2 || x >= width / 2 {
                    assert!(found.is_nan(), "a pixel outside was written");
                    continue;
                }
                let (mut mean, mut scale) = (0.0, 0.0_f64);
                for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let (sum, magnitude) = case.sum(2 * y + dy, 2 * x + dx, output);
                    mean += exact(sum + case.shortcut(2 * y + dy, 2 * x + dx, output)) / 4.0;
                    scale = scale.max(magnitude);
                }
                within(isa, found, mean, 2e-5 * scale + 2e-6);
            }
        }
    }
}
