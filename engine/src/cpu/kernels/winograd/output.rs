//! The second transform: from the products of tiles to activations, or to their 2×2 means.

use super::{POINT_ROWS, Scheme, TILE_ROWS};
use crate::cpu::kernels::activate::Affine;
use crate::pau::rational::{Rational, Splat};
use crate::simd::{Kernel, Simd};

/// `Aᵀm`.
#[inline(always)]
fn output_points<S: Simd, const N: usize, const O: usize>(simd: S, m: [S::Vector; N]) -> [S::Vector; O] {
    let mut out = [m[0]; O];
    let (sum, difference) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
    if N == 4 {
        out[0] = simd.add(m[0], sum);
        out[1] = simd.sub(difference, m[3]);
        return out;
    }
    let (wide_sum, wide_difference) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
    out[0] = simd.add(simd.add(m[0], sum), wide_sum);
    out[1] = simd.mul_add(simd.splat(2.0), wide_difference, difference);
    out[2] = simd.mul_add(simd.splat(4.0), wide_sum, sum);
    out[3] = simd.add(simd.mul_add(simd.splat(8.0), wide_difference, difference), m[5]);
    out
}

/// `Aᵀm` of a row of `N` points, `stride` apart.
#[inline(always)]
fn along<S: Simd, const N: usize, const O: usize>(simd: S, points: &[f32], stride: usize) -> [S::Vector; O] {
    let mut m = [simd.load(points); N];
    for j in 1..N {
        m[j] = simd.load(&points[j * stride..]);
    }
    output_points::<S, N, O>(simd, m)
}

/// The products of some rows of tiles, `[point][tile][channels]`, and what happens to the outputs made of them.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct OutputTransform<'a> {
    pub(in crate::cpu) scheme: Scheme,
    pub(in crate::cpu) products: &'a [f32],
    /// Elements between tiles, and between points.
    pub(in crate::cpu) strides: (usize, usize),
    /// Tiles of a row.
    pub(in crate::cpu) tiles: usize,
    pub(in crate::cpu) affine: Affine<'a>,
    /// Offsets, in the map written, of the first pixel of each row.
    pub(in crate::cpu) rows: &'a [usize],
    /// Pixels of a row to write.
    pub(in crate::cpu) width: usize,
}

/// A whole tile for one vector of channels: outputs by row and column.
type Tile<V, const O: usize> = [[V; O]; TILE_ROWS];

