//! 3×3 convolutions by Winograd's minimal filtering (Lavin & Gray 2016): a tile of outputs costs one product per point instead of
//! nine per output.
//!
//! Along time a tile has 4 outputs (6 points), along frequency 4, or 2 (4 points) where the map is 2 wide. The points are 0, ±1, ±2, ∞
//! and 0, ±1, ∞. With inputs and weights of magnitude 1 an output of the 4×4 tile is within 1e-6·√(C_in) of the exact sum on average and
//! within 1e-4 relative to the largest output; the network's probabilities stay within 1e-5 (tests of both).
//!
//! The epilogue of the second transform runs while the tile is in registers: scale, shift, shortcut, Padé activation, pooling.

use super::PANEL;
use super::activate::Affine;
use crate::pau::rational::{Rational, Splat};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// Outputs of a tile along time.
pub(in crate::cpu) const TILE_ROWS: usize = 4;
/// Points, and inputs, of a tile along time.
const POINT_ROWS: usize = 6;

/// How tiles divide the frequency axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) enum Scheme {
    /// 4 outputs of 6 inputs.
    Four,
    /// 2 outputs of 4 inputs.
    Two,
}

impl Scheme {
    /// The cheaper one for a map of this width.
    pub(in crate::cpu) fn of(width: usize) -> Self {
        if width <= 2 { Self::Two } else { Self::Four }
    }

    /// Outputs of a tile along frequency.
    pub(in crate::cpu) fn outputs(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Two => 2,
        }
    }

    /// Products of a tile, per pair of channels.
    pub(in crate::cpu) fn points(self) -> usize {
        POINT_ROWS * (self.outputs() + 2)
    }
}

/// The rows of `G` of F(4, 3).
const FOUR: [[f64; 3]; 6] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
/// The rows of `G` of F(2, 3).
const TWO: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// The weights of a panel of filters at every point, row by row: `G g Gᵀ`, rounded once. `filters[tap]` holds a tap of each, taps by rows
/// along time.
pub(in crate::cpu) fn transform_weights(
    scheme: Scheme,
    filters: &[[f32; PANEL]; 9],
    mut store: impl FnMut(usize, &[f32; PANEL]),
) {
    let columns: &[[f64; 3]] = match scheme {
        Scheme::Four => &FOUR,
        Scheme::Two => &TWO,
    };
    for (i, row) in FOUR.iter().enumerate() {
        let mut along = [[0.0; PANEL]; 3];
        for (x, sums) in along.iter_mut().enumerate() {
            for lane in 0..PANEL {
                sums[lane] = (0..3).map(|y| row[y] * f64::from(filters[3 * y + x][lane])).sum();
            }
        }
        for (j, column) in columns.iter().enumerate() {
            let mut values = [0.0; PANEL];
            for lane in 0..PANEL {
                let value: f64 = (0..3).map(|x| column[x] * along[x][lane]).sum();
                values[lane] = value as f32;
            }
            store(i * columns.len() + j, &values);
        }
    }
}

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

