//! Whole networks on the kernels' host build: the launches and the memory of the GPU's runtime, held to the CPU's.
//!
//! Each kernel is proven by itself elsewhere. What is proven here is that they are wired as the network is: operands, offsets, order, layouts
//! of the packed weights. The networks are the smallest that have a launch of every kind; weights are golden.
//!
//! Tolerances, on probabilities. f32: 1e-5, sums in another order; the largest difference seen is printed. f16: 2e-3, which is what 16-bit values
//! and weights may move. int8: 2e-3, single values between two levels that go the other way; everything else is exact.

use crate::common::{file_of, golden_state};
use crate::host::Stage;
use crate::mistakes::mistakes;
use crate::{int8_model, model, rows};
use dualnet_engine::cpu::Runtime as Cpu;
use dualnet_engine::gpu::{Rehearsal, Scene};
use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_engine::{Error, Model, Precision, Record};
use dualnet_export::network::{Network, NetworkConfig, SignalEncoder, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_export::weights::{Data, Tensor};
use dualnet_fixtures::{NetworkInputs, largest_difference, records_dir, report};
use std::path::Path;

/// Of an H200. Fewer take other tilings of the convolutions, and a single one the LSTM's layers one after the other.
const PROCESSORS: usize = 132;

/// The shortest fixture record.
const SHORT: &str = "A05493.mat";

fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F16 | Precision::Int8 => 2e-3,
    }
}

/// Of ECG-DualNet's kind: two layers of the LSTM, a block of a single channel, one that projects and one that does not.
fn lstm() -> NetworkConfig {
    let mut config = preset("dualnet-s").expect("a preset");
    config.latent = 64;
    config.channels = vec![16, 32, 32];
    config
}

/// Of ECG-DualNet++'s: two Transformer layers, axial blocks of either kind of shortcut and lines of either kind of kernel.
fn transformer() -> NetworkConfig {
    let mut config = preset("dualnet-pp-s").expect("a preset");
    config.signal_encoder = Some(SignalEncoder::Transformer {
        heads: 8,
        feed_forward: 128,
        layers: 2,
    });
    config.channels = vec![16, 16, 16, 64, 64];
    config.spans = vec![(70, 4), (35, 2)];
    config
}

fn file(config: &NetworkConfig) -> Vec<u8> {
    file_of(config, "whole networks")
}

/// The same, of weights in which everything counts: golden ones leave the denominators of the Padé activations nearly alike, and an LSTM hardly anything to
/// remember.
fn telling_file(config: &NetworkConfig) -> Vec<u8> {
    let network = Network::new(config.clone()).expect("a valid configuration");
    let mut state = golden_state(config, "whole networks");
    for (place, (name, tensor)) in state.tensors.iter_mut().enumerate() {
        let factor = match name {
            name if name.ends_with("weight_denominator") => 0.5 + 0.3 * (place % 7) as f32,
            name if name.contains("weight_ih_l") || name.contains("weight_hh_l") => 4.0,
            _ => continue,
        };
        let Data::F32(values) = tensor.data() else { continue };
        let scaled = values.iter().map(|value| value * factor).collect();
        *tensor = Tensor::f32(tensor.shape(), scaled).expect("as many values");
    }
    export(&network, &state, Path::new("golden weights"), &Card::default()).expect("an exportable network")
}

/// The first golden records.
fn inputs(records: usize) -> (Vec<f32>, Vec<f32>) {
    let inputs = NetworkInputs::read();
    (
        inputs.ecg[..records * ECG_LEN].to_vec(),
        inputs.spectrogram[..records * SPECTROGRAM_LEN].to_vec(),
    )
}

