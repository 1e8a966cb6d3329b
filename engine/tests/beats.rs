//! The beats of real and of hostile leads, and the program that reads them.

use dualnet_engine::beats::{BeatForest, BeatMeter, BeatReader, COUNT, MEASUREMENTS};
use dualnet_engine::signal::resample_to;
use dualnet_engine::{Classifier, Device, Model, Options, Record};
use dualnet_fixtures::records_dir;
use proptest::prelude::*;
use std::path::PathBuf;
use std::process::{Command, Output};

fn records() -> Vec<PathBuf> {
    dualnet_engine::record::records_in(&records_dir()).expect("the fixture records")
}

/// A network's probabilities, averaged with those of the embedded forest: unchanged, if nothing was read.
fn read(forest: &BeatForest, lead: &[f32], network: [f32; 4]) -> [f32; 4] {
    let mut probabilities = network;
    BeatReader::new(forest.clone()).average_with(lead, &mut probabilities);
    probabilities
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

/// Every fixture record has beats enough to measure all, 40 to 190 of them in a minute.
#[test]
fn real_records_have_plausible_beats_in_any_unit() {
    let meter = BeatMeter::new();
    for path in records() {
        let record = Record::open(&path).expect("a record");
        let measured = meter.measure(record.samples());
        let rate = measured.get("heart_rate_bpm").expect("a measurement");
        assert!(
            (40.0..190.0).contains(&rate) && measured.has_rhythm(),
            "{}: {rate} bpm",
            path.display()
        );
        assert!(
            measured.values().iter().all(|value| value.is_finite()),
            "{}",
            path.display()
        );
        // A power of two changes no digit. Another unit and an offset round the samples, which moves small differences: 1e-3.
        let halved: Vec<f32> = record.samples().iter().map(|sample| sample / 2.0).collect();
        assert_eq!(meter.measure(&halved), measured, "{}", path.display());
        let other: Vec<f32> = record.samples().iter().map(|sample| sample * 0.004_88 + 4.0).collect();
        let other = meter.measure(&other);
        for ((a, b), name) in measured.values().iter().zip(other.values()).zip(MEASUREMENTS) {
            let agree = (a - b).abs() <= 1e-3 * a.abs().max(1.0);
            assert!(agree, "{}: {name}: {a} {b}", path.display());
        }
    }
}

/// In these no heart beats: what the network says of them stays.
#[test]
fn leads_without_a_rhythm_are_left_to_the_network() {
    let forest = BeatForest::embedded().expect("the forest");
    let network = [0.1, 0.2, 0.0, 0.7];
    let hum = |hz: f32, samples: usize| -> Vec<f32> {
        let phase = |at: usize| std::f32::consts::TAU * hz * at as f32 / 300.0;
        (0..samples).map(|at| 200.0 * phase(at).sin()).collect()
    };
    let mut spike = vec![0.0; 9000];
    spike[4000] = 1000.0;
    for (name, lead) in [
        ("flat", vec![5.0; 9000]),
        ("50 Hz hum", hum(50.0, 9000)),
        ("60 Hz hum", hum(60.0, 18_000)),
        ("one spike", spike),
        ("short", vec![1.0; 40]),
    ] {
        assert_eq!(read(&forest, &lead, network), network, "{name}");
    }
}

/// The forest alone names all but at most two of the fixture records as at 300 Hz: few thresholds lie where resampling moves a measurement.
#[test]
fn records_at_another_rate_have_nearly_the_same_beats() {
    let reader = BeatReader::new(BeatForest::embedded().expect("the forest"));
    let class = |record: &Record| {
        let mut probabilities = [0.0; 4];
        reader
            .average_with_record(record, &mut probabilities)
            .expect("a reading");
        (0..4).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
    };
    for rate in [250.0, 100.0] {
        let is_same = |path: &&PathBuf| {
            let record = Record::open(path).expect("a record");
            let slower = resample_to(record.samples(), 300.0, rate).expect("a lead");
            let slower = Record::from_samples("slower", slower, rate).expect("a record");
            class(&record) == class(&slower)
        };
        let same = records().iter().filter(is_same).count();
        assert!(
            same >= records().len() - 2,
            "{same} of {} at {rate} Hz",
            records().len()
        );
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
        let read = read(&BeatForest::embedded().expect("the forest"), &samples, [0.25; 4]);
        prop_assert!((read.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{read:?}");
    }
}

#[test]
fn leads_at_the_edges_give_probabilities() {
    let forest = BeatForest::embedded().expect("the forest");
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
        let read = read(&forest, &samples, [0.25; 4]);
        assert!((read.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{read:?}");
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
            let share = forest.share() as f32;
            let average = (1.0 - share) * network.get(class).expect("a class") + share * beats;
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