/// `BᵀdB` of every tile of some rows of tiles: `points [point][tile][channels]`.
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
                    let mut along = [[simd.splat(0.0); N]; POINT_ROWS];
                    for i in 0..POINT_ROWS {
                        let mut d = [simd.splat(0.0); N];
                        for j in 0..N {
                            d[j] = simd.load(&inputs[i][j * channels + c..]);
                        }
                        along[i] = input_points::<S, N>(simd, d);
                    }
                    for j in 0..N {
                        let mut d = [simd.splat(0.0); POINT_ROWS];
                        for i in 0..POINT_ROWS {
                            d[i] = along[i][j];
                        }
                        let d = input_points::<S, POINT_ROWS>(simd, d);
                        for i in 0..POINT_ROWS {
                            simd.store(d[i], &mut self.points[start + (i * N + j) * point_stride + c..]);
                        }
                    }
                }
            }
        }
    }
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
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
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
        let mut along = [[simd.splat(0.0); O]; POINT_ROWS];
        for i in 0..POINT_ROWS {
            let mut m = [simd.splat(0.0); N];
            for j in 0..N {
                m[j] = simd.load(&self.products[start + (i * N + j) * point_stride..]);
            }
            along[i] = output_points::<S, N, O>(simd, m);
        }
        let (scale, shift) = (simd.load(&self.affine.scale[c..]), simd.load(&self.affine.shift[c..]));
        let mut out = [[simd.splat(0.0); O]; TILE_ROWS];
        for j in 0..O {
            let mut m = [simd.splat(0.0); POINT_ROWS];
            for i in 0..POINT_ROWS {
                m[i] = along[i][j];
            }
            let m = output_points::<S, POINT_ROWS, TILE_ROWS>(simd, m);
            for i in 0..TILE_ROWS {
                out[i][j] = simd.mul_add(scale, m[i], shift);
            }
        }
        out
    }

    /// `F` of a whole tile.
    #[inline(always)]
    fn activate<S: Simd, const O: usize>(
        &self,
        simd: S,
        pau: &Splat<'_, S, 6, 4>,
        u: Tile<S::Vector, O>,
    ) -> Tile<S::Vector, O> {
        let mut largest = simd.splat(0.0);
        let mut y = u;
        for i in 0..TILE_ROWS {
            for j in 0..O {
                largest = simd.max(simd.abs(u[i][j]), largest);
                y[i][j] = pau.value_within(u[i][j]);
            }
        }
        if pau.beyond(largest) {
            for i in 0..TILE_ROWS {
                for j in 0..O {
                    let mut lanes = [0.0; MAX_LANES];
                    simd.store(u[i][j], &mut lanes);
                    self.pau.exact_in_place(&mut lanes[..S::LANES]);
                    y[i][j] = simd.load(&lanes);
                }
            }
        }
        y
    }
}

impl OutputTransform<'_> {
    #[inline(always)]
    fn activated<S: Simd, const N: usize, const O: usize>(&self, simd: S, out: &mut [f32]) {
        let pau = self.pau.splat(simd);
        let channels = self.affine.scale.len();
        for (row, rows) in self.rows.chunks(TILE_ROWS).enumerate() {
            for tile in 0..self.tiles {
                let columns = self.width.saturating_sub(tile * O).min(O);
                for c in (0..channels).step_by(S::LANES) {
                    let u = self.outputs::<S, N, O>(simd, row * self.tiles + tile, c);
                    let y = self.activate::<S, O>(simd, &pau, u);
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
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for StoreTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.outputs.scheme {
            Scheme::Four => self.outputs.activated::<S, 6, 4>(simd, self.out),
            Scheme::Two => self.outputs.activated::<S, 4, 2>(simd, self.out),
        }
    }
}

/// Writes the means of 2×2 activations `F(scale·y + shift + shortcut)`; `outputs` counts pooled rows and pixels.
pub(in crate::cpu) struct PoolTransform<'a> {
    pub(in crate::cpu) outputs: OutputTransform<'a>,
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
        let pau = outputs.pau.splat(simd);
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
                    let y = outputs.activate::<S, O>(simd, &pau, u);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, numbers, within};
    use crate::cpu::kernels::{Gemm, Operand, Packed};
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
            let mut packed = Packed::zeros(scheme.points(), self.inputs, self.outputs);
            for panel in 0..self.outputs / PANEL {
                for input in 0..self.inputs {
                    let weight = |tap: usize, lane: usize| {
                        self.filters[((panel * PANEL + lane) * self.inputs + input) * 9 + tap]
                    };
                    let filters = std::array::from_fn(|tap| std::array::from_fn(|lane| weight(tap, lane)));
                    transform_weights(scheme, &filters, |point, values| {
                        packed.lanes(point, panel, input).copy_from_slice(values);
                    });
                }
            }
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
                    pau: pau.published_order().unwrap(),
                    rows: &case.offsets(height, outputs, 1),
                    width,
                };
                let mut out = vec![f32::NAN; height * case.columns * outputs + 1];
                isa.run(StoreTransform {
                    outputs: transform,
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
}
