//! `C = A·B` of 16-bit integers, exact in 32 bits as long as no sum exceeds them (and modulo 2³² otherwise).
//!
//! The contraction runs over pairs, whose two products one instruction sums. Rows of `A` and `C` are named by their offsets, as in
//! [`Gemm`](super::super::Gemm).

use super::super::{Operand, PANEL, tally};
use super::PairPanels;
use crate::simd::{Integer, Kernel};

/// `c[p] = a[p]·b[p]`, for every matrix `p` in `0..batch` of `b`; all columns of `b` are written.
pub(in crate::cpu) struct Product<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) a: &'a [i16],
    pub(in crate::cpu) a_rows: Operand<'a>,
    pub(in crate::cpu) b: PairPanels<'a, i16>,
    pub(in crate::cpu) c: Results<'a>,
    pub(in crate::cpu) c_rows: Operand<'a>,
}

/// What becomes of the sums.
pub(in crate::cpu) enum Results<'a> {
    /// They are stored.
    Sums(&'a mut [i32]),
    /// `scale·sum + shift`, a factor and a term per column.
    Values(&'a mut [f32], &'a [f32], &'a [f32]),
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(mut self, simd: S) {
        assert_eq!(self.a_rows.rows.len(), self.c_rows.rows.len());
        tally::count(self.batch * self.c_rows.rows.len() * 2 * self.b.pairs * self.b.columns());
        for p in 0..self.batch {
            let b = self.b.matrix(p);
            let panel_length = self.b.pairs * 2 * PANEL;
            let mut panel = 0;
            while panel < self.b.panels {
                if S::LANES == PANEL && panel + 2 <= self.b.panels {
                    self.columns::<S, 2, 2>(simd, p, panel, &b[panel * panel_length..][..2 * panel_length]);
                    panel += 2;
                    continue;
                }
                let b = &b[panel * panel_length..][..panel_length];
                match S::LANES {
                    16 => self.columns::<S, 1, 1>(simd, p, panel, b),
                    8 => self.columns::<S, 1, 2>(simd, p, panel, b),
                    _ => self.columns::<S, 1, 4>(simd, p, panel, b),
                }
                panel += 1;
            }
        }
    }
}

impl Product<'_> {
    /// All rows of `P` panels, which are `V` vectors wide.
    #[inline(always)]
    fn columns<S: Integer, const P: usize, const V: usize>(&mut self, simd: S, p: usize, panel: usize, b: &[i16]) {
        let rows = self.c_rows.rows.len();
        // Registers a row of sums takes; the rest holds columns, a pair of the row and its products.
        let per_row = V * (size_of::<S::Sums>() / size_of::<S::Ints>());
        let most = if S::REGISTERS < 16 {
            2
        } else {
            (S::REGISTERS - 4) / per_row
        };
        let mut first = 0;
        while first < rows {
            let left = rows - first;
            if most >= 12 && left >= 12 {
                self.tile::<S, 12, P, V>(simd, p, first, panel, b);
                first += 12;
                continue;
            }
            match left.min(most) {
                1 => self.tile::<S, 1, P, V>(simd, p, first, panel, b),
                2 => self.tile::<S, 2, P, V>(simd, p, first, panel, b),
                3 => self.tile::<S, 3, P, V>(simd, p, first, panel, b),
                4 => self.tile::<S, 4, P, V>(simd, p, first, panel, b),
                5 => self.tile::<S, 5, P, V>(simd, p, first, panel, b),
                _ => self.tile::<S, 6, P, V>(simd, p, first, panel, b),
            }
            first += left.min(most).min(6);
        }
    }

    /// `R` rows from `first` on of `P` panels.
    #[inline(always)]
    fn tile<S: Integer, const R: usize, const P: usize, const V: usize>(
        &mut self,
        simd: S,
        p: usize,
        first: usize,
        panel: usize,
        b: &[i16],
    ) {
        let pairs = self.b.pairs;
        let per_panel = const { V / P };
        let mut a: [&[[i16; 2]]; R] = [&[]; R];
        for r in 0..R {
            let row = &self.a[self.a_rows.rows[first + r] + p * self.a_rows.stride..][..2 * pairs];
            a[r] = &row.as_chunks().0[..pairs];
        }
        let mut sums = [[simd.no_sums(); V]; R];
        let mut panels: [&[i16]; P] = [&[]; P];
        for (index, panel) in panels.iter_mut().enumerate() {
            *panel = &b[index * pairs * 2 * PANEL..][..pairs * 2 * PANEL];
        }
        for i in 0..pairs {
            let mut columns = [simd.splat_pair([0; 2]); V];
            for v in 0..V {
                columns[v] = simd.load_shorts(&panels[v / per_panel][i * 2 * PANEL + v % per_panel * S::SHORTS..]);
            }
            for r in 0..R {
                let pair = simd.splat_pair(a[r][i]);
                for v in 0..V {
                    sums[r][v] = simd.dot(pair, columns[v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            let start = self.c_rows.rows[first + r] + p * self.c_rows.stride + panel * PANEL;
            match &mut self.c {
                Results::Sums(c) => {
                    let c = &mut c[start..][..P * PANEL];
                    for v in 0..V {
                        simd.store_ints(simd.total(sums[r][v]), &mut c[v * S::LANES..]);
                    }
                }
                Results::Values(c, scale, shift) => {
                    let c = &mut c[start..][..P * PANEL];
                    for v in 0..V {
                        let at = panel * PANEL + v * S::LANES;
                        let sum = simd.to_floats(simd.total(sums[r][v]));
                        let value = simd.mul_add(sum, simd.load(&scale[at..]), simd.load(&shift[at..]));
                        simd.store(value, &mut c[v * S::LANES..]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pairs;
    use super::*;
    use crate::cpu::kernels::testing::{integers, isas, numbers, within};

    /// Rows and columns that leave remainders everywhere; rows of `A` in another order than those of `C`. Sums are equal to those in
    /// `i64`, values within one rounding of each step.
    #[test]
    fn integer_products_are_exact() {
        for isa in isas() {
            for (m, k, n) in [
                (1, 2, 1),
                (2, 10, 16),
                (5, 4, 17),
                (12, 40, 32),
                (25, 34, 70),
                (13, 100, 48),
            ] {
                let (a, b) = (integers("a", m * k, 25_500), integers("b", k * n, 400));
                let packed = Pairs::of(k, n, |row, column| b[row * n + column]);
                let wide = packed.columns();
                let (scale, shift) = (numbers("scale", wide), numbers("shift", wide));
                let a_rows: Vec<usize> = (0..m).rev().map(|row| row * k).collect();
                let c_rows: Vec<usize> = (0..m).map(|row| row * wide).collect();
                let mut sums = vec![i32::MIN; m * wide];
                let mut values = vec![f32::NAN; m * wide];
                for c in [Results::Sums(&mut sums), Results::Values(&mut values, &scale, &shift)] {
                    isa.run(Product {
                        batch: 1,
                        a: &a,
                        a_rows: Operand::of(&a_rows),
                        b: packed.view(),
                        c,
                        c_rows: Operand::of(&c_rows),
                    });
                }
                for row in 0..m {
                    for column in 0..wide {
                        let term = |i: usize| {
                            let value = if column < n { b[i * n + column] } else { 0 };
                            i64::from(a[(m - 1 - row) * k + i]) * i64::from(value)
                        };
                        let sum: i64 = (0..k).map(term).sum();
                        let at = row * wide + column;
                        assert_eq!(i64::from(sums[at]), sum, "{isa:?}");
                        let product = sum as f64 * f64::from(scale[column]);
                        let expected = product + f64::from(shift[column]);
                        within(isa, values[at], expected, 2e-7 * (product.abs() + 1.0));
                    }
                }
            }
        }
    }
}
