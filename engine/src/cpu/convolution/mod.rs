//! 3×3 convolutions of batches of feature maps, as training computes them: without an epilogue, forward and for both gradients.
//!
//! The tiles are those of the inference kernels (`kernels::winograd`), with the same error. Maps are read and written channels-last, as
//! libtorch keeps them; every record's part of the result depends on that record alone, whatever the batch and the number of threads.

mod single;
mod weights;

pub use single::{SingleFilters, single_weight_gradient};
pub use weights::weight_gradient;

use super::kernels::{
    Affine, Aligned, Gemm, InputTransform, Operand, OutputTransform, PANEL, Packed, PlainTransform, Scheme, TILE_ROWS,
    TILES, repack_filters,
};
use crate::simd::Isa;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Extents of a batch of feature maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// Number of maps.
    pub records: usize,
    /// Extent along time.
    pub height: usize,
    /// Extent along frequency.
    pub width: usize,
}

/// The filters of a 3×3 convolution of stride 1, padded by 1, prepared for maps of one width.
#[derive(Clone, Debug)]
pub struct Filters {
    scheme: Scheme,
    packed: Packed,
    inputs: usize,
    outputs: usize,
    /// Scale and shift of the outputs, which are 1 and 0.
    neutral: (Vec<f32>, Vec<f32>),
}

impl Filters {
    /// Whether these numbers of channels are covered: multiples of 16.
    pub fn cover(inputs: usize, outputs: usize) -> bool {
        [inputs, outputs]
            .iter()
            .all(|&channels| channels > 0 && channels % PANEL == 0)
    }

    /// The filters of `weight [outputs, inputs, 3, 3]`, whose last axis is frequency.
    ///
    /// # Panics
    /// If the channels are not [covered](Self::cover), or the weight has another length.
    pub fn new(isa: Isa, weight: &[f32], (outputs, inputs): (usize, usize), width: usize) -> Self {
        assert_eq!(weight.len(), outputs * inputs * 9);
        Self::of(isa, (inputs, outputs), width, |output, input, tap| {
            weight[(output * inputs + input) * 9 + tap]
        })
    }

