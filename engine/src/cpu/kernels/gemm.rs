//! `C = A·B + bias`, or a batch of such products, with `B` packed.
//!
//! A tile of `C` stays in registers while the contraction runs: 6 rows of 16 columns on 16 registers, 12 of 32 on AVX-512. Rows
//! of `A` and `C` are named by their offsets, so that a product can gather the pixels of a feature map. Long contractions run in stretches and
//! many rows in blocks, so that caches hold what is read again; the order of a sum's terms stays the same.
//!
//! Against a sum in `f64` every element is within `(K + 2)·2⁻²⁴·Σ|a·b|`, as for any order of summation, and usually far closer.

use super::{PANEL, Panels, tally};
use crate::simd::{Kernel, Simd};
use std::ops::Range;

/// Rows of a matrix in a buffer: row `i` of batch member `p` starts at `rows[i] + p·stride`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Operand<'a> {
    pub(in crate::cpu) rows: &'a [usize],
    pub(in crate::cpu) stride: usize,
}

impl<'a> Operand<'a> {
    /// The rows of a single matrix, or of one that every member of a batch shares.
    pub(in crate::cpu) fn of(rows: &'a [usize]) -> Self {
        Self { rows, stride: 0 }
    }
}

/// `c[p] = a[p]·b[p]`, for every matrix `p` in `0..batch` of `b`; all columns of `b` are written.
pub(in crate::cpu) struct Gemm<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) a: &'a [f32],
    pub(in crate::cpu) a_rows: Operand<'a>,
    pub(in crate::cpu) b: Panels<'a>,
    /// A term per column, as many as `b` has; 0 when absent.
    pub(in crate::cpu) bias: Option<&'a [f32]>,
    pub(in crate::cpu) c: &'a mut [f32],
    pub(in crate::cpu) c_rows: Operand<'a>,
}

/// The longest stretch of the contraction that a panel is read for at once: it stays in the first-level cache with the rows it meets.
const DEPTH: usize = 288;
/// Elements of `A` that are swept by all panels before the next ones: they stay in the second-level cache.
const SWEPT: usize = 48 * 1024;

/// A part of a product: matrix, rows, stretch of the contraction.
#[derive(Clone)]
struct Part {
    p: usize,
    rows: Range<usize>,
    depth: Range<usize>,
    /// The row of the next panels to fetch first meanwhile, and by how many rows a tile moves it.
    ahead: usize,
    share: usize,
}

impl Part {
    /// Leaves `rows` behind.
    #[inline(always)]
    fn advance(&mut self, rows: usize) {
        self.rows.start += rows;
        self.ahead += self.share;
    }
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        assert_eq!(self.a_rows.rows.len(), self.c_rows.rows.len());
        let (rows, length) = (self.c_rows.rows.len(), self.b.rows);
        tally::count(self.batch * rows * length * self.b.columns());
        let depth = length.div_ceil(length.div_ceil(DEPTH).max(1)).max(1);
        let block = (SWEPT / depth / 12 * 12).max(48);
        for p in 0..self.batch {
            // An empty contraction leaves the bias.
            for from in (0..length.max(1)).step_by(depth) {
                for first in (0..rows).step_by(block) {
                    let part = Part {
                        p,
                        rows: first..(first + block).min(rows),
                        depth: from..(from + depth).min(length),
                        ahead: 0,
                        share: 0,
                    };
                    self.part(simd, part);
                }
            }
        }
    }
}

