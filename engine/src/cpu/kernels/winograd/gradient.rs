//! The gradient of the filters: the transposes of the second transform and of the filters' own.
//!
//! A tile's part of that gradient is `Gᵀ[(BᵀdB) ⊙ (A·y·Aᵀ)]G` for its inputs `d` and the gradient `y` of its outputs (Lavin & Gray 2016 turned round),
//! so that the sum over tiles is one product of matrices per point.

use super::{FOUR, POINT_ROWS, Scheme, TILE_ROWS, TWO};
use crate::cpu::kernels::PANEL;
use crate::simd::{Isa, Kernel, Simd};

/// `A·y`.
#[inline(always)]
fn gradient_points<S: Simd, const O: usize, const N: usize>(simd: S, y: [S::Vector; O]) -> [S::Vector; N] {
    let mut out = [y[0]; N];
    if O == 2 {
        out[1] = simd.add(y[0], y[1]);
        out[2] = simd.sub(y[0], y[1]);
        out[3] = simd.sub(simd.splat(0.0), y[1]);
        return out;
    }
    let (four, two, eight) = (simd.splat(4.0), simd.splat(2.0), simd.splat(8.0));
    let (even, odd) = (simd.add(y[0], y[2]), simd.add(y[1], y[3]));
    out[1] = simd.add(even, odd);
    out[2] = simd.sub(even, odd);
    let even = simd.mul_add(four, y[2], y[0]);
    let odd = simd.mul_add(eight, y[3], simd.mul(two, y[1]));
    out[3] = simd.add(even, odd);
    out[4] = simd.sub(even, odd);
    out[5] = y[3];
    out
}

/// `A·y` of a row of `O` pixels, `channels` apart.
#[inline(always)]
fn along<S: Simd, const O: usize, const N: usize>(simd: S, row: &[f32], channels: usize) -> [S::Vector; N] {
    let mut y = [simd.load(row); O];
    for j in 1..O {
        y[j] = simd.load(&row[j * channels..]);
    }
    gradient_points::<S, O, N>(simd, y)
}

/// `A·y·Aᵀ` of every tile of some rows of tiles: `points [point][panel][tile][PANEL]`.
pub(in crate::cpu) struct GradientTransform<'a> {
    pub(in crate::cpu) scheme: Scheme,
    /// Zeros where the outputs end.
    pub(in crate::cpu) map: &'a [f32],
    /// Offsets of the rows of outputs, at the first column: 4 for each row of tiles.
    pub(in crate::cpu) rows: &'a [usize],
    pub(in crate::cpu) channels: usize,
    /// Tiles of a row.
    pub(in crate::cpu) tiles: usize,
    pub(in crate::cpu) points: &'a mut [f32],
    /// Elements between points.
    pub(in crate::cpu) point: usize,
    /// Elements between panels.
    pub(in crate::cpu) panel: usize,
}

impl Kernel for GradientTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.scheme {
            Scheme::Four => self.transform::<S, 4, 6>(simd),
            Scheme::Two => self.transform::<S, 2, 4>(simd),
        }
    }
}

impl GradientTransform<'_> {
    #[inline(always)]
    fn transform<S: Simd, const O: usize, const N: usize>(self, simd: S) {
        let channels = self.channels;
        for (row, starts) in self.rows.chunks_exact(TILE_ROWS).enumerate() {
            for tile in 0..self.tiles {
                let column = tile * O * channels;
                let mut outputs: [&[f32]; TILE_ROWS] = [&[]; TILE_ROWS];
                for i in 0..TILE_ROWS {
                    outputs[i] = &self.map[starts[i] + column..][..O * channels];
                }
                for c in (0..channels).step_by(S::LANES) {
                    // Written out: an array filled in a loop would be cleared first.
                    let rows: [[S::Vector; N]; TILE_ROWS] = [
                        along::<S, O, N>(simd, &outputs[0][c..], channels),
                        along::<S, O, N>(simd, &outputs[1][c..], channels),
                        along::<S, O, N>(simd, &outputs[2][c..], channels),
                        along::<S, O, N>(simd, &outputs[3][c..], channels),
                    ];
                    let start = (row * self.tiles + tile) * PANEL + c / PANEL * self.panel + c % PANEL;
                    for j in 0..N {
                        let y = [rows[0][j], rows[1][j], rows[2][j], rows[3][j]];
                        let y = gradient_points::<S, TILE_ROWS, POINT_ROWS>(simd, y);
                        for i in 0..POINT_ROWS {
                            simd.store(y[i], &mut self.points[start + (i * N + j) * self.point..]);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the filters' gradients `weight [outputs, inputs, 3, 3]` from their sums at every point, each `[point][input panel][output panel][input][output]`
/// with [`PANEL`] inputs and outputs to a panel; what several arrays hold is added up.
pub(in crate::cpu) fn unpack_gradient(isa: Isa, scheme: Scheme, inputs: usize, sums: &[&[f32]], weight: &mut [f32]) {
    isa.run(Unpack {
        scheme,
        inputs,
        sums,
        weight,
    });
}

/// Plain loops over the lanes of a panel, which are compiled for each instruction set.
struct Unpack<'a> {
    scheme: Scheme,
    inputs: usize,
    sums: &'a [&'a [f32]],
    weight: &'a mut [f32],
}

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let columns: &[[f64; 3]] = match self.scheme {
            Scheme::Four => &FOUR,
            Scheme::Two => &TWO,
        };
        let inputs = self.inputs;
        let outputs = self.weight.len() / (9 * inputs);
        for panel in 0..outputs / PANEL {
            for input in 0..inputs {
                let within = (input / PANEL * (outputs / PANEL) + panel) * PANEL * PANEL + input % PANEL * PANEL;
                let mut filters = [[0.0; PANEL]; 9];
                for (i, row) in FOUR.iter().enumerate() {
                    let mut along = [[0.0; PANEL]; 3];
                    for (j, column) in columns.iter().enumerate() {
                        let start = (i * columns.len() + j) * inputs * outputs + within;
                        let mut point = [0.0; PANEL];
                        for sums in self.sums {
                            for (total, &sum) in point.iter_mut().zip(&sums[start..][..PANEL]) {
                                *total += f64::from(sum);
                            }
                        }
                        for (x, along) in along.iter_mut().enumerate() {
                            for lane in 0..PANEL {
                                along[lane] += column[x] * point[lane];
                            }
                        }
                    }
                    for y in 0..3 {
                        for x in 0..3 {
                            for lane in 0..PANEL {
                                filters[3 * y + x][lane] += row[y] * along[x][lane];
                            }
                        }
                    }
                }
                for lane in 0..PANEL {
                    let taps = &mut self.weight[((panel * PANEL + lane) * inputs + input) * 9..][..9];
                    for (tap, to) in taps.iter_mut().enumerate() {
                        *to = filters[tap][lane] as f32;
                    }
                }
            }
        }
    }
}
