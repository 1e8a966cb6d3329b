//! The beats of real and of hostile leads, and the program that reads them.

use dualnet_engine::beats::{BeatForest, BeatMeter, BeatReader, COUNT, MEASUREMENTS};
use dualnet_engine::{Classifier, Device, Model, Options, Record};
use dualnet_fixtures::records_dir;
use proptest::prelude::*;
use std::path::PathBuf;
use std::process::{Command, Output};

fn records() -> Vec<PathBuf> {
    dualnet_engine::record::records_in(&records_dir()).expect("the fixture records")
}

fn named(measured: &[f32; COUNT], name: &str) -> f32 {
    let place = MEASUREMENTS.iter().position(|known| *known == name);
    measured[place.expect("a measurement")]
}

fn on_cpu() -> Options {
    Options {
        device: Device::Cpu,
        ..Options::default()
    }
}

#[test]
fn each_measurement_has_its_own_name() {
    let names: std::collections::HashSet<_> = MEASUREMENTS.iter().collect();
    assert_eq!(names.len(), COUNT);
}

/// Adults in the fixture records have 40 to 190 beats per minute, and every record that is not noise has beats enough to measure all.
#[test]
fn real_records_have_plausible_beats_in_any_unit() {
    let meter = BeatMeter::new();
    for path in records() {
        let record = Record::open(&path).expect("a record");
        let measured = meter.measure(record.samples());
        let rate = named(&measured, "heart_rate_bpm");
        assert!((40.0..190.0).contains(&rate), "{}: {rate} bpm", path.display());
        // The unit is a power of two, so that only the median's rounding and sums of other orders could differ; none does.
        let scaled: Vec<f32> = record.samples().iter().map(|sample| sample / 1024.0 + 4.0).collect();
        for ((a, b), name) in measured.iter().zip(meter.measure(&scaled)).zip(MEASUREMENTS) {
            let agree = a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-3 * a.abs().max(1.0);
            assert!(agree, "{}: {name}: {a} {b}", path.display());
        }
    }
}

#[test]
fn a_record_at_another_rate_has_nearly_the_same_beats() {
    let record = Record::open(records_dir().join("A00001.mat")).expect("a record");
    let slower = dualnet_engine::signal::resample_to(record.samples(), 300.0, 250.0).expect("a lead");
    let slower = Record::from_samples("slower", slower, 250.0).expect("a record");
    let forest = BeatForest::embedded().expect("the forest");
    let reader = BeatReader::new(&forest);
    let read = |record: &Record| {
        let mut probabilities = [0.0; 4];
        reader
            .average_with_record(record, &mut probabilities)
            .expect("a reading");
        probabilities
    };
    for (a, b) in read(&record).into_iter().zip(read(&slower)) {
        assert!((a - b).abs() < 0.1, "{a} {b}");
    }
}

proptest! {
    #[test]
    fn no_lead_makes_it_panic(
        samples in proptest::collection::vec(prop_oneof![
            4 => -1e4f32..1e4,
            1 => Just(0.0f32),
            1 => proptest::num::f32::ANY,
        ], 0..3000),
    ) {
        let measured = BeatMeter::new().measure(&samples);
        prop_assert!(measured.iter().all(|value| value.is_finite() || value.is_nan()));
    }
}

#[test]
fn leads_at_the_edges_are_measured_or_unknown() {
    let meter = BeatMeter::new();
    for samples in [
        vec![],
        vec![1.0],
        vec![f32::NAN; 3000],
        vec![f32::INFINITY; 3000],
        vec![f32::MAX; 3000],
        vec![0.0; 20_000],
        (0..3000)
            .map(|at| if at % 2 == 0 { f32::MAX } else { f32::MIN })
            .collect(),
        (0..18_001).map(|at| (at % 251) as f32).collect(),
    ] {
        let measured = meter.measure(&samples);
        assert!(measured.iter().all(|value| value.is_finite() || value.is_nan()));
    }
}

#[test]
fn one_record_and_a_batch_are_read_alike() {
    let network = Classifier::new(Model::embedded().expect("a model"), on_cpu()).expect("a classifier");
    let both = Classifier::new(Model::embedded().expect("a model"), on_cpu()).expect("a classifier");
    let forest = BeatForest::embedded().expect("the forest");
    let both = both.with_beats(forest.clone()).expect("the same classes");
    let records: Vec<Record> = records()
        .iter()
        .map(|path| Record::open(path).expect("a record"))
        .collect();
    let lent: Vec<&Record> = records.iter().collect();
    let together = both.classify_batch(&lent);
    let meter = BeatMeter::new();
    for (record, together) in records.iter().zip(together) {
        let alone = both.classify(record).expect("a prediction");
        assert_eq!(alone.probabilities, together.expect("a prediction").probabilities);
        assert!(alone.model.contains("+beats@"), "{}", alone.model);
        let beats = forest.probabilities(&meter.measure(record.samples()));
        let network = network.classify(record).expect("a prediction").probabilities;
        for ((class, probability), beats) in alone.probabilities.iter().zip(beats) {
            let average = 0.5 * (network.get(class).expect("a class") + beats);
            assert!((probability - average).abs() < 1e-6, "{class}: {probability} {average}");
        }
    }
}

fn engine(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command
        .arg("classify")
        .args(arguments)
        .arg(records_dir().join("A00001.mat"));
    command.output().expect("the program")
}

#[test]
fn the_program_reads_beats_with_the_embedded_forest_or_a_file() {
    let file = concat!("--beats=", env!("CARGO_MANIFEST_DIR"), "/models/beats.json");
    let answers = [
        &["--format", "csv"][..],
        &["--format", "csv", "--beats"],
        &["--format", "csv", file],
    ]
    .map(engine);
    assert!(answers.iter().all(|answer| answer.status.success()));
    assert_eq!(answers[1].stdout, answers[2].stdout);
    assert_ne!(answers[0].stdout, answers[1].stdout);
}

#[test]
fn a_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("beats.json");
    let option = format!("--beats={}", path.display());
    let refused = |reason: &str| {
        let output = engine(&[&option]);
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("beats.json") && message.contains(reason), "{message}");
    };
    refused("No such file");
    std::fs::write(&path, b"\xff\x00").expect("a file");
    refused("no file of `trainer beats`");
    let forest = include_str!("../models/beats.json").replacen("\"class\":\"O\"", "\"class\":\"X\"", 1);
    std::fs::write(&path, forest).expect("a file");
    let output = engine(&[&option]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("N, X, A, ~") && message.contains("N, O, A, ~"),
        "{message}"
    );
}
