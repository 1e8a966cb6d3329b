//! From sums to a map: `F(scale·sum + shift + shortcut)`, perhaps the means of 2×2 of them, as floats or rounded to 8 bits.

use super::super::activate::Affine;
use super::super::{Scheme, TILE_ROWS};
use super::quantize::{Floats, Quantized, Sink, Target};
use super::winograd::{IntegerScheme, POINT_ROWS, output_points};
use crate::pau::rational::{Rational, Splat};
use crate::simd::{Integer, Kernel, MAX_LANES};

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
            exact: pau,
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
    exact: &'a Rational<6, 4>,
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

    /// `F` of a column.
    #[inline(always)]
    fn activated(&self, simd: S, u: [S::Vector; TILE_ROWS]) -> [S::Vector; TILE_ROWS] {
        let mut y = u;
        let mut largest = simd.splat(0.0);
        for i in 0..TILE_ROWS {
            largest = simd.max(simd.abs(u[i]), largest);
            y[i] = self.pau.value_within(u[i]);
        }
        if self.pau.beyond(largest) {
            for i in 0..TILE_ROWS {
                let mut lanes = [0.0; MAX_LANES];
                simd.store(u[i], &mut lanes);
                self.exact.exact_in_place(&mut lanes[..S::LANES]);
                y[i] = simd.load(&lanes);
            }
        }
        y
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
                        let y = self.activated(simd, self.column::<O>(simd, &along, j, c));
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
                            let y = self.activated(simd, u);
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

/// `F(scale·sum + shift)` of pixels `[.., channels]` one after the other, each row of `width` of them to its offset.
pub(in crate::cpu) struct Epilogue<'a> {
    pub(in crate::cpu) sums: &'a [i32],
    pub(in crate::cpu) affine: Affine<'a>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
    pub(in crate::cpu) rows: &'a [usize],
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) to: Target<'a>,
}

impl Kernel for Epilogue<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(mut self, simd: S) {
        match std::mem::replace(&mut self.to, Target::Floats(&mut [])) {
            Target::Floats(to) => self.all(simd, Floats(to)),
            Target::Quantized(to, rounding) => self.all(simd, Quantized(to, rounding)),
        }
    }
}

