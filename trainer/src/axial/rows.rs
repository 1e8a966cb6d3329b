//! Operations on rows that are whole vectors long.

use dualnet_engine::simd::Simd;

// Loops count in whole vectors by index: iterators over several slices at once are not inlined into kernels of this size.

/// `Σ a ⊙ b`.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    let mut sum = simd.splat(0.0);
    let mut at = 0;
    while at + S::LANES <= a.len() {
        let (a, b) = (&a[at..at + S::LANES], &b[at..at + S::LANES]);
        sum = simd.mul_add(simd.load(a), simd.load(b), sum);
        at += S::LANES;
    }
    across(simd, sum)
}

/// The sum of the lanes, by halves.
#[inline(always)]
pub(super) fn across<S: Simd>(simd: S, vector: S::Vector) -> f32 {
    let mut lanes = simd.lanes(vector);
    let mut half = S::LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `out = alpha · a + beta · b + delta`.
#[inline(always)]
pub(super) fn affine<S: Simd>(simd: S, [alpha, beta, delta]: [f32; 3], a: &[f32], b: &[f32], out: &mut [f32]) {
    let (a, b) = (&a[..out.len()], &b[..out.len()]);
    let (alpha, beta, delta) = (simd.splat(alpha), simd.splat(beta), simd.splat(delta));
    let mut at = 0;
    while at + S::LANES <= out.len() {
        let (a, b) = (&a[at..at + S::LANES], &b[at..at + S::LANES]);
        let constant = simd.mul_add(beta, simd.load(b), delta);
        simd.store(simd.mul_add(alpha, simd.load(a), constant), &mut out[at..at + S::LANES]);
        at += S::LANES;
    }
}

/// `out = factors[0] · a + factors[1] · b + factors[2] · c`.
#[inline(always)]
pub(super) fn mixture<S: Simd>(simd: S, factors: [f32; 3], [a, b, c]: [&[f32]; 3], out: &mut [f32]) {
    let (a, b, c) = (&a[..out.len()], &b[..out.len()], &c[..out.len()]);
    let (of_a, of_b, of_c) = (simd.splat(factors[0]), simd.splat(factors[1]), simd.splat(factors[2]));
    let mut at = 0;
    while at + S::LANES <= out.len() {
        let part = at..at + S::LANES;
        let sum = simd.mul(of_b, simd.load(&b[part.clone()]));
        let sum = simd.mul_add(of_a, simd.load(&a[part.clone()]), sum);
        simd.store(simd.mul_add(of_c, simd.load(&c[part.clone()]), sum), &mut out[part]);
        at += S::LANES;
    }
}

/// `out = alpha · a + beta · b + delta + c`.
#[inline(always)]
pub(super) fn affine_and<S: Simd>(simd: S, [alpha, beta, delta]: [f32; 3], [a, b, c]: [&[f32]; 3], out: &mut [f32]) {
    let (a, b, c) = (&a[..out.len()], &b[..out.len()], &c[..out.len()]);
    let (alpha, beta, delta) = (simd.splat(alpha), simd.splat(beta), simd.splat(delta));
    let mut at = 0;
    while at + S::LANES <= out.len() {
        let part = at..at + S::LANES;
        let constant = simd.mul_add(beta, simd.load(&b[part.clone()]), delta);
        let sum = simd.mul_add(alpha, simd.load(&a[part.clone()]), constant);
        simd.store(simd.add(sum, simd.load(&c[part.clone()])), &mut out[part]);
        at += S::LANES;
    }
}

/// Vectors that are summed in float32 before their sum goes on in float64.
pub(super) const STRETCH: usize = 64;

/// `(Σ x, Σ x²)` of a whole map.
#[inline(always)]
pub(super) fn powers<S: Simd>(simd: S, map: &[f32]) -> (f64, f64) {
    let (mut total, mut squares) = (0.0, 0.0);
    let mut at = 0;
    while at < map.len() {
        let end = map.len().min(at + STRETCH * S::LANES);
        let (mut first, mut second) = (simd.splat(0.0), simd.splat(0.0));
        while at + S::LANES <= end {
            let x = simd.load(&map[at..at + S::LANES]);
            first = simd.add(first, x);
            second = simd.mul_add(x, x, second);
            at += S::LANES;
        }
        total += simd.sum(first);
        squares += simd.sum(second);
    }
    (total, squares)
}

/// Softmax of the first `span` numbers of `row`; zeros after them.
#[inline(always)]
pub(super) fn softmax<S: Simd>(simd: S, row: &mut [f32], span: usize) {
    row[span..].fill(f32::MIN);
    let mut largest = simd.splat(f32::MIN);
    let mut at = 0;
    while at + S::LANES <= row.len() {
        largest = simd.max(simd.load(&row[at..at + S::LANES]), largest);
        at += S::LANES;
    }
    let mut lanes = simd.lanes(largest);
    let mut half = S::LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = lanes[i].max(lanes[i + half]);
        }
        half /= 2;
    }
    let largest = lanes[0];
    for value in &mut *row {
        *value = exponential(*value - largest);
    }
    row[span..].fill(0.0);
    let mut sum = simd.splat(0.0);
    at = 0;
    while at + S::LANES <= row.len() {
        sum = simd.add(sum, simd.load(&row[at..at + S::LANES]));
        at += S::LANES;
    }
    let factor = simd.splat(1.0 / across(simd, sum));
    at = 0;
    while at + S::LANES <= row.len() {
        let row = &mut row[at..at + S::LANES];
        simd.store(simd.mul(simd.load(row), factor), row);
        at += S::LANES;
    }
}

/// `eˣ` for `x ≤ 0`, within 2 units in the last place of results that are normal numbers; `e⁻⁸⁷` below −87, NaN for NaN.
///
/// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`: a polynomial for `eʳ` and the exponent's bits for `2ⁿ`. Plain arithmetic, which the
/// compiler turns into vectors.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    /// 1.5 · 2²³ + 127: adding it leaves `n + 127` in the lowest bits.
    const ROUND: f32 = 12_583_039.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    sum * f32::from_bits(shifted.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_accurate_everywhere() {
        let mut worst = 0.0_f64;
        for i in 0..=870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exponential(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2.4e-7, "{worst:e}");
        assert_eq!(exponential(0.0), 1.0);
        assert_eq!(exponential(f32::MIN), exponential(-87.0));
        assert!(exponential(f32::NAN).is_nan());
    }
}
