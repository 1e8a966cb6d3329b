//! Golden weights, files made of them, and ONNX Runtime in a Python process.

// Each test program uses its own part of this.
#![allow(dead_code, unused_imports)]

mod golden;

pub use golden::{file_of, golden_file, golden_state};

use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::model::digest::{Initializer, file_digest_position, file_sha256, weights_sha256};
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::NetworkConfig;
use dualnet_export::onnx::Card;
use dualnet_export::quantize::{Recordings, quantize};
use dualnet_fixtures::{NetworkInputs, python, records_dir};
use onnx_ir::{Message, ModelProto};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The int8 file that `export quantize` makes of a float one, with ranges found on so many of the fixture records.
pub fn quantized(float: &[u8], records: usize, keep_float: &[&str]) -> Vec<u8> {
    let keep_float: Vec<String> = keep_float.iter().map(|&pattern| pattern.to_owned()).collect();
    let recordings = Recordings::draw(&records_dir(), None, records, 0).expect("the fixture records");
    let card = Card::default();
    let model = Model::from_bytes("float.onnx", float).expect("a model file");
    let quantized = quantize(&model, float, &recordings, &keep_float, &card, |_| {});
    quantized.expect("a file that can be quantized").bytes
}

/// What a runtime makes of the first `records` golden inputs: probabilities of the whole batch and of single records.
pub struct Rows {
    pub batch: Vec<Vec<f64>>,
    pub single: Vec<Vec<f64>>,
}

/// Checks `models` with onnx.checker and runs them in ONNX Runtime.
pub fn onnx_runtime(folder: &Path, models: &[PathBuf], records: usize) -> Vec<Rows> {
    let inputs = NetworkInputs::read();
    onnx_runtime_on(folder, models, records, &inputs.ecg, &inputs.spectrogram)
}

/// The same for any inputs of `records` records.
pub fn onnx_runtime_on(
    folder: &Path,
    models: &[PathBuf],
    records: usize,
    ecg: &[f32],
    spectrogram: &[f32],
) -> Vec<Rows> {
    let raw = |name: &str, values: &[f32]| {
        let path = folder.join(name);
        std::fs::write(
            &path,
            values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>(),
        )
        .unwrap();
        path
    };
    let (ecg, spectrogram) = (raw("ecg.f32", ecg), raw("spectrogram.f32", spectrogram));
    let mut arguments = vec![
        ecg.into_os_string(),
        spectrogram.into_os_string(),
        records.to_string().into(),
    ];
    arguments.extend(models.iter().map(|model| model.clone().into_os_string()));
    let text = run_python("run_onnx.py", &arguments);
    let rows: Vec<Rows> = text
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).expect("a line of JSON");
            let table = |key: &str| serde_json::from_value(value[key].clone()).expect("rows of numbers");
            Rows {
                batch: table("probabilities"),
                single: table("one_by_one"),
            }
        })
        .collect();
    assert_eq!(rows.len(), models.len(), "one line per model");
    rows
}

/// Opens `model` in the engine.
pub fn open(model: &Path) -> Model {
    Model::open(model).unwrap_or_else(|error| panic!("{error}"))
}

/// Fails unless every node of `model` is part of a block that the fused kernels run, all of its multiply-adds with them.
pub fn fully_recognized(model: &Model) {
    let plan = Plan::of(model).unwrap_or_else(|mismatch| panic!("{}: {mismatch}", model.name()));
    let claimed: usize = plan.steps().iter().map(|step| step.nodes).sum();
    let nodes: usize = model.card().operators.values().sum();
    assert_eq!((claimed, plan.nodes()), (nodes, nodes), "{}", model.name());
    assert!(
        plan.steps().iter().all(|step| step.nodes > 0 && step.multiply_adds > 0),
        "{:?}",
        plan.steps()
    );
    let runtime = Runtime::new(model.clone());
    assert_eq!(
        runtime.fallback().expect("an instruction set"),
        None,
        "{}",
        model.name()
    );
}

/// An edited file with the digests that `export` would have written.
pub fn sealed(mut model: ModelProto) -> Vec<u8> {
    let graph = model.graph.mut_or_insert_default();
    let digest = weights_sha256(graph.initializer.iter().map(|tensor| Initializer {
        name: &tensor.name,
        data_type: tensor.data_type,
        dims: &tensor.dims,
        raw_data: &tensor.raw_data,
    }));
    let entry = model
        .metadata_props
        .iter_mut()
        .find(|entry| entry.key == "dualnet.weights_sha256");
    entry.expect("a digest").value = digest;
    let mut bytes = model.write_to_bytes().expect("ONNX");
    let digits = file_digest_position(&bytes).expect("a digest");
    let digest = file_sha256(&bytes, digits.clone()).expect("a digest");
    bytes[digits].copy_from_slice(digest.as_bytes());
    bytes
}

/// Runs the golden inputs on a runtime of the engine.
pub fn engine(mut runtime: Runtime, records: usize) -> Rows {
    let inputs = NetworkInputs::read();
    let classes = runtime.model().classes().len();
    let mut run = |first: usize, last: usize| -> Vec<Vec<f64>> {
        let (ecg, spectrogram) = (
            &inputs.ecg[first * ECG_LEN..last * ECG_LEN],
            &inputs.spectrogram[first * SPECTROGRAM_LEN..last * SPECTROGRAM_LEN],
        );
        let probabilities = runtime
            .run(ecg, spectrogram, last - first)
            .unwrap_or_else(|error| panic!("{error}"));
        probabilities
            .chunks_exact(classes)
            .map(|row| row.iter().map(|&p| f64::from(p)).collect())
            .collect()
    };
    let single = (0..records).flat_map(|record| run(record, record + 1)).collect();
    Rows {
        batch: run(0, records),
        single,
    }
}

/// What a script of `tests/python` prints.
pub fn run_python(script: &str, arguments: &[OsString]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let output = Command::new(python())
        .arg(script)
        .args(arguments)
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the script prints UTF-8")
}

/// Softmax of a row of logits.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
