//! `C += Aᵀ·B`, or a batch of such products, of operands packed alike: sums over the rows that both share.
//!
//! The operands lie as the first transforms of [`winograd`](super::winograd) write them. A sum of one call is rounded apart before it joins `C`,
//! so that the sum over many calls errs as sums of sums do.

use super::{PANEL, tally};
use crate::simd::{Kernel, Simd};

/// Matrices `[rows, columns]`, each as panels of [`PANEL`] columns: `[matrix][panel][row][PANEL]`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Panelled<'a> {
    pub(in crate::cpu) data: &'a [f32],
    /// Elements between matrices.
    pub(in crate::cpu) stride: usize,
    pub(in crate::cpu) panels: usize,
}

impl<'a> Panelled<'a> {
    #[inline(always)]
    fn panel(self, matrix: usize, panel: usize, rows: usize) -> &'a [[f32; PANEL]] {
        let start = matrix * self.stride + panel * rows * PANEL;
        self.data[start..start + rows * PANEL].as_chunks().0
    }
}

/// `c[p] += a[p]ᵀ·b[p]` for every `p` in `0..batch`; `c` is `[batch][panel of a][panel of b][PANEL][PANEL]`.
pub(in crate::cpu) struct Outer<'a> {
    pub(in crate::cpu) batch: usize,
    /// Rows of both operands.
    pub(in crate::cpu) rows: usize,
    pub(in crate::cpu) a: Panelled<'a>,
    pub(in crate::cpu) b: Panelled<'a>,
    pub(in crate::cpu) c: &'a mut [f32],
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { batch, rows, a, b, c } = self;
        assert_eq!(c.len(), batch * a.panels * b.panels * PANEL * PANEL);
        tally::count(c.len() * rows);
        let mut blocks = c.chunks_exact_mut(PANEL * PANEL);
        for p in 0..batch {
            for i in 0..a.panels {
                let a = a.panel(p, i, rows);
                for j in 0..b.panels {
                    let b = b.panel(p, j, rows);
                    let Some(c) = blocks.next() else { return };
                    match S::LANES {
                        16 => block::<S, 1>(simd, a, b, c),
                        8 => block::<S, 2>(simd, a, b, c),
                        _ => block::<S, 4>(simd, a, b, c),
                    }
                }
            }
        }
    }
}

/// All columns of a panel of `a`, as many at a time as registers hold sums; `V` vectors make a panel of `b`.
#[inline(always)]
fn block<S: Simd, const V: usize>(simd: S, a: &[[f32; PANEL]], b: &[[f32; PANEL]], c: &mut [f32]) {
    if S::REGISTERS < 16 {
        for first in (0..PANEL).step_by(2) {
            columns::<S, 2, V>(simd, a, b, first, c);
        }
    } else if S::REGISTERS >= 32 && V == 1 {
        columns::<S, PANEL, V>(simd, a, b, 0, c);
    } else {
        columns::<S, 6, V>(simd, a, b, 0, c);
        columns::<S, 5, V>(simd, a, b, 6, c);
        columns::<S, 5, V>(simd, a, b, 11, c);
    }
}

/// `R` columns of `a`, from `first` on.
#[inline(always)]
fn columns<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: &[[f32; PANEL]],
    b: &[[f32; PANEL]],
    first: usize,
    c: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); V]; R];
    for (a, b) in a.iter().zip(b) {
        let mut row = [simd.splat(0.0); V];
        for v in 0..V {
            row[v] = simd.load(&b[v * S::LANES..]);
        }
        for r in 0..R {
            let value = simd.splat(a[first + r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add(value, row[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        let c = &mut c[(first + r) * PANEL..][..PANEL];
        for v in 0..V {
            let to = &mut c[v * S::LANES..];
            simd.store(simd.add(simd.load(to), sums[r][v]), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, numbers, within};

    #[test]
    fn a_product_is_added() {
        for isa in isas() {
            for (batch, rows, a_panels, b_panels) in [(1, 1, 1, 1), (3, 17, 2, 1), (2, 56, 1, 3)] {
                let strides = [a_panels, b_panels].map(|panels| panels * rows * PANEL + PANEL);
                let (a, b) = (numbers("a", batch * strides[0]), numbers("b", batch * strides[1]));
                let mut c = vec![1.5; batch * a_panels * b_panels * PANEL * PANEL];
                isa.run(Outer {
                    batch,
                    rows,
                    a: Panelled {
                        data: &a,
                        stride: strides[0],
                        panels: a_panels,
                    },
                    b: Panelled {
                        data: &b,
                        stride: strides[1],
                        panels: b_panels,
                    },
                    c: &mut c,
                });
                for (index, &found) in c.iter().enumerate() {
                    let (block, i, j) = (index / (PANEL * PANEL), index / PANEL % PANEL, index % PANEL);
                    let (p, a_panel, b_panel) = (
                        block / (a_panels * b_panels),
                        block / b_panels % a_panels,
                        block % b_panels,
                    );
                    let terms = (0..rows).map(|row| {
                        let a = a[p * strides[0] + (a_panel * rows + row) * PANEL + i];
                        f64::from(a) * f64::from(b[p * strides[1] + (b_panel * rows + row) * PANEL + j])
                    });
                    let sum: f64 = terms.sum();
                    within(isa, found, 1.5 + sum, 6e-8 * (rows + 2) as f64 * (rows as f64 + 2.0));
                }
            }
        }
    }
}
