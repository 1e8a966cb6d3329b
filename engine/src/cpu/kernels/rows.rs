//! Operations on the rows of a matrix: softmax, layer normalization, GELU.

use super::vecmath::{exp, gelu};
use crate::simd::{Kernel, Simd};

/// The softmax of the first `columns` values of every row of `stride` values, whole panels of them; zeros behind. Values are multiplied by
/// `factor` before. Within 1e-6 of the exact softmax.
pub(in crate::cpu) struct Softmax<'a> {
    pub(in crate::cpu) values: &'a mut [f32],
    pub(in crate::cpu) stride: usize,
    pub(in crate::cpu) columns: usize,
    pub(in crate::cpu) factor: f32,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.factor);
        for row in self.values.chunks_exact_mut(self.stride) {
            for values in row.chunks_exact_mut(S::LANES) {
                simd.store(simd.mul(simd.load(values), factor), values);
            }
            softmax_row(simd, row, self.columns);
        }
    }
}

/// The softmax of one row, as long as whole vectors.
#[inline(always)]
fn softmax_row<S: Simd>(simd: S, row: &mut [f32], columns: usize) {
    let inverse = simd.splat(exponentials(simd, row, columns));
    for values in row.chunks_exact_mut(S::LANES) {
        simd.store(simd.mul(simd.load(values), inverse), values);
    }
}

/// `e^(x − largest)` of the first `columns` values of a row, as long as whole vectors; zeros behind. Returns what makes of them a softmax,
/// the inverse of their sum.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(simd: S, row: &mut [f32], columns: usize) -> f32 {
    // A copy of a value that counts leaves the largest what it is.
    let first = row[0];
    row[columns..].fill(first);
    let mut largest = simd.splat(first);
    for values in row.chunks_exact(S::LANES) {
        largest = simd.max(simd.load(values), largest);
    }
    let largest = fold_lanes(simd, largest, |a, b| if a > b { a } else { b });
    let largest = simd.splat(largest);
    let whole = columns / S::LANES * S::LANES;
    let (row, rest) = row.split_at_mut(whole);
    let mut sum = simd.splat(0.0);
    for values in row.chunks_exact_mut(S::LANES) {
        let power = exp(simd, simd.sub(simd.load(values), largest));
        sum = simd.add(sum, power);
        simd.store(power, values);
    }
    for (index, values) in rest.chunks_exact_mut(S::LANES).enumerate() {
        simd.store(exp(simd, simd.sub(simd.load(values), largest)), values);
        let end = (columns - whole).saturating_sub(index * S::LANES).min(S::LANES);
        values[end..].fill(0.0);
        sum = simd.add(sum, simd.load(values));
    }
    1.0 / sum_of_lanes(simd, sum)
}

/// The sum of the lanes, by halves.
#[inline(always)]
pub(super) fn sum_of_lanes<S: Simd>(simd: S, vector: S::Vector) -> f32 {
    fold_lanes(simd, vector, |a, b| a + b)
}

/// The lanes folded by halves.
#[inline(always)]
fn fold_lanes<S: Simd>(simd: S, vector: S::Vector, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = simd.lanes(vector);
    let mut width = S::LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = fold(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

/// `x = (u − mean)/√(variance + ε)·scale + shift`, `u = x + added`, for every row of as many values as `scale` has, whole panels. Within
/// 1e-5 of the exact value for rows of a variance far above ε.
pub(in crate::cpu) struct Normalize<'a> {
    pub(in crate::cpu) x: &'a mut [f32],
    pub(in crate::cpu) added: Option<&'a [f32]>,
    pub(in crate::cpu) scale: &'a [f32],
    pub(in crate::cpu) shift: &'a [f32],
    pub(in crate::cpu) epsilon: f32,
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.scale.len();
        for (index, row) in self.x.chunks_exact_mut(width).enumerate() {
            let mut sum = simd.splat(0.0);
            for c in (0..width).step_by(S::LANES) {
                let mut value = simd.load(&row[c..]);
                if let Some(added) = self.added {
                    value = simd.add(value, simd.load(&added[index * width + c..]));
                    simd.store(value, &mut row[c..]);
                }
                sum = simd.add(sum, value);
            }
            let mean = simd.splat((simd.sum(sum) / width as f64) as f32);
            let mut squares = simd.splat(0.0);
            for c in (0..width).step_by(S::LANES) {
                let deviation = simd.sub(simd.load(&row[c..]), mean);
                squares = simd.mul_add(deviation, deviation, squares);
            }
            let variance = simd.sum(squares) / width as f64;
            let factor = simd.splat((1.0 / (variance + f64::from(self.epsilon)).sqrt()) as f32);
            for c in (0..width).step_by(S::LANES) {
                let normal = simd.mul(simd.sub(simd.load(&row[c..]), mean), factor);
                let value = simd.mul_add(normal, simd.load(&self.scale[c..]), simd.load(&self.shift[c..]));
                simd.store(value, &mut row[c..]);
            }
        }
    }
}

/// The GELU of every value, in place; whole panels of them.
pub(in crate::cpu) struct Gelu<'a>(pub(in crate::cpu) &'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for values in self.0.chunks_exact_mut(S::LANES) {
            simd.store(gelu(simd, simd.load(values)), values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, numbers, within};

    #[test]
    fn softmax_sums_to_one_and_ignores_what_lies_behind() {
        for isa in isas() {
            for columns in [1, 5, 16, 47, 48] {
                let x = numbers("softmax", 3 * 48);
                let mut y = x.clone();
                isa.run(Softmax {
                    values: &mut y,
                    stride: 48,
                    columns,
                    factor: 20.0,
                });
                for (x, y) in x.chunks(48).zip(y.chunks(48)) {
                    let power = |x: &f32| (20.0 * f64::from(*x)).exp();
                    let total: f64 = x[..columns].iter().map(power).sum();
                    for (index, (x, &y)) in x.iter().zip(y).enumerate() {
                        let expected = if index < columns { power(x) / total } else { 0.0 };
                        within(isa, y, expected, if index < columns { 1e-6 } else { 0.0 });
                    }
                }
            }
        }
    }

    #[test]
    fn normalized_rows_follow_the_definition() {
        let width = 64;
        let (x, added) = (numbers("x", 2 * width), numbers("added", 2 * width));
        let (scale, shift) = (numbers("scale", width), numbers("shift", width));
        for isa in isas() {
            let mut y = x.clone();
            isa.run(Normalize {
                x: &mut y,
                added: Some(&added),
                scale: &scale,
                shift: &shift,
                epsilon: 1e-5,
            });
            for row in 0..2 {
                let u = |i: usize| f64::from(x[row * width + i] + added[row * width + i]);
                let mean = (0..width).map(u).sum::<f64>() / width as f64;
                let variance = (0..width).map(|i| (u(i) - mean).powi(2)).sum::<f64>() / width as f64;
                for i in 0..width {
                    let normal = (u(i) - mean) / (variance + 1e-5).sqrt();
                    let expected = normal * f64::from(scale[i]) + f64::from(shift[i]);
                    within(isa, y[row * width + i], expected, 1e-5);
                }
            }
        }
    }
}
