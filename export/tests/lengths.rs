//! Skipping the padding behind a short record changes nothing, whatever the record's length: whole networks with golden weights.

mod common;

use common::golden_state;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::signal::{Inputs, MAX_SAMPLES, Preprocessor, SAMPLING_RATE_HZ};
use dualnet_engine::{Model, Record};
use dualnet_export::network::{Network, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_fixtures::records_dir;
use std::path::Path;

/// A record of 60 s.
const RECORD: &str = "A00005.mat";

/// Cuts of a real record from 2 to 60 s in steps of 97 samples, every `stride`-th of them and the whole, with equal rows skipped and computed.
/// They differ in the phase of the convolutions' tiles alone: 1e-5 in probability.
fn hold(name: &str, stride: usize) {
    let config = preset(name).expect("a preset");
    let network = Network::new(config.clone()).expect("a valid configuration");
    let state = golden_state(&config, name);
    let bytes = export(&network, &state, Path::new("golden"), &Card::default()).expect("an exportable network");
    let model = Model::from_bytes(name, &bytes).expect("a model file");
    let (mut skipping, mut whole) = (Runtime::new(model.clone()), Runtime::without_skipping(model));
    assert_eq!(skipping.fallback().expect("an instruction set"), None);
    let record = Record::open(records_dir().join(RECORD)).expect("a fixture");
    let lead = &record.samples()[..MAX_SAMPLES];
    let (mut preprocessor, mut inputs) = (Preprocessor::new(), Inputs::zeros());
    let shortest = 2 * SAMPLING_RATE_HZ as usize;
    let lengths = (shortest..=MAX_SAMPLES).step_by(97).step_by(stride);
    let mut answers = Vec::new();
    for samples in lengths.chain([MAX_SAMPLES]) {
        preprocessor
            .prepare(&lead[..samples], &mut inputs.ecg, &mut inputs.spectrogram)
            .expect("finite samples");
        let run = |runtime: &mut Runtime| runtime.run(&inputs.ecg, &inputs.spectrogram, 1).expect("probabilities");
        let (skipped, computed) = (run(&mut skipping), run(&mut whole));
        for (a, b) in skipped.iter().zip(&computed) {
            assert!(
                (a - b).abs() <= 1e-5,
                "{name}, {samples} samples: {skipped:?} and {computed:?}"
            );
        }
        answers.push(computed);
    }
    // Golden weights answer every length differently: a network that saturates would hide an error.
    let mut distinct = answers.clone();
    distinct.dedup();
    assert!(
        distinct.len() * 10 >= answers.len() * 9,
        "{name} answers alike: {answers:?}"
    );
}

#[test]
fn some_lengths() {
    hold("dualnet-s", 20);
    hold("dualnet-pp-s", 20);
}

#[test]
#[ignore = "a minute: make test-golden"]
fn golden_every_length_of_s() {
    hold("dualnet-s", 1);
}

#[test]
#[ignore = "a minute: make test-golden"]
fn golden_every_length_of_pp_s() {
    hold("dualnet-pp-s", 1);
}
