//! From the products of tiles to a map: `F(scale·sum + shift + shortcut)`, perhaps the means of 2×2 of them, as floats or rounded to 8 bits.

use super::super::activate::Affine;
use super::super::winograd::POINT_ROWS;
use super::super::{Scheme, TILE_ROWS};
use super::quantize::{Floats, Quantized, Sink, Target};
use super::winograd::{IntegerScheme, output_points};
use crate::pau::rational::{Rational, Splat};
use crate::simd::{Integer, Kernel};

/// The products of some rows of tiles, `[point][tile][channels]`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Points<'a> {
    pub(in crate::cpu) scheme: IntegerScheme,
    pub(in crate::cpu) products: &'a [i32],
    /// Elements between tiles, and between points.
    pub(in crate::cpu) strides: (usize, usize),
    /// Tiles of a row.
    pub(in crate::cpu) tiles: usize,
}

/// What is added to the outputs before the activation.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Added<'a> {
    /// Nothing; outputs are stored as they are.
    Nothing,
    /// Floats, and the means of 2×2 outputs are stored. Offsets of the first pixel of each row, 4 for each row of tiles.
    Floats(&'a [f32], &'a [usize]),
    /// The same for centred bytes times a scale.
    Bytes(&'a [i16], f32, &'a [usize]),
}

/// `F(scale·y + shift)` of every output `y` of tiles, `scale` with [`IntegerScheme::factor`] divided out; or the means of 2×2
/// of `F(scale·y + shift + shortcut)`, where `rows` and `width` count pooled rows and pixels.
pub(in crate::cpu) struct Transform<'a> {
    pub(in crate::cpu) points: Points<'a>,
    pub(in crate::cpu) affine: Affine<'a>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
    pub(in crate::cpu) added: Added<'a>,
    /// Offsets, in the map written, of the first pixel of each row.
    pub(in crate::cpu) rows: &'a [usize],
    /// Pixels of a row to write.
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) to: Target<'a>,
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let Self {
            points,
            affine,
            pau,
            added,
            rows,
            width,
            to,
        } = self;
        let tiles = Tiles {
            points,
            affine,
            pau: pau.splat(simd),
            rows,
            width,
        };
        match (to, points.scheme.0) {
            (Target::Floats(to), Scheme::Four) => tiles.all::<6, 4>(simd, added, Floats(to)),
            (Target::Floats(to), Scheme::Two) => tiles.all::<4, 2>(simd, added, Floats(to)),
            (Target::Quantized(to, rounding), Scheme::Four) => tiles.all::<6, 4>(simd, added, Quantized(to, rounding)),
            (Target::Quantized(to, rounding), Scheme::Two) => tiles.all::<4, 2>(simd, added, Quantized(to, rounding)),
        }
    }
}

/// One of [`Added`]'s, known when a kernel is compiled.
trait Source {
    fn get<S: Integer>(&self, simd: S, at: usize) -> S::Vector;
}

impl Source for &[f32] {
    #[inline(always)]
    fn get<S: Integer>(&self, simd: S, at: usize) -> S::Vector {
        simd.load(&self[at..])
    }
}

/// Centred bytes and their scale.
impl Source for (&[i16], f32) {
    #[inline(always)]
    fn get<S: Integer>(&self, simd: S, at: usize) -> S::Vector {
        simd.mul(simd.load_wide(&self.0[at..]), simd.splat(self.1))
    }
}

struct Tiles<'a, S: Integer> {
    points: Points<'a>,
    affine: Affine<'a>,
    pau: Splat<'a, S, 6, 4>,
    rows: &'a [usize],
    width: usize,
}

