//! Every network this project exports is recognized as a whole by the engine, and a file that departs from it is not.

mod common;

use common::{fully_recognized, golden_state, quantized, sealed};
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_engine::{Model, Record};
use dualnet_export::network::{Network, NetworkConfig, PRESETS, ParameterKind, PauInitial, SignalEncoder, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::records_dir;
use onnx_ir::{Message, ModelProto, NodeProto, TensorProto};
use std::f32::consts::TAU;
use std::path::Path;

/// The file of `config`, its matrices normally distributed as trained ones about are, everything else small and positive.
fn model(config: &NetworkConfig) -> Model {
    Model::from_bytes(&config.name, &file(config)).expect("a model file")
}

/// The same in 8 bits, its ranges those of one record.
fn int8_file(config: &NetworkConfig) -> Vec<u8> {
    quantized(&file(config), 1, &[])
}

fn int8_model(config: &NetworkConfig) -> Model {
    Model::from_bytes(&config.name, &int8_file(config)).expect("a model file")
}

/// The share of multiply-adds whose operands are 8-bit.
fn int8_share(model: &Model) -> f64 {
    let plan = Plan::of(model).expect("a recognized network");
    let int8: u64 = plan.steps().iter().map(|step| step.int8_multiply_adds).sum();
    int8 as f64 / plan.multiply_adds() as f64
}

fn file(config: &NetworkConfig) -> Vec<u8> {
    let network = Network::new(config.clone()).expect("a valid configuration");
    let mut state = StateDict::default();
    for parameter in network.parameters() {
        if parameter.kind == ParameterKind::Integer {
            continue;
        }
        let count: usize = parameter.shape.iter().product();
        let even = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0;
        // Box and Muller's.
        let normal = |i: usize| (-2.0 * (1.0 - even(2 * i)).ln()).sqrt() * (TAU * even(2 * i + 1)).cos();
        let is_matrix = parameter.shape.len() > 1;
        let value = |i: usize| {
            if is_matrix {
                0.005 * normal(i)
            } else {
                0.04 + 0.02 * even(i)
            }
        };
        let tensor = Tensor::f32(&parameter.shape, (0..count).map(value).collect()).expect("as many as the shape says");
        state.tensors.insert(parameter.name, tensor);
    }
    export(&network, &state, Path::new("made up"), &Card::default()).expect("an exportable network")
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

/// All of their operations run on our kernels, 90 % and more of them in 8 bits. What is left are conditions, head and, in an ablation
/// without blocks, nothing.
#[test]
fn every_int8_network_is_recognized() {
    for name in PRESETS.iter().filter(|name| !LARGEST.contains(name)) {
        for config in variants(name) {
            let model = int8_model(&config);
            fully_recognized(&model);
            let share = int8_share(&model);
            assert!(share >= 0.9, "{name}: {share}");
        }
    }
}

#[test]
#[ignore = "gigabytes: make test-golden"]
fn golden_the_largest_int8_networks_are_recognized() {
    for name in LARGEST {
        let model = int8_model(&preset(name).expect("a preset"));
        fully_recognized(&model);
        let share = int8_share(&model);
        assert!(share >= 0.9, "{name}: {share}");
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

/// Widths that are no multiple of a vector, other numbers of blocks, blocks without a projection. Against tract a twentieth of what either
/// input moves, against every row computed 1e-5.
#[test]
fn configured_networks_are_recognized_and_agree_with_tract() {
    for config in unusual() {
        let model = Model::from_bytes("golden", &golden(&config)).expect("a model file");
        agrees_with_tract(&model, |[waveform, spectrogram]| waveform.min(spectrogram) / 20.0, 1e-5);
    }
}

/// The same in 8 bits. Against tract a tenth of what the inputs move: it sums floats, so a value between two levels may go the other way.
/// Every row computed is the same bits: sums are exact.
#[test]
fn configured_int8_networks_are_recognized_and_agree_with_tract() {
    for config in unusual() {
        let int8 = quantized(&golden(&config), 4, &[]);
        let model = Model::from_bytes("golden", &int8).expect("a model file");
        agrees_with_tract(&model, |[waveform, spectrogram]| waveform.max(spectrogram) / 10.0, 1e-7);
    }
}

fn unusual() -> Vec<NetworkConfig> {
    let variant = |name: &str, latent: usize, channels: &[usize], spans: &[(usize, usize)]| {
        let mut config = preset(name).expect("a preset");
        (config.latent, config.channels, config.spans) = (latent, channels.to_vec(), spans.to_vec());
        config
    };
    vec![
        variant("dualnet-s", 37, &[5, 5, 19], &[]),
        variant("dualnet-s", 16, &[33, 7], &[]),
        variant("dualnet-pp-s", 256, &[16, 32, 32, 64], &[(140, 8), (70, 4)]),
        variant("dualnet-pp-s", 256, &[6, 32], &[(281, 16)]),
    ]
}

/// A file of golden weights. In a network with an LSTM those of the waveform's way are doubled: its latent would hardly move the answer.
fn golden(config: &NetworkConfig) -> Vec<u8> {
    let network = Network::new(config.clone()).expect("a valid configuration");
    let mut state = golden_state(config, "golden-1");
    if matches!(config.signal_encoder, Some(SignalEncoder::Lstm { .. })) {
        let waveform = |name: &str| name.starts_with("ecg_encoder.") || name.contains(".linear_mapping.");
        for (name, tensor) in &mut state.tensors {
            if let (true, Some(values)) = (waveform(name) && name.contains("weight"), tensor.as_f32()) {
                let doubled = values.iter().map(|value| 2.0 * value).collect();
                *tensor = Tensor::f32(tensor.shape(), doubled).expect("as many as before");
            }
        }
    }
    export(&network, &state, Path::new("golden weights"), &Card::default()).expect("an exportable network")
}

fn inputs(record: &str) -> [Vec<f32>; 2] {
    let record = Record::open(records_dir().join(record)).expect("a fixture");
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    let mut preprocessor = Preprocessor::new();
    preprocessor
        .prepare(record.samples(), &mut ecg, &mut spectrogram)
        .expect("finite samples");
    [ecg, spectrogram]
}

fn largest_step(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The fused kernels against tract and against every row computed. What tract may differ by is made, by `tract_bound`, of what another waveform
/// and another spectrogram move the answer by: a bound beside which they are nothing would hold for kernels that read neither.
fn agrees_with_tract(model: &Model, tract_bound: fn([f32; 2]) -> f32, skipping_bound: f32) {
    fully_recognized(model);
    let [[ecg, spectrogram], other] = ["A00001.mat", "A00004.mat"].map(inputs);
    let run = |mut runtime: Runtime, ecg: &[f32], spectrogram: &[f32]| {
        runtime.run(ecg, spectrogram, 1).expect("probabilities")
    };
    let fused = run(Runtime::new(model.clone()), &ecg, &spectrogram);
    let moved = [(&other[0], &spectrogram), (&ecg, &other[1])].map(|(ecg, spectrogram)| {
        let there = run(Runtime::on_tract(model.clone()), ecg, spectrogram);
        largest_step(&fused, &there)
    });
    let configuration = &model.card().configuration;
    assert!(moved.iter().all(|&moved| moved > 1e-4), "{configuration}: {moved:?}");
    let whole = run(Runtime::without_skipping(model.clone()), &ecg, &spectrogram);
    let tract = run(Runtime::on_tract(model.clone()), &ecg, &spectrogram);
    let (from_tract, from_whole) = (largest_step(&fused, &tract), largest_step(&fused, &whole));
    println!("other inputs move the answer by {moved:?}, tract by {from_tract:e}, every row by {from_whole:e}");
    let close = from_tract <= tract_bound(moved) && from_whole <= skipping_bound;
    assert!(close, "{configuration}: {fused:?}, {tract:?}, {whole:?}");
}

/// An int8 file that is not in the form `export quantize` writes, or whose sums could overflow, is refused or runs on tract; it is never
/// fused.
#[test]
fn int8_files_out_of_form_are_not_fused() {
    let mut config = preset("dualnet-s").expect("a preset");
    config.channels = vec![16, 512];
    let bytes = int8_file(&config);
    let whole = ModelProto::parse_from_bytes(&bytes).expect("ONNX");
    let fused = |model: ModelProto| match Model::from_bytes("edited", &sealed(model)) {
        Ok(model) => Plan::of(&model).err().map(|mismatch| mismatch.to_string()),
        Err(error) => Some(error.to_string()),
    };
    assert_eq!(fused(whole.clone()), None);
    let tensor = |edit: &dyn Fn(&mut TensorProto), name: &str| {
        let mut model = whole.clone();
        let graph = model.graph.mut_or_insert_default();
        let found = graph.initializer.iter_mut().find(|tensor| tensor.name == name);
        edit(found.unwrap_or_else(|| panic!("there is no {name}")));
        model
    };
    let node = |edit: &dyn Fn(&mut NodeProto), output: &str| {
        let mut model = whole.clone();
        let graph = model.graph.mut_or_insert_default();
        let found = graph
            .node
            .iter_mut()
            .find(|node| node.output.iter().any(|name| name == output));
        edit(found.unwrap_or_else(|| panic!("no node makes {output}")));
        model
    };
    let weight = "spectrogram_encoder.1.main_mapping_conv_2.weight";
    let named = |suffix: &str| format!("{weight}{suffix}");
    let scale = |value: f32| move |tensor: &mut TensorProto| tensor.raw_data = value.to_le_bytes().to_vec().into();
    let mut edited = Vec::new();
    for value in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-42, 1e30] {
        edited.push(tensor(&scale(value), "spectrogram_scale"));
        let first = move |tensor: &mut TensorProto| {
            let mut raw = tensor.raw_data.to_vec();
            raw[..4].copy_from_slice(&value.to_le_bytes());
            tensor.raw_data = raw.into();
        };
        edited.push(tensor(&first, &named("_scale")));
    }
    let shorter = |tensor: &mut TensorProto| {
        tensor.dims[0] -= 1;
        let length = tensor.raw_data.len() / 512 * 511;
        tensor.raw_data = tensor.raw_data[..length].to_vec().into();
    };
    for suffix in ["_scale", "_zero_point", "_quantized"] {
        edited.push(tensor(&shorter, &named(suffix)));
    }
    edited.push(tensor(
        &|tensor| tensor.raw_data = vec![1; 512].into(),
        &named("_zero_point"),
    ));
    edited.push(node(&|node| node.attribute[0].i = 1, weight));
    edited.push(node(&|node| node.attribute.clear(), weight));
    edited.push(node(&|node| node.input.truncate(2), weight));
    edited.push(node(&|node| node.input[1] = "missing".to_owned(), weight));
    edited.push(node(&|node| node.input[1] = named("_scale"), "spectrogram_dequantized"));
    // One operand rounded, the other not.
    let reads = "spectrogram_encoder.1.main_mapping_conv_2";
    edited.push(node(
        &|node| node.input[0] = node.input[0].replace("_dequantized", ""),
        reads,
    ));
    // 512·9 products of 127 and up to 255.
    let largest = |tensor: &mut TensorProto| tensor.raw_data = vec![127; tensor.raw_data.len()].into();
    edited.push(tensor(&largest, &named("_quantized")));
    for (index, model) in edited.into_iter().enumerate() {
        assert!(fused(model).is_some(), "file {index} is fused");
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
