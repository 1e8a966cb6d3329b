//! What benchmarks with peers share: the machine, networks and records, ONNX Runtime, and the file that keeps the results.

// Each benchmark uses its own part of this.
#![allow(dead_code, unused_imports)]

mod onnx_runtime;

pub use dualnet_fixtures::median;
pub use onnx_runtime::OnnxRuntime;

use dualnet_engine::Model;
use dualnet_engine::plan::Plan;
use dualnet_engine::record::Record;
use dualnet_engine::signal::{ECG_LEN, Inputs, Preprocessor, SPECTROGRAM_LEN};
use dualnet_engine::simd::Isa;
use dualnet_export::network::{Initial, Network, ParameterKind};
use dualnet_export::onnx::{Card, export};
use dualnet_export::quantize::{Recordings, quantize, sensitive};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::{golden_weight, records_dir};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The networks measured, unless `ECG_BENCH_NETWORKS` names others.
const NETWORKS: &str = "dualnet-s,dualnet-m,dualnet-xl,dualnet-pp-s,dualnet-pp-xl";
/// Lengths of the cuts of a record of 60 s.
pub const SECONDS: [usize; 3] = [10, 30, 60];

/// The networks to measure.
pub fn networks() -> Vec<String> {
    let wanted = std::env::var("ECG_BENCH_NETWORKS").unwrap_or_else(|_| NETWORKS.to_owned());
    wanted.split(',').map(str::to_owned).collect()
}

/// The exported file of a preset with the golden weights.
pub fn file(name: &str) -> Vec<u8> {
    let network = Network::preset(name).expect("a preset");
    let mut weights = StateDict::default();
    for parameter in network.parameters() {
        if parameter.kind == ParameterKind::Integer {
            continue;
        }
        let initial: Vec<f32> = match &parameter.initial {
            Initial::Values(values) => values.iter().map(|&value| value as f32).collect(),
            _ => Vec::new(),
        };
        let values = golden_weight(name, &parameter.name, &parameter.shape, &initial);
        let tensor = Tensor::f32(&parameter.shape, values).expect("the rule fills the shape");
        weights.tensors.insert(parameter.name, tensor);
    }
    export(&network, &weights, Path::new("golden weights"), &Card::default()).expect("an exportable network")
}

/// The same network in 8 bits, as `export quantize` makes it. It must run on the fused kernels.
pub fn int8(name: &str, float: &[u8]) -> Model {
    /// Records that the ranges are found on.
    const CALIBRATION: usize = 4;
    let recordings = Recordings::draw(&records_dir(), None, CALIBRATION, 0).expect("the fixture records");
    let model = Model::from_bytes(name, float).expect("a model file");
    let keep_float = sensitive(&model);
    let file = quantize(&model, float, &recordings, &keep_float, &Card::default(), |_| {});
    let model = Model::from_bytes(name, &file.expect("a file that can be quantized").bytes).expect("a model file");
    Plan::of(&model).expect("a recognized int8 network");
    model
}

/// The network's inputs for the first samples of a fixture record.
pub fn inputs(record: &str, samples: usize) -> Inputs {
    let path = records_dir().join(record).with_extension("mat");
    let record = Record::open(path).expect("a fixture record");
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    let lead = &record.samples()[..samples.min(record.samples().len())];
    Preprocessor::new()
        .prepare(lead, &mut ecg, &mut spectrogram)
        .expect("finite samples");
    Inputs { ecg, spectrogram }
}

/// Writes `ecg0.f32`, `spectrogram0.f32`, … into `folder`.
pub fn write_inputs(folder: &Path, records: &[Inputs]) {
    let raw = |name: String, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.join(name), bytes).expect("the temporary folder is writable");
    };
    for (index, inputs) in records.iter().enumerate() {
        raw(format!("ecg{index}.f32"), &inputs.ecg);
        raw(format!("spectrogram{index}.f32"), &inputs.spectrogram);
    }
}

/// A script beside the benchmarks.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// The processor, what runs on it, and how it was built, in one line.
pub fn setting() -> String {
    let isa = Isa::detect().expect("an instruction set").name();
    let level = env!("BENCH_OPT_LEVEL");
    format!("{}, {isa}, one thread, batch 1, opt-level {level}", processor())
}

/// The processor's name.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Prints a table under `title`, and appends both to the file that `ECG_BENCH_RESULTS` names, if it does.
pub fn publish(title: &str, notes: &str, header: &[&str], rows: &[Vec<String>]) {
    let mut text = format!("\n## {title}\n{notes}\n\n");
    let mut line = |cells: &[String]| writeln!(text, "| {} |", cells.join(" | ")).expect("memory");
    line(&header.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>());
    line(&vec!["---".to_owned(); header.len()]);
    rows.iter().for_each(|row| line(row));
    println!("{text}");
    if let Some(path) = std::env::var_os("ECG_BENCH_RESULTS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
