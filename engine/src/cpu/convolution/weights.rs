//! The gradient of the filters of a 3×3 convolution, in the Winograd domain: a product per point and tile instead of nine per output.

use super::{Filters, Maps, Piece, SCRATCH, Scratch, TILES};
use crate::cpu::kernels::{
    GradientTransform, InputTransform, Outer, PANEL, Panelled, Scheme, TILE_ROWS, unpack_gradient,
};
use crate::simd::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// Outputs of one task: enough that the inputs' transform, which every task repeats, is little beside its products.
const BLOCK: usize = 64;
/// Runs of records that are summed apart, at most, and the numbers that all their sums may take together.
const GROUPS: usize = 12;
const PARTIAL: usize = 1 << 21;

/// The gradient of `weight [outputs, inputs, 3, 3]`, stride 1, padded by 1: `Σ x·grad_y` over all records and pixels, for
/// `x [records, height, width, inputs]` and `grad_y [records, height, width, outputs]`, on rayon's threads.
///
/// The same bits for any number of threads: what is summed apart, and in which order it is joined (in `f64`), depends on the extents
/// only. Errors are those of the convolution itself, about 20 times a direct sum's.
///
/// # Panics
/// If the channels are not [covered](Filters::cover), or a length does not fit.
pub fn weight_gradient(
    isa: Isa,
    maps: Maps,
    (outputs, inputs): (usize, usize),
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let pixels = maps.height * maps.width;
    assert!(Filters::cover(inputs, outputs), "{inputs} and {outputs} channels");
    assert_eq!(x.len(), maps.records * pixels * inputs);
    assert_eq!(grad_y.len(), maps.records * pixels * outputs);
    assert_eq!(grad_weight.len(), outputs * inputs * 9);
    if x.is_empty() {
        grad_weight.fill(0.0);
        return;
    }
    let length = Scheme::of(maps.width).points() * inputs * outputs;
    let groups = (PARTIAL / length).clamp(1, GROUPS).min(maps.records);
    let per_group = maps.records.div_ceil(groups);
    let groups = maps.records.div_ceil(per_group);
    let blocks = outputs.div_ceil(BLOCK);
    let task = |task: usize| {
        let (group, block) = (task / blocks, task % blocks);
        let records = group * per_group..maps.records.min((group + 1) * per_group);
        let product = Product {
            maps: Maps {
                records: records.len(),
                ..maps
            },
            inputs,
            outputs,
            block: block * BLOCK..outputs.min((block + 1) * BLOCK),
        };
        let of = |channels: usize| records.start * pixels * channels..records.end * pixels * channels;
        let (x, grad_y) = (&x[of(inputs)], &grad_y[of(outputs)]);
        SCRATCH.with_borrow_mut(|scratch| product.sum(isa, (x, grad_y), scratch))
    };
    let sums: Vec<Vec<f32>> = (0..groups * blocks).into_par_iter().map(task).collect();
    let weights = grad_weight.par_chunks_mut(BLOCK * inputs * 9);
    weights.enumerate().for_each(|(block, weights)| {
        let sums: Vec<&[f32]> = sums.iter().skip(block).step_by(blocks).map(Vec::as_slice).collect();
        unpack_gradient(isa, Scheme::of(maps.width), inputs, &sums, weights);
    });
}

/// A task: some records, some of the outputs.
struct Product {
    maps: Maps,
    inputs: usize,
    outputs: usize,
    /// Channels of the outputs, whole panels.
    block: Range<usize>,
}

impl Product {
    /// The sums at every point, `[point][input panel][output panel][PANEL][PANEL]`.
    fn sum(&self, isa: Isa, (x, grad_y): (&[f32], &[f32]), scratch: &mut Scratch) -> Vec<f32> {
        let Maps { height, width, .. } = self.maps;
        let scheme = Scheme::of(width);
        let mut sums = vec![0.0; scheme.points() * self.inputs * self.block.len()];
        let rows = height.div_ceil(TILE_ROWS);
        let across = width.div_ceil(scheme.outputs());
        // Small maps share a sweep of the sums.
        let records = (TILES / (rows * across)).max(1);
        let step = (TILES / across).clamp(1, rows);
        let pixels = height * width;
        let chunks = x.chunks(records * pixels * self.inputs);
        for (x, grad_y) in chunks.zip(grad_y.chunks(records * pixels * self.outputs)) {
            for first in (0..rows).step_by(step) {
                let piece = Piece {
                    maps: self.maps,
                    first: first * TILE_ROWS,
                    rows: step.min(rows - first),
                    across,
                };
                self.piece(isa, &piece, (x, grad_y), scratch, &mut sums);
            }
        }
        sums
    }

