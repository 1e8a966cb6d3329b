//! All layers of an LSTM in one launch, held to one layer after the other by their definition.

use crate::elements::{rounded, unit};
use crate::encoders::{MACROS, Owned, SMALL, compare, numbers, weights};
use crate::lstm::{Reference, of_last_steps};
use crate::mutations::with_instances;
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::chain::{Buffers, Chain};
use dualnet_cuda::lstm::{LayerWeights, Lstm};
use dualnet_cuda::{Element, Launch, Packed, Precision, Quantization};
use std::path::{Path, PathBuf};

/// Names of a layer's numbers, weights and biases.
const NAMES: [[&str; 3]; 3] = [
    ["input 0", "hidden 0", "biases 0"],
    ["input 1", "hidden 1", "biases 1"],
    ["input 2", "hidden 2", "biases 2"],
];

/// Layers and how much they run on.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub precision: Precision,
    pub layers: usize,
    pub inputs: usize,
    pub hidden: usize,
    pub records: usize,
    pub steps: usize,
}

impl Case {
    /// Of each layer another one.
    fn rounding(&self, layer: usize) -> Option<Quantization> {
        (self.precision == Precision::Int8).then_some(Quantization {
            scale: [0.017, 0.006, 0.007][layer],
            zero_point: [-5, 3, 11][layer],
        })
    }

    fn inputs_of(&self, layer: usize) -> usize {
        if layer == 0 { self.inputs } else { self.hidden }
    }

    fn matrices(&self, layer: usize) -> [Owned; 2] {
        let [input, hidden, _] = NAMES[layer];
        [(input, self.inputs_of(layer)), (hidden, self.hidden)]
            .map(|(name, inputs)| Owned::new(name, self.precision, 4 * self.hidden, inputs))
    }

    fn biases(&self, layer: usize) -> Vec<f32> {
        numbers(NAMES[layer][2], 8 * self.hidden, 0.5)
    }

    fn input(&self) -> Vec<f32> {
        let signal = self.precision.plain();
        let values = numbers("ecg", self.records * self.steps * self.inputs, 2.0);
        values.iter().map(|&x| rounded(signal, x)).collect()
    }

    fn layers(&self) -> Vec<Lstm> {
        (0..self.layers)
            .map(|layer| {
                Lstm::new(self.precision, self.inputs_of(layer), self.hidden, self.rounding(layer))
                    .expect("a layer with kernels")
            })
            .collect()
    }

    /// Blocks that run at once.
    pub fn blocks(&self) -> usize {
        let chain = Chain::new(&self.layers()).expect("a chain with kernels");
        chain.blocks(self.records)
    }

    fn packed(&self, layer: usize, kernels: &Lstm) -> Packed {
        let [input, hidden] = self.matrices(layer);
        kernels
            .pack(&LayerWeights {
                input: input.matrix(),
                hidden: hidden.matrix(),
                biases: &self.biases(layer),
                rounding: self.rounding(layer),
            })
            .expect("weights of the layer")
    }

    /// Memory and launches; names of memory are fixed.
    fn script(
        &self,
    ) -> (
        Script,
        [Launch<crate::script::Memory>; 2],
        Buffers<crate::script::Memory>,
    ) {
        let signal = self.precision.plain();
        let layers = self.layers();
        let chain = Chain::new(&layers).expect("a chain with kernels");
        let size = [self.records, self.steps];
        let mut script = Script::default();
        let packed = layers
            .iter()
            .enumerate()
            .map(|(layer, kernels)| self.packed(layer, kernels));
        let buffers = Buffers {
            weights: packed
                .zip(["first", "second", "third"])
                .map(|(packed, name)| weights(&mut script, name, self.precision, &packed))
                .collect(),
            input: script.floats("ecg", signal, &self.input()),
            workspace: script.output("workspace", 4, layers[0].workspace(self.records, self.steps)),
            states: script.output("states", signal.bytes(), chain.states(self.records, self.steps)),
            gates: script.output("gates", 4, chain.gates(self.records, self.steps)),
            counters: script.output("counters", 4, chain.counters(self.records, self.steps)),
            latent: script.output("latent", 4, self.records * self.hidden),
        };
        let launches = chain.launches(size, &buffers).expect("work to do");
        (script, launches, buffers)
    }

    /// States of all layers, then the latent.
    pub fn run(&self, on: On<'_>) -> Result<Vec<f32>, Fault> {
        let (mut script, launches, buffers) = self.script();
        for launch in &launches {
            script.launch(launch);
        }
        script.save(buffers.states, self.layers * self.records * self.steps * self.hidden);
        script.save(buffers.latent, self.records * self.hidden);
        script.run(on)?;
        let states = script.saved_floats("states", self.precision.plain());
        Ok([states, script.saved_floats("latent", Element::F32)].concat())
    }