fn record(name: &str) -> Record {
    Record::open(records_dir().join(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// The probabilities.
fn run(rehearsal: &Rehearsal) -> Result<Vec<f32>, String> {
    let mut stage = Stage::new(rehearsal);
    stage.run(&rehearsal.scenes)?;
    Ok(stage.floats(rehearsal.probabilities.clone()))
}

/// Fails unless the probabilities of a rehearsal are these.
fn agrees(what: &str, precision: Precision, rehearsal: &Rehearsal, expected: &[f32], records: usize) {
    let got = run(rehearsal).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    let difference = largest_difference(&rows(&got, records), &rows(expected, records));
    assert!(
        difference <= tolerance(precision),
        "{what}: {difference:e}\n{got:?}\n{expected:?}"
    );
    report(format_args!(
        "{what} through {} launches on the kernels' host build: {records} records, largest difference {difference:.1e} from the CPU",
        rehearsal.scenes.len()
    ));
}

/// The first golden records through the network as prepared inputs.
fn prepared(what: &str, model: &Model, precision: Precision, processors: usize, records: usize) {
    let (ecg, spectrogram) = inputs(records);
    let expected = Cpu::new(model.clone())
        .run(&ecg, &spectrogram, records)
        .expect("probabilities");
    let rehearsal = Rehearsal::of_inputs(model, precision, processors, &ecg, &spectrogram);
    let rehearsal = rehearsal.unwrap_or_else(|error| panic!("{what}: {error}"));
    agrees(
        &format!("{what} in {precision}"),
        precision,
        &rehearsal,
        &expected,
        records,
    );
}

/// The first fixture record through the network as raw samples.
fn raw(what: &str, model: &Model, precision: Precision, processors: usize) {
    let record = record(SHORT);
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    Preprocessor::new()
        .prepare(record.samples(), &mut ecg, &mut spectrogram)
        .expect("enough samples");
    let expected = Cpu::new(model.clone())
        .run(&ecg, &spectrogram, 1)
        .expect("probabilities");
    let rehearsal = Rehearsal::of_records(model, precision, processors, &[&record]);
    let rehearsal = rehearsal.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(rehearsal.scenes[0].launch.family == "preprocess", "{what}");
    agrees(
        &format!("{what} in {precision}, raw samples"),
        precision,
        &rehearsal,
        &expected,
        1,
    );
}

#[test]
fn a_small_network_with_an_lstm_computes_what_the_cpu_does() {
    let float = file(&lstm());
    prepared(
        "a small network with an LSTM",
        &model(&float),
        Precision::F32,
        PROCESSORS,
        2,
    );
    raw(
        "a small network with an LSTM",
        &int8_model(&float, &[]),
        Precision::Int8,
        1,
    );
}

/// Fails unless three records, which run in a launch of four, have the answers that they have one by one, each its own.
fn three_are_three_times_one(what: &str, of: &dyn Fn(std::ops::Range<usize>) -> Result<Rehearsal, Error>) {
    let answers = |records| -> Vec<f32> {
        let rehearsal = of(records).unwrap_or_else(|error| panic!("{what}: {error}"));
        run(&rehearsal).unwrap_or_else(|fault| panic!("{what}: {fault}"))
    };
    let single = rows(&[answers(0..1), answers(1..2), answers(2..3)].concat(), 3);
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let difference = largest_difference(&single[one..=one], &single[other..=other]);
        assert!(difference > 10.0 * tolerance(Precision::F32), "{what}: {difference:e}");
    }
    let difference = largest_difference(&rows(&answers(0..3), 3), &single);
    assert!(difference <= tolerance(Precision::F32), "{what}: {difference:e}");
}

#[test]
fn an_odd_number_of_records_has_the_answers_of_each() {
    let mut config = lstm();
    config.ablate_spectrogram_encoder();
    let model = model(&telling_file(&config));
    let (ecg, spectrogram) = inputs(3);
    three_are_three_times_one("prepared inputs", &|records| {
        let ecg = &ecg[records.start * ECG_LEN..records.end * ECG_LEN];
        let spectrogram = &spectrogram[records.start * SPECTROGRAM_LEN..records.end * SPECTROGRAM_LEN];
        Rehearsal::of_inputs(&model, Precision::F32, PROCESSORS, ecg, spectrogram)
    });
    let opened = [SHORT, "A06948.mat", "A00405.mat"].map(record);
    let all: Vec<&Record> = opened.iter().collect();
    three_are_three_times_one("raw samples", &|records| {
        Rehearsal::of_records(&model, Precision::F32, PROCESSORS, &all[records])
    });
}

#[test]
fn a_small_network_with_a_transformer_computes_what_the_cpu_does() {
    let float = file(&transformer());
    prepared(
        "a small network with a Transformer",
        &model(&float),
        Precision::F32,
        PROCESSORS,
        1,
    );
}

/// Fails unless every mistake in the launches from `first` on changes the probabilities or makes a kernel fail.
fn every_mistake_is_noticed(config: &NetworkConfig, first: impl FnOnce(usize) -> usize) {
    let model = model(&telling_file(config));
    let (ecg, spectrogram) = inputs(1);
    let rehearsal = Rehearsal::of_inputs(&model, Precision::F32, PROCESSORS, &ecg, &spectrogram).expect("a program");
    let scenes = &rehearsal.scenes;
    let first = first(scenes.len());
    let (begin, weights) = rehearsal.memory.first_key_value().expect("weights");
    let constants = *begin..begin + weights.len() as u64;
    let right = run(&rehearsal).unwrap_or_else(|fault| panic!("{fault}"));
    let mut stage = Stage::new(&rehearsal);
    let (mut made, mut survivors) = (0, Vec::new());
    for index in 0..scenes.len() {
        if index >= first {
            // A layer of several that one launch computes leaves out what only the others have.
            let is_read = |scene: Scene| stage.clone().run(&[scene]).is_err();
            for mistake in mistakes(scenes, index, &constants, &is_read) {
                let mut stage = stage.clone();
                let wrong = mistake.scene.map_or(Ok(()), |scene| stage.run(&[scene]));
                let ran = wrong.and_then(|()| stage.run(&scenes[index + 1..]));
                let difference = ran.map(|()| {
                    let got = stage.floats(rehearsal.probabilities.clone());
                    largest_difference(&rows(&got, 1), &rows(&right, 1))
                });
                made += 1;
                if difference.is_ok_and(|difference| difference <= tolerance(Precision::F32)) {
                    survivors.push(mistake.what);
                }
            }
        }
        stage
            .run(&scenes[index..=index])
            .unwrap_or_else(|fault| panic!("{fault}"));
    }
    report(format_args!(
        "{}: {} of {made} mistakes in the wiring of a GPU's launches are noticed",
        config.name,
        made - survivors.len()
    ));
    assert!(survivors.is_empty(), "unnoticed:\n{}", survivors.join("\n"));
    assert!(made > 10, "{made}");
}

#[test]
fn mistakes_in_the_last_launches_are_noticed() {
    every_mistake_is_noticed(&lstm(), |launches| launches - 2);
}

#[test]
#[ignore = "minutes: make cuda-matrix"]
fn matrix_of_mistakes_with_an_lstm() {
    every_mistake_is_noticed(&lstm(), |_| 0);
}

#[test]
#[ignore = "minutes: make cuda-matrix"]
fn matrix_of_mistakes_with_a_transformer() {
    every_mistake_is_noticed(&transformer(), |_| 0);
}

/// Every precision, raw samples, several records, few multiprocessors and many, either encoder missing, one block left as floats.
fn matrix(what: &str, published: NetworkConfig, kept: &[&str]) {
    let (mut without_signal, mut without_spectrogram) = (published.clone(), published.clone());
    without_signal.ablate_signal_encoder();
    without_spectrogram.ablate_spectrogram_encoder();
    for config in [published, without_signal, without_spectrogram] {
        let what = format!(
            "{what}, signal {}, spectrogram {}",
            config.signal_encoder.is_some(),
            config.spectrogram_encoder
        );
        let float = file(&config);
        let floats = model(&float);
        prepared(&what, &int8_model(&float, &[]), Precision::Int8, PROCESSORS, 2);
        if config.spectrogram_encoder {
            for kept in kept
                .iter()
                .filter(|kept| **kept != "ecg_encoder" || config.signal_encoder.is_some())
            {
                let kept_float = int8_model(&float, &[kept]);
                let what = format!("{what}, {kept} not rounded");
                prepared(&what, &kept_float, Precision::Int8, 1, 1);
            }
        }
        raw(&what, &floats, Precision::F16, PROCESSORS);
        prepared(&what, &floats, Precision::F16, PROCESSORS, 2);
        // Fewer multiprocessors take larger blocks, more records more of them.
        prepared(&what, &floats, Precision::F32, 1, 3);
    }
}

#[test]
#[ignore = "minutes: make cuda-matrix"]
fn matrix_of_networks_with_an_lstm() {
    matrix("LSTM", lstm(), &["spectrogram_encoder.1", "ecg_encoder"]);
}

#[test]
#[ignore = "minutes: make cuda-matrix"]
fn matrix_of_networks_with_a_transformer() {
    matrix("Transformer", transformer(), &["spectrogram_encoder.3", "ecg_encoder"]);
}
