//! `y = x·B + bias` for one row `x`: four panels at a time, so that the sums do not wait for each other.

use super::{PANEL, Panels, tally};
use crate::simd::{Kernel, Simd};

/// `y = x·b + bias`; `y` and `bias` are as long as `b` has columns, `x` as it has rows.
pub(in crate::cpu) struct MatVec<'a> {
    pub(in crate::cpu) x: &'a [f32],
    pub(in crate::cpu) b: Panels<'a>,
    pub(in crate::cpu) bias: Option<&'a [f32]>,
    pub(in crate::cpu) y: &'a mut [f32],
}

impl Kernel for MatVec<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let panel_length = self.b.rows * PANEL;
        let (b, columns) = (self.b.matrix(0), self.b.columns());
        assert!(self.x.len() == self.b.rows && self.y.len() == columns);
        tally::count(self.b.rows * columns);
        for first in (0..columns).step_by(4 * PANEL) {
            let count = (columns - first).min(4 * PANEL);
            let panels = &b[first / PANEL * panel_length..][..count / PANEL * panel_length];
            let bias = self.bias.map(|bias| &bias[first..][..count]);
            let y = &mut self.y[first..][..count];
            match (count / PANEL, S::LANES) {
                (4, 16) => panel_sums::<S, 4, 1>(simd, self.x, panels, bias, y),
                (4, 8) => panel_sums::<S, 4, 2>(simd, self.x, panels, bias, y),
                (4, _) => panel_sums::<S, 4, 4>(simd, self.x, panels, bias, y),
                (_, lanes) => {
                    for (index, y) in y.chunks_exact_mut(PANEL).enumerate() {
                        let panel = &panels[index * panel_length..][..panel_length];
                        let bias = bias.map(|bias| &bias[index * PANEL..][..PANEL]);
                        match lanes {
                            16 => panel_sums::<S, 1, 1>(simd, self.x, panel, bias, y),
                            8 => panel_sums::<S, 1, 2>(simd, self.x, panel, bias, y),
                            _ => panel_sums::<S, 1, 4>(simd, self.x, panel, bias, y),
                        }
                    }
                }
            }
        }
    }
}

/// `P` panels of `V` vectors each.
#[inline(always)]
fn panel_sums<S: Simd, const P: usize, const V: usize>(
    simd: S,
    x: &[f32],
    panels: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let sums = contract::<S, P, V>(simd, x, panels, bias);
    for p in 0..P {
        for v in 0..V {
            simd.store(sums[p][v], &mut y[p * PANEL + v * S::LANES..]);
        }
    }
}

/// `x` times `P` panels of `V` vectors each, plus `bias` (`P·PANEL` values).
#[inline(always)]
pub(super) fn contract<S: Simd, const P: usize, const V: usize>(
    simd: S,
    x: &[f32],
    panels: &[f32],
    bias: Option<&[f32]>,
) -> [[S::Vector; V]; P] {
    let mut sums = [[simd.splat(0.0); V]; P];
    let mut b: [&[[f32; PANEL]]; P] = [&[]; P];
    for p in 0..P {
        b[p] = &panels[p * x.len() * PANEL..].as_chunks().0[..x.len()];
        if let Some(bias) = bias {
            for v in 0..V {
                sums[p][v] = simd.load(&bias[p * PANEL + v * S::LANES..]);
            }
        }
    }
    for (i, &value) in x.iter().enumerate() {
        let value = simd.splat(value);
        for p in 0..P {
            for v in 0..V {
                let column = simd.load(&b[p][i][v * S::LANES..]);
                sums[p][v] = simd.mul_add(value, column, sums[p][v]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::Packed;
    use crate::cpu::kernels::testing::{isas, numbers, within};

    #[test]
    fn one_row_is_the_sum_of_products() {
        for isa in isas() {
            for (k, n) in [(1, 1), (7, 16), (40, 64), (33, 130), (256, 100)] {
                let (x, b, bias) = (numbers("x", k), numbers("b", k * n), numbers("bias", n));
                let packed = Packed::of(k, n, |row, column| b[row * n + column]);
                let mut wide_bias = bias.clone();
                wide_bias.resize(packed.columns(), 0.0);
                let mut y = vec![f32::NAN; packed.columns()];
                isa.run(MatVec {
                    x: &x,
                    b: packed.view(),
                    bias: Some(&wide_bias),
                    y: &mut y,
                });
                for (column, &y) in y.iter().enumerate() {
                    let terms = (0..k).map(|i| {
                        if column < n {
                            f64::from(x[i]) * f64::from(b[i * n + column])
                        } else {
                            0.0
                        }
                    });
                    let terms: Vec<f64> = terms.chain([f64::from(wide_bias[column])]).collect();
                    let scale: f64 = terms.iter().map(|term| term.abs()).sum();
                    within(isa, y, terms.iter().sum(), (k + 2) as f64 * 2f64.powi(-24) * scale);
                }
            }
        }
    }
}