    /// Adds the same rows of tiles of some whole maps.
    fn piece(&self, isa: Isa, piece: &Piece, (x, grad_y): (&[f32], &[f32]), scratch: &mut Scratch, sums: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.block.len());
        let scheme = Scheme::of(self.maps.width);
        let pixels = self.maps.height * self.maps.width;
        let tiles = piece.rows * piece.across;
        let count = x.len() / (pixels * inputs) * tiles;
        let columns = piece.across * scheme.outputs() + 2;
        let height = piece.rows * TILE_ROWS + 2;
        // A cache line more than a power of two, or all points would fall into the same few lines of the cache.
        let point = |channels: usize| count * channels + PANEL;
        scratch.points.resize(scheme.points() * point(inputs));
        scratch.products.resize(scheme.points() * point(outputs));
        let (x_rows, y_rows): (Vec<usize>, Vec<usize>) = (0..height)
            .map(|row| (row * columns * inputs, ((row + 1) * columns + 1) * outputs))
            .unzip();
        let records = x
            .chunks_exact(pixels * inputs)
            .zip(grad_y.chunks_exact(pixels * self.outputs));
        for (record, (x, grad_y)) in records.enumerate() {
            let map = scratch.map.resize(height * columns * inputs);
            piece.bordered(x, (inputs, 0..inputs), columns, map);
            isa.run(InputTransform {
                scheme,
                map,
                rows: &x_rows,
                channels: inputs,
                tiles: piece.across,
                points: &mut scratch.points[record * tiles * PANEL..],
                strides: (PANEL, point(inputs)),
                panel: count * PANEL,
            });
            let map = scratch.map.resize(height * columns * outputs);
            piece.bordered(grad_y, (self.outputs, self.block.clone()), columns, map);
            isa.run(GradientTransform {
                scheme,
                map,
                rows: &y_rows[..piece.rows * TILE_ROWS],
                channels: outputs,
                tiles: piece.across,
                points: &mut scratch.products[record * tiles * PANEL..],
                point: point(outputs),
                panel: count * PANEL,
            });
        }
        isa.run(Outer {
            batch: scheme.points(),
            rows: count,
            a: Panelled {
                data: &scratch.points,
                stride: point(inputs),
                panels: inputs / PANEL,
            },
            b: Panelled {
                data: &scratch.products,
                stride: point(outputs),
                panels: outputs / PANEL,
            },
            c: sums,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    /// The sums in `f64`, and the root of the sum of their terms' squares.
    fn reference(x: &[f32], grad_y: &[f32], maps: Maps, (outputs, inputs): (usize, usize)) -> Vec<(f64, f64)> {
        let (height, width) = (maps.height as isize, maps.width as isize);
        let mut sums = vec![(0.0, 0.0); outputs * inputs * 9];
        for record in 0..maps.records as isize {
            for (y, x_at) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                for tap in 0..9 {
                    let (from, at) = (y + tap / 3 - 1, x_at + tap % 3 - 1);
                    if !(0..height).contains(&from) || !(0..width).contains(&at) {
                        continue;
                    }
                    let pixel = |y: isize, x: isize| ((record * height + y) * width + x) as usize;
                    let x = &x[pixel(from, at) * inputs..][..inputs];
                    let grad_y = &grad_y[pixel(y, x_at) * outputs..][..outputs];
                    for (output, grad_y) in grad_y.iter().enumerate() {
                        for (input, x) in x.iter().enumerate() {
                            let (sum, squares) = &mut sums[(output * inputs + input) * 9 + tap as usize];
                            let term = f64::from(*x) * f64::from(*grad_y);
                            *sum += term;
                            *squares += term * term;
                        }
                    }
                }
            }
        }
        for (_, squares) in &mut sums {
            *squares = squares.sqrt();
        }
        sums
    }

    /// Within 4e-5 of the root of the sum of the terms' squares (1.3e-5 was seen): errors of 1e-6 a term, 20 times a rounding, add up as the terms do; the same
    /// bits on one thread and on three. The extents leave rests of rows, columns, blocks of outputs and groups of records.
    #[test]
    fn a_weight_gradient_equals_sums() {
        for isa in Isa::available() {
            for (records, height, width, inputs, outputs) in [
                (3, 13, 5, 16, 32),
                (14, 9, 2, 16, 16),
                (2, 70, 33, 16, 16),
                (1, 1, 1, 16, 16),
                (13, 6, 4, 48, 80),
                (5, 35, 2, 32, 144),
            ] {
                let maps = Maps { records, height, width };
                let x = noise(records * height * width * inputs, 2);
                let grad_y = noise(records * height * width * outputs, 3);
                let gradient = |threads: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    let mut gradient = vec![f32::NAN; outputs * inputs * 9];
                    pool.expect("threads")
                        .install(|| weight_gradient(isa, maps, (outputs, inputs), &x, &grad_y, &mut gradient));
                    gradient
                };
                let found = gradient(1);
                let exact = reference(&x, &grad_y, maps, (outputs, inputs));
                for (index, (found, (exact, scale))) in found.iter().zip(exact).enumerate() {
                    let difference = (f64::from(*found) - exact).abs();
                    assert!(
                        difference <= 4e-5 * scale,
                        "{isa:?} {maps:?} {index}: {found}, {exact}: {difference:e} of {scale:e}"
                    );
                }
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&found), bits(&gradient(3)));
            }
        }
    }

    #[test]
    fn no_records_have_no_gradient() {
        let isa = Isa::detect().expect("an instruction set");
        let maps = Maps {
            records: 0,
            height: 3,
            width: 3,
        };
        let mut gradient = vec![f32::NAN; 16 * 16 * 9];
        weight_gradient(isa, maps, (16, 16), &[], &[], &mut gradient);
        assert!(gradient.iter().all(|&value| value == 0.0));
    }
}
