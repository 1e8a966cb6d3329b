//! Products of maps over pairs of positions, line by line: one line in each lane.

use super::vectors::{get, put};
use dualnet_engine::cpu::Aligned;
use dualnet_engine::simd::Simd;

/// A map `[·, ·]` of vectors as a factor.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    pub(super) map: &'a [f32],
    /// Vectors from one term of the sum to the next.
    pub(super) along: usize,
    /// Vectors from one row or column of the product to the next.
    pub(super) apart: usize,
}

/// The factors in the order in which a tile reads them.
#[derive(Default)]
pub(super) struct Panels {
    /// All rows of the left one: for each tile its rows' first vectors, then their second ones, and so on.
    left: Aligned,
    /// Some columns of the right one, likewise; they stay in the fastest cache.
    right: Aligned,
}

/// `out[a, b] = Σ left[·, a] · right[·, b]` over `span` terms, all three maps with `span · span` vectors.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    span: usize,
    left: Factor<'_>,
    right: Factor<'_>,
    out: &mut [f32],
    panels: &mut Panels,
) {
    // Where there are registers, they hold the sums and a row of the right factor beside them.
    let (most_rows, most_columns) = if S::REGISTERS >= 32 { (6, 4) } else { (3, 3) };
    panels.left.resize(span * span * S::LANES);
    panels.right.resize(most_columns.min(span) * span * S::LANES);
    let mut row = 0;
    while row < span {
        let rows = at_once(most_rows, span - row);
        let panel = &mut panels.left[row * span * S::LANES..(row + rows) * span * S::LANES];
        pack(simd, span, left, row, rows, panel);
        row += rows;
    }
    let mut column = 0;
    while column < span {
        let columns = at_once(most_columns, span - column);
        let right_panel = &mut panels.right[..columns * span * S::LANES];
        pack(simd, span, right, column, columns, right_panel);
        let mut row = 0;
        while row < span {
            let rows = at_once(most_rows, span - row);
            let left_panel = &panels.left[row * span * S::LANES..(row + rows) * span * S::LANES];
            let (factors, place) = ([left_panel, &*right_panel], [row, column]);
            match (rows, columns) {
                (6, 4) => tile::<S, 6, 4>(simd, span, factors, place, out),
                (6, 3) => tile::<S, 6, 3>(simd, span, factors, place, out),
                (6, _) => tile::<S, 6, 1>(simd, span, factors, place, out),
                (3, 4) => tile::<S, 3, 4>(simd, span, factors, place, out),
                (3, 3) => tile::<S, 3, 3>(simd, span, factors, place, out),
                (3, _) => tile::<S, 3, 1>(simd, span, factors, place, out),
                (_, 4) => tile::<S, 1, 4>(simd, span, factors, place, out),
                (_, 3) => tile::<S, 1, 3>(simd, span, factors, place, out),
                (_, _) => tile::<S, 1, 1>(simd, span, factors, place, out),
            }
            row += rows;
        }
        column += columns;
    }
}

/// How many of the rows or columns that are left a tile takes.
fn at_once(most: usize, left: usize) -> usize {
    match left {
        left if left >= most => most,
        left if left >= 3 => 3,
        _ => 1,
    }
}

/// Copies `count` rows or columns from the `first` on, term by term.
#[inline(always)]
fn pack<S: Simd>(simd: S, span: usize, from: Factor<'_>, first: usize, count: usize, panel: &mut [f32]) {
    for term in 0..span {
        for i in 0..count {
            let vector = get(simd, from.map, term * from.along + (first + i) * from.apart);
            put(simd, vector, panel, term * count + i);
        }
    }
}

#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const COLUMNS: usize>(
    simd: S,
    span: usize,
    [left, right]: [&[f32]; 2],
    [row, column]: [usize; 2],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); COLUMNS]; ROWS];
    for term in 0..span {
        let left = &left[term * ROWS * S::LANES..(term + 1) * ROWS * S::LANES];
        let right = &right[term * COLUMNS * S::LANES..(term + 1) * COLUMNS * S::LANES];
        let mut vectors = [simd.splat(0.0); COLUMNS];
        for b in 0..COLUMNS {
            vectors[b] = get(simd, right, b);
        }
        for a in 0..ROWS {
            let factor = get(simd, left, a);
            for b in 0..COLUMNS {
                sums[a][b] = simd.mul_add(factor, vectors[b], sums[a][b]);
            }
        }
    }
    for a in 0..ROWS {
        for b in 0..COLUMNS {
            put(simd, sums[a][b], out, (row + a) * span + column + b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_engine::simd::{Isa, Kernel, MAX_LANES};

    struct Product<'a>(usize, Factor<'a>, Factor<'a>, &'a mut [f32]);

    impl Kernel for Product<'_> {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> usize {
            let used = self.0 * self.0 * S::LANES;
            product(
                simd,
                self.0,
                self.1,
                self.2,
                &mut self.3[..used],
                &mut Panels::default(),
            );
            S::LANES
        }
    }

    /// Integers, so that every order of summation gives the same bits.
    #[test]
    fn products_equal_the_sums_they_stand_for() {
        for span in [1_usize, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 35, 70] {
            let value = |i: usize, salt: usize| ((i * 37 + salt * 11) % 17) as f32 - 8.0;
            let floats = span * span * MAX_LANES;
            let left: Vec<f32> = (0..floats).map(|i| value(i, 1)).collect();
            let right: Vec<f32> = (0..floats).map(|i| value(i, 2)).collect();
            for (isa, [along, apart]) in Isa::available()
                .into_iter()
                .flat_map(|isa| [(isa, [1, span]), (isa, [span, 1])])
            {
                let factor = |map| Factor { map, along, apart };
                let mut out = vec![f32::NAN; floats];
                let lanes = isa.run(Product(span, factor(&left), factor(&right), &mut out));
                for (a, b, lane) in
                    (0..span).flat_map(|a| (0..span).flat_map(move |b| (0..lanes).map(move |lane| (a, b, lane))))
                {
                    let of = |map: &[f32], k: usize, i: usize| map[(k * along + i * apart) * lanes + lane];
                    let terms = (0..span).map(|k| of(&left, k, a) * of(&right, k, b));
                    assert_eq!(
                        out[(a * span + b) * lanes + lane],
                        terms.sum::<f32>(),
                        "{isa:?} {span} {a} {b} {lane}"
                    );
                }
            }
        }
    }
}