impl OutputTransform<'_> {
    /// `AᵀmA`, scaled and shifted.
    #[inline(always)]
    fn outputs<S: Simd, const N: usize, const O: usize>(&self, simd: S, tile: usize, c: usize) -> Tile<S::Vector, O> {
        let (tile_stride, point_stride) = self.strides;
        let start = tile * tile_stride + c;
        let products = &self.products[start..];
        // Written out: an array filled in a loop would be cleared first.
        let rows: [[S::Vector; O]; POINT_ROWS] = [
            along::<S, N, O>(simd, products, point_stride),
            along::<S, N, O>(simd, &products[N * point_stride..], point_stride),
            along::<S, N, O>(simd, &products[2 * N * point_stride..], point_stride),
            along::<S, N, O>(simd, &products[3 * N * point_stride..], point_stride),
            along::<S, N, O>(simd, &products[4 * N * point_stride..], point_stride),
            along::<S, N, O>(simd, &products[5 * N * point_stride..], point_stride),
        ];
        let (scale, shift) = (simd.load(&self.affine.scale[c..]), simd.load(&self.affine.shift[c..]));
        let mut out = [rows[0]; TILE_ROWS];
        for j in 0..O {
            let m = [rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]];
            let m = output_points::<S, POINT_ROWS, TILE_ROWS>(simd, m);
            for i in 0..TILE_ROWS {
                out[i][j] = simd.mul_add(scale, m[i], shift);
            }
        }
        out
    }

    /// Writes what `epilogue` makes of every output.
    #[inline(always)]
    fn store<S: Simd, const N: usize, const O: usize>(&self, simd: S, epilogue: &impl Epilogue<S>, out: &mut [f32]) {
        let channels = self.affine.scale.len();
        for (row, rows) in self.rows.chunks(TILE_ROWS).enumerate() {
            for tile in 0..self.tiles {
                let columns = self.width.saturating_sub(tile * O).min(O);
                for c in (0..channels).step_by(S::LANES) {
                    let u = self.outputs::<S, N, O>(simd, row * self.tiles + tile, c);
                    let y = epilogue.of(u);
                    for (i, &start) in rows.iter().enumerate() {
                        let pixels = &mut out[start + tile * O * channels..];
                        for j in 0..O {
                            if j < columns {
                                simd.store(y[i][j], &mut pixels[j * channels + c..]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is made of a tile before it is written.
trait Epilogue<S: Simd> {
    fn of<const O: usize>(&self, u: Tile<S::Vector, O>) -> Tile<S::Vector, O>;
}

/// Nothing.
struct Untouched;

impl<S: Simd> Epilogue<S> for Untouched {
    #[inline(always)]
    fn of<const O: usize>(&self, u: Tile<S::Vector, O>) -> Tile<S::Vector, O> {
        u
    }
}

/// `F`.
impl<S: Simd> Epilogue<S> for Splat<'_, S, 6, 4> {
    #[inline(always)]
    fn of<const O: usize>(&self, u: Tile<S::Vector, O>) -> Tile<S::Vector, O> {
        self.values(u)
    }
}

/// Writes every output as it is: `scale·y + shift`.
pub(in crate::cpu) struct PlainTransform<'a> {
    pub(in crate::cpu) outputs: OutputTransform<'a>,
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for PlainTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.outputs.scheme {
            Scheme::Four => self.outputs.store::<S, 6, 4>(simd, &Untouched, self.out),
            Scheme::Two => self.outputs.store::<S, 4, 2>(simd, &Untouched, self.out),
        }
    }
}

/// What is added to the outputs before the activation.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Shortcut<'a> {
    pub(in crate::cpu) map: &'a [f32],
    /// Offsets of the first pixel of each row, 4 for each row of tiles.
    pub(in crate::cpu) rows: &'a [usize],
}

/// Writes the activation of every output: `F(scale·y + shift)`.
pub(in crate::cpu) struct StoreTransform<'a> {
    pub(in crate::cpu) outputs: OutputTransform<'a>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for StoreTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pau = self.pau.splat(simd);
        match self.outputs.scheme {
            Scheme::Four => self.outputs.store::<S, 6, 4>(simd, &pau, self.out),
            Scheme::Two => self.outputs.store::<S, 4, 2>(simd, &pau, self.out),
        }
    }
}

/// Writes the means of 2×2 activations `F(scale·y + shift + shortcut)`; `outputs` counts pooled rows and pixels.
pub(in crate::cpu) struct PoolTransform<'a> {
    pub(in crate::cpu) outputs: OutputTransform<'a>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
    pub(in crate::cpu) shortcut: Shortcut<'a>,
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for PoolTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.outputs.scheme {
            Scheme::Four => self.pooled::<S, 6, 4>(simd),
            Scheme::Two => self.pooled::<S, 4, 2>(simd),
        }
    }
}

impl PoolTransform<'_> {
    #[inline(always)]
    fn pooled<S: Simd, const N: usize, const O: usize>(self, simd: S) {
        let outputs = &self.outputs;
        let pau = self.pau.splat(simd);
        let channels = outputs.affine.scale.len();
        let quarter = simd.splat(0.25);
        for (row, rows) in outputs.rows.chunks(TILE_ROWS / 2).enumerate() {
            let mut shortcut_rows = [0; TILE_ROWS];
            shortcut_rows.copy_from_slice(&self.shortcut.rows[row * TILE_ROWS..][..TILE_ROWS]);
            for tile in 0..outputs.tiles {
                let pairs = outputs.width.saturating_sub(tile * O / 2).min(O / 2);
                let mut shortcuts: [&[f32]; TILE_ROWS] = [&[]; TILE_ROWS];
                for i in 0..TILE_ROWS {
                    shortcuts[i] = &self.shortcut.map[shortcut_rows[i] + tile * O * channels..][..O * channels];
                }
                for c in (0..channels).step_by(S::LANES) {
                    let mut u = outputs.outputs::<S, N, O>(simd, row * outputs.tiles + tile, c);
                    for i in 0..TILE_ROWS {
                        for j in 0..O {
                            u[i][j] = simd.add(u[i][j], simd.load(&shortcuts[i][j * channels + c..]));
                        }
                    }
                    let y = pau.of(u);
                    for (pair, &start) in rows.iter().enumerate() {
                        let pixels = &mut self.out[start + tile * (O / 2) * channels..];
                        for j in 0..O / 2 {
                            if j < pairs {
                                let above = simd.add(y[2 * pair][2 * j], y[2 * pair][2 * j + 1]);
                                let below = simd.add(y[2 * pair + 1][2 * j], y[2 * pair + 1][2 * j + 1]);
                                let mean = simd.mul(simd.add(above, below), quarter);
                                simd.store(mean, &mut pixels[j * channels + c..]);
                            }
                        }
                    }
                }
            }
        }
    }
}
