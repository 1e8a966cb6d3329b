//! The stacked LSTM layers.

use super::super::kernels::integer::{IntegerRecurrence, Pairs, Product, Quantize, Results, Rounding, STATE_SCALE};
use super::super::kernels::{Aligned, Buffer, GATES, Gemm, Operand, PANEL, Packed, Recurrence, padded};
use super::Scratch;
use super::map::equal_last_rows;
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
    /// Padded lengths of inputs and state.
    inputs: usize,
    units: usize,
    bias: Aligned,
    weights: Weights,
}

/// `[inputs, 4·units]` and `[units, 4·units]`.
#[derive(Clone, Debug)]
enum Weights {
    Float {
        input: Packed,
        recurrent: Packed,
    },
    /// 8-bit, with the factor of each column's sums.
    Integer {
        rounding: Rounding,
        input: Pairs<i16>,
        input_factors: Aligned,
        recurrent: Pairs<i8>,
        recurrent_factors: Aligned,
    },
}

/// What the steps of all layers need beside their outputs.
#[derive(Default)]
struct Buffers {
    projected: Aligned,
    cell: Aligned,
    bytes: Buffer<i16>,
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
        let weights = match layer.input {
            None => {
                let pack = |weights: plan::Weights<'_>, inputs: usize| {
                    Packed::of(padded(inputs), columns, |input, column| match row(column) {
                        Some(row) if input < inputs => weights.at(row * inputs + input),
                        _ => 0.0,
                    })
                };
                Weights::Float {
                    input: pack(layer.input_weights, layer.inputs),
                    recurrent: pack(layer.hidden_weights, hidden),
                }
            }
            Some(quantization) => {
                let byte = |weights: plan::Weights<'_>, inputs: usize, input: usize, column: usize| match row(column) {
                    Some(row) if input < inputs => weights.byte(row * inputs + input),
                    _ => 0,
                };
                let factors = |weights: plan::Weights<'_>, inputs: usize, factor: f32| {
                    let mut factors = Aligned::zeros(columns);
                    for (column, to) in factors.iter_mut().enumerate() {
                        *to = row(column).map_or(0.0, |row| factor * weights.scale_at(row * inputs));
                    }
                    factors
                };
                let (input, recurrent) = (layer.input_weights, layer.hidden_weights);
                Weights::Integer {
                    rounding: quantization.into(),
                    input: Pairs::of(padded(layer.inputs), columns, |i, column| {
                        byte(input, layer.inputs, i, column).into()
                    }),
                    input_factors: factors(input, layer.inputs, quantization.scale),
                    recurrent: Pairs::of(units, columns, |i, column| byte(recurrent, hidden, i, column)),
                    recurrent_factors: factors(recurrent, hidden, 1.0 / STATE_SCALE),
                }
            }
        };
        let mut bias = Aligned::zeros(columns);
        for (column, bias) in bias.iter_mut().enumerate() {
            if let Some(row) = row(column) {
                *bias = layer.biases.at(row) + layer.biases.at(GATES * hidden + row);
            }
        }
        Self {
            inputs: padded(layer.inputs),
            units,
            bias,
            weights,
        }
    }

    /// All steps: `x [.., inputs]`, whose rows from `distinct − 1` on are equal, to `hidden [81, units]`, the first row zeros.
    fn run(
        &self,
        isa: Isa,
        x: &[f32],
        distinct: usize,
        hidden: &mut Aligned,
        buffers: &mut Buffers,
        rows: [&mut Vec<usize>; 2],
    ) {
        let Buffers { projected, cell, bytes } = buffers;
        let [a_rows, c_rows] = rows;
        let columns = GATES * self.units;
        a_rows.clear();
        a_rows.extend((0..distinct).map(|row| row * self.inputs));
        c_rows.clear();
        c_rows.extend((0..distinct).map(|row| row * columns));
        projected.resize(distinct * columns);
        let stride = 0;
        match &self.weights {
            Weights::Float { input, .. } => isa.run(Gemm {
                batch: 1,
                a: x,
                a_rows: Operand { rows: a_rows, stride },
                b: input.view(),
                bias: Some(&self.bias),
                c: projected,
                c_rows: Operand { rows: c_rows, stride },
            }),
            Weights::Integer {
                rounding,
                input,
                input_factors,
                ..
            } => {
                let length = distinct * self.inputs;
                isa.run(Quantize {
                    from: &x[..length],
                    to: bytes.resize(length),
                    rounding: *rounding,
                });
                isa.run(Product {
                    batch: 1,
                    a: bytes,
                    a_rows: Operand { rows: a_rows, stride },
                    b: input.view(),
                    c: Results::Values(projected, input_factors, &self.bias),
                    c_rows: Operand { rows: c_rows, stride },
                });
            }
        }
        a_rows.clear();
        a_rows.extend((0..WINDOWS).map(|step| step.min(distinct - 1)));
        cell.resize(self.units).fill(0.0);
        hidden.resize((WINDOWS + 1) * self.units)[..self.units].fill(0.0);
        match &self.weights {
            Weights::Float { recurrent, .. } => isa.run(Recurrence {
                projected,
                steps: a_rows,
                weights: recurrent.view(),
                cell,
                hidden,
            }),
            Weights::Integer {
                recurrent,
                recurrent_factors,
                ..
            } => {
                let state = bytes.resize(2 * self.units);
                state.fill(0);
                isa.run(IntegerRecurrence {
                    projected,
                    steps: a_rows,
                    weights: recurrent.view(),
                    scales: recurrent_factors,
                    cell,
                    state,
                    hidden,
                });
            }
        }
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
            bytes,
            a_rows,
            c_rows,
            ..
        } = scratch;
        let mut buffers = Buffers {
            projected: std::mem::take(projected),
            cell: std::mem::take(cell),
            bytes: std::mem::take(bytes),
        };
        let mut distinct = WINDOWS;
        if skip_padding {
            distinct = WINDOWS + 1 - equal_last_rows(ecg, WINDOW);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let x = if index == 0 { ecg } else { &hidden[layer.inputs..] };
            layer.run(isa, x, distinct, next, &mut buffers, [&mut *a_rows, &mut *c_rows]);
            std::mem::swap(hidden, next);
            distinct = WINDOWS;
        }
        let units = self.layers.last().map_or(0, |layer| layer.units);
        latent
            .resize(units)
            .copy_from_slice(&hidden[WINDOWS * units..][..units]);
        (*projected, *cell, *bytes) = (buffers.projected, buffers.cell, buffers.bytes);
    }
}
