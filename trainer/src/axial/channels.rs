//! Rows of several channels at once: what they share is read once, and sums over channels stay in registers.
//!
//! Every sum has the order that it would have one channel after the other, so that results do not depend on how many go together.

use super::rows::across;
use dualnet_engine::simd::Simd;

// Loops count in whole vectors by index, and no vector passes through a closure: neither would be inlined into kernels of this size.

/// Rows of channels, the first from the beginning on, each `apart` from the next.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) apart: usize,
}

/// The same, to write to; rows do not overlap.
pub(super) struct RowsMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) apart: usize,
}

impl Rows<'_> {
    #[inline(always)]
    fn from<const N: usize>(&self, first: usize, width: usize) -> [&[f32]; N] {
        std::array::from_fn(|c| &self.values[(first + c) * self.apart..][..width])
    }
}

impl RowsMut<'_> {
    #[inline(always)]
    fn from<const N: usize>(&mut self, first: usize, width: usize) -> [&mut [f32]; N] {
        let mut rest = &mut self.values[first * self.apart..];
        std::array::from_fn(|_| {
            let all = std::mem::take(&mut rest);
            let end = self.apart.min(all.len());
            let (row, behind) = all.split_at_mut(end);
            rest = behind;
            &mut row[..width]
        })
    }
}

/// `N` floats from the `first` on.
#[inline(always)]
fn some<const N: usize>(from: &[f32], first: usize) -> [f32; N] {
    let mut floats = [0.0; N];
    floats.copy_from_slice(&from[first..first + N]);
    floats
}

