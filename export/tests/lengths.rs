//! Skipping the padding behind a short record changes nothing, whatever the record's length: whole networks with golden weights.

mod common;

use common::{golden_file, quantized};
use dualnet_engine::cpu::Runtime;
use dualnet_engine::signal::{Inputs, MAX_SAMPLES, Preprocessor, SAMPLING_RATE_HZ};
use dualnet_engine::{Model, Record};
use dualnet_fixtures::records_dir;

/// A record of 60 s.
const RECORD: &str = "A00005.mat";

/// Two orders of adding floats: the tiles of the convolutions lie differently.
const FLOAT: f32 = 1e-5;
/// Integer sums are exact, so that only the attention's and the LSTM's floats are left, which run in full either way.
const INT8: f32 = 1e-7;

/// Cuts of a real record from 2 to 60 s in steps of 97 samples, every `stride`-th of them and the whole, with equal rows skipped and computed.
fn hold(name: &str, file: &[u8], tolerance: f32, stride: usize) {
    let model = Model::from_bytes(name, file).expect("a model file");
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
                (a - b).abs() <= tolerance,
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

fn hold_float(name: &str, stride: usize) {
    hold(name, &golden_file(name), FLOAT, stride);
}

fn hold_int8(name: &str, stride: usize) {
    hold(name, &quantized(&golden_file(name), 2, &[]), INT8, stride);
}

#[test]
fn some_lengths() {
    hold_float("dualnet-s", 20);
    hold_float("dualnet-pp-s", 20);
    hold_int8("dualnet-s", 20);
    hold_int8("dualnet-pp-s", 20);
}

#[test]
#[ignore = "a minute: make test-golden"]
fn golden_every_length_of_s() {
    hold_float("dualnet-s", 1);
    hold_int8("dualnet-s", 1);
}

#[test]
#[ignore = "a minute: make test-golden"]
fn golden_every_length_of_pp_s() {
    hold_float("dualnet-pp-s", 1);
    hold_int8("dualnet-pp-s", 1);
}
