//! Operations on rows that are whole vectors long.

use dualnet_engine::simd::Simd;

/// `out = Σ factors[c] · rows[c]`, `row(c)` being the slice of `rows` from `c · length + start` on.
#[inline(always)]
pub(super) fn combine<S: Simd>(
    simd: S,
    factors: &[f32],
    rows: &[f32],
    length: usize,
    start: usize,
    out: &mut [f32],
) {
    for (column, out) in out.chunks_exact_mut(S::LANES).enumerate() {
        let at = start + column * S::LANES;
        let mut sum = simd.splat(0.0);
        for (&factor, row) in factors.iter().zip(rows.chunks_exact(length)) {
            sum = simd.mul_add(simd.splat(factor), simd.load(&row[at..at + S::LANES]), sum);
        }
        simd.store(sum, out);
    }
}

/// `out = Σ weights[c] ⊙ rows[c]`, with rows as in [`combine`] and weights as long as `out`.
#[inline(always)]
pub(super) fn combine_products<S: Simd>(
    simd: S,
    weights: &[f32],
    rows: &[f32],
    length: usize,
    start: usize,
    out: &mut [f32],
) {
    let width = out.len();
    for (column, out) in out.chunks_exact_mut(S::LANES).enumerate() {
        let (from, at) = (column * S::LANES, start + column * S::LANES);
        let mut sum = simd.splat(0.0);
        for (weights, row) in weights.chunks_exact(width).zip(rows.chunks_exact(length)) {
            let weight = simd.load(&weights[from..from + S::LANES]);
            sum = simd.mul_add(weight, simd.load(&row[at..at + S::LANES]), sum);
        }
        simd.store(sum, out);
    }
}

/// `Σ a ⊙ b`.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = simd.splat(0.0);
    for (a, b) in a.chunks_exact(S::LANES).zip(b.chunks_exact(S::LANES)) {
        sum = simd.mul_add(simd.load(a), simd.load(b), sum);
    }
    simd.sum(sum) as f32
}

/// `to += factor · row`.
#[inline(always)]
pub(super) fn add_scaled<S: Simd>(simd: S, factor: f32, row: &[f32], to: &mut [f32]) {
    let factor = simd.splat(factor);
    for (row, to) in row.chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
        simd.store(simd.mul_add(factor, simd.load(row), simd.load(to)), to);
    }
}

/// `to += a ⊙ b`.
#[inline(always)]
pub(super) fn add_product<S: Simd>(simd: S, a: &[f32], b: &[f32], to: &mut [f32]) {
    let factors = a.chunks_exact(S::LANES).zip(b.chunks_exact(S::LANES));
    for ((a, b), to) in factors.zip(to.chunks_exact_mut(S::LANES)) {
        simd.store(simd.mul_add(simd.load(a), simd.load(b), simd.load(to)), to);
    }
}

/// `out = alpha · a + beta · b + delta`.
#[inline(always)]
pub(super) fn affine<S: Simd>(simd: S, [alpha, beta, delta]: [f32; 3], a: &[f32], b: &[f32], out: &mut [f32]) {
    let (alpha, beta, delta) = (simd.splat(alpha), simd.splat(beta), simd.splat(delta));
    let rows = a.chunks_exact(S::LANES).zip(b.chunks_exact(S::LANES));
    for ((a, b), out) in rows.zip(out.chunks_exact_mut(S::LANES)) {
        let constant = simd.mul_add(beta, simd.load(b), delta);
        simd.store(simd.mul_add(alpha, simd.load(a), constant), out);
    }
}

/// `(Σ row, Σ row²)`.
#[inline(always)]
pub(super) fn powers<S: Simd>(simd: S, row: &[f32]) -> (f64, f64) {
    let (mut first, mut second) = (simd.splat(0.0), simd.splat(0.0));
    for row in row.chunks_exact(S::LANES) {
        let x = simd.load(row);
        first = simd.add(first, x);
        second = simd.mul_add(x, x, second);
    }
    (simd.sum(first), simd.sum(second))
}

/// Softmax of the first `span` numbers of `row`; zeros after them.
#[inline(always)]
pub(super) fn softmax<S: Simd>(simd: S, row: &mut [f32], span: usize) {
    row[span..].fill(f32::MIN);
    let mut largest = simd.splat(f32::MIN);
    for row in row.chunks_exact(S::LANES) {
        largest = simd.max(simd.load(row), largest);
    }
    let lanes = simd.lanes(largest);
    let mut largest = f32::MIN;
    for &lane in &lanes[..S::LANES] {
        largest = largest.max(lane);
    }
    for value in &mut *row {
        *value = exponential(*value - largest);
    }
    row[span..].fill(0.0);
    let mut sum = simd.splat(0.0);
    for row in row.chunks_exact(S::LANES) {
        sum = simd.add(sum, simd.load(row));
    }
    let factor = simd.splat((1.0 / simd.sum(sum)) as f32);
    for row in row.chunks_exact_mut(S::LANES) {
        simd.store(simd.mul(simd.load(row), factor), row);
    }
}

/// `eˣ` for `x ≤ 0`, within 2 units in the last place of results that are normal numbers; `e⁻⁸⁷` below −87, NaN for NaN.
///
/// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`: a polynomial for `eʳ` and the exponent's bits for `2ⁿ`. Plain arithmetic, which the
/// compiler turns into vectors.
#[inline(always)]
fn exponential(x: f32) -> f32 {
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