    fn reference(&self) -> Vec<f64> {
        let signal = self.precision.plain();
        let mut input = self.input();
        let mut all = Vec::new();
        let mut outputs = Vec::new();
        for layer in 0..self.layers {
            outputs = Reference {
                precision: self.precision,
                rounding: self.rounding(layer),
                matrices: self.matrices(layer),
                biases: self.biases(layer),
                inputs: self.inputs_of(layer),
                steps: self.steps,
            }
            .outputs(&input);
            input = outputs.iter().map(|&x| rounded(signal, x as f32)).collect();
            all.extend(&outputs);
        }
        all.extend(of_last_steps(&outputs, self.steps, self.hidden));
        all
    }

    /// As for one layer, whose states the next one takes: what is off there comes with weights of less than 2 in all. Of the tens of thousands
    /// of states of a published size a few lie so near to a tie that 8 bits may round them either way: a level of up to 0.017 each, through
    /// weights of some 0.03, step after step.
    pub fn check(&self, got: &[f32]) -> Result<usize, String> {
        let (tolerance, unit) = match self.precision {
            Precision::Float(element) => (3e-5 + 8.0 * unit(element), unit(element)),
            Precision::Int8 if self.steps > 5 => (1e-3, 0.0),
            Precision::Int8 => (2e-4, 0.0),
        };
        compare(&format!("{self:?}"), got, &self.reference(), tolerance, unit)
    }
}

/// Few values that take every path: tiles that records do not fill, one layer to three, stages of one block and of several, steps that are
/// handed on one by one and together, weights in registers and in shared memory.
pub fn small(precision: Precision) -> [Case; 2] {
    let case = Case {
        precision,
        layers: 3,
        inputs: 128,
        hidden: 64,
        records: 9,
        steps: 5,
    };
    [
        case,
        Case {
            layers: 1,
            records: 2,
            steps: 3,
            ..case
        },
    ]
}

/// Whether the first launch clears all counters of the second, and nothing else.
pub fn counters_are_cleared(on: On<'_>) -> bool {
    let case = small(Precision::Float(Element::F16))[0];
    let (mut script, [project, _], buffers) = case.script();
    script.launch(&project);
    let count = 2 * 5 * case.steps;
    script.save(buffers.counters, count);
    script.run(on).is_ok() && script.saved::<u32>("counters") == vec![0; count]
}

fn passes(case: Case, program: &Path, seed: u64) -> Vec<f32> {
    let got = case
        .run(On::host(program, seed))
        .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
    case.check(&got).unwrap_or_else(|error| panic!("{error}"));
    got
}

/// The kernels of a chain with those of the projection before it.
fn source() -> String {
    ["chain", "lstm"].map(family).concat()
}

/// A program for the small sizes, as `encoders::program` has them.
fn program(precision: Precision) -> PathBuf {
    let of_eight_or_f16 = |line: &&str| !line.contains("f32") && !line.contains("bf16");
    match precision {
        Precision::Int8 | Precision::Float(Element::F16) => {
            let kept: Vec<&str> = SMALL.into_iter().filter(of_eight_or_f16).collect();
            build("chain", &with_instances(&source(), &MACROS, &kept), Build::Sanitized)
        }
        Precision::Float(_) => build("chain", &source(), Build::Plain),
    }
}

#[test]
fn chains_follow_their_layers_definition_in_any_order_of_threads() {
    for case in Precision::ALL.into_iter().flat_map(small) {
        let program = program(case.precision);
        let first = passes(case, &program, 1);
        for seed in [1904, 77] {
            assert!(
                passes(case, &program, seed) == first,
                "{case:?}: another order, other bits"
            );
        }
    }
}

#[test]
fn chains_of_the_networks_sizes_follow_their_definition() {
    let program = build("chain", &source(), Build::Plain);
    for (precision, hidden) in Precision::ALL
        .into_iter()
        .flat_map(|precision| [128, 256, 512].map(|hidden| (precision, hidden)))
        .filter(|&(precision, hidden)| hidden < 512 || precision != Precision::Float(Element::F32))
    {
        let case = Case {
            precision,
            layers: if hidden < 512 { 2 } else { 3 },
            inputs: 256,
            hidden,
            records: 1,
            steps: if hidden == 128 { 17 } else { 2 },
        };
        passes(case, &program, 5);
    }
}
