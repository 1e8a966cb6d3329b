//! The scales that rounding errors are measured on: the formula with every term replaced by its magnitude.

use dualnet_engine::pau::reference::{Evaluation, evaluate};

/// Tolerances of the `f32` kernels, as documented in `dualnet_engine::pau`.
pub const VALUE: f64 = 1e-6;
pub const DERIVATIVE: f64 = 2e-6;
pub const COEFFICIENT: f64 = 1e-5;

/// Magnitudes of `F`, of an element's gradient, and of the sums of coefficient gradients.
pub struct Scale {
    pub y: Vec<f64>,
    pub grad_x: Vec<f64>,
    pub numerator: Vec<f64>,
    pub denominator: Vec<f64>,
}

impl Scale {
    pub fn new(numerator: &[f64], denominator: &[f64], x: &[f64], grad_y: &[f64]) -> Self {
        let mut scale = Self {
            y: Vec::new(),
            grad_x: Vec::new(),
            numerator: vec![0.0; numerator.len()],
            denominator: vec![0.0; denominator.len()],
        };
        for (&x, &gradient) in x.iter().zip(grad_y) {
            let (x, gradient) = (x.abs(), gradient.abs());
            let powers: Vec<f64> = (0..=16).map(|k| x.powi(k)).collect();
            let q = 1.0
                + denominator
                    .iter()
                    .zip(&powers[1..])
                    .map(|(b, power)| b.abs() * power)
                    .sum::<f64>();
            let y = numerator
                .iter()
                .zip(&powers)
                .map(|(a, power)| a.abs() * power)
                .sum::<f64>()
                / q;
            let p_slope: f64 = (1..numerator.len())
                .map(|k| k as f64 * numerator[k].abs() * powers[k - 1])
                .sum();
            let q_slope: f64 = (0..denominator.len())
                .map(|k| (k + 1) as f64 * denominator[k].abs() * powers[k])
                .sum();
            scale.y.push(y);
            scale.grad_x.push(gradient * (p_slope + y * q_slope) / q);
            for (sum, power) in scale.numerator.iter_mut().zip(&powers) {
                *sum += gradient * power / q;
            }
            for (sum, power) in scale.denominator.iter_mut().zip(&powers[1..]) {
                *sum += gradient * y * power / q;
            }
        }
        scale
    }
}

/// Fails unless every difference is within `tolerance` of its scale, `f32` underflow apart; returns the number of comparisons.
#[track_caller]
pub fn within(what: &str, tolerance: f64, got: &[f64], want: &[f64], scale: &[f64]) -> usize {
    assert_eq!(got.len(), want.len(), "{what}: length");
    assert_eq!(got.len(), scale.len(), "{what}: length");
    for (i, ((got, want), scale)) in got.iter().zip(want).zip(scale).enumerate() {
        let error = (got - want).abs();
        assert!(
            error <= tolerance * scale + f64::from(f32::MIN_POSITIVE),
            "{what}[{i}]: {got:e}, expected {want:e}; off by {:e} of its scale",
            error / scale
        );
    }
    got.len()
}

/// `f64` copies.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// `f32` copies.
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// The reference and the scale for `f32` data.
pub fn expected(numerator: &[f32], denominator: &[f32], x: &[f32], grad_y: &[f32]) -> (Evaluation, Scale) {
    let (a, b, x, g) = (wide(numerator), wide(denominator), wide(x), wide(grad_y));
    (evaluate(&a, &b, &x, &g), Scale::new(&a, &b, &x, &g))
}
