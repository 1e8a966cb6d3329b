//! The 3×3 convolution of maps of a single channel, and the gradient of its weight: nine products an output, summed directly.

use super::Maps;
use crate::cpu::kernels::PANEL;
use crate::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Rows whose products are summed in `f32` before they join a sum in `f64`.
const ROWS: usize = 8;
/// Pixels computed together, so that a weight is loaded once for all.
const PIXELS: usize = 4;

/// The filters of a 3×3 convolution of one channel, stride 1, padded by 1.
#[derive(Clone, Debug)]
pub struct SingleFilters {
    /// `[9, outputs]`.
    taps: Vec<f32>,
    outputs: usize,
}

impl SingleFilters {
    /// Whether this number of outputs is covered: multiples of 16.
    pub fn cover(outputs: usize) -> bool {
        outputs > 0 && outputs.is_multiple_of(PANEL)
    }

    /// The filters of `weight [outputs, 1, 3, 3]`, whose last axis is frequency.
    ///
    /// # Panics
    /// If the outputs are not [covered](Self::cover), or the weight has another length.
    pub fn new(weight: &[f32], outputs: usize) -> Self {
        assert!(Self::cover(outputs), "{outputs} channels");
        assert_eq!(weight.len(), outputs * 9);
        Self {
            taps: (0..9 * outputs)
                .map(|index| weight[index % outputs * 9 + index / outputs])
                .collect(),
            outputs,
        }
    }

    /// Convolves `x [records, height, width]` into `y [records, height, width, outputs]`, on rayon's threads.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn convolve(&self, isa: Isa, maps: Maps, x: &[f32], y: &mut [f32]) {
        let pixels = maps.height * maps.width;
        assert_eq!(x.len(), maps.records * pixels);
        assert_eq!(y.len(), x.len() * self.outputs);
        if y.is_empty() {
            return;
        }
        let records = x.par_chunks(pixels).zip(y.par_chunks_mut(pixels * self.outputs));
        records.for_each(|(x, y)| {
            let bordered = Bordered::of(x, maps);
            isa.run(Forward {
                filters: self,
                x: &bordered,
                y,
            });
        });
    }
}

/// The gradient of `weight [outputs, 1, 3, 3]`: `Σ x·grad_y` over all records and pixels, for `x [records, height, width]` and
/// `grad_y [records, height, width, outputs]`. The same bits for any number of threads.
///
/// # Panics
/// If the outputs are not [covered](SingleFilters::cover), or a length does not fit.
pub fn single_weight_gradient(
    isa: Isa,
    maps: Maps,
    outputs: usize,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let pixels = maps.height * maps.width;
    assert!(SingleFilters::cover(outputs), "{outputs} channels");
    assert_eq!(x.len(), maps.records * pixels);
    assert_eq!(grad_y.len(), x.len() * outputs);
    assert_eq!(grad_weight.len(), outputs * 9);
    let of_records: Vec<Vec<f64>> = if x.is_empty() {
        Vec::new()
    } else {
        let records = x.par_chunks(pixels).zip(grad_y.par_chunks(pixels * outputs));
        records
            .map(|(x, grad_y)| {
                let bordered = Bordered::of(x, maps);
                isa.run(Gradient {
                    x: &bordered,
                    grad_y,
                    outputs,
                })
            })
            .collect()
    };
    for (index, gradient) in grad_weight.iter_mut().enumerate() {
        let (output, tap) = (index / 9, index % 9);
        let sum: f64 = of_records.iter().map(|sums| sums[tap * outputs + output]).sum();
        *gradient = sum as f32;
    }
}

/// A map within a border of zeros.
struct Bordered {
    values: Vec<f32>,
    /// Values of a row.
    columns: usize,
}

impl Bordered {
    fn of(x: &[f32], maps: Maps) -> Self {
        let columns = maps.width + 2;
        let mut values = vec![0.0; (maps.height + 2) * columns];
        for (row, from) in values[columns..]
            .chunks_exact_mut(columns)
            .zip(x.chunks_exact(maps.width))
        {
            row[1..=maps.width].copy_from_slice(from);
        }
        Self { values, columns }
    }

    /// The three rows around row `y` of the map.
    fn around(&self, y: usize) -> [&[f32]; 3] {
        std::array::from_fn(|dy| &self.values[(y + dy) * self.columns..][..self.columns])
    }

    fn width(&self) -> usize {
        self.columns - 2
    }
}

