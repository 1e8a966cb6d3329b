//! The networks as programs for a GPU, which needs none; small ones run on the kernels' host build; their golden probabilities on a GPU, where
//! there is one.
//!
//! Tolerance on a GPU: f32 as on the CPU, 1e-4. 16-bit values and weights move a probability by less than 2e-3. 8 bits are held to what the
//! CPU's integer kernels make of the same file: a value between two levels may go either way, as between two CPU runtimes.

#[path = "../common/mod.rs"]
mod common;
mod host;
mod mistakes;
// How the kernels' own tests build and run host programs.
#[allow(dead_code)]
#[path = "../../../cuda/tests/proof/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "../../../cuda/tests/proof/script.rs"]
mod script;
mod whole;

use common::{file_of, golden_state, quantized, softmax};
use dualnet_engine::cpu::Runtime as Cpu;
use dualnet_engine::gpu::{Runtime, footprint};
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_engine::{Error, Model, Precision};
use dualnet_export::network::{Network, NetworkConfig, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_export::weights::{Data, Tensor};
use dualnet_fixtures::{GoldenNetwork, NetworkInputs, largest_difference, network_names, report};
use std::path::Path;

const F32: f64 = 1e-4;
const F16: f64 = 2e-3;
const INT8: f64 = 0.02;

fn model(bytes: &[u8]) -> Model {
    Model::from_bytes("golden", bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// The int8 file, or one whose nodes with such names stay floats.
fn int8_model(float: &[u8], keep_float: &[&str]) -> Model {
    model(&quantized(float, 2, keep_float))
}

fn ablations(name: &str) -> [NetworkConfig; 3] {
    let published = preset(name).expect("a preset");
    let (mut without_signal, mut without_spectrogram) = (published.clone(), published.clone());
    without_signal.ablate_signal_encoder();
    without_spectrogram.ablate_spectrogram_encoder();
    [published, without_signal, without_spectrogram]
}

/// Makes the programs of a network for batches of 1 and 3; every launch's memory is checked while they are made.
fn programs(what: &str, model: &Model, precision: Precision, launches: usize) {
    let [one, three] = [1, 3].map(|batch| {
        footprint(model, precision, batch)
            .unwrap_or_else(|error| panic!("{what}, {precision}, {batch} records: {error}"))
    });
    assert_eq!(one.launches, three.launches, "{what}");
    assert!(one.launches >= launches, "{what}: {} launches", one.launches);
    assert_eq!(one.weights, three.weights, "{what}");
    assert!(one.scratch > 0 && three.scratch > 2 * one.scratch, "{what}");
}

fn all_programs(names: &[&str], int8: bool) {
    for name in names {
        let salt = GoldenNetwork::read(name).salt;
        for config in ablations(name) {
            let float = file_of(&config, &salt);
            let what = format!(
                "{name}, signal {}, spectrogram {}",
                config.signal_encoder.is_some(),
                config.spectrogram_encoder
            );
            let floats = model(&float);
            for precision in [Precision::F32, Precision::F16] {
                programs(&what, &floats, precision, 4);
            }
            if int8 {
                programs(&what, &int8_model(&float, &[]), Precision::Int8, 4);
            }
        }
    }
}

#[test]
fn small_networks_become_programs_in_every_precision_and_ablation() {
    all_programs(&["dualnet-s", "dualnet-pp-s"], true);
}

#[test]
fn networks_that_are_rounded_in_part_become_programs() {
    for (name, kept) in [
        ("dualnet-s", "spectrogram_encoder.1"),
        ("dualnet-pp-s", "spectrogram_encoder.3"),
    ] {
        let float = file_of(&preset(name).expect("a preset"), &GoldenNetwork::read(name).salt);
        programs(name, &int8_model(&float, &[kept]), Precision::Int8, 4);
        programs(name, &int8_model(&float, &["ecg_encoder"]), Precision::Int8, 4);
    }
}

/// Layers of an LSTM run one after the other in large batches and all at once in small ones, which takes more memory: a runtime has room for both.
#[test]
fn smaller_batches_need_no_more_memory() {
    let [published, _, without_spectrogram] = ablations("dualnet-m");
    for config in [published, without_spectrogram] {
        let float = file_of(&config, "smaller batches");
        for (model, precision) in [
            (model(&float), Precision::F16),
            (int8_model(&float, &[]), Precision::Int8),
        ] {
            let of = |batch: usize| footprint(&model, precision, batch).unwrap_or_else(|error| panic!("{error}"));
            let whole = of(96);
            for batch in [1, 8, 24, 40, 41, 80, 88] {
                let part = of(batch);
                assert!(
                    part.scratch <= whole.scratch && part.inputs <= whole.inputs && part.weights == whole.weights,
                    "{}, {precision}, {batch} records: {part:?} of {whole:?}",
                    config.name
                );
            }
        }
    }
}

#[test]
fn activations_that_only_the_cpu_computes_are_refused() {
    let config = preset("dualnet-s").expect("a preset");
    let network = Network::new(config.clone()).expect("a valid configuration");
    let inputs = NetworkInputs::read();
    for (part, place) in [("numerator", 0), ("numerator", 5), ("denominator", 3)] {
        let of = |coefficient: f32| {
            let mut state = golden_state(&config, "large coefficients");
            let name = format!("linear_layer_1.1.weight_{part}");
            let tensor = state.tensors.get_mut(&name).expect("the head's activation");
            let Data::F32(values) = tensor.data() else {
                panic!("{name} is of floats")
            };
            let mut values = values.to_vec();
            values[place] = coefficient;
            *tensor = Tensor::f32(tensor.shape(), values).expect("as many values");
            let file = export(&network, &state, Path::new("golden weights"), &Card::default());
            model(&file.expect("an exportable network"))
        };
        let largest = 2_f32.powi(102);
        for precision in [Precision::F32, Precision::F16] {
            for supported in [largest, -largest] {
                footprint(&of(supported), precision, 1).unwrap_or_else(|error| panic!("{part}: {error}"));
            }
            let beyond = of(-1.001 * largest);
            let error = footprint(&beyond, precision, 1).expect_err("no kernel").to_string();
            assert!(
                error.contains("head's activation") && error.contains("5e30") && error.contains("CPU"),
                "{error}"
            );
            let answer = Cpu::new(beyond).run(&inputs.ecg[..ECG_LEN], &inputs.spectrogram[..SPECTROGRAM_LEN], 1);
            answer.unwrap_or_else(|error| panic!("{part}: {error}"));
        }
    }
}

#[test]
#[ignore = "minutes and gigabytes: make cuda-matrix"]
fn golden_networks_become_programs_in_every_precision_and_ablation() {
    let names = network_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (large, others): (Vec<&str>, Vec<&str>) = names
        .into_iter()
        .partition(|name| ["dualnet-pp-xxl", "dualnet-pp-130m"].contains(name));
    assert!(others.len() >= 8 && !large.is_empty());
    all_programs(&others, true);
    all_programs(&large, false);
}

/// The runtime; `None`, said aloud, without a GPU. Anything else that is missing is a failure.
fn on_gpu(model: &Model, precision: Precision, batch: usize) -> Option<Runtime> {
    match Runtime::open(model, precision, batch) {
        Ok(runtime) => Some(runtime),
        Err(Error::Cuda(reason)) if reason.contains("driver was found") || reason.contains("finds no GPU") => {
            report(format_args!("skipped, nothing ran on a GPU: {reason}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn rows(values: &[f32], records: usize) -> Vec<Vec<f64>> {
    values
        .chunks_exact(values.len() / records)
        .map(|row| row.iter().map(|&value| f64::from(value)).collect())
        .collect()
}

/// How far a batch may be from its records one by one. Where the tiles of a map are cut depends on the batch, and with it the order of sums in
/// f32; a 16-bit value then falls to one side or the other. Sums of 8-bit products are exact.
fn of_batches(precision: Precision) -> f64 {
    match precision {
        Precision::F16 => 5e-4,
        _ => 1e-5,
    }
}

/// The golden inputs on the GPU: as one batch, twice with the same bits, and one by one.
fn run(runtime: &mut Runtime, precision: Precision, records: usize) -> Vec<Vec<f64>> {
    let inputs = NetworkInputs::read();
    let part = |first: usize, last: usize| {
        (
            &inputs.ecg[first * ECG_LEN..last * ECG_LEN],
            &inputs.spectrogram[first * SPECTROGRAM_LEN..last * SPECTROGRAM_LEN],
        )
    };
    let (ecg, spectrogram) = part(0, records);
    let batch = runtime.run(ecg, spectrogram).unwrap_or_else(|error| panic!("{error}"));
    let again = runtime.run(ecg, spectrogram).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(batch, again, "two runs give the same bits, recorded or not");
    let single: Vec<f32> = (0..records)
        .flat_map(|record| {
            let (ecg, spectrogram) = part(record, record + 1);
            runtime.run(ecg, spectrogram).unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    let (batch, single) = (rows(&batch, records), rows(&single, records));
    let difference = largest_difference(&batch, &single);
    assert!(
        difference <= of_batches(precision),
        "a batch is its records, in {precision} but for {difference:e}"
    );
    batch
}

#[test]
fn gpu_networks_give_the_golden_probabilities() {
    for name in network_names() {
        let golden = GoldenNetwork::read(&name);
        let eval = &golden.eval;
        let records = eval.probabilities_float64.len();
        let [published, without_signal, without_spectrogram] = ablations(&name);
        let from_logits = |rows: &Vec<Vec<f64>>| rows.iter().map(|row| softmax(row)).collect::<Vec<Vec<f64>>>();
        let cases = [
            (published, Some(eval.probabilities_float64.clone())),
            (without_signal, eval.logits_no_signal_encoder.as_ref().map(from_logits)),
            (
                without_spectrogram,
                eval.logits_no_spectrogram_encoder.as_ref().map(from_logits),
            ),
        ];
        for (config, expected) in cases {
            let Some(expected) = expected else { continue };
            let model = model(&file_of(&config, &golden.salt));
            for (precision, tolerance) in [(Precision::F32, F32), (Precision::F16, F16)] {
                let Some(mut runtime) = on_gpu(&model, precision, 4) else {
                    return;
                };
                let difference = largest_difference(&run(&mut runtime, precision, records), &expected);
                assert!(difference <= tolerance, "{name}, {precision}: {difference:e}");
                report(format_args!(
                    "golden {name} on a GPU in {precision}: {records} records, largest difference {difference:.1e}"
                ));
            }
        }
    }
}

#[test]
fn gpu_int8_networks_answer_as_the_cpu_does() {
    for name in ["dualnet-s", "dualnet-m", "dualnet-pp-s", "dualnet-pp-m"] {
        let golden = GoldenNetwork::read(name);
        let records = golden.eval.probabilities_float64.len();
        let float = file_of(&preset(name).expect("a preset"), &golden.salt);
        if on_gpu(&model(&float), Precision::F32, 4).is_none() {
            return;
        }
        for kept in [&[][..], &["spectrogram_encoder.1"]] {
            let model = int8_model(&float, kept);
            let Some(mut runtime) = on_gpu(&model, Precision::Int8, 4) else {
                return;
            };
            let inputs = NetworkInputs::read();
            let (ecg, spectrogram) = (
                &inputs.ecg[..records * ECG_LEN],
                &inputs.spectrogram[..records * SPECTROGRAM_LEN],
            );
            let cpu = Cpu::new(model).run(ecg, spectrogram, records).expect("probabilities");
            let difference = largest_difference(&run(&mut runtime, Precision::Int8, records), &rows(&cpu, records));
            assert!(difference <= INT8, "{name}: {difference:e}");
            report(format_args!(
                "{name} on a GPU in int8: largest difference {difference:.1e} from the CPU"
            ));
        }
    }
}

/// Of a runtime for large batches: those run an LSTM's layers one after the other, small ones all at once.
#[test]
fn gpu_batches_of_any_size_agree() {
    const BATCH: usize = 512;
    let golden = GoldenNetwork::read("dualnet-m");
    let model = model(&file_of(&preset("dualnet-m").expect("a preset"), &golden.salt));
    let Some(mut runtime) = on_gpu(&model, Precision::F32, BATCH) else {
        return;
    };
    let inputs = NetworkInputs::read();
    let (ecg, spectrogram) = (&inputs.ecg[..ECG_LEN], &inputs.spectrogram[..SPECTROGRAM_LEN]);
    let mut of = |records: usize| {
        let answers = runtime.run(&ecg.repeat(records), &spectrogram.repeat(records));
        rows(&answers.unwrap_or_else(|error| panic!("{error}")), records)
    };
    let whole = of(BATCH);
    for records in [1, 40, BATCH - 1, 8] {
        let difference = largest_difference(&of(records), &whole[..records]);
        assert!(difference <= 1e-5, "{records} records: {difference:e}");
    }
}
