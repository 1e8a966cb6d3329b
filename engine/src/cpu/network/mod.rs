//! The recognized network, packed for this processor, and its run for one record.
//!
//! The typed list is run directly, not as operators inside tract's graph: nothing of a recognized model is left for tract, so its parsing,
//! typing and optimizing, which costs more than packing the weights, and its buffers are saved. What is not recognized runs on tract
//! as a whole.
//!
//! **Work in proportion to the recording.** A record shorter than 60 s ends in equal rows of the spectrogram. Rows whose whole
//! neighbourhood is equal stay equal through convolution, activation and pooling, so [`map::Map`] keeps a few of them for all. The
//! waveform's equal last windows are projected once for the LSTM. Neither changes a result by more than the order of sums does.
//!
//! **Determinism.** Records of a batch run one after the other, so results depend on the record, the weights and the instruction set alone:
//! not on the batch or the number of threads, bit for bit.

mod axial;
mod convolution;
mod dense;
mod head;
mod lstm;
mod map;
mod norm;
mod residual;
mod transformer;

use crate::pau::Pau;
use crate::pau::rational::Rational;
use crate::plan::{self, Plan, Quantization};
use crate::signal::{BINS, FRAMES};
use crate::simd::Isa;
use axial::{Axial, IntegerAxial, IntegerBuffers};
use head::Head;
use lstm::Lstm;
use map::Map;
use residual::Residual;
use transformer::Transformer;

use super::kernels::{Aligned, Buffer};

/// A network whose weights are packed.
#[derive(Debug)]
pub(super) struct Network {
    isa: Isa,
    signal: Option<Signal>,
    blocks: Vec<Block>,
    /// How each block's input is rounded.
    inputs: Vec<Option<Quantization>>,
    head: Head,
    skip_padding: bool,
}

#[derive(Debug)]
enum Signal {
    Lstm(Lstm),
    Transformer(Transformer),
}

#[derive(Debug)]
enum Block {
    Residual(Box<Residual>),
    Axial(Box<Axial>),
    IntegerAxial(Box<IntegerAxial>),
}

/// Buffers of a run; they grow to what the network needs and stay.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    latent: Aligned,
    maps: [Map; 2],
    scratch: Scratch,
}

/// What one operation needs while it runs.
#[derive(Debug, Default)]
struct Scratch {
    middle: Map,
    points: Aligned,
    products: Aligned,
    shortcut: Aligned,
    condition: Aligned,
    a_rows: Vec<usize>,
    c_rows: Vec<usize>,
    floats: [Aligned; 6],
    bytes: Buffer<i16>,
    sums: Buffer<i32>,
    axial: IntegerBuffers,
    /// A value that is to be rounded may be infinite or not a number, which rounding would hide.
    undefined: bool,
}

