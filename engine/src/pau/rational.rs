//! The arithmetic of one vector: `F`, its derivative and the terms of the coefficient gradients.

use super::reference::{MAX_COEFFICIENTS, Point};
use crate::simd::{MAX_LANES, Simd};

/// Coefficients padded with zeros to `M` of the numerator and `N` of the denominator, so that every loop over them unrolls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rational<const M: usize, const N: usize> {
    numerator: [f32; M],
    /// Absolute values.
    denominator: [f32; N],
    limit: f32,
}

/// Largest value an intermediate of the `f32` formula may reach, with room for a gradient factor below `f32::MAX`.
const LARGEST: f64 = (1u128 << 110) as f64;

impl<const M: usize, const N: usize> Rational<M, N> {
    /// Pads; the slices are no longer than `M` and `N`.
    pub(super) fn new(numerator: &[f32], denominator: &[f32]) -> Self {
        let mut padded = Self {
            numerator: [0.0; M],
            denominator: [0.0; N],
            limit: limit(numerator, denominator),
        };
        for (to, from) in padded.numerator.iter_mut().zip(numerator) {
            *to = *from;
        }
        for (to, from) in padded.denominator.iter_mut().zip(denominator) {
            *to = from.abs();
        }
        padded
    }

    #[inline(always)]
    pub(crate) fn splat<S: Simd>(&self, simd: S) -> Splat<'_, S, M, N> {
        let zero = simd.splat(0.0);
        let mut splat = Splat {
            simd,
            numerator: [zero; M],
            denominator: [zero; N],
            one: simd.splat(1.0),
            limit: simd.splat(self.limit),
            rational: self,
        };
        for k in 0..M {
            splat.numerator[k] = simd.splat(self.numerator[k]);
        }
        for k in 0..N {
            splat.denominator[k] = simd.splat(self.denominator[k]);
        }
        splat
    }

    /// `F` of every number, in `f64`.
    #[cold]
    #[inline(never)]
    fn exact(&self, x: &mut [f32]) {
        for x in x {
            *x = Point::new(&self.numerator[..], &self.denominator[..], f64::from(*x)).value as f32;
        }
    }

    #[cold]
    #[inline(never)]
    fn gradients(&self, x: &[f32; MAX_LANES], grad_y: &[f32; MAX_LANES], sums: &mut Sums<M, N>) -> [f32; MAX_LANES] {
        let mut grad_x = [0.0; MAX_LANES];
        for lane in 0..MAX_LANES {
            let gradient = f64::from(grad_y[lane]);
            if gradient == 0.0 && x[lane].is_finite() {
                continue;
            }
            let point = Point::new(&self.numerator[..], &self.denominator[..], f64::from(x[lane]));
            grad_x[lane] = (gradient * point.derivative) as f32;
            for (k, sum) in sums.numerator.iter_mut().enumerate() {
                *sum += gradient * point.numerator_gradient(k);
            }
            for (k, sum) in sums.denominator.iter_mut().enumerate() {
                *sum += gradient * point.denominator_gradient(k + 1);
            }
        }
        grad_x
    }
}

/// The power of two up to which no intermediate of the `f32` formula exceeds [`LARGEST`]; negative when there is none.
fn limit(numerator: &[f32], denominator: &[f32]) -> f32 {
    let degree = denominator.len().max(numerator.len().saturating_sub(1)) as i32;
    for exponent in (0..=31).rev() {
        let x = f64::from(exponent).exp2();
        let mut p = 0.0;
        for (k, a) in numerator.iter().enumerate() {
            p += (k + 1) as f64 * f64::from(a.abs()) * x.powi(k as i32);
        }
        let mut q = 1.0;
        for (k, b) in denominator.iter().enumerate() {
            q += (k + 2) as f64 * f64::from(b.abs()) * x.powi(k as i32 + 1);
        }
        if p <= LARGEST && q <= LARGEST && x.powi(degree) <= LARGEST {
            return x as f32;
        }
    }
    -1.0
}

/// Sums of coefficient gradients: `∂/∂a_k` and `∂/∂|b_k|`.
#[derive(Clone, Debug)]
pub(super) struct Sums<const M: usize, const N: usize> {
    pub(super) numerator: [f64; M],
    pub(super) denominator: [f64; N],
    /// Some `x` was beyond the limit and its lane's terms are worth nothing.
    pub(super) beyond: bool,
}

impl<const M: usize, const N: usize> Sums<M, N> {
    pub(super) const ZERO: Self = Self {
        numerator: [0.0; M],
        denominator: [0.0; N],
        beyond: false,
    };

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, other) in self.numerator.iter_mut().zip(&other.numerator) {
            *sum += other;
        }
        for (sum, other) in self.denominator.iter_mut().zip(&other.denominator) {
            *sum += other;
        }
    }
}

/// The same sums in lanes, for a stretch short enough for `f32`.
pub(super) struct LaneSums<S: Simd, const M: usize, const N: usize> {
    numerator: [S::Vector; M],
    denominator: [S::Vector; N],
    largest: S::Vector,
}

impl<S: Simd, const M: usize, const N: usize> LaneSums<S, M, N> {
    #[inline(always)]
    pub(super) fn zero(simd: S) -> Self {
        let zero = simd.splat(0.0);
        Self {
            numerator: [zero; M],
            denominator: [zero; N],
            largest: zero,
        }
    }

