//! The LSTM's kernels on the host, held to the definition in f64 whose operands are rounded as the kernels' are.

use crate::elements::{rounded, unit};
use crate::encoders::{Operand, Owned, compare, numbers, program, weights};
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::lstm::{Buffers, LayerWeights, Lstm, Output};
use dualnet_cuda::{Element, Precision, Quantization};
use std::path::Path;

const F16: Precision = Precision::Float(Element::F16);

/// A layer and how much it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub precision: Precision,
    pub inputs: usize,
    pub hidden: usize,
    pub records: usize,
    pub steps: usize,
    pub last: bool,
}

/// A layer by its definition.
pub struct Reference {
    pub precision: Precision,
    pub rounding: Option<Quantization>,
    pub matrices: [Owned; 2],
    pub biases: Vec<f32>,
    pub inputs: usize,
    pub steps: usize,
}

/// Of outputs `[records, steps, hidden]` those of each record's last step.
pub fn of_last_steps(outputs: &[f64], steps: usize, hidden: usize) -> Vec<f64> {
    let records = outputs.chunks(steps * hidden);
    records
        .flat_map(|record| &record[(steps - 1) * hidden..])
        .copied()
        .collect()
}

impl Reference {
    /// `[records, steps, hidden]` of inputs `[records, steps, inputs]`.
    pub fn outputs(&self, input: &[f32]) -> Vec<f64> {
        let [from_input, from_state] = &self.matrices;
        let (biases, hidden) = (&self.biases, self.biases.len() / 8);
        let operand = Operand::new(self.precision, self.rounding);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut outputs = Vec::new();
        for record in input.chunks(self.steps * self.inputs) {
            let (mut cell, mut state) = (vec![0.0; hidden], vec![0.0; hidden]);
            for x in record.chunks(self.inputs) {
                let x: Vec<f64> = x.iter().map(|&x| operand.of(f64::from(x))).collect();
                let gates: Vec<f64> = (0..4 * hidden)
                    .map(|row| {
                        let bias = f64::from(biases[row]) + f64::from(biases[4 * hidden + row]);
                        from_input.times(row, &x) + from_state.times(row, &state) + bias
                    })
                    .collect();
                let gate = |gate: usize, unit: usize| gates[gate * hidden + unit];
                for unit in 0..hidden {
                    cell[unit] = logistic(gate(2, unit)) * cell[unit] + logistic(gate(0, unit)) * gate(3, unit).tanh();
                    let value: f64 = logistic(gate(1, unit)) * cell[unit].tanh();
                    outputs.push(value);
                    state[unit] = match self.precision {
                        Precision::Float(element) => rounded(element, value as f32).into(),
                        Precision::Int8 => (value * 32_767.0).round_ties_even() / 32_767.0,
                    };
                }
            }
        }
        outputs
    }
}

impl Case {
    fn rounding(&self) -> Option<Quantization> {
        (self.precision == Precision::Int8).then_some(Quantization {
            scale: 0.017,
            zero_point: -5,
        })
    }

    fn matrices(&self) -> [Owned; 2] {
        [("input", self.inputs), ("hidden", self.hidden)]
            .map(|(name, inputs)| Owned::new(name, self.precision, 4 * self.hidden, inputs))
    }

    fn biases(&self) -> Vec<f32> {
        numbers("biases", 8 * self.hidden, 0.5)
    }

    /// Beyond what 8 bits hold here and there.
    fn input(&self) -> Vec<f32> {
        let values = numbers("ecg", self.records * self.steps * self.inputs, 2.5);
        let signal = self.precision.plain();
        values.iter().map(|&x| rounded(signal, x)).collect()
    }

    pub fn run(&self, on: On<'_>) -> Result<Vec<f32>, Fault> {
        let signal = self.precision.plain();
        let lstm = Lstm::new(self.precision, self.inputs, self.hidden, self.rounding()).expect("a layer with kernels");
        let [input, hidden] = self.matrices();
        let packed = lstm
            .pack(&LayerWeights {
                input: input.matrix(),
                hidden: hidden.matrix(),
                biases: &self.biases(),
                rounding: self.rounding(),
            })
            .expect("weights of the layer");
        let mut script = Script::default();
        let (element, count) = match self.last {
            true => (Element::F32, self.records * self.hidden),
            false => (signal, self.records * self.steps * self.hidden),
        };
        let weights = weights(&mut script, "layer", self.precision, &packed);
        let place = script.output("output", element.bytes(), count);
        let buffers = Buffers {
            input: script.floats("ecg", signal, &self.input()),
            weights,
            workspace: script.output("workspace", 4, lstm.workspace(self.records, self.steps)),
            output: if self.last {
                Output::Last(place)
            } else {
                Output::Steps(place)
            },
        };
        for launch in lstm.launches([self.records, self.steps], buffers).expect("work to do") {
            script.launch(&launch);
        }
        script.save(place, count);
        script.run(on)?;
        Ok(script.saved_floats("output", element))
    }

    fn reference(&self) -> Vec<f64> {
        let outputs = Reference {
            precision: self.precision,
            rounding: self.rounding(),
            matrices: self.matrices(),
            biases: self.biases(),
            inputs: self.inputs,
            steps: self.steps,
        }
        .outputs(&self.input());
        match self.last {
            true => of_last_steps(&outputs, self.steps, self.hidden),
            false => outputs,
        }
    }

    /// Gates are within 3e-7 and sums of some hundred products of f32 within 1e-5; a state that falls to the other side of a tie is off by a
    /// unit of its type, weights of which add up to less than 2.
    pub fn check(&self, got: &[f32]) -> Result<usize, String> {
        let (tolerance, unit) = match self.precision {
            Precision::Float(element) => (1e-5 + 4.0 * unit(element), if self.last { 0.0 } else { unit(element) }),
            Precision::Int8 => (5e-5, 0.0),
        };
        compare(&format!("{self:?}"), got, &self.reference(), tolerance, unit)
    }
}

/// Few values that take every path: tiles that records and rows do not fill, resident and streamed weights, all outputs and the last.
pub fn small(precision: Precision) -> [Case; 2] {
    let case = Case {
        precision,
        inputs: 64,
        hidden: 64,
        records: 9,
        steps: 2,
        last: false,
    };
    [
        case,
        Case {
            records: 1,
            steps: 3,
            last: true,
            ..case
        },
    ]
}

fn passes(case: Case, program: &Path, seed: u64) -> Vec<f32> {
    let got = case
        .run(On::host(program, seed))
        .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
    case.check(&got).unwrap_or_else(|error| panic!("{error}"));
    got
}

#[test]
fn lstm_layers_follow_their_definition_in_any_order_of_threads() {
    for case in Precision::ALL.into_iter().flat_map(small) {
        let program = program("lstm", case.precision);
        let first = passes(case, &program, 1);
        assert!(
            passes(case, &program, 1904) == first,
            "{case:?}: another order, other bits"
        );
    }
}

#[test]
fn lstm_layers_of_the_networks_sizes_follow_their_definition() {
    let program = build("lstm", &family("lstm"), Build::Plain);
    for (precision, hidden) in [
        (F16, 256),
        (Precision::Int8, 256),
        (F16, 512),
        (Precision::Float(Element::Bf16), 128),
    ] {
        passes(
            Case {
                precision,
                inputs: 256,
                hidden,
                records: 1,
                steps: 2,
                last: false,
            },
            &program,
            5,
        );
    }
    for precision in [F16, Precision::Int8] {
        passes(
            Case {
                precision,
                inputs: 256,
                hidden: 128,
                records: 1,
                steps: 80,
                last: true,
            },
            &program,
            7,
        );
    }
}