/// Runs `$some::<S, N>($first, …)` for all channels, four at a time, then two or one.
macro_rules! all_channels {
    ($count:expr, |$first:ident| $some:ident($($argument:expr),* $(,)?)) => {{
        let count = $count;
        let mut $first = 0;
        while $first < count {
            match count - $first {
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

/// `out = Σ factors[c] · rows[c]`.
#[inline(always)]
pub(super) fn combine<S: Simd>(simd: S, factors: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    all_channels!(factors.len(), |first| combine_some(simd, first, factors, rows, out));
}

#[inline(always)]
fn combine_some<S: Simd, const N: usize>(simd: S, first: usize, factors: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    let width = out.len();
    let rows: [&[f32]; N] = rows.from(first, width);
    let factors: [f32; N] = some(factors, first);
    let mut splats = [simd.splat(0.0); N];
    for c in 0..N {
        splats[c] = simd.splat(factors[c]);
    }
    let mut at = 0;
    while at + S::LANES <= width {
        let part = at..at + S::LANES;
        let mut sum = match first {
            0 => simd.splat(0.0),
            _ => simd.load(&out[part.clone()]),
        };
        for c in 0..N {
            sum = simd.mul_add(splats[c], simd.load(&rows[c][part.clone()]), sum);
        }
        simd.store(sum, &mut out[part]);
        at += S::LANES;
    }
}

/// `out = Σ weights[c] ⊙ rows[c]`, so many channels.
#[inline(always)]
pub(super) fn combine_products<S: Simd>(simd: S, count: usize, weights: Rows<'_>, rows: Rows<'_>, out: &mut [f32]) {
    all_channels!(count, |first| combine_products_some(simd, first, weights, rows, out));
}

#[inline(always)]
fn combine_products_some<S: Simd, const N: usize>(
    simd: S,
    first: usize,
    weights: Rows<'_>,
    rows: Rows<'_>,
    out: &mut [f32],
) {
    let width = out.len();
    let rows: [&[f32]; N] = rows.from(first, width);
    let weights: [&[f32]; N] = weights.from(first, width);
    let mut at = 0;
    while at + S::LANES <= width {
        let part = at..at + S::LANES;
        let mut sum = match first {
            0 => simd.splat(0.0),
            _ => simd.load(&out[part.clone()]),
        };
        for c in 0..N {
            let weight = simd.load(&weights[c][part.clone()]);
            sum = simd.mul_add(weight, simd.load(&rows[c][part.clone()]), sum);
        }
        simd.store(sum, &mut out[part]);
        at += S::LANES;
    }
}

/// `pairs[2c] = Σ row ⊙ first[c]` and `pairs[2c + 1] = Σ row ⊙ second[c]`.
#[inline(always)]
pub(super) fn dots<S: Simd>(simd: S, row: &[f32], rows: [Rows<'_>; 2], pairs: &mut [f32]) {
    all_channels!(pairs.len() / 2, |first| dots_some(simd, first, row, rows, pairs));
}

#[inline(always)]
fn dots_some<S: Simd, const N: usize>(simd: S, first: usize, row: &[f32], rows: [Rows<'_>; 2], pairs: &mut [f32]) {
    let width = row.len();
    let [one, other]: [[&[f32]; N]; 2] = [rows[0].from(first, width), rows[1].from(first, width)];
    let mut sums = [[simd.splat(0.0); 2]; N];
    let mut at = 0;
    while at + S::LANES <= width {
        let part = at..at + S::LANES;
        let x = simd.load(&row[part.clone()]);
        for c in 0..N {
            sums[c][0] = simd.mul_add(x, simd.load(&one[c][part.clone()]), sums[c][0]);
            sums[c][1] = simd.mul_add(x, simd.load(&other[c][part.clone()]), sums[c][1]);
        }
        at += S::LANES;
    }
    for c in 0..N {
        pairs[2 * (first + c)] = across(simd, sums[c][0]);
        pairs[2 * (first + c) + 1] = across(simd, sums[c][1]);
    }
}

/// The way back through [`dots`], whose results have the gradients `of`: `towards += Σ of[0][c] · rows[0][c] + of[1][c] · rows[1][c]`, the
/// gradient of the row, and `gradients[k][c] += of[k][c] · row`, those of the rows.
#[inline(always)]
pub(super) fn dots_back<S: Simd>(
    simd: S,
    of: [&[f32]; 2],
    row: &[f32],
    rows: [Rows<'_>; 2],
    gradients: &mut [RowsMut<'_>; 2],
    towards: &mut [f32],
) {
    all_channels!(of[0].len(), |first| dots_back_some(
        simd, first, of, row, rows, gradients, towards
    ));
}

#[inline(always)]
fn dots_back_some<S: Simd, const N: usize>(
    simd: S,
    first: usize,
    of: [&[f32]; 2],
    row: &[f32],
    rows: [Rows<'_>; 2],
    gradients: &mut [RowsMut<'_>; 2],
    towards: &mut [f32],
) {
    let width = towards.len();
    let row = &row[..width];
    let [one, other]: [[&[f32]; N]; 2] = [rows[0].from(first, width), rows[1].from(first, width)];
    let [of_one, of_other] = gradients;
    let (of_one, of_other): ([&mut [f32]; N], [&mut [f32]; N]) =
        (of_one.from(first, width), of_other.from(first, width));
    let [y, z]: [[f32; N]; 2] = [some(of[0], first), some(of[1], first)];
    let (mut ys, mut zs) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
    for c in 0..N {
        (ys[c], zs[c]) = (simd.splat(y[c]), simd.splat(z[c]));
    }
    let mut at = 0;
    while at + S::LANES <= width {
        let part = at..at + S::LANES;
        let x = simd.load(&row[part.clone()]);
        let mut sum = simd.load(&towards[part.clone()]);
        for c in 0..N {
            sum = simd.mul_add(ys[c], simd.load(&one[c][part.clone()]), sum);
            sum = simd.mul_add(zs[c], simd.load(&other[c][part.clone()]), sum);
            let of_one = &mut of_one[c][part.clone()];
            simd.store(simd.mul_add(ys[c], x, simd.load(of_one)), of_one);
            let of_other = &mut of_other[c][part.clone()];
            simd.store(simd.mul_add(zs[c], x, simd.load(of_other)), of_other);
        }
        simd.store(sum, &mut towards[part]);
        at += S::LANES;
    }
}

/// The way back through [`combine`]: the first number of row c of `sums` takes `Σ towards ⊙ rows[c]`, the gradient of a factor, and
/// `gradients[c] += factors[c] · towards`, those of the rows.
#[inline(always)]
pub(super) fn combine_back<S: Simd>(
    simd: S,
    towards: &[f32],
    factors: &[f32],
    rows: Rows<'_>,
    sums: &mut RowsMut<'_>,
    gradients: &mut RowsMut<'_>,
) {
    all_channels!(factors.len(), |first| combine_back_some(
        simd, first, towards, factors, rows, sums, gradients
    ));
}

#[inline(always)]
fn combine_back_some<S: Simd, const N: usize>(
    simd: S,
    first: usize,
    towards: &[f32],
    factors: &[f32],
    rows: Rows<'_>,
    sums: &mut RowsMut<'_>,
    gradients: &mut RowsMut<'_>,
) {
    let width = towards.len();
    let rows: [&[f32]; N] = rows.from(first, width);
    let gradients: [&mut [f32]; N] = gradients.from(first, width);
    let factors: [f32; N] = some(factors, first);
    let (mut splats, mut dots) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
    for c in 0..N {
        splats[c] = simd.splat(factors[c]);
    }
    let mut at = 0;
    while at + S::LANES <= width {
        let part = at..at + S::LANES;
        let x = simd.load(&towards[part.clone()]);
        for c in 0..N {
            dots[c] = simd.mul_add(x, simd.load(&rows[c][part.clone()]), dots[c]);
            let gradient = &mut gradients[c][part.clone()];
            simd.store(simd.mul_add(splats[c], x, simd.load(gradient)), gradient);
        }
        at += S::LANES;
    }
    for (c, dot) in dots.into_iter().enumerate() {
        sums.values[(first + c) * sums.apart] += across(simd, dot);
    }
}

/// The way back through [`combine_products`]: `gradients[0][c] += towards ⊙ rows[c]`, `gradients[1][c] += towards ⊙ weights[c]`.
#[inline(always)]
pub(super) fn combine_products_back<S: Simd>(
    simd: S,
    count: usize,
    towards: &[f32],
    [weights, rows]: [Rows<'_>; 2],
    gradients: &mut [RowsMut<'_>; 2],
) {
    all_channels!(count, |first| combine_products_back_some(
        simd, first, towards, weights, rows, gradients
    ));
}

#[inline(always)]
fn combine_products_back_some<S: Simd, const N: usize>(
    simd: S,
    first: usize,
    towards: &[f32],
    weights: Rows<'_>,
    rows: Rows<'_>,
    gradients: &mut [RowsMut<'_>; 2],
) {
    let width = towards.len();
    let rows: [&[f32]; N] = rows.from(first, width);
    let weights: [&[f32]; N] = weights.from(first, width);
    let [of_weights, of_rows] = gradients;
    let (of_weights, of_rows): ([&mut [f32]; N], [&mut [f32]; N]) =
        (of_weights.from(first, width), of_rows.from(first, width));
    let mut at = 0;
    while at + S::LANES <= width {
        let part = at..at + S::LANES;
        let x = simd.load(&towards[part.clone()]);
        for c in 0..N {
            let of_weight = &mut of_weights[c][part.clone()];
            simd.store(
                simd.mul_add(x, simd.load(&rows[c][part.clone()]), simd.load(of_weight)),
                of_weight,
            );
            let of_row = &mut of_rows[c][part.clone()];
            simd.store(
                simd.mul_add(x, simd.load(&weights[c][part.clone()]), simd.load(of_row)),
                of_row,
            );
        }
        at += S::LANES;
    }
}

#[cfg(test)]
mod tests;
