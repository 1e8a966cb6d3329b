//! Model files and the answers they must give, made on one machine and held to on another: a foreign processor, an emulator.

use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_fixtures::{NetworkInputs, report};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `NAME.json` beside `NAME.onnx`.
#[derive(Deserialize)]
struct Answers {
    /// Largest absolute difference of a probability.
    tolerance: f64,
    /// For the first golden inputs.
    probabilities: Vec<Vec<f64>>,
}

fn folder() -> PathBuf {
    std::env::var_os("ECG_MODEL_DIR")
        .map(PathBuf::from)
        .expect("ECG_MODEL_DIR names a folder of model files")
}

/// Holds `runtime` to every row.
fn hold(name: &str, mut runtime: Runtime, answers: &Answers, inputs: &NetworkInputs) {
    let records = answers.probabilities.len();
    let (ecg, spectrogram) = (
        &inputs.ecg[..records * ECG_LEN],
        &inputs.spectrogram[..records * SPECTROGRAM_LEN],
    );
    let found = runtime
        .run(ecg, spectrogram, records)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected: Vec<f64> = answers.probabilities.concat();
    assert_eq!(found.len(), expected.len(), "{name}");
    let differences = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
    let worst = differences.fold(0.0, f64::max);
    assert!(
        found.iter().all(|value| value.is_finite()) && worst <= answers.tolerance,
        "{name}: {found:?} instead of {expected:?}, {worst:e} beyond {:e}",
        answers.tolerance
    );
    report(format_args!(
        "{name}: {} probabilities compared, largest difference {worst:.1e}",
        found.len()
    ));
}

fn answers(model: &Path) -> Answers {
    let path = model.with_extension("json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
#[ignore = "model files in ECG_MODEL_DIR: make test-aarch64"]
fn every_file_gives_its_answers_on_the_kernels() {
    let folder = folder();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    assert!(files.len() >= 2, "{}: {} model files", folder.display(), files.len());
    let inputs = NetworkInputs::read();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let runtime = Runtime::new(Model::open(&path).expect("a model file"));
        assert_eq!(runtime.fallback().expect("an instruction set"), None, "{name}");
        hold(&name, runtime, &answers(&path), &inputs);
    }
}