    #[inline(always)]
    pub(super) fn add_to(&self, pau: &Splat<'_, S, M, N>, sums: &mut Sums<M, N>) {
        let simd = pau.simd;
        sums.beyond |= simd.any_greater(self.largest, pau.limit);
        for k in 0..M {
            sums.numerator[k] += simd.sum(self.numerator[k]);
        }
        for k in 0..N {
            sums.denominator[k] += simd.sum(self.denominator[k]);
        }
    }
}

/// A [`Rational`] with every coefficient in all lanes.
pub(crate) struct Splat<'a, S: Simd, const M: usize, const N: usize> {
    simd: S,
    numerator: [S::Vector; M],
    denominator: [S::Vector; N],
    one: S::Vector,
    limit: S::Vector,
    rational: &'a Rational<M, N>,
}

impl<S: Simd, const M: usize, const N: usize> Splat<'_, S, M, N> {
    /// `F(x)`.
    #[inline(always)]
    pub(crate) fn value(&self, x: S::Vector) -> S::Vector {
        if self.simd.any_greater(self.simd.abs(x), self.limit) {
            return self.exact(x);
        }
        self.value_within(x)
    }

    /// `F` of every `x` of `ROWS` rows, with one look for all of them at whether `f32` will do.
    #[inline(always)]
    pub(crate) fn values<const ROWS: usize, const K: usize>(
        &self,
        x: [[S::Vector; K]; ROWS],
    ) -> [[S::Vector; K]; ROWS] {
        let simd = self.simd;
        let mut largest = simd.splat(0.0);
        let mut y = x;
        for i in 0..ROWS {
            for k in 0..K {
                largest = simd.max(simd.abs(x[i][k]), largest);
                y[i][k] = self.value_within(x[i][k]);
            }
        }
        if simd.any_greater(largest, self.limit) {
            for i in 0..ROWS {
                for k in 0..K {
                    y[i][k] = self.exact(x[i][k]);
                }
            }
        }
        y
    }

    #[inline(always)]
    fn exact(&self, x: S::Vector) -> S::Vector {
        let mut lanes = self.simd.lanes(x);
        self.rational.exact(&mut lanes[..S::LANES]);
        self.simd.load(&lanes)
    }

    /// `F(x)` for an `x` within the limit; otherwise worth nothing.
    #[inline(always)]
    fn value_within(&self, x: S::Vector) -> S::Vector {
        let simd = self.simd;
        let magnitude = simd.abs(x);
        let mut p = self.numerator[M - 1];
        for k in (0..M - 1).rev() {
            p = simd.mul_add(p, x, self.numerator[k]);
        }
        let mut q = self.denominator[N - 1];
        for k in (0..N - 1).rev() {
            q = simd.mul_add(q, magnitude, self.denominator[k]);
        }
        q = simd.mul_add(q, magnitude, self.one);
        simd.div(p, q)
    }

    /// `grad_y · F'(x)`; adds the terms of the coefficient gradients to `lanes`.
    ///
    /// An `x` beyond the limit is noted in `lanes` when `EXACT` is false, for the caller to start again; when it is true, its
    /// vector is computed in `f64` and adds to `sums`. That call in the loop would cost the other vectors their registers.
    #[inline(always)]
    pub(super) fn gradient<const EXACT: bool>(
        &self,
        x: S::Vector,
        grad_y: S::Vector,
        lanes: &mut LaneSums<S, M, N>,
        sums: &mut Sums<M, N>,
    ) -> S::Vector {
        const { assert!(M >= 2 && M <= MAX_COEFFICIENTS && N >= 2 && N <= MAX_COEFFICIENTS) };
        let simd = self.simd;
        let magnitude = simd.abs(x);
        if !EXACT {
            lanes.largest = simd.max(magnitude, lanes.largest);
        } else if simd.any_greater(magnitude, self.limit) {
            return simd.load(&self.rational.gradients(&simd.lanes(x), &simd.lanes(grad_y), sums));
        }
        let mut p_slope = self.numerator[M - 1];
        let mut p = simd.mul_add(p_slope, x, self.numerator[M - 2]);
        for k in (0..M - 2).rev() {
            p_slope = simd.mul_add(p_slope, x, p);
            p = simd.mul_add(p, x, self.numerator[k]);
        }
        let mut q_slope = self.denominator[N - 1];
        let mut q = simd.mul_add(q_slope, magnitude, self.denominator[N - 2]);
        for k in (0..N - 2).rev() {
            q_slope = simd.mul_add(q_slope, magnitude, q);
            q = simd.mul_add(q, magnitude, self.denominator[k]);
        }
        q_slope = simd.mul_add(q_slope, magnitude, q);
        q = simd.mul_add(q, magnitude, self.one);

        let inverse = simd.div(self.one, q);
        let value = simd.mul(p, inverse);
        let numerator_term = simd.mul(grad_y, inverse);
        let denominator_term = simd.mul(numerator_term, value);
        let slope = simd.neg_mul_add(value, simd.with_sign(q_slope, x), p_slope);

        lanes.numerator[0] = simd.add(lanes.numerator[0], numerator_term);
        let mut power = x;
        for k in 1..=const { if M > N { M - 1 } else { N } } {
            if k < M {
                lanes.numerator[k] = simd.mul_add(numerator_term, power, lanes.numerator[k]);
            }
            if k <= N {
                let sum = lanes.denominator[k - 1];
                lanes.denominator[k - 1] = simd.neg_mul_add(denominator_term, simd.abs(power), sum);
            }
            power = simd.mul(power, x);
        }
        simd.mul(numerator_term, slope)
    }
}
