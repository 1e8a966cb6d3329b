//! The recurrence of an LSTM layer with 8-bit weights and a 16-bit state.
//!
//! The state, within −1 and 1, is rounded to whole multiples of 1/32767 for the product, an error of 1.6e-5 at most per value; sums are
//! exact as long as `32767·Σ|w|` of every row is below 2³¹, which its weights are held to when they are packed. Columns are ordered
//! as in [`Recurrence`](super::super::Recurrence).

use super::super::lstm::{GATES, advance};
use super::super::{PANEL, tally};
use super::PairPanels;
use crate::simd::{Integer, Kernel};

/// What 1 is in the 16-bit state.
pub(in crate::cpu) const STATE_SCALE: f32 = 32_767.0;

/// All steps of a layer. `H` is the number of hidden units, whole panels of them.
pub(in crate::cpu) struct IntegerRecurrence<'a> {
    /// What input and biases contribute, `[.., 4H]`.
    pub(in crate::cpu) projected: &'a [f32],
    /// The row of `projected` of each step.
    pub(in crate::cpu) steps: &'a [usize],
    /// `[H, 4H]`.
    pub(in crate::cpu) weights: PairPanels<'a, i8>,
    /// Of each column, divided by [`STATE_SCALE`].
    pub(in crate::cpu) scales: &'a [f32],
    /// The cell's state, `[H]`; zeros at the start.
    pub(in crate::cpu) cell: &'a mut [f32],
    /// The rounded state, `[2H]`; zeros at the start.
    pub(in crate::cpu) state: &'a mut [i16],
    /// Outputs `[steps + 1, H]`, the first row zeros.
    pub(in crate::cpu) hidden: &'a mut [f32],
}

impl Kernel for IntegerRecurrence<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        match S::LANES {
            16 => self.layer::<S, 1>(simd),
            8 => self.layer::<S, 2>(simd),
            _ => self.layer::<S, 4>(simd),
        }
    }
}

impl IntegerRecurrence<'_> {
    #[inline(always)]
    fn layer<S: Integer, const V: usize>(self, simd: S) {
        let pairs = self.weights.pairs;
        let units = 2 * pairs;
        let columns = GATES * units;
        let panel_length = 2 * PANEL * pairs;
        assert!(self.weights.columns() == columns && self.cell.len() == units && self.scales.len() == columns);
        assert!(self.hidden.len() == (self.steps.len() + 1) * units && self.state.len() == 2 * units);
        tally::count(self.steps.len() * units * columns);
        let weights = self.weights.matrix(0);
        let one = simd.splat(STATE_SCALE);
        let (mut before, mut after) = self.state.split_at_mut(units);
        for (t, &row) in self.steps.iter().enumerate() {
            let projected = &self.projected[row * columns..][..columns];
            let hidden = &mut self.hidden[(t + 1) * units..][..units];
            let state = &before.as_chunks::<2>().0[..pairs];
            for block in 0..units / PANEL {
                let mut panels: [&[i8]; GATES] = [&[]; GATES];
                for gate in 0..GATES {
                    panels[gate] = &weights[(block * GATES + gate) * panel_length..][..panel_length];
                }
                let mut sums = [[simd.no_sums(); V]; GATES];
                for (i, &pair) in state.iter().enumerate() {
                    let pair = simd.splat_pair(pair);
                    for gate in 0..GATES {
                        for v in 0..V {
                            let column = simd.load_bytes(&panels[gate][i * 2 * PANEL + v * S::SHORTS..]);
                            sums[gate][v] = simd.dot(pair, column, sums[gate][v]);
                        }
                    }
                }
                for v in 0..V {
                    let mut gates = [one; GATES];
                    for gate in 0..GATES {
                        let at = (block * GATES + gate) * PANEL + v * S::LANES;
                        let sum = simd.to_floats(simd.total(sums[gate][v]));
                        gates[gate] = simd.mul_add(sum, simd.load(&self.scales[at..]), simd.load(&projected[at..]));
                    }
                    let at = block * PANEL + v * S::LANES;
                    let value = advance(simd, gates, &mut self.cell[at..]);
                    simd.store(value, &mut hidden[at..]);
                    simd.store_narrow(simd.rounded(simd.mul(value, one)), &mut after[at..]);
                }
            }
            std::mem::swap(&mut before, &mut after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pairs;
    use super::*;
    use crate::cpu::kernels::testing::{integers, isas, numbers, within};

    /// Against the layer with an exact state: 32 values of it, each 1.6e-5 off at most, times weights of 0.3 are 1.5e-4 at the gates, and
    /// less behind them.
    #[test]
    fn a_layer_of_bytes_follows_its_definition() {
        let (units, steps) = (32, 20);
        let columns = GATES * units;
        let projected = numbers("projected", steps * columns);
        let weights = integers("recurrent", units * columns, 127);
        let scales: Vec<f32> = numbers("scales", columns).iter().map(|x| 0.003 * x.abs()).collect();
        let (mut cell, mut expected) = (vec![0.0_f64; units], vec![vec![0.0_f64; units]]);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        for t in 0..steps {
            let before = expected[t].clone();
            let gate = |gate: usize, unit: usize| -> f64 {
                let column = (unit / PANEL * GATES + gate) * PANEL + unit % PANEL;
                let sum: f64 = (0..units)
                    .map(|k| before[k] * f64::from(weights[k * columns + column]))
                    .sum();
                sum * f64::from(scales[column]) + f64::from(projected[t * columns + column])
            };
            let mut after = vec![0.0; units];
            for unit in 0..units {
                cell[unit] = logistic(gate(2, unit)) * cell[unit] + logistic(gate(0, unit)) * gate(3, unit).tanh();
                after[unit] = logistic(gate(1, unit)) * cell[unit].tanh();
            }
            expected.push(after);
        }
        let packed = Pairs::of(units, columns, |row, column| weights[row * columns + column] as i8);
        let scales: Vec<f32> = scales.iter().map(|scale| scale / STATE_SCALE).collect();
        for isa in isas() {
            let (mut cell, mut hidden) = (vec![0.0; units], vec![0.0; (steps + 1) * units]);
            isa.run(IntegerRecurrence {
                projected: &projected,
                steps: &(0..steps).collect::<Vec<_>>(),
                weights: packed.view(),
                scales: &scales,
                cell: &mut cell,
                state: &mut vec![0; 2 * units],
                hidden: &mut hidden,
            });
            for (found, expected) in hidden.chunks(units).zip(&expected) {
                for (&found, &expected) in found.iter().zip(expected) {
                    within(isa, found, expected, 2e-4);
                }
            }
        }
    }
}
