//! 3×3 convolutions of integers by Winograd's minimal filtering, exactly.
//!
//! The transform of the inputs has whole coefficients: magnitudes grow at most tenfold along each axis of 4 outputs, so −255…255
//! become at most 25 500, which 16 bits hold. The rows of `G`, times 24 along an axis of 4 outputs and times 2 along one of 2, are whole
//! too; its last row of 4 outputs is kept at half of that and doubled in the output transform, so that weights of 8 bits become at
//! most 12·12·127 = 18 288. Products are summed modulo 2³², and so is the output transform, which gives 576 (or 48) times the
//! convolution's sum; the odd part, 9 (or 3), is undone by its inverse modulo 2³². What is left is 64 (or 16) times the sum, known
//! modulo 2³²: the sum itself as long as it stays below 2²⁵ (or 2²⁷), which [`IntegerScheme::fitting`] holds the weights to.

use super::super::winograd::POINT_ROWS;
use super::super::{PANEL, Scheme, TILE_ROWS};
use crate::simd::{Integer, Kernel};

/// How tiles divide the frequency axis, for sums that stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) struct IntegerScheme(pub(in crate::cpu) Scheme);

impl IntegerScheme {
    /// The cheapest scheme for maps of this width in which sums of magnitude `largest` are exact; `None` when there is none.
    pub(in crate::cpu) fn fitting(width: usize, largest: u64) -> Option<Self> {
        match Scheme::of(width) {
            Scheme::Four if largest < 1 << 25 => Some(Self(Scheme::Four)),
            _ if largest < 1 << 27 => Some(Self(Scheme::Two)),
            _ => None,
        }
    }

    /// How many times the sum the output transform gives once [`Self::inverse`] is multiplied in.
    pub(in crate::cpu) fn factor(self) -> f32 {
        match self.0 {
            Scheme::Four => 64.0,
            Scheme::Two => 16.0,
        }
    }

    /// The inverse modulo 2³² of the odd part of the output transform's factor: of 9, of 3.
    pub(super) fn inverse(self) -> i32 {
        match self.0 {
            Scheme::Four => 0x38e3_8e39,
            Scheme::Two => 0xaaaa_aaab_u32 as i32,
        }
    }
}

/// 24 times the rows of `G` of F(4, 3), the last one 12 times.
const FOUR: [[i32; 3]; 6] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 12]];
/// Twice the rows of `G` of F(2, 3).
const TWO: [[i32; 3]; 4] = [[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]];

/// A filter's values at every point, row by row; taps by rows along time.
pub(in crate::cpu) fn integer_weights(scheme: IntegerScheme, filter: &[i8; 9], mut store: impl FnMut(usize, i16)) {
    let columns: &[[i32; 3]] = match scheme.0 {
        Scheme::Four => &FOUR,
        Scheme::Two => &TWO,
    };
    for (i, row) in FOUR.iter().enumerate() {
        let along: [i32; 3] = std::array::from_fn(|x| (0..3).map(|y| row[y] * i32::from(filter[3 * y + x])).sum());
        for (j, column) in columns.iter().enumerate() {
            let value: i32 = (0..3).map(|x| column[x] * along[x]).sum();
            // At most 12·12·128 = 18 432 in magnitude.
            store(i * columns.len() + j, value as i16);
        }
    }
}

/// `BᵀdB` of every tile of some rows of tiles: `points [point][tile][channels]`; offsets and extents as in
/// [`InputTransform`](super::super::InputTransform).
pub(in crate::cpu) struct PointTransform<'a> {
    pub(in crate::cpu) scheme: IntegerScheme,
    pub(in crate::cpu) map: &'a [i16],
    pub(in crate::cpu) rows: &'a [usize],
    pub(in crate::cpu) channels: usize,
    pub(in crate::cpu) tiles: usize,
    pub(in crate::cpu) points: &'a mut [i16],
    /// Elements between tiles, and between points.
    pub(in crate::cpu) strides: (usize, usize),
}

impl Kernel for PointTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        assert!(self.channels.is_multiple_of(PANEL));
        match self.scheme.0 {
            Scheme::Four => self.transform::<S, 6, 4>(simd),
            Scheme::Two => self.transform::<S, 4, 2>(simd),
        }
    }
}