impl Gemm<'_> {
    /// All columns of a part.
    #[inline(always)]
    fn part<S: Simd>(&mut self, simd: S, part: Part) {
        let b = self.b.matrix(part.p);
        let panel_length = self.b.rows * PANEL;
        let panels = self.b.columns() / PANEL;
        let mut panel = 0;
        while panel < panels {
            // Vectors of a row of the tile: always at least two, so that a row hides the latency of its sums.
            if S::LANES == PANEL && panel + 2 <= panels {
                self.columns::<S, 2, 2>(
                    simd,
                    part.clone(),
                    panel,
                    &b[panel * panel_length..][..2 * panel_length],
                );
                panel += 2;
                continue;
            }
            let b = &b[panel * panel_length..][..panel_length];
            match S::LANES {
                16 => self.columns::<S, 1, 1>(simd, part.clone(), panel, b),
                8 => self.columns::<S, 1, 2>(simd, part.clone(), panel, b),
                _ => self.columns::<S, 1, 4>(simd, part.clone(), panel, b),
            }
            panel += 1;
        }
    }

    /// A part's rows of `P` panels, which are `V` vectors wide.
    #[inline(always)]
    fn columns<S: Simd, const P: usize, const V: usize>(&mut self, simd: S, mut part: Part, panel: usize, b: &[f32]) {
        // Each tile fetches its share of the next panels, which come from far away where there are few rows for many weights.
        let height = if S::REGISTERS >= 32 && S::LANES == PANEL { 12 } else { 6 };
        part.share = part.depth.len().div_ceil(part.rows.len().div_ceil(height).max(1));
        part.ahead = part.depth.start;
        while !part.rows.is_empty() {
            let left = part.rows.len();
            if S::REGISTERS >= 32 && S::LANES == PANEL && left >= 12 {
                self.tile::<S, 12, P, V>(simd, &part, panel, b);
                part.advance(12);
                continue;
            }
            if S::REGISTERS < 16 {
                // The compiler's own vectors: a small tile is all that fits.
                if left >= 2 {
                    self.tile::<S, 2, P, V>(simd, &part, panel, b);
                    part.advance(2);
                } else {
                    self.tile::<S, 1, P, V>(simd, &part, panel, b);
                    part.advance(1);
                }
                continue;
            }
            // The last two tiles share their rows: a tile of a row or two would wait for its sums.
            let rows = if (7..12).contains(&left) {
                left.div_ceil(2)
            } else {
                left.min(6)
            };
            match rows {
                1 => self.tile::<S, 1, P, V>(simd, &part, panel, b),
                2 => self.tile::<S, 2, P, V>(simd, &part, panel, b),
                3 => self.tile::<S, 3, P, V>(simd, &part, panel, b),
                4 => self.tile::<S, 4, P, V>(simd, &part, panel, b),
                5 => self.tile::<S, 5, P, V>(simd, &part, panel, b),
                _ => self.tile::<S, 6, P, V>(simd, &part, panel, b),
            }
            part.advance(rows);
        }
    }

    /// The first `R` rows of a part for `P` panels. What `C` holds of earlier stretches of the contraction goes on, in the same order of sums.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const P: usize, const V: usize>(
        &mut self,
        simd: S,
        part: &Part,
        panel: usize,
        b: &[f32],
    ) {
        let (k, depth) = (self.b.rows, part.depth.len());
        let per_panel = const { V / P };
        let mut a: [&[f32]; R] = [&[]; R];
        let mut starts = [0; R];
        for r in 0..R {
            let row = part.rows.start + r;
            a[r] = &self.a[self.a_rows.rows[row] + part.p * self.a_rows.stride + part.depth.start..][..depth];
            starts[r] = self.c_rows.rows[row] + part.p * self.c_rows.stride + panel * PANEL;
        }
        let bias = self.bias.unwrap_or_default();
        let mut sums = [[simd.splat(0.0); V]; R];
        if part.depth.start > 0 {
            for r in 0..R {
                let c = &self.c[starts[r]..][..P * PANEL];
                for v in 0..V {
                    sums[r][v] = simd.load(&c[v * S::LANES..]);
                }
            }
        } else if !bias.is_empty() {
            for v in 0..V {
                let bias = simd.load(&bias[panel * PANEL + v * S::LANES..]);
                for r in 0..R {
                    sums[r][v] = bias;
                }
            }
        }
        let mut panels: [&[[f32; PANEL]]; P] = [&[]; P];
        for (index, panel) in panels.iter_mut().enumerate() {
            *panel = &b[(index * k + part.depth.start) * PANEL..].as_chunks().0[..depth];
        }
        let mut ahead = [0; P];
        for (index, ahead) in ahead.iter_mut().enumerate() {
            *ahead = ((P + index) * k + part.ahead) * PANEL;
        }
        for i in 0..depth {
            let mut columns = [simd.splat(0.0); V];
            for v in 0..V {
                columns[v] = simd.load(&panels[v / per_panel][i][v % per_panel * S::LANES..]);
            }
            for index in 0..P {
                simd.prefetch(b, ahead[index] + i * PANEL);
            }
            for r in 0..R {
                let value = simd.splat(a[r][i]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add(value, columns[v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            let c = &mut self.c[starts[r]..][..P * PANEL];
            for v in 0..V {
                simd.store(sums[r][v], &mut c[v * S::LANES..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::Packed;
    use crate::cpu::kernels::testing::{isas, numbers, within};

    /// Rows and columns that leave remainders everywhere; rows of `A` in another order than those of `C`.
    #[test]
    fn a_product_is_the_sum_of_products() {
        for isa in isas() {
            for (m, k, n) in [
                (1, 1, 1),
                (2, 9, 16),
                (3, 0, 17),
                (5, 3, 17),
                (12, 40, 32),
                (25, 33, 70),
                (7, 100, 48),
                (31, 5, 33),
                (9, 600, 20),
                (190, 289, 16),
            ] {
                let (a, b, bias) = (numbers("a", m * k), numbers("b", k * n), numbers("bias", n));
                let packed = Packed::of(k, n, |row, column| b[row * n + column]);
                let wide = packed.columns();
                let mut padded_bias = bias.clone();
                padded_bias.resize(wide, 0.0);
                let a_rows: Vec<usize> = (0..m).rev().map(|row| row * k).collect();
                let c_rows: Vec<usize> = (0..m).map(|row| row * wide).collect();
                for bias in [None, Some(&padded_bias[..])] {
                    let mut c = vec![f32::NAN; m * wide];
                    isa.run(Gemm {
                        batch: 1,
                        a: &a,
                        a_rows: Operand::of(&a_rows),
                        b: packed.view(),
                        bias,
                        c: &mut c,
                        c_rows: Operand::of(&c_rows),
                    });
                    for row in 0..m {
                        for column in 0..wide {
                            let terms = (0..k).map(|i| {
                                let value = if column < n { b[i * n + column] } else { 0.0 };
                                f64::from(a[(m - 1 - row) * k + i]) * f64::from(value)
                            });
                            let terms: Vec<f64> = terms.chain(bias.map(|bias| f64::from(bias[column]))).collect();
                            let scale: f64 = terms.iter().map(|term| term.abs()).sum();
                            let bound = (k + 2) as f64 * 2f64.powi(-24) * scale;
                            within(isa, c[row * wide + column], terms.iter().sum(), bound);
                        }
                    }
                }
            }
        }
    }
}