impl Network {
    /// Packs the weights of `plan` for `isa`; without `skip_padding`, every row will be computed, equal or not.
    pub(super) fn new(plan: &Plan<'_>, isa: Isa, skip_padding: bool) -> Self {
        let latent = plan.latent();
        let block = |block: &plan::Block<'_>| match block {
            plan::Block::Residual(block) => Block::Residual(Box::new(Residual::new(isa, block, latent))),
            plan::Block::Axial(block) => match IntegerAxial::new(block, latent) {
                Some(block) => Block::IntegerAxial(Box::new(block)),
                None => Block::Axial(Box::new(Axial::new(block, latent))),
            },
        };
        Self {
            isa,
            signal: plan.signal.as_ref().map(|signal| match signal {
                plan::SignalEncoder::Lstm(layers) => Signal::Lstm(Lstm::new(layers)),
                plan::SignalEncoder::Transformer(transformer) => Signal::Transformer(Transformer::new(transformer)),
            }),
            blocks: plan.blocks.iter().map(block).collect(),
            inputs: plan.blocks.iter().map(plan::Block::rounding).collect(),
            head: Head::new(&plan.head),
            skip_padding,
        }
    }

    /// Probabilities of one record: `ecg [80, 256]`, `spectrogram [563, 33]`, as many `probabilities` as classes. Calls `done` behind every
    /// step of the plan.
    pub(super) fn run(
        &self,
        workspace: &mut Workspace,
        (ecg, spectrogram): (&[f32], &[f32]),
        probabilities: &mut [f32],
        done: &mut dyn FnMut(),
    ) {
        let isa = self.isa;
        let Workspace { latent, maps, scratch } = workspace;
        match &self.signal {
            Some(Signal::Lstm(lstm)) => lstm.run(isa, ecg, self.skip_padding, latent, scratch),
            Some(Signal::Transformer(transformer)) => transformer.run(isa, ecg, latent, scratch),
            None => {
                latent.resize(0);
            }
        }
        if self.signal.is_some() {
            done();
        }
        let [input, output] = maps;
        let (mut input, mut output) = (input, output);
        scratch.undefined = false;
        if !self.blocks.is_empty() {
            input.fill_single(spectrogram, FRAMES, BINS, self.skip_padding);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            if let (Some(rounding), None) = (self.inputs[index], input.quantization) {
                // Rounding would hide what a block of floats has made of a number beyond all others.
                scratch.undefined |= index > 0 && !input.data().iter().all(|value| value.is_finite());
                input.quantize(isa, rounding);
            }
            let next = self.inputs.get(index + 1).copied().flatten();
            match block {
                Block::Residual(block) => block.run(isa, latent, input, (output, next), scratch),
                Block::Axial(block) => block.run(isa, latent, input, output, scratch),
                Block::IntegerAxial(block) => block.run(isa, latent, input, output, scratch),
            }
            std::mem::swap(&mut input, &mut output);
            done();
        }
        self.head.run(isa, latent, input, probabilities, scratch);
        if scratch.undefined {
            probabilities.fill(f32::NAN);
        }
        done();
    }
}

/// An activation's coefficients, in the only order a plan has.
fn fused_order(pau: &Pau) -> Rational<6, 4> {
    match pau.published_order() {
        Some(rational) => rational.clone(),
        None => unreachable!("a plan has activations of the published order only"),
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::Model;
    use crate::signal::{Inputs, MAX_SAMPLES, Preprocessor, SAMPLING_RATE_HZ};
    use dualnet_fixtures::stream;

    /// The embedded network on leads of 2 to 60 s: the features behind the last block, the sum the classifier reads and the
    /// probabilities, with equal rows skipped and computed. They differ in the phase of the convolutions' tiles alone: 1e-5 of the
    /// largest value.
    #[test]
    fn skipping_equal_rows_changes_nothing_at_any_length() {
        let model = Model::embedded().unwrap();
        let plan = Plan::of(&model).unwrap();
        let isa = Isa::detect().unwrap();
        let networks = [true, false].map(|skip| Network::new(&plan, isa, skip));
        let mut workspaces = [Workspace::default(), Workspace::default()];
        let lead: Vec<f32> = stream("skipping", MAX_SAMPLES)
            .iter()
            .map(|&value| value as f32)
            .collect();
        let (mut preprocessor, mut inputs) = (Preprocessor::new(), Inputs::zeros());
        let shortest = 2 * SAMPLING_RATE_HZ as usize;
        for samples in (shortest..=MAX_SAMPLES).step_by(97).chain([MAX_SAMPLES]) {
            preprocessor
                .prepare(&lead[..samples], &mut inputs.ecg, &mut inputs.spectrogram)
                .unwrap();
            let mut results = Vec::new();
            for (network, workspace) in networks.iter().zip(&mut workspaces) {
                let mut probabilities = vec![0.0; 4];
                network.run(
                    workspace,
                    (&inputs.ecg, &inputs.spectrogram),
                    &mut probabilities,
                    &mut || (),
                );
                let [features, joined, ..] = &workspace.scratch.floats;
                results.push([features.to_vec(), joined.to_vec(), probabilities]);
            }
            for (skipped, computed) in results[0].iter().zip(&results[1]) {
                let largest = computed.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                assert!(largest.is_finite() && largest > 0.0);
                for (a, b) in skipped.iter().zip(computed) {
                    assert!(
                        (a - b).abs() <= 1e-5 * largest,
                        "{samples} samples: {a} and {b}, largest {largest}"
                    );
                }
            }
        }
    }
}
