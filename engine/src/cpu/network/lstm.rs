//! The stacked LSTM layers.

use super::super::kernels::{Aligned, GATES, Gemm, Operand, PANEL, Packed, Recurrence, padded};
use super::Scratch;
use crate::plan;
use crate::signal::{WINDOW, WINDOWS};
use crate::simd::Isa;

/// The layers from the input on.
#[derive(Clone, Debug)]
pub(super) struct Lstm {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    units: usize,
    input: Packed,
    bias: Aligned,
    recurrent: Packed,
}

/// The gate and hidden unit of a column: the gates of a panel of units lie side by side.
fn gate_and_unit(column: usize) -> (usize, usize) {
    let panel = column / PANEL;
    (panel % GATES, panel / GATES * PANEL + column % PANEL)
}

impl Layer {
    fn new(layer: &plan::LstmLayer<'_>) -> Self {
        let (hidden, units) = (layer.hidden, padded(layer.hidden));
        let columns = GATES * units;
        // The row of the file's matrices for a column, none for the padding's.
        let row = |column: usize| {
            let (gate, unit) = gate_and_unit(column);
            (unit < hidden).then_some(gate * hidden + unit)
        };
        let pack = |weights: plan::Weights<'_>, inputs: usize| {
            Packed::of(padded(inputs), columns, |input, column| match row(column) {
                Some(row) if input < inputs => weights.at(row * inputs + input),
                _ => 0.0,
            })
        };
        let (input, recurrent) = (
            pack(layer.input_weights, layer.inputs),
            pack(layer.hidden_weights, hidden),
        );
        let mut bias = Aligned::zeros(columns);
        for (column, bias) in bias.iter_mut().enumerate() {
            if let Some(row) = row(column) {
                *bias = layer.biases.at(row) + layer.biases.at(GATES * hidden + row);
            }
        }
        Self {
            units,
            input,
            bias,
            recurrent,
        }
    }

    /// All steps: `x [.., inputs]`, whose rows from `distinct − 1` on are equal, to `hidden [81, units]`, the first row zeros.
    fn run(
        &self,
        isa: Isa,
        x: &[f32],
        distinct: usize,
        hidden: &mut Aligned,
        scratch: &mut [Aligned; 2],
        rows: [&mut Vec<usize>; 2],
    ) {
        let [projected, cell] = scratch;
        let [a_rows, c_rows] = rows;
        let columns = self.input.columns();
        a_rows.clear();
        a_rows.extend((0..distinct).map(|row| row * self.input.rows()));
        c_rows.clear();
        c_rows.extend((0..distinct).map(|row| row * columns));
        isa.run(Gemm {
            batch: 1,
            a: x,
            a_rows: Operand {
                rows: a_rows,
                stride: 0,
            },
            b: self.input.view(),
            bias: Some(&self.bias),
            c: projected.resize(distinct * columns),
            c_rows: Operand {
                rows: c_rows,
                stride: 0,
            },
        });
        a_rows.clear();
        a_rows.extend((0..WINDOWS).map(|step| step.min(distinct - 1)));
        cell.resize(self.units).fill(0.0);
        hidden.resize((WINDOWS + 1) * self.units)[..self.units].fill(0.0);
        isa.run(Recurrence {
            projected,
            steps: a_rows,
            weights: self.recurrent.view(),
            cell,
            hidden,
        });
    }
}

impl Lstm {
    pub(super) fn new(layers: &[plan::LstmLayer<'_>]) -> Self {
        Self {
            layers: layers.iter().map(Layer::new).collect(),
        }
    }

    /// The last output of the last layer, padded, for windows `ecg [80, 256]`.
    pub(super) fn run(&self, isa: Isa, ecg: &[f32], skip_padding: bool, latent: &mut Aligned, scratch: &mut Scratch) {
        let Scratch {
            floats: [projected, cell, hidden, next, ..],
            a_rows,
            c_rows,
            ..
        } = scratch;
        let mut buffers = [std::mem::take(projected), std::mem::take(cell)];
        let mut distinct = WINDOWS;
        if skip_padding {
            let last = &ecg[(WINDOWS - 1) * WINDOW..][..WINDOW];
            let equal = ecg
                .chunks_exact(WINDOW)
                .rev()
                .take_while(|window| *window == last)
                .count();
            distinct = WINDOWS + 1 - equal;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let x = if index == 0 { ecg } else { &hidden[layer.input.rows()..] };
            layer.run(isa, x, distinct, next, &mut buffers, [&mut *a_rows, &mut *c_rows]);
            std::mem::swap(hidden, next);
            distinct = WINDOWS;
        }
        let units = self.layers.last().map_or(0, |layer| layer.units);
        latent
            .resize(units)
            .copy_from_slice(&hidden[WINDOWS * units..][..units]);
        [*projected, *cell] = buffers;
    }
}