    /// The filters that take the gradient of the outputs to that of the inputs of the convolution with `weight [outputs, inputs, 3, 3]`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn of_input_gradient(isa: Isa, weight: &[f32], (outputs, inputs): (usize, usize), width: usize) -> Self {
        assert_eq!(weight.len(), outputs * inputs * 9);
        Self::of(isa, (outputs, inputs), width, |input, output, tap| {
            weight[(output * inputs + input) * 9 + 8 - tap]
        })
    }

    fn of(
        isa: Isa,
        (inputs, outputs): (usize, usize),
        width: usize,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        assert!(Self::cover(inputs, outputs), "{inputs} and {outputs} channels");
        let scheme = Scheme::of(width);
        let mut packed = SPARE.take();
        repack_filters(isa, scheme, (inputs, outputs), weight, &mut packed);
        Self {
            scheme,
            packed,
            inputs,
            outputs,
            neutral: (vec![1.0; outputs], vec![0.0; outputs]),
        }
    }

    /// Convolves `x [records, height, width, inputs]` into `y [records, height, width, outputs]`, on rayon's threads.
    ///
    /// # Panics
    /// If a length does not fit, or the maps have another width than the filters were made for.
    pub fn convolve(&self, isa: Isa, maps: Maps, x: &[f32], y: &mut [f32]) {
        let pixels = maps.height * maps.width;
        assert_eq!(x.len(), maps.records * pixels * self.inputs);
        assert_eq!(y.len(), maps.records * pixels * self.outputs);
        assert_eq!(Scheme::of(maps.width), self.scheme);
        if y.is_empty() {
            return;
        }
        let tiles = maps.height.div_ceil(TILE_ROWS) * maps.width.div_ceil(self.scheme.outputs());
        // Small maps share a sweep of the weights.
        let records = (TILES / tiles).max(1);
        x.par_chunks(records * pixels * self.inputs)
            .zip(y.par_chunks_mut(records * pixels * self.outputs))
            .for_each(|(x, y)| SCRATCH.with_borrow_mut(|scratch| self.chunk(isa, maps, (x, y), scratch)));
    }

    /// Some whole maps, [`TILES`] tiles at a time.
    fn chunk(&self, isa: Isa, maps: Maps, (x, y): (&[f32], &mut [f32]), scratch: &mut Scratch) {
        let pixels = maps.height * maps.width;
        let records = x.len() / (pixels * self.inputs);
        let rows = maps.height.div_ceil(TILE_ROWS);
        let across = maps.width.div_ceil(self.scheme.outputs());
        let step = (TILES / across).clamp(1, rows);
        for first in (0..rows).step_by(step) {
            let piece = Piece {
                maps,
                first: first * TILE_ROWS,
                rows: step.min(rows - first),
                across,
            };
            self.piece(isa, &piece, records, (x, y), scratch);
        }
    }

    /// The same rows of tiles of every record.
    fn piece(&self, isa: Isa, piece: &Piece, records: usize, (x, y): (&[f32], &mut [f32]), scratch: &mut Scratch) {
        let Piece { maps, across, .. } = *piece;
        let tiles = piece.rows * across;
        let count = records * tiles;
        let columns = across * self.scheme.outputs() + 2;
        // A cache line more than a power of two, or all points would fall into the same few lines of the cache.
        let strides = |channels: usize| (channels, count * channels + PANEL);
        let (inputs, outputs) = (strides(self.inputs), strides(self.outputs));
        scratch.points.resize(self.scheme.points() * inputs.1);
        scratch.products.resize(self.scheme.points() * outputs.1);
        let height = piece.rows * TILE_ROWS + 2;
        let row = columns * self.inputs;
        let starts: Vec<usize> = (0..height).map(|y| y * row).collect();
        let map_length = maps.height * maps.width * self.inputs;
        for record in 0..records {
            let map = scratch.map.resize(height * row);
            let x = &x[record * map_length..][..map_length];
            piece.bordered(x, (self.inputs, 0..self.inputs), columns, map);
            isa.run(InputTransform {
                scheme: self.scheme,
                map,
                rows: &starts,
                channels: self.inputs,
                tiles: across,
                points: &mut scratch.points[record * tiles * self.inputs..],
                strides: inputs,
                panel: PANEL,
            });
        }
        let offsets = |stride: usize| -> Vec<usize> { (0..count).map(|tile| tile * stride).collect() };
        let (a_rows, c_rows) = (offsets(inputs.0), offsets(outputs.0));
        isa.run(Gemm {
            batch: self.scheme.points(),
            a: &scratch.points,
            a_rows: Operand {
                rows: &a_rows,
                stride: inputs.1,
            },
            b: self.packed.view(),
            bias: None,
            c: &mut scratch.products,
            c_rows: Operand {
                rows: &c_rows,
                stride: outputs.1,
            },
        });
        let last = (piece.first + piece.rows * TILE_ROWS).min(maps.height);
        for record in 0..records {
            let rows: Vec<usize> = (piece.first..last)
                .map(|y| (record * maps.height + y) * maps.width * self.outputs)
                .collect();
            isa.run(PlainTransform {
                outputs: OutputTransform {
                    scheme: self.scheme,
                    products: &scratch.products[record * tiles * self.outputs..],
                    strides: outputs,
                    tiles: across,
                    affine: Affine {
                        scale: &self.neutral.0,
                        shift: &self.neutral.1,
                    },
                    rows: &rows,
                    width: maps.width,
                },
                out: &mut *y,
            });
        }
    }
}

impl Drop for Filters {
    fn drop(&mut self) {
        // A thread that ends has no spare any more.
        let _ = SPARE.try_with(|spare| spare.replace(std::mem::take(&mut self.packed)));
    }
}

/// Rows of tiles of a map.
struct Piece {
    maps: Maps,
    /// The first row of pixels.
    first: usize,
    /// Rows of tiles.
    rows: usize,
    /// Tiles of a row.
    across: usize,
}

impl Piece {
    /// The rows of `x [height, width, channels]` that the tiles read, of a range of the channels, within a border of zeros: `columns` pixels a row.
    fn bordered(&self, x: &[f32], (channels, range): (usize, Range<usize>), columns: usize, map: &mut [f32]) {
        let count = range.len();
        for (y, row) in map.chunks_exact_mut(columns * count).enumerate() {
            let source = (self.first + y).checked_sub(1).filter(|&y| y < self.maps.height);
            let Some(y) = source else {
                row.fill(0.0);
                continue;
            };
            let (before, row) = row.split_at_mut(count);
            before.fill(0.0);
            let (pixels, after) = row.split_at_mut(self.maps.width * count);
            after.fill(0.0);
            let x = &x[y * self.maps.width * channels..][..self.maps.width * channels];
            if count == channels {
                pixels.copy_from_slice(x);
                continue;
            }
            for (pixel, x) in pixels.chunks_exact_mut(count).zip(x.chunks_exact(channels)) {
                pixel.copy_from_slice(&x[range.clone()]);
            }
        }
    }
}

