//! The recurrence of an LSTM layer (Hochreiter & Schmidhuber 1997; gates in ONNX's order i, o, f, c).
//!
//! Columns are ordered by blocks of [`PANEL`] hidden units, the block's four gates side by side: the sums of all four gates of a
//! unit are in registers together, and the new state follows without another pass. Gates are within 3e-7 of the exact functions.

use super::matvec::contract;
use super::vecmath::{sigmoid, tanh};
use super::{PANEL, Panels, tally};
use crate::simd::{Kernel, Simd};

/// Gates of a unit.
pub(in crate::cpu) const GATES: usize = 4;

/// All steps of a layer. `H` is the number of hidden units, whole panels of them.
pub(in crate::cpu) struct Recurrence<'a> {
    /// What input and biases contribute, `[.., 4H]`.
    pub(in crate::cpu) projected: &'a [f32],
    /// The row of `projected` of each step.
    pub(in crate::cpu) steps: &'a [usize],
    /// `[H, 4H]`.
    pub(in crate::cpu) weights: Panels<'a>,
    /// The cell's state, `[H]`; zeros at the start.
    pub(in crate::cpu) cell: &'a mut [f32],
    /// Outputs `[steps + 1, H]`, the first row zeros.
    pub(in crate::cpu) hidden: &'a mut [f32],
}

impl Kernel for Recurrence<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match S::LANES {
            16 => self.layer::<S, 1>(simd),
            8 => self.layer::<S, 2>(simd),
            _ => self.layer::<S, 4>(simd),
        }
    }
}

impl Recurrence<'_> {
    #[inline(always)]
    fn layer<S: Simd, const V: usize>(self, simd: S) {
        let units = self.weights.rows;
        let columns = GATES * units;
        let block_length = GATES * PANEL * units;
        assert!(self.weights.columns() == columns && self.cell.len() == units);
        assert!(self.hidden.len() == (self.steps.len() + 1) * units);
        tally::count(self.steps.len() * units * columns);
        let weights = self.weights.matrix(0);
        for (t, &row) in self.steps.iter().enumerate() {
            let projected = &self.projected[row * columns..][..columns];
            let (before, after) = self.hidden.split_at_mut((t + 1) * units);
            let before = &before[t * units..];
            for turn in 0..units / PANEL {
                // Back and forth: what was read last is still in the cache when weights are larger than it.
                let block = if t % 2 == 0 { turn } else { units / PANEL - 1 - turn };
                let panels = &weights[block * block_length..][..block_length];
                let bias = &projected[block * GATES * PANEL..][..GATES * PANEL];
                let gates = contract::<S, GATES, V>(simd, before, panels, Some(bias));
                for v in 0..V {
                    let at = block * PANEL + v * S::LANES;
                    let gates = [gates[0][v], gates[1][v], gates[2][v], gates[3][v]];
                    simd.store(advance(simd, gates, &mut self.cell[at..]), &mut after[at..]);
                }
            }
        }
    }
}

/// Moves the state of a vector of units on by a step; their outputs. Gates before their activation, in ONNX's order.
#[inline(always)]
pub(super) fn advance<S: Simd>(simd: S, gates: [S::Vector; GATES], state: &mut [f32]) -> S::Vector {
    let [input, output, forget, candidate] = gates;
    let kept = simd.mul(sigmoid(simd, forget), simd.load(state));
    let cell = simd.mul_add(sigmoid(simd, input), tanh(simd, candidate), kept);
    simd.store(cell, state);
    simd.mul(sigmoid(simd, output), tanh(simd, cell))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::Packed;
    use crate::cpu::kernels::testing::{isas, numbers, within};

    /// 1e-5 over 20 steps: errors of the gates (3e-7) add up, dampened by the forget gate.
    #[test]
    fn a_layer_follows_its_definition() {
        let (units, steps) = (32, 20);
        let columns = GATES * units;
        let (projected, weights) = (
            numbers("projected", steps * columns),
            numbers("recurrent", units * columns),
        );
        let (mut cell, mut expected) = (vec![0.0_f64; units], vec![vec![0.0_f64; units]]);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        for t in 0..steps {
            let before = expected[t].clone();
            let gate = |gate: usize, unit: usize| -> f64 {
                let column = (unit / PANEL * GATES + gate) * PANEL + unit % PANEL;
                let sum: f64 = (0..units)
                    .map(|k| before[k] * f64::from(weights[k * columns + column]))
                    .sum();
                sum + f64::from(projected[t * columns + column])
            };
            let mut after = vec![0.0; units];
            for unit in 0..units {
                cell[unit] = logistic(gate(2, unit)) * cell[unit] + logistic(gate(0, unit)) * gate(3, unit).tanh();
                after[unit] = logistic(gate(1, unit)) * cell[unit].tanh();
            }
            expected.push(after);
        }
        let packed = Packed::of(units, columns, |row, column| weights[row * columns + column]);
        for isa in isas() {
            let (mut cell, mut hidden) = (vec![0.0; units], vec![0.0; (steps + 1) * units]);
            isa.run(Recurrence {
                projected: &projected,
                steps: &(0..steps).collect::<Vec<_>>(),
                weights: packed.view(),
                cell: &mut cell,
                hidden: &mut hidden,
            });
            for (found, expected) in hidden.chunks(units).zip(&expected) {
                for (&found, &expected) in found.iter().zip(expected) {
                    within(isa, found, expected, 1e-5);
                }
            }
        }
    }
}
