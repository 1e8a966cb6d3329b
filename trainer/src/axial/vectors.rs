//! Vectors with one line in each lane, in rows: what every kernel here does with them.

use dualnet_engine::cpu::exp;
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
        let power = exp(simd, simd.sub(get(simd, row, j), largest));
        sum = simd.add(sum, power);
        put(simd, power, row, j);
    }
    let factor = simd.div(simd.splat(1.0), sum);
    for j in 0..span {
        put(simd, simd.mul(get(simd, row, j), factor), row, j);
    }
}