thread_local! {
    /// Kept from one convolution to the next: fresh memory costs as much as a transform.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// The last filters' memory, kept as well: training packs anew for every convolution.
    static SPARE: RefCell<Packed> = RefCell::default();
}

/// What a thread writes between the steps.
#[derive(Default)]
struct Scratch {
    map: Aligned,
    points: Aligned,
    products: Aligned,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::isas;

    /// Sums in `f64`.
    pub(super) fn reference(x: &[f32], weight: &[f32], maps: Maps, (outputs, inputs): (usize, usize)) -> Vec<f64> {
        let (height, width) = (maps.height as isize, maps.width as isize);
        let mut y = Vec::new();
        for record in 0..maps.records {
            let x = &x[record * maps.height * maps.width * inputs..];
            for row in 0..height {
                for column in 0..width {
                    for output in 0..outputs {
                        let mut sum = 0.0;
                        for (tap, (dy, dx)) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))).enumerate() {
                            let (from, at) = (row + dy, column + dx);
                            if (0..height).contains(&from) && (0..width).contains(&at) {
                                let pixel = (from * width + at) as usize * inputs;
                                for input in 0..inputs {
                                    let w = f64::from(weight[(output * inputs + input) * 9 + tap]);
                                    sum += w * f64::from(x[pixel + input]);
                                }
                            }
                        }
                        y.push(sum);
                    }
                }
            }
        }
        y
    }

    pub(super) fn noise(length: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..length).map(|_| next()).collect()
    }

    /// Numbers of magnitude 1, the worst of up to 74 000: within 1.6e-5·√(9·C_in), sixteen times what the kernels state on average. (The worst that was seen is
    /// 7e-6·√(9·C_in).) What nobody wrote is NaN, and further off than that.
    #[test]
    fn forward_and_input_gradient_equal_sums() {
        for isa in isas() {
            equals_sums(isa);
        }
    }

    fn equals_sums(isa: Isa) {
        for (records, height, width, inputs, outputs) in [
            (3, 13, 5, 16, 32),
            (5, 7, 2, 48, 16),
            (2, 70, 33, 16, 16),
            (1, 1, 1, 16, 16),
            (4, 9, 4, 32, 16),
        ] {
            let maps = Maps { records, height, width };
            let weight = noise(outputs * inputs * 9, 1);
            let x = noise(records * height * width * inputs, 2);
            let mut y = vec![f32::NAN; records * height * width * outputs];
            Filters::new(isa, &weight, (outputs, inputs), width).convolve(isa, maps, &x, &mut y);
            let tolerance = |channels: usize| 1.6e-5 * ((9 * channels) as f64).sqrt();
            let far = |got: &[f32], exact: &[f64]| {
                let differences = got
                    .iter()
                    .zip(exact)
                    .map(|(got, exact)| (f64::from(*got) - exact).abs());
                differences.fold(
                    0.0,
                    |most: f64, next| if next > most || next.is_nan() { next } else { most },
                )
            };
            let difference = far(&y, &reference(&x, &weight, maps, (outputs, inputs)));
            assert!(difference < tolerance(inputs), "{maps:?}: {difference}");

            // The gradient of the inputs is the convolution with the weights turned round and their channels exchanged.
            let mut turned = vec![0.0; weight.len()];
            for output in 0..outputs {
                for input in 0..inputs {
                    for tap in 0..9 {
                        turned[(input * outputs + output) * 9 + 8 - tap] = weight[(output * inputs + input) * 9 + tap];
                    }
                }
            }
            let gradient = noise(y.len(), 3);
            let mut dx = vec![f32::NAN; x.len()];
            Filters::of_input_gradient(isa, &weight, (outputs, inputs), width).convolve(isa, maps, &gradient, &mut dx);
            let difference = far(&dx, &reference(&gradient, &turned, maps, (inputs, outputs)));
            assert!(difference < tolerance(outputs), "{maps:?}, gradient: {difference}");
        }
    }
}
