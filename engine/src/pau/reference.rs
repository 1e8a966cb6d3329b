//! The PAU and all its gradients in `f64`, one element at a time: what the vector kernels are held to, and what they call for
//! inputs too large for `f32` arithmetic.
//!
//! With `w_k = |x|^k / Q(x)` and `s = sign(x)`:
//! `F = Σ a_k s^k w_k`, `∂F/∂a_k = s^k w_k`, `∂F/∂b_k = −sign(b_k) F w_k`,
//! `∂F/∂x = Σ k a_k s^(k−1) w_(k−1) − F s Σ k |b_k| w_(k−1)`.

/// The most coefficients a numerator or a denominator may have.
pub const MAX_COEFFICIENTS: usize = 16;

/// `F` at one `x`, and what its gradients are made of.
#[derive(Clone, Debug)]
pub struct Point {
    /// `F(x)`.
    pub value: f64,
    /// `∂F/∂x`, with `sign(0) = 0`.
    pub derivative: f64,
    sign: f64,
    weights: [f64; MAX_COEFFICIENTS + 1],
}

impl Point {
    /// `F` with numerator `a_0 …` and denominator `b_1 …` (signs are ignored, as in the formula) at `x`, each of at most
    /// [`MAX_COEFFICIENTS`] coefficients; more are ignored.
    ///
    /// No intermediate overflows for any finite `x` of `f32`'s range. An infinite or NaN `x` gives NaN throughout.
    pub fn new<T: Copy + Into<f64>>(numerator: &[T], denominator: &[T], x: f64) -> Self {
        let numerator = &numerator[..numerator.len().min(MAX_COEFFICIENTS)];
        let denominator = &denominator[..denominator.len().min(MAX_COEFFICIENTS)];
        if !x.is_finite() {
            let weights = [f64::NAN; MAX_COEFFICIENTS + 1];
            return Self {
                value: f64::NAN,
                derivative: f64::NAN,
                sign: f64::NAN,
                weights,
            };
        }
        let sign = if x == 0.0 { 0.0 } else { x.signum() };
        let weights = weights(denominator, x.abs());

        let mut value = 0.0;
        let mut derivative = 0.0;
        for (k, a) in nonzero(numerator) {
            value += a * odd_sign(sign, k) * weights[k];
            if k > 0 {
                derivative += k as f64 * a * odd_sign(sign, k - 1) * weights[k - 1];
            }
        }
        let mut slope = 0.0;
        for (k, b) in nonzero(denominator) {
            slope += (k + 1) as f64 * b.abs() * weights[k];
        }
        derivative -= value * sign * slope;
        Self {
            value,
            derivative,
            sign,
            weights,
        }
    }

    /// `∂F/∂a_k`, `k` ≤ [`MAX_COEFFICIENTS`].
    pub fn numerator_gradient(&self, k: usize) -> f64 {
        odd_sign(self.sign, k) * self.weights[k]
    }

    /// `∂F/∂|b_k|`, 1 ≤ `k` ≤ [`MAX_COEFFICIENTS`]; times `sign(b_k)` it is `∂F/∂b_k`.
    pub fn denominator_gradient(&self, k: usize) -> f64 {
        -self.value * self.weights[k]
    }
}

/// Outputs and gradients for whole slices, summed in `f64`.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `F(x_i)`.
    pub y: Vec<f64>,
    /// `g_i ∂F/∂x (x_i)`.
    pub grad_x: Vec<f64>,
    /// `Σ_i g_i ∂F/∂a_k (x_i)`.
    pub numerator: Vec<f64>,
    /// `Σ_i g_i ∂F/∂b_k (x_i)`.
    pub denominator: Vec<f64>,
}

/// Outputs at `x` and gradients for output gradients `grad_y`, which pair up element by element.
pub fn evaluate(numerator: &[f64], denominator: &[f64], x: &[f64], grad_y: &[f64]) -> Evaluation {
    let mut out = Evaluation {
        y: Vec::with_capacity(x.len()),
        grad_x: Vec::with_capacity(x.len()),
        numerator: vec![0.0; numerator.len()],
        denominator: vec![0.0; denominator.len()],
    };
    for (&x, &gradient) in x.iter().zip(grad_y) {
        let point = Point::new(numerator, denominator, x);
        out.y.push(point.value);
        out.grad_x.push(gradient * point.derivative);
        for (k, sum) in out.numerator.iter_mut().enumerate() {
            *sum += gradient * point.numerator_gradient(k);
        }
        for (k, (sum, b)) in out.denominator.iter_mut().zip(denominator).enumerate() {
            *sum += gradient * point.denominator_gradient(k + 1) * sign(*b);
        }
    }
    out
}

/// `sign(v)` with `sign(±0) = 0`.
pub fn sign(v: f64) -> f64 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

/// `|x|^k / Q(x)` for every `k`; beyond 1 in powers of `1/|x|`, which cannot overflow before the quotient itself does.
fn weights<T: Copy + Into<f64>>(denominator: &[T], magnitude: f64) -> [f64; MAX_COEFFICIENTS + 1] {
    let degree = nonzero(denominator).last().map_or(0, |(k, _)| k + 1);
    let mut weights = [0.0; MAX_COEFFICIENTS + 1];
    if magnitude <= 1.0 {
        let mut q = 1.0;
        for (k, b) in nonzero(denominator) {
            q += b.abs() * magnitude.powi(k as i32 + 1);
        }
        for (k, weight) in weights.iter_mut().enumerate() {
            *weight = magnitude.powi(k as i32) / q;
        }
    } else {
        let inverse = magnitude.recip();
        let mut q = inverse.powi(degree as i32);
        for (k, b) in nonzero(denominator) {
            q += b.abs() * inverse.powi((degree - 1 - k) as i32);
        }
        for (k, weight) in weights.iter_mut().enumerate() {
            *weight = magnitude.powi(k as i32 - degree as i32) / q;
        }
    }
    weights
}

fn nonzero<T: Copy + Into<f64>>(coefficients: &[T]) -> impl Iterator<Item = (usize, f64)> {
    coefficients
        .iter()
        .map(|&c| c.into())
        .enumerate()
        .filter(|&(_, c): &(usize, f64)| c != 0.0)
}

/// `sign^k`, with `0^0 = 1`.
fn odd_sign(sign: f64, k: usize) -> f64 {
    match k {
        0 => 1.0,
        k if k % 2 == 0 => sign * sign,
        _ => sign,
    }
}