impl Epilogue<'_> {
    #[inline(always)]
    fn all<S: Integer>(&self, simd: S, mut to: impl Sink) {
        let pau = self.pau.splat(simd);
        let Affine { scale, shift } = self.affine;
        let channels = scale.len();
        for (start, row) in self.rows.iter().zip(self.sums.chunks_exact(self.width * channels)) {
            for (x, pixel) in row.chunks_exact(channels).enumerate() {
                for c in (0..channels).step_by(S::LANES) {
                    let sum = simd.to_floats(simd.load_ints(&pixel[c..]));
                    let u = simd.mul_add(simd.load(&scale[c..]), sum, simd.load(&shift[c..]));
                    let y = if pau.beyond(simd.abs(u)) {
                        let mut lanes = [0.0; MAX_LANES];
                        simd.store(u, &mut lanes);
                        self.pau.exact_in_place(&mut lanes[..S::LANES]);
                        simd.load(&lanes)
                    } else {
                        pau.value_within(u)
                    };
                    to.put(simd, y, start + x * channels + c);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PATCH, Pairs, PointTransform, Product, Results, Rounding, integer_patches, integer_weights};
    use super::*;
    use crate::cpu::kernels::testing::{integers, isas, numbers, within};
    use crate::cpu::kernels::{Operand, padded};
    use crate::pau::Pau;
    use crate::pau::reference::Point;
    use crate::simd::Isa;

    /// A map with its border, the filters, and a shortcut.
    struct Case {
        height: usize,
        width: usize,
        inputs: usize,
        outputs: usize,
        columns: usize,
        map: Vec<i16>,
        filters: Vec<i16>,
        shortcut: Vec<f32>,
    }

    impl Case {
        /// Every value an end of its range, or anything between.
        fn new((height, width, inputs, outputs): (usize, usize, usize, usize), extreme: bool) -> Self {
            let columns = width.next_multiple_of(4) + 2;
            let end = |values: Vec<i16>, largest: i16| -> Vec<i16> {
                let end = |value: i16| if value < 0 { -largest } else { largest };
                values
                    .into_iter()
                    .map(|value| if extreme { end(value) } else { value })
                    .collect()
            };
            let mut map = vec![0; (height + 8) * columns * inputs];
            let values = end(integers("map", height * width * inputs, 255), 255);
            for (row, values) in values.chunks(width * inputs).enumerate() {
                map[((row + 1) * columns + 1) * inputs..][..width * inputs].copy_from_slice(values);
            }
            Self {
                height,
                width,
                inputs,
                outputs,
                columns,
                map,
                filters: end(integers("filters", 9 * inputs * outputs, 127), 127),
                shortcut: numbers("shortcut", (height + 8) * columns * outputs),
            }
        }

        fn sum(&self, y: usize, x: usize, output: usize) -> i64 {
            let mut sum = 0;
            for tap in 0..9 {
                for input in 0..self.inputs {
                    let pixel = (y + tap / 3) * self.columns + x + tap % 3;
                    let weight = self.filters[(output * self.inputs + input) * 9 + tap];
                    sum += i64::from(self.map[pixel * self.inputs + input]) * i64::from(weight);
                }
            }
            sum
        }

        fn offsets(&self, rows: usize, channels: usize, first: usize) -> Vec<usize> {
            (0..rows).map(|row| (row * self.columns + first) * channels).collect()
        }

        /// Products of all tiles, and their strides.
        fn products(&self, isa: Isa, scheme: IntegerScheme, tiles: usize) -> (Vec<i32>, (usize, usize)) {
            let mut packed = Pairs::zeros(scheme.0.points(), self.inputs, self.outputs);
            for output in 0..self.outputs {
                for input in 0..self.inputs {
                    let filter: [i8; 9] =
                        std::array::from_fn(|tap| self.filters[(output * self.inputs + input) * 9 + tap] as i8);
                    integer_weights(scheme, &filter, |point, value| {
                        packed.set((point, input, output), value)
                    });
                }
            }
            let rows = self.height.next_multiple_of(TILE_ROWS);
            let count = rows / TILE_ROWS * tiles;
            let (point, product) = (count * self.inputs + 32, count * self.outputs + 16);
            let mut points = vec![i16::MIN; scheme.0.points() * point];
            isa.run(PointTransform {
                scheme,
                map: &self.map,
                rows: &self.offsets(rows + 2, self.inputs, 0),
                channels: self.inputs,
                tiles,
                points: &mut points,
                strides: (self.inputs, point),
            });
            let mut products = vec![i32::MIN; scheme.0.points() * product];
            isa.run(Product {
                batch: scheme.0.points(),
                a: &points,
                a_rows: Operand {
                    rows: &(0..count).map(|tile| tile * self.inputs).collect::<Vec<_>>(),
                    stride: point,
                },
                b: packed.view(),
                c: Results::Sums(&mut products),
                c_rows: Operand {
                    rows: &(0..count).map(|tile| tile * self.outputs).collect::<Vec<_>>(),
                    stride: product,
                },
            });
            (products, (self.outputs, product))
        }
    }

    const CASES: [(usize, usize, usize, usize); 6] = [
        (9, 33, 16, 32),
        (8, 16, 32, 16),
        (5, 3, 48, 16),
        (17, 2, 16, 16),
        (1, 1, 16, 16),
        (35, 4, 48, 48),
    ];

    /// Of both schemes, at the ends of the ranges too: with the identity for an activation a sum leaves as it is, below 2²⁴. Pixels that are
    /// not to be written stay as they were.
    #[test]
    fn sums_of_tiles_are_exact() {
        for isa in isas() {
            let pau = Pau::with_isa(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 4], isa).unwrap();
            for (case, extreme) in CASES.into_iter().flat_map(|case| [(case, false), (case, true)]) {
                let case = Case::new(case, extreme);
                for largest in [1, 1 << 26] {
                    let scheme = IntegerScheme::fitting(case.width, largest).unwrap();
                    let tiles = case.width.div_ceil(scheme.0.outputs());
                    let (products, strides) = case.products(isa, scheme, tiles);
                    let (scale, shift) = (vec![1.0 / scheme.factor(); case.outputs], vec![0.0; case.outputs]);
                    let mut out = vec![f32::NAN; case.height * case.columns * case.outputs + 1];
                    isa.run(Transform {
                        points: Points {
                            scheme,
                            products: &products,
                            strides,
                            tiles,
                        },
                        affine: Affine {
                            scale: &scale,
                            shift: &shift,
                        },
                        pau: pau.published_order().unwrap(),
                        added: Added::Nothing,
                        rows: &case.offsets(case.height, case.outputs, 1),
                        width: case.width,
                        to: Target::Floats(&mut out),
                    });
                    for (index, &found) in out.iter().enumerate() {
                        let (pixel, output) = (index / case.outputs, index % case.outputs);
                        let (y, x) = (pixel / case.columns, pixel % case.columns);
                        if y >= case.height || !(1..=case.width).contains(&x) {
                            assert!(found.is_nan(), "a pixel outside was written");
                            continue;
                        }
                        assert_eq!(found as i64, case.sum(y, x - 1, output), "{isa:?}, {scheme:?}");
                    }
                }
            }
        }
    }

    /// Means of 2×2 activations with either kind of shortcut, as floats against the definition in `f64` (2e-6 of each activation), and
    /// rounded: one step more than that.
    #[test]
    fn pooled_tiles_follow_the_definition() {
        const NUMERATOR: [f32; 6] = [0.03, 0.5, 1.6, 2.0, 0.9, 0.15];
        const DENOMINATOR: [f32; 4] = [0.0, 4.0, 0.1, 0.3];
        let exact = |u: f64| Point::new(&NUMERATOR[..], &DENOMINATOR[..], u).value;
        for isa in isas() {
            let pau = Pau::with_isa(&NUMERATOR, &DENOMINATOR, isa).unwrap();
            for case in CASES.map(|case| Case::new(case, false)) {
                let scheme = IntegerScheme::fitting(case.width, 1).unwrap();
                let tiles = case.width.div_ceil(scheme.0.outputs());
                let (products, strides) = case.products(isa, scheme, tiles);
                let unit = 1e-6_f32;
                let (scale, shift) = (vec![unit / scheme.factor(); case.outputs], vec![0.25; case.outputs]);
                let bytes = integers("bytes", case.shortcut.len(), 255);
                let (height, width) = (case.height / 2, case.width / 2);
                let (rows, starts) = (
                    case.offsets(case.height + 8, case.outputs, 1),
                    case.offsets(height, case.outputs, 0),
                );
                let step = 0.02;
                for by_bytes in [false, true] {
                    let mut floats = vec![f32::NAN; height * case.columns * case.outputs + 1];
                    let mut rounded = vec![i16::MIN; floats.len()];
                    let targets = [
                        Target::Floats(&mut floats),
                        Target::Quantized(&mut rounded, Rounding::new(step, -100)),
                    ];
                    for to in targets {
                        isa.run(Transform {
                            points: Points {
                                scheme,
                                products: &products,
                                strides,
                                tiles,
                            },
                            affine: Affine {
                                scale: &scale,
                                shift: &shift,
                            },
                            pau: pau.published_order().unwrap(),
                            added: match by_bytes {
                                true => Added::Bytes(&bytes, 0.01, &rows[1..]),
                                false => Added::Floats(&case.shortcut, &rows[1..]),
                            },
                            rows: &starts,
                            width,
                            to,
                        });
                    }
                    for (index, &found) in floats.iter().enumerate() {
                        let (pixel, output) = (index / case.outputs, index % case.outputs);
                        let (y, x) = (pixel / case.columns, pixel % case.columns);
                        if y >= height || x >= width {
                            assert!(
                                found.is_nan() && rounded[index] == i16::MIN,
                                "a pixel outside was written"
                            );
                            continue;
                        }
                        let mut mean = 0.0;
                        for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                            let (y, x) = (2 * y + dy, 2 * x + dx);
                            let at = ((y + 1) * case.columns + x + 1) * case.outputs + output;
                            let shortcut = match by_bytes {
                                true => f64::from(bytes[at]) * f64::from(0.01_f32),
                                false => f64::from(case.shortcut[at]),
                            };
                            mean += exact(f64::from(unit) * case.sum(y, x, output) as f64 + 0.25 + shortcut) / 4.0;
                        }
                        within(isa, found, mean, 3e-6 * (1.0 + mean.abs()));
                        let bounded = mean.clamp(-28.0 * f64::from(step), 227.0 * f64::from(step));
                        within(isa, f32::from(rounded[index]) * step, bounded, 0.51 * f64::from(step));
                    }
                }
            }
        }
    }

    /// The convolution of a single channel: sums are exact, rows go to their offsets.
    #[test]
    fn single_channels_are_exact() {
        let (height, width, outputs) = (3, 7, 20);
        let columns = width + 2;
        let map = integers("map", (height + 2) * columns, 255);
        let filters = integers("filters", 9 * outputs, 127);
        let packed = Pairs::of(PATCH, outputs, |tap, output| match tap < 9 {
            true => filters[output * 9 + tap],
            false => 0,
        });
        let wide = padded(outputs);
        for isa in isas() {
            let pau = Pau::with_isa(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 4], isa).unwrap();
            let mut patches = vec![0; height * width * PATCH];
            for (y, patches) in patches.chunks_mut(width * PATCH).enumerate() {
                integer_patches(&map, [0, 1, 2].map(|row| (y + row) * columns), width, patches);
            }
            let rows = |stride: usize| (0..height * width).map(|pixel| pixel * stride).collect::<Vec<_>>();
            let mut sums = vec![0; height * width * wide];
            isa.run(Product {
                batch: 1,
                a: &patches,
                a_rows: Operand {
                    rows: &rows(PATCH),
                    stride: 0,
                },
                b: packed.view(),
                c: Results::Sums(&mut sums),
                c_rows: Operand {
                    rows: &rows(wide),
                    stride: 0,
                },
            });
            let starts: Vec<usize> = (0..height).map(|y| (height - 1 - y) * width * wide).collect();
            let mut out = vec![f32::NAN; sums.len()];
            isa.run(Epilogue {
                sums: &sums,
                affine: Affine {
                    scale: &vec![1.0; wide],
                    shift: &vec![0.5; wide],
                },
                pau: pau.published_order().unwrap(),
                rows: &starts,
                width,
                to: Target::Floats(&mut out),
            });
            for (index, &found) in out.iter().enumerate() {
                let (y, x, output) = (height - 1 - index / wide / width, index / wide % width, index % wide);
                let term = |tap: usize| {
                    i32::from(map[(y + tap / 3) * columns + x + tap % 3]) * i32::from(filters[output * 9 + tap])
                };
                let sum: i32 = if output < outputs { (0..9).map(term).sum() } else { 0 };
                assert_eq!(found, sum as f32 + 0.5, "{isa:?}");
            }
        }
    }
}