impl PointTransform<'_> {
    #[inline(always)]
    fn transform<S: Integer, const N: usize, const O: usize>(self, simd: S) {
        let (channels, (tile_stride, point_stride)) = (self.channels, self.strides);
        for row in 0..(self.rows.len() - 2) / TILE_ROWS {
            let mut rows: [usize; POINT_ROWS] = [0; POINT_ROWS];
            rows.copy_from_slice(&self.rows[row * TILE_ROWS..][..POINT_ROWS]);
            for tile in 0..self.tiles {
                let column = tile * O * channels;
                let mut inputs: [&[i16]; POINT_ROWS] = [&[]; POINT_ROWS];
                for i in 0..POINT_ROWS {
                    inputs[i] = &self.map[rows[i] + column..][..N * channels];
                }
                let start = (row * self.tiles + tile) * tile_stride;
                for c in (0..channels).step_by(S::SHORTS) {
                    // A panel may be half of a vector.
                    let whole = channels - c >= S::SHORTS;
                    let mut along = [[simd.splat_pair([0; 2]); N]; POINT_ROWS];
                    for i in 0..POINT_ROWS {
                        let mut d = [simd.splat_pair([0; 2]); N];
                        for j in 0..N {
                            d[j] = if whole {
                                simd.load_shorts(&inputs[i][j * channels + c..])
                            } else {
                                simd.load_shorts_partial(&inputs[i][j * channels + c..][..channels - c])
                            };
                        }
                        along[i] = input_points::<S, N>(simd, d);
                    }
                    for j in 0..N {
                        let mut d = [simd.splat_pair([0; 2]); POINT_ROWS];
                        for i in 0..POINT_ROWS {
                            d[i] = along[i][j];
                        }
                        let d = input_points::<S, POINT_ROWS>(simd, d);
                        for i in 0..POINT_ROWS {
                            let to = &mut self.points[start + (i * N + j) * point_stride + c..];
                            if whole {
                                simd.store_shorts(d[i], to);
                            } else {
                                simd.store_shorts_partial(d[i], &mut to[..channels - c]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `Bᵀd`.
#[inline(always)]
fn input_points<S: Integer, const N: usize>(simd: S, d: [S::Shorts; N]) -> [S::Shorts; N] {
    let mut out = d;
    if N == 4 {
        out[0] = simd.sub_shorts(d[0], d[2]);
        out[1] = simd.add_shorts(d[1], d[2]);
        out[2] = simd.sub_shorts(d[2], d[1]);
        out[3] = simd.sub_shorts(d[1], d[3]);
        return out;
    }
    let (a, b) = (simd.sub_shorts(d[4], d[2]), simd.sub_shorts(d[3], d[1]));
    out[0] = simd.add_shorts(simd.shift_shorts::<2>(simd.sub_shorts(d[0], d[2])), a);
    let even = simd.sub_shorts(d[4], simd.shift_shorts::<2>(d[2]));
    let odd = simd.sub_shorts(d[3], simd.shift_shorts::<2>(d[1]));
    out[1] = simd.add_shorts(even, odd);
    out[2] = simd.sub_shorts(even, odd);
    let twice = simd.add_shorts(b, b);
    out[3] = simd.add_shorts(a, twice);
    out[4] = simd.sub_shorts(a, twice);
    out[5] = simd.sub_shorts(simd.sub_shorts(d[5], d[3]), simd.shift_shorts::<2>(b));
    out
}

/// `Aᵀm` of scaled products.
#[inline(always)]
pub(super) fn output_points<S: Integer, const N: usize, const O: usize>(simd: S, m: [S::Ints; N]) -> [S::Ints; O] {
    let mut out = [m[0]; O];
    let (sum, difference) = (simd.add_ints(m[1], m[2]), simd.sub_ints(m[1], m[2]));
    if N == 4 {
        out[0] = simd.add_ints(m[0], sum);
        out[1] = simd.sub_ints(difference, m[3]);
        return out;
    }
    let (wide_sum, wide_difference) = (simd.add_ints(m[3], m[4]), simd.sub_ints(m[3], m[4]));
    out[0] = simd.add_ints(simd.add_ints(m[0], sum), wide_sum);
    out[1] = simd.add_ints(difference, simd.add_ints(wide_difference, wide_difference));
    out[2] = simd.add_ints(sum, simd.shift_ints::<2>(wide_sum));
    let last = simd.add_ints(simd.shift_ints::<2>(wide_difference), m[5]);
    out[3] = simd.add_ints(difference, simd.add_ints(last, last));
    out
}
