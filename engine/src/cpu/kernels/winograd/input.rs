//! The first transform: from a map to the points of its tiles.

use super::{POINT_ROWS, Scheme, TILE_ROWS};
use crate::cpu::kernels::PANEL;
use crate::simd::{Kernel, Simd};

/// `Bᵀd`.
#[inline(always)]
fn input_points<S: Simd, const N: usize>(simd: S, d: [S::Vector; N]) -> [S::Vector; N] {
    let mut out = d;
    if N == 4 {
        out[0] = simd.sub(d[0], d[2]);
        out[1] = simd.add(d[1], d[2]);
        out[2] = simd.sub(d[2], d[1]);
        out[3] = simd.sub(d[1], d[3]);
        return out;
    }
    let (four, five, two) = (simd.splat(4.0), simd.splat(5.0), simd.splat(2.0));
    out[0] = simd.mul_add(four, d[0], simd.neg_mul_add(five, d[2], d[4]));
    let even = simd.neg_mul_add(four, d[2], d[4]);
    let odd = simd.neg_mul_add(four, d[1], d[3]);
    out[1] = simd.add(even, odd);
    out[2] = simd.sub(even, odd);
    let even = simd.sub(d[4], d[2]);
    let odd = simd.mul(two, simd.sub(d[3], d[1]));
    out[3] = simd.add(even, odd);
    out[4] = simd.sub(even, odd);
    out[5] = simd.mul_add(four, d[1], simd.neg_mul_add(five, d[3], d[5]));
    out
}

/// `Bᵀd` of a row of `N` pixels, `channels` apart.
#[inline(always)]
fn along<S: Simd, const N: usize>(simd: S, row: &[f32], channels: usize) -> [S::Vector; N] {
    let mut d = [simd.load(row); N];
    for j in 1..N {
        d[j] = simd.load(&row[j * channels..]);
    }
    input_points::<S, N>(simd, d)
}

/// `BᵀdB` of every tile of some rows of tiles: `points [point][tile][channels]`, or `[point][panel][tile][PANEL]` where panels are apart.
pub(in crate::cpu) struct InputTransform<'a> {
    pub(in crate::cpu) scheme: Scheme,
    pub(in crate::cpu) map: &'a [f32],
    /// Offsets of the rows the tiles read, at the left neighbour of the first column: 4 for each row of tiles, and 2 more.
    pub(in crate::cpu) rows: &'a [usize],
    pub(in crate::cpu) channels: usize,
    /// Tiles of a row.
    pub(in crate::cpu) tiles: usize,
    pub(in crate::cpu) points: &'a mut [f32],
    /// Elements between tiles, and between points.
    pub(in crate::cpu) strides: (usize, usize),
    /// Elements between panels of channels: [`PANEL`] where a tile's channels lie together.
    pub(in crate::cpu) panel: usize,
}

impl Kernel for InputTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.scheme {
            Scheme::Four => self.transform::<S, 6, 4>(simd),
            Scheme::Two => self.transform::<S, 4, 2>(simd),
        }
    }
}

impl InputTransform<'_> {
    #[inline(always)]
    fn transform<S: Simd, const N: usize, const O: usize>(self, simd: S) {
        let (channels, (tile_stride, point_stride)) = (self.channels, self.strides);
        for row in 0..(self.rows.len() - 2) / TILE_ROWS {
            let mut rows: [usize; POINT_ROWS] = [0; POINT_ROWS];
            rows.copy_from_slice(&self.rows[row * TILE_ROWS..][..POINT_ROWS]);
            for tile in 0..self.tiles {
                let column = tile * O * channels;
                let mut inputs: [&[f32]; POINT_ROWS] = [&[]; POINT_ROWS];
                for i in 0..POINT_ROWS {
                    inputs[i] = &self.map[rows[i] + column..][..N * channels];
                }
                let start = (row * self.tiles + tile) * tile_stride;
                for c in (0..channels).step_by(S::LANES) {
                    // Written out: an array filled in a loop would be cleared first.
                    let rows: [[S::Vector; N]; POINT_ROWS] = [
                        along(simd, &inputs[0][c..], channels),
                        along(simd, &inputs[1][c..], channels),
                        along(simd, &inputs[2][c..], channels),
                        along(simd, &inputs[3][c..], channels),
                        along(simd, &inputs[4][c..], channels),
                        along(simd, &inputs[5][c..], channels),
                    ];
                    let start = start + c / PANEL * self.panel + c % PANEL;
                    for j in 0..N {
                        let d = [rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]];
                        let d = input_points::<S, POINT_ROWS>(simd, d);
                        for i in 0..POINT_ROWS {
                            simd.store(d[i], &mut self.points[start + (i * N + j) * point_stride..]);
                        }
                    }
                }
            }
        }
    }
}
