//! Exponential, logistic function, hyperbolic tangent and error function of vectors.

use crate::simd::Simd;

/// 1.5·2²³: adding it to a number below 2²² rounds that to a whole one, which the sum's low bits hold.
const ROUND: f32 = 12_582_912.0;

/// `e^x` within 2 units in the last place for x from −87.3 to 88.3; what lies beyond gives the value at that end. NaN for an infinite x
/// or NaN.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    // 0, or NaN for what must not become a number at one of the ends.
    let undefined = simd.mul(x, simd.splat(0.0));
    let x = simd.max(simd.splat(-87.33), simd.min(simd.splat(88.37), x));
    let shifted = simd.mul_add(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let n = simd.sub(shifted, simd.splat(ROUND));
    // ln 2 in two parts, the first short enough for n times it to be exact.
    let r = simd.neg_mul_add(n, simd.splat(0.693_359_4), x);
    let r = simd.neg_mul_add(n, simd.splat(-2.121_944_4e-4), r);
    let mut p = simd.splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = simd.mul_add(p, r, simd.splat(coefficient));
    }
    simd.mul_add(p, simd.power_of_two(shifted), undefined)
}

/// `1/(1 + e^(−x))` within 2e-7. NaN for an infinite x or NaN.
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    simd.div(one, simd.add(one, exp(simd, simd.sub(simd.splat(0.0), x))))
}

/// `tanh x` within 3e-7: absolutely, not relatively near 0. NaN for an infinite x or NaN.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    let e = exp(simd, simd.add(x, x));
    simd.sub(one, simd.div(simd.splat(2.0), simd.add(e, one)))
}

/// `x·Φ(x) = x/2·(1 + erf(x/√2))` within 1e-6 where |x| ≤ 8; erf by formula 7.1.26 of Abramowitz and Stegun (error 1.5e-7). NaN for −∞ and NaN.
#[inline(always)]
pub(in crate::cpu) fn gelu<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    let z = simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2));
    let magnitude = simd.abs(z);
    let t = simd.div(one, simd.mul_add(magnitude, simd.splat(0.327_591_1), one));
    let mut p = simd.splat(1.061_405_4);
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = simd.mul_add(p, t, simd.splat(coefficient));
    }
    // A square that overflows would make a finite x NaN.
    let square = simd.min(simd.mul(z, z), simd.splat(f32::MAX));
    let tail = exp(simd, simd.sub(simd.splat(0.0), square));
    let erf = simd.neg_mul_add(simd.mul(p, t), tail, one);
    let half = simd.mul(x, simd.splat(0.5));
    simd.mul_add(half, simd.with_sign(erf, z), half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, within};
    use crate::simd::Kernel;

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Sigmoid,
        Tanh,
        Gelu,
    }

    struct Map<'a>(Function, &'a mut [f32]);

    impl Kernel for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for x in self.1.chunks_mut(S::LANES) {
                let value = simd.load_partial(x);
                let y = match self.0 {
                    Function::Exp => exp(simd, value),
                    Function::Sigmoid => sigmoid(simd, value),
                    Function::Tanh => tanh(simd, value),
                    Function::Gelu => gelu(simd, value),
                };
                simd.store_partial(y, x);
            }
        }
    }

    fn hold(function: Function, reference: impl Fn(f64) -> f64, bound: impl Fn(f64, f64) -> f64) {
        let x: Vec<f32> = (-8700..=8700)
            .map(|i| i as f32 * 0.01)
            .chain([0.0, -0.0, 1e-30, -1e-30])
            .collect();
        for isa in isas() {
            let mut y = x.clone();
            isa.run(Map(function, &mut y));
            for (&x, &y) in x.iter().zip(&y) {
                let expected = reference(f64::from(x));
                within(isa, y, expected, bound(f64::from(x), expected));
            }
            let mut bad = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY];
            isa.run(Map(function, &mut bad));
            assert!(bad[..2].iter().all(|y| y.is_nan()), "{isa:?}");
            let undefined = !matches!(function, Function::Gelu);
            assert!(bad[2].is_nan() == undefined, "{isa:?}");
        }
    }

    #[test]
    fn exponentials_are_within_two_units_in_the_last_place() {
        hold(Function::Exp, f64::exp, |_, y| y * 2f64.powi(-22) + 1.2e-38);
    }

    #[test]
    fn gates_are_within_their_bounds() {
        hold(Function::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), |_, _| 2e-7);
        hold(Function::Tanh, f64::tanh, |_, _| 3e-7);
    }

    /// The reference integrates the density: Simpson's rule over 2000 steps is exact to 1e-12.
    #[test]
    fn gelu_is_within_its_bound() {
        let reference = |x: f64| {
            let x_in = x.clamp(-8.0, 8.0);
            let step = x_in / 2000.0;
            let density = |i: usize| (-(step * i as f64).powi(2) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let sum: f64 = (0..=2000)
                .map(|i| {
                    density(i)
                        * if i == 0 || i == 2000 {
                            1.0
                        } else if i % 2 == 1 {
                            4.0
                        } else {
                            2.0
                        }
                })
                .sum();
            x * (0.5 + sum * step / 3.0)
        };
        hold(Function::Gelu, reference, |x, _| 1e-6 + x.abs() * 1.3e-7);
    }
}
