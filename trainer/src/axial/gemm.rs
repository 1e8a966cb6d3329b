//! Products of attention maps that stay in a core's caches.

use dualnet_engine::simd::Simd;

/// Rows of a tile of the product. With two vectors per row, twelve sums fill AVX2's registers.
const TILE: usize = 6;

/// The left factor of a product, its rows interleaved by tiles.
#[derive(Default)]
pub(super) struct Panels(Vec<f32>);

/// `out = left · right` for maps of `span` rows of `span` numbers at `stride`, a multiple of the vector's length. Columns
/// of `out` from the span on are what those of `right` give.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    span: usize,
    stride: usize,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
    panels: &mut Panels,
) {
    let panels = panels.pack(span, stride, left);
    let mut column = 0;
    while column < stride {
        let is_wide = column + 2 * S::LANES <= stride;
        let mut top = 0;
        while top < span {
            let height = TILE.min(span - top);
            let panel = &panels[top * span..(top + height) * span];
            let out = &mut out[top * stride..(top + height) * stride];
            top += height;
            match (is_wide, height) {
                (true, 6) => tile::<S, 6, 2>(simd, stride, column, panel, right, out),
                (true, 5) => tile::<S, 5, 2>(simd, stride, column, panel, right, out),
                (true, 4) => tile::<S, 4, 2>(simd, stride, column, panel, right, out),
                (true, 3) => tile::<S, 3, 2>(simd, stride, column, panel, right, out),
                (true, 2) => tile::<S, 2, 2>(simd, stride, column, panel, right, out),
                (true, _) => tile::<S, 1, 2>(simd, stride, column, panel, right, out),
                (false, 6) => tile::<S, 6, 1>(simd, stride, column, panel, right, out),
                (false, 5) => tile::<S, 5, 1>(simd, stride, column, panel, right, out),
                (false, 4) => tile::<S, 4, 1>(simd, stride, column, panel, right, out),
                (false, 3) => tile::<S, 3, 1>(simd, stride, column, panel, right, out),
                (false, 2) => tile::<S, 2, 1>(simd, stride, column, panel, right, out),
                (false, _) => tile::<S, 1, 1>(simd, stride, column, panel, right, out),
            }
        }
        column += if is_wide { 2 * S::LANES } else { S::LANES };
    }
}

impl Panels {
    /// Tiles of [`TILE`] rows, the last one of fewer; within a tile the rows' first numbers, then their second ones, and so on.
    #[inline(always)]
    fn pack(&mut self, span: usize, stride: usize, map: &[f32]) -> &[f32] {
        self.0.resize(span * span, 0.0);
        let mut top = 0;
        while top < span {
            let height = TILE.min(span - top);
            let panel = &mut self.0[top * span..(top + height) * span];
            for i in 0..height {
                let row = &map[(top + i) * stride..(top + i) * stride + span];
                for k in 0..span {
                    panel[k * height + i] = row[k];
                }
            }
            top += height;
        }
        &self.0
    }
}

/// `ROWS` rows of `WIDE` vectors of the product, from column `column` on.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const WIDE: usize>(
    simd: S,
    stride: usize,
    column: usize,
    panel: &[f32],
    right: &[f32],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); WIDE]; ROWS];
    let depth = panel.len() / ROWS;
    for k in 0..depth {
        let left = &panel[k * ROWS..(k + 1) * ROWS];
        let right = &right[k * stride + column..k * stride + column + WIDE * S::LANES];
        let mut vectors = [simd.splat(0.0); WIDE];
        for w in 0..WIDE {
            vectors[w] = simd.load(&right[w * S::LANES..(w + 1) * S::LANES]);
        }
        for i in 0..ROWS {
            let factor = simd.splat(left[i]);
            for w in 0..WIDE {
                sums[i][w] = simd.mul_add(factor, vectors[w], sums[i][w]);
            }
        }
    }
    for i in 0..ROWS {
        let row = &mut out[i * stride + column..i * stride + column + WIDE * S::LANES];
        for w in 0..WIDE {
            simd.store(sums[i][w], &mut row[w * S::LANES..(w + 1) * S::LANES]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_engine::simd::{Isa, Kernel, MAX_LANES};

    struct Product<'a>(usize, usize, &'a [f32], &'a [f32], &'a mut [f32]);

    impl Kernel for Product<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            product(simd, self.0, self.1, self.2, self.3, self.4, &mut Panels::default());
        }
    }

    /// Integers, so that every order of summation gives the same bits.
    #[test]
    fn products_equal_the_sums_they_stand_for() {
        for span in [1_usize, 2, 4, 7, 8, 35, 70, 140] {
            let stride = span.next_multiple_of(MAX_LANES);
            let value = |i: usize, salt: usize| ((i * 37 + salt * 11) % 17) as f32 - 8.0;
            let left: Vec<f32> = (0..span * stride).map(|i| value(i, 1)).collect();
            let right: Vec<f32> = (0..span * stride).map(|i| value(i, 2)).collect();
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; span * stride];
                isa.run(Product(span, stride, &left, &right, &mut out));
                for i in 0..span {
                    for j in 0..span {
                        let terms = (0..span).map(|k| left[i * stride + k] * right[k * stride + j]);
                        assert_eq!(out[i * stride + j], terms.sum::<f32>(), "{isa:?} {span} {i} {j}");
                    }
                }
            }
        }
    }
}