struct Forward<'a> {
    filters: &'a SingleFilters,
    x: &'a Bordered,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (width, outputs) = (self.x.width(), self.filters.outputs);
        for (row, out) in self.y.chunks_exact_mut(width * outputs).enumerate() {
            let rows = self.x.around(row);
            let whole = width / PIXELS * PIXELS;
            for column in (0..whole).step_by(PIXELS) {
                pixels::<S, PIXELS>(simd, self.filters, rows, column, &mut out[column * outputs..]);
            }
            for column in whole..width {
                pixels::<S, 1>(simd, self.filters, rows, column, &mut out[column * outputs..]);
            }
        }
    }
}

/// `N` neighbouring pixels.
#[inline(always)]
fn pixels<S: Simd, const N: usize>(
    simd: S,
    filters: &SingleFilters,
    rows: [&[f32]; 3],
    column: usize,
    out: &mut [f32],
) {
    let outputs = filters.outputs;
    for first in (0..outputs).step_by(S::LANES) {
        let mut sums = [simd.splat(0.0); N];
        for (tap, weights) in filters.taps.chunks_exact(outputs).enumerate() {
            let weight = simd.load(&weights[first..]);
            let x = &rows[tap / 3][column + tap % 3..][..N];
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add(simd.splat(*x), weight, *sum);
            }
        }
        for (pixel, sum) in sums.into_iter().enumerate() {
            simd.store(sum, &mut out[pixel * outputs + first..]);
        }
    }
}

struct Gradient<'a> {
    x: &'a Bordered,
    grad_y: &'a [f32],
    outputs: usize,
}

impl Kernel for Gradient<'_> {
    /// `[9, outputs]`.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f64> {
        let (width, outputs) = (self.x.width(), self.outputs);
        let mut gradient = vec![0.0; 9 * outputs];
        for (block, grad_y) in self.grad_y.chunks(ROWS * width * outputs).enumerate() {
            for first in (0..outputs).step_by(S::LANES) {
                for dy in 0..3 {
                    let mut sums = [simd.splat(0.0); 3];
                    for (row, grad_y) in grad_y.chunks_exact(width * outputs).enumerate() {
                        let x = self.x.around(block * ROWS + row)[dy];
                        for (pixel, x) in grad_y.chunks_exact(outputs).zip(x.windows(3)) {
                            let pixel = simd.load(&pixel[first..]);
                            for (sum, x) in sums.iter_mut().zip(x) {
                                *sum = simd.mul_add(simd.splat(*x), pixel, *sum);
                            }
                        }
                    }
                    for (dx, sum) in sums.into_iter().enumerate() {
                        let lanes = simd.lanes(sum);
                        let totals = &mut gradient[(3 * dy + dx) * outputs + first..][..S::LANES];
                        for (total, lane) in totals.iter_mut().zip(lanes) {
                            *total += f64::from(lane);
                        }
                    }
                }
            }
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{noise, reference};
    use super::*;

    #[test]
    fn forward_and_weight_gradient_equal_sums() {
        for isa in Isa::available() {
            for (records, height, width, outputs) in [(3, 13, 5, 16), (2, 9, 33, 32), (1, 1, 1, 16), (2, 17, 2, 48)] {
                let maps = Maps { records, height, width };
                let (weight, x) = (noise(outputs * 9, 1), noise(records * height * width, 2));
                let mut y = vec![f32::NAN; x.len() * outputs];
                SingleFilters::new(&weight, outputs).convolve(isa, maps, &x, &mut y);
                let exact = reference(&x, &weight, maps, (outputs, 1));
                for (got, exact) in y.iter().zip(&exact) {
                    // Nine products of magnitude 1.
                    assert!(
                        (f64::from(*got) - exact).abs() < 9.0 * 6e-8 * 9.0,
                        "{maps:?}: {got}, {exact}"
                    );
                }

                let grad_y = noise(y.len(), 3);
                let mut gradient = vec![f32::NAN; weight.len()];
                single_weight_gradient(isa, maps, outputs, &x, &grad_y, &mut gradient);
                for (index, got) in gradient.iter().enumerate() {
                    // The weight's gradient is how `Σ y·grad_y` depends on it, which is linear.
                    let mut unit = vec![0.0; weight.len()];
                    unit[index] = 1.0;
                    let y = reference(&x, &unit, maps, (outputs, 1));
                    let exact: f64 = y.iter().zip(&grad_y).map(|(y, g)| y * f64::from(*g)).sum();
                    let terms = (ROWS * width) as f64;
                    assert!(
                        (f64::from(*got) - exact).abs() < 6e-8 * (terms + exact.abs()) * 4.0,
                        "{maps:?}: {got}, {exact}"
                    );
                }
            }
        }
    }
}
