//! Vectors with one line in each lane, in rows: what every kernel here does with them.

use dualnet_engine::simd::Simd;

// Loops count by index, and no vector passes through a closure: neither would be inlined into kernels of this size.

/// Vector number `index`.
#[inline(always)]
pub(super) fn get<S: Simd>(simd: S, from: &[f32], index: usize) -> S::Vector {
    simd.load(&from[index * S::LANES..(index + 1) * S::LANES])
}

/// Writes vector number `index`.
#[inline(always)]
pub(super) fn put<S: Simd>(simd: S, vector: S::Vector, to: &mut [f32], index: usize) {
    simd.store(vector, &mut to[index * S::LANES..(index + 1) * S::LANES]);
}

/// Each number in every lane.
#[inline(always)]
pub(super) fn splats<S: Simd, const N: usize>(simd: S, numbers: [f32; N]) -> [S::Vector; N] {
    let mut vectors = [simd.splat(0.0); N];
    for (vector, number) in vectors.iter_mut().zip(numbers) {
        *vector = simd.splat(number);
    }
    vectors
}

/// The sum of the lanes of so many lines.
#[inline(always)]
pub(super) fn over_lines<S: Simd>(simd: S, vector: S::Vector, lines: usize) -> f64 {
    let lanes = simd.lanes(vector);
    let mut sum = 0.0;
    for lane in &lanes[..lines] {
        sum += f64::from(*lane);
    }
    sum
}

/// Runs `$some::<S, N>($first, …)` for the channels of a range, four at a time, then two or one: what they share is read once, and
/// their sums stay in registers. Every sum has the order that it would have one channel after the other.
macro_rules! all_channels {
    ($range:expr, |$first:ident| $some:ident($($argument:expr),* $(,)?)) => {{
        let range = $range;
        let mut $first = range.start;
        while $first < range.end {
            match range.end - $first {
                1 => {
                    $some::<S, 1>($($argument),*);
                    $first += 1;
                }
                2 | 3 => {
                    $some::<S, 2>($($argument),*);
                    $first += 2;
                }
                _ => {
                    $some::<S, 4>($($argument),*);
                    $first += 4;
                }
            }
        }
    }};
}
pub(super) use all_channels;

/// `N` rows of so many floats, the first being row `first`.
#[inline(always)]
pub(super) fn rows<const N: usize>(values: &[f32], first: usize, length: usize) -> [&[f32]; N] {
    let mut rows: [&[f32]; N] = [&[]; N];
    for (c, row) in rows.iter_mut().enumerate() {
        *row = &values[(first + c) * length..(first + c + 1) * length];
    }
    rows
}

/// Adds `a · b` to vector number `index`.
#[inline(always)]
pub(super) fn add_product<S: Simd>(simd: S, a: S::Vector, b: S::Vector, to: &mut [f32], index: usize) {
    let own = &mut to[index * S::LANES..(index + 1) * S::LANES];
    simd.store(simd.mul_add(a, b, simd.load(own)), own);
}

/// Softmax of a row of vectors, in each lane by itself.
#[inline(always)]
pub(super) fn softmax<S: Simd>(simd: S, row: &mut [f32]) {
    let span = row.len() / S::LANES;
    let mut largest = simd.splat(f32::MIN);
    for j in 0..span {
        largest = simd.max(get(simd, row, j), largest);
    }
    let mut sum = simd.splat(0.0);
    for j in 0..span {
        let power = exponential(simd, simd.sub(get(simd, row, j), largest));
        sum = simd.add(sum, power);
        put(simd, power, row, j);
    }
    let factor = simd.div(simd.splat(1.0), sum);
    for j in 0..span {
        put(simd, simd.mul(get(simd, row, j), factor), row, j);
    }
}

/// `eˣ` for `x ≤ 0`, within 2 units in the last place of results that are normal numbers; `e⁻⁸⁷` below −87, NaN for what is not finite.
///
/// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`: a polynomial for `eʳ` and the exponent's bits for `2ⁿ`.
#[inline(always)]
fn exponential<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    /// 1.5 · 2²³: adding it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // 0 for a number.
    let strange = simd.sub(x, x);
    let x = simd.max(x, simd.splat(-87.0));
    let shifted = simd.mul_add(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let n = simd.sub(shifted, simd.splat(ROUND));
    let r = simd.neg_mul_add(n, simd.splat(LN_2_HIGH), x);
    let r = simd.neg_mul_add(n, simd.splat(LN_2_LOW), r);
    let mut sum = simd.splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = simd.mul_add(sum, r, simd.splat(coefficient));
    }
    simd.mul_add(sum, simd.power_of_two(shifted), strange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_engine::simd::{Isa, Kernel, MAX_LANES};

    struct Exponentials<'a>(&'a mut [f32]);

    impl Kernel for Exponentials<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for index in 0..self.0.len() / S::LANES {
                put(simd, exponential(simd, get(simd, self.0, index)), self.0, index);
            }
        }
    }

    #[test]
    fn the_exponential_is_accurate_everywhere() {
        for isa in Isa::available() {
            let arguments: Vec<f32> = (0..870_000_usize.next_multiple_of(MAX_LANES))
                .map(|i| -(i as f32) * 1e-4)
                .map(|x| x.max(-87.0))
                .collect();
            let mut powers = arguments.clone();
            isa.run(Exponentials(&mut powers));
            let errors = arguments.iter().zip(&powers);
            let errors = errors.map(|(&x, &power)| (f64::from(power) / f64::from(x).exp() - 1.0).abs());
            let worst = dualnet_fixtures::largest(errors);
            assert!(worst < 2.4e-7, "{isa:?}: {worst:e}");
            let mut special = [0.0; MAX_LANES];
            special[..4].copy_from_slice(&[0.0, -1e30, f32::NAN, f32::NEG_INFINITY]);
            isa.run(Exponentials(&mut special));
            assert_eq!(special[0], 1.0, "{isa:?}");
            assert!(
                (f64::from(special[1]) / f64::from(-87.0_f32).exp() - 1.0).abs() < 2.4e-7,
                "{isa:?}"
            );
            assert!(special[2].is_nan() && special[3].is_nan(), "{isa:?}: {special:?}");
        }
    }
}
