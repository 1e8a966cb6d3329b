//! The embedded model on real records: the engine's CPU runtime against ONNX Runtime on the same file, and against its own
//! card. Records of the paper's validation list only, which the network was not trained on.

use dualnet_engine::cpu::Runtime;
use dualnet_engine::record::Record;
use dualnet_engine::signal::{Preprocessor, resample_to};
use dualnet_engine::{Classifier, Model, Options};
use dualnet_fixtures::{data_dir, python, records_dir, report};
use dualnet_trainer::data::{Dataset, Labels, Recording, Split, physionet};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Two float32 runtimes on the same file.
const RUNTIMES: f32 = 1e-4;
/// Share of records whose class survives resampling to another rate and back.
const CLASS_KEPT: f64 = 0.98;

fn model() -> Model {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/models/dualnet-s.onnx"))
        .expect("the embedded model")
}

/// The records of `dataset` that the paper's split validates on, in the list's order.
fn validation(dataset: &Dataset, names: &[String]) -> Vec<Recording> {
    let find = |name: &String| {
        dataset
            .recordings
            .iter()
            .find(|recording| recording.name == *name)
            .cloned()
    };
    names.iter().filter_map(find).collect()
}

fn validation_names() -> Vec<String> {
    let split = Split::named("paper").expect("the paper's split");
    split
        .validation
        .iter()
        .map(|index| format!("A{:05}", index + 1))
        .collect()
}

/// Probabilities of ONNX Runtime, one record at a time.
fn onnx_runtime(ecg: &[f32], spectrogram: &[f32], records: usize) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = |name: &str, values: &[f32]| {
        let path = folder.path().join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python())
        .arg(root.join("../export/tests/python/run_onnx.py"))
        .args([raw("ecg.f32", ecg), raw("spectrogram.f32", spectrogram)])
        .arg(records.to_string())
        .arg(root.join("../engine/models/dualnet-s.onnx"))
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    serde_json::from_value(answer["one_by_one"].clone()).expect("rows of probabilities")
}

fn compare_runtimes(recordings: &[Recording], least: usize) {
    let mut preprocessor = Preprocessor::new();
    let mut runtime = Runtime::new(model());
    let (mut ecg, mut spectrogram, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for recording in recordings {
        let inputs = preprocessor.inputs(&recording.samples).expect("network inputs");
        ours.push(runtime.run(&inputs.ecg, &inputs.spectrogram, 1).expect("probabilities"));
        ecg.extend(inputs.ecg);
        spectrogram.extend(inputs.spectrogram);
    }
    let theirs = onnx_runtime(&ecg, &spectrogram, recordings.len());
    let mut worst = 0.0_f32;
    for ((recording, ours), theirs) in recordings.iter().zip(&ours).zip(&theirs) {
        for (a, b) in ours.iter().zip(theirs) {
            assert!(
                (a - b).abs() <= RUNTIMES,
                "{}: {ours:?} here, {theirs:?} in ONNX Runtime",
                recording.name
            );
            worst = worst.max((a - b).abs());
        }
    }
    report(format_args!(
        "{} unseen records, engine against ONNX Runtime: largest difference {worst:.1e}",
        ours.len()
    ));
    assert!(ours.len() >= least, "{} records compared, {least} expected", ours.len());
}

#[test]
fn unseen_fixture_records_agree_with_onnx_runtime() {
    let dataset = physionet::read(&records_dir(), Labels::Released).expect("the fixture records");
    compare_runtimes(&validation(&dataset, &validation_names()), 10);
}

#[test]
#[ignore = "needs ECG_DATA_DIR; `make test-data` runs it"]
fn data_unseen_records_agree_with_onnx_runtime() {
    let dataset = physionet::read(&data_dir(), Labels::Released).expect("the data set");
    compare_runtimes(&validation(&dataset, &validation_names()[..200]), 200);
}

/// What the card says was measured is measured again.
#[test]
#[ignore = "needs ECG_DATA_DIR; `make test-data` runs it"]
fn data_validation_gives_the_accuracy_on_the_card() {
    let dataset = physionet::read(&data_dir(), Labels::Released).expect("the data set");
    let recordings = validation(&dataset, &validation_names());
    assert_eq!(recordings.len(), 1528);
    let model = model();
    let card = model.card().clone();
    let classifier = Classifier::new(model, Options::default()).expect("a classifier");
    let right = recordings
        .iter()
        .filter(|recording| {
            let record = Record::from_samples(&recording.name, recording.samples.clone(), 300.0).expect("a record");
            classifier.classify(&record).expect("a prediction").class == recording.label.symbol()
        })
        .count();
    let accuracy = right as f64 / recordings.len() as f64;
    let stated = card.metrics["validation"]["best_epoch"]["accuracy"]
        .as_f64()
        .expect("an accuracy on the card");
    report(format_args!(
        "validation accuracy {accuracy:.4}, on the card {stated:.4}"
    ));
    assert!((accuracy - stated).abs() < 1e-9, "{accuracy} is not {stated}");
}

#[test]
#[ignore = "needs ECG_DATA_DIR; `make test-data` runs it"]
fn data_resampled_records_keep_their_class() {
    let dataset = physionet::read(&data_dir(), Labels::Released).expect("the data set");
    let recordings = validation(&dataset, &validation_names()[..200]);
    let classifier = Classifier::new(model(), Options::default()).expect("a classifier");
    let class = |name: &str, samples: Vec<f32>, rate: f64| {
        let record = Record::from_samples(name, samples, rate).expect("a record");
        classifier.classify(&record).expect("a prediction").class
    };
    let before: Vec<_> = recordings
        .iter()
        .map(|recording| class(&recording.name, recording.samples.clone(), 300.0))
        .collect();
    for rate in [500.0, 360.0, 250.0, 200.0] {
        let kept = recordings
            .iter()
            .zip(&before)
            .filter(|(recording, before)| {
                let away = resample_to(&recording.samples, 300.0, rate).expect("resampled");
                class(&recording.name, away, rate) == **before
            })
            .count();
        let share = kept as f64 / recordings.len() as f64;
        report(format_args!(
            "{rate} Hz and back: class kept on {kept} of {} records",
            recordings.len()
        ));
        assert!(share >= CLASS_KEPT, "{rate} Hz: class kept on {share:.3}");
    }
}