impl<S: Integer> Tiles<'_, S> {
    #[inline(always)]
    fn all<const N: usize, const O: usize>(&self, simd: S, added: Added<'_>, mut to: impl Sink) {
        match added {
            Added::Nothing => self.stored::<N, O>(simd, &mut to),
            Added::Floats(map, rows) => self.pooled::<N, O>(simd, rows, &map, &mut to),
            Added::Bytes(map, scale, rows) => self.pooled::<N, O>(simd, rows, &(map, scale), &mut to),
        }
    }

    /// The first half of `AᵀmA`: rows of points, columns of outputs.
    #[inline(always)]
    fn along<const N: usize, const O: usize>(&self, simd: S, tile: usize, c: usize) -> [[S::Ints; O]; POINT_ROWS] {
        let (tile_stride, point_stride) = self.points.strides;
        let start = tile * tile_stride + c;
        let mut along = [[simd.splat_ints(0); O]; POINT_ROWS];
        for i in 0..POINT_ROWS {
            let mut m = [simd.splat_ints(0); N];
            for j in 0..N {
                m[j] = simd.load_ints(&self.points.products[start + (i * N + j) * point_stride..]);
            }
            along[i] = output_points::<S, N, O>(simd, m);
        }
        along
    }

    /// Column `j` of the outputs, scaled and shifted.
    #[inline(always)]
    fn column<const O: usize>(
        &self,
        simd: S,
        along: &[[S::Ints; O]; POINT_ROWS],
        j: usize,
        c: usize,
    ) -> [S::Vector; TILE_ROWS] {
        let inverse = simd.splat_ints(self.points.scheme.inverse());
        let (scale, shift) = (simd.load(&self.affine.scale[c..]), simd.load(&self.affine.shift[c..]));
        let mut m = [simd.splat_ints(0); POINT_ROWS];
        for i in 0..POINT_ROWS {
            m[i] = along[i][j];
        }
        let m = output_points::<S, POINT_ROWS, TILE_ROWS>(simd, m);
        let mut out = [scale; TILE_ROWS];
        for i in 0..TILE_ROWS {
            let sum = simd.to_floats(simd.mul_ints(m[i], inverse));
            out[i] = simd.mul_add(scale, sum, shift);
        }
        out
    }

    #[inline(always)]
    fn stored<const N: usize, const O: usize>(&self, simd: S, to: &mut impl Sink) {
        let channels = self.affine.scale.len();
        for (row, rows) in self.rows.chunks(TILE_ROWS).enumerate() {
            for tile in 0..self.points.tiles {
                let columns = self.width.saturating_sub(tile * O).min(O);
                for c in (0..channels).step_by(S::LANES) {
                    let along = self.along::<N, O>(simd, row * self.points.tiles + tile, c);
                    for j in 0..columns {
                        let [y] = self.pau.values([self.column::<O>(simd, &along, j, c)]);
                        for i in 0..TILE_ROWS {
                            if let Some(start) = rows.get(i) {
                                to.put(simd, y[i], start + (tile * O + j) * channels + c);
                            }
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pooled<const N: usize, const O: usize>(
        &self,
        simd: S,
        shortcut_rows: &[usize],
        shortcut: &impl Source,
        to: &mut impl Sink,
    ) {
        let channels = self.affine.scale.len();
        let quarter = simd.splat(0.25);
        for (row, rows) in self.rows.chunks(TILE_ROWS / 2).enumerate() {
            let shortcut_rows = &shortcut_rows[row * TILE_ROWS..][..TILE_ROWS];
            for tile in 0..self.points.tiles {
                let pairs = self.width.saturating_sub(tile * O / 2).min(O / 2);
                for c in (0..channels).step_by(S::LANES) {
                    let along = self.along::<N, O>(simd, row * self.points.tiles + tile, c);
                    for pair in 0..pairs {
                        let mut sums = [quarter; TILE_ROWS];
                        for side in 0..2 {
                            let j = 2 * pair + side;
                            let mut u = self.column::<O>(simd, &along, j, c);
                            for i in 0..TILE_ROWS {
                                let at = shortcut_rows[i] + (tile * O + j) * channels + c;
                                u[i] = simd.add(u[i], shortcut.get(simd, at));
                            }
                            let [y] = self.pau.values([u]);
                            for i in 0..TILE_ROWS {
                                sums[i] = if side == 0 { y[i] } else { simd.add(sums[i], y[i]) };
                            }
                        }
                        for i in 0..TILE_ROWS / 2 {
                            if let Some(start) = rows.get(i) {
                                let mean = simd.mul(simd.add(sums[2 * i], sums[2 * i + 1]), quarter);
                                to.put(simd, mean, start + (tile * (O / 2) + pair) * channels + c);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
