//! Every network this project exports is recognized as a whole by the engine, and a file that departs from it is not.

mod common;

use common::fully_recognized;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_engine::{Model, Record};
use dualnet_export::network::{Network, NetworkConfig, PRESETS, ParameterKind, PauInitial, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::records_dir;
use std::path::Path;

/// The file of `config`, its weights small and all positive.
fn model(config: &NetworkConfig) -> Model {
    let network = Network::new(config.clone()).expect("a valid configuration");
    let mut state = StateDict::default();
    for parameter in network.parameters() {
        if parameter.kind == ParameterKind::Integer {
            continue;
        }
        let count: usize = parameter.shape.iter().product();
        let values = (0..count).map(|i| 0.05 + 0.01 * ((i * 7919 % 101) as f32 - 50.0) / 50.0);
        let tensor = Tensor::f32(&parameter.shape, values.collect()).expect("as many as the shape says");
        state.tensors.insert(parameter.name, tensor);
    }
    let bytes = export(&network, &state, Path::new("made up"), &Card::default()).expect("an exportable network");
    Model::from_bytes(&config.name, &bytes).expect("a model file")
}

/// The preset, both ablations, two classes.
fn variants(name: &str) -> Vec<NetworkConfig> {
    let mut variants = vec![preset(name).expect("a preset"); 4];
    variants[1].ablate_signal_encoder();
    variants[2].ablate_spectrogram_encoder();
    variants[3].classes = 2;
    variants
}

const LARGEST: [&str; 2] = ["dualnet-pp-xxl", "dualnet-pp-130m"];

#[test]
fn every_network_is_recognized() {
    for name in PRESETS.iter().filter(|name| !LARGEST.contains(name)) {
        for config in variants(name) {
            fully_recognized(&model(&config));
        }
    }
}

#[test]
#[ignore = "gigabytes: make test-golden"]
fn golden_the_largest_networks_are_recognized() {
    for name in LARGEST {
        for config in variants(name) {
            fully_recognized(&model(&config));
        }
    }
}

/// Widths that are no multiple of a vector, other numbers of blocks, blocks without a projection. Against tract 1e-4, against every row computed 1e-5.
#[test]
fn configured_networks_are_recognized_and_agree_with_tract() {
    let variant = |name: &str, latent: usize, channels: &[usize], spans: &[(usize, usize)]| {
        let mut config = preset(name).expect("a preset");
        (config.latent, config.channels, config.spans) = (latent, channels.to_vec(), spans.to_vec());
        config
    };
    let configs = [
        variant("dualnet-s", 37, &[5, 5, 19], &[]),
        variant("dualnet-s", 16, &[33, 7], &[]),
        variant("dualnet-pp-s", 256, &[16, 32, 32, 64], &[(140, 8), (70, 4)]),
        variant("dualnet-pp-s", 256, &[6, 32], &[(281, 16)]),
    ];
    let record = Record::open(records_dir().join("A00001.mat")).expect("a fixture");
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    let mut preprocessor = Preprocessor::new();
    preprocessor
        .prepare(record.samples(), &mut ecg, &mut spectrogram)
        .expect("finite samples");
    for config in configs {
        let model = model(&config);
        fully_recognized(&model);
        let run = |mut runtime: Runtime| runtime.run(&ecg, &spectrogram, 1).expect("probabilities");
        let fused = run(Runtime::new(model.clone()));
        let whole = run(Runtime::without_skipping(model.clone()));
        let tract = run(Runtime::on_tract(model));
        for ((a, b), c) in fused.iter().zip(&tract).zip(&whole) {
            let close = (a - b).abs() <= 1e-4 && (a - c).abs() <= 1e-5;
            assert!(close, "{:?}: {fused:?}, {tract:?}, {whole:?}", config.channels);
        }
    }
}

/// A Padé activation of a higher order has no fused kernel: the model runs on tract, and says why.
#[test]
fn what_is_not_recognized_runs_on_tract() {
    let mut config = preset("dualnet-s").expect("a preset");
    config.pau = PauInitial {
        numerator: vec![0.1; 8],
        denominator: vec![0.1; 6],
    };
    config.channels = vec![4, 8];
    let model = model(&config);
    let mismatch = Plan::of(&model).expect_err("an order that is not fused").to_string();
    assert!(mismatch.contains("order 7/6"), "{mismatch}");
    let mut runtime = Runtime::new(model);
    assert!(runtime.fallback().expect("an instruction set").is_some());
    let answer = runtime.run(&vec![0.1; ECG_LEN], &vec![0.1; SPECTROGRAM_LEN], 1);
    assert_eq!(answer.expect("probabilities").len(), 4);
}
