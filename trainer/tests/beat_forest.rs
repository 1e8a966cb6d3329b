//! `trainer beats` and what reads its file, on the records that ship with the repository.

mod common;

use common::Program;
use dualnet_fixtures::records_dir;
use serde_json::Value;
use std::process::Output;

/// The program on the fixture records and the common split.
fn run(program: &Program, arguments: &[&str]) -> Output {
    let data = records_dir();
    let split = program.path("split.txt");
    let mut command = program.command(arguments);
    if !arguments.contains(&"predict") {
        command.arg("--data").arg(data).arg("--split").arg(split);
    }
    command.output().expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fit(program: &Program, name: &str) -> Value {
    let file = program.run(name);
    let arguments = [
        "beats",
        "--output",
        &file,
        "--folds",
        "2",
        "--trees",
        "10",
        "--learning-rate",
        "0.3",
    ];
    let output = run(program, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(
        printed.contains("cross-validated on 2 parts") && printed.contains("validation records"),
        "{printed}"
    );
    serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("its content")
}

#[test]
fn a_fit_repeats_and_says_what_it_learned() {
    let program = Program::new();
    let forest = fit(&program, "a.json");
    assert_eq!(fit(&program, "b.json"), forest);
    assert_eq!(forest["training"]["training_records"], 16);
    assert_eq!(forest["training"]["validation_records"], 6);
    assert_eq!(forest["classes"].as_array().map(Vec::len), Some(4));
}

#[test]
fn evaluate_and_predict_average_the_same_two_readings() {
    let program = Program::new();
    fit(&program, "beats.json");
    let beats = program.run("beats.json");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/models/dualnet-s.onnx");
    let records = records_dir();
    let records = records.to_str().expect("a plain name");
    let answers = |more: &[&str]| -> Vec<Vec<f64>> {
        let output = run(
            &program,
            &[&["predict", model, records, "--probabilities"], more].concat(),
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
        let numbers = |line: &str| line.split(',').filter_map(|cell| cell.parse().ok()).collect();
        text(&output.stdout).lines().skip(1).map(numbers).collect()
    };
    let (network, both) = (answers(&[]), answers(&["--beats", &beats]));
    assert_eq!(network.len(), 22);
    assert_ne!(network, both);
    for (network, both) in network.iter().zip(&both) {
        assert!((both.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{both:?}");
        // The network's half is in every probability: 1e-4 is the digits printed.
        assert!(
            network
                .iter()
                .zip(both)
                .all(|(network, both)| *both >= network / 2.0 - 1e-4),
            "{network:?} {both:?}"
        );
    }
    let figures = |more: &[&str]| {
        let output = run(&program, &[&["evaluate", model, "--format", "json"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("figures")
    };
    assert_ne!(
        figures(&[])["negative_log_likelihood"],
        figures(&["--beats", &beats])["negative_log_likelihood"]
    );
}

#[test]
fn what_cannot_be_used_is_named_before_any_work() {
    let program = Program::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/models/dualnet-s.onnx");
    let refused = |arguments: &[&str], reason: &str| {
        let output = run(&program, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.contains(reason), "{arguments:?}: {message}");
    };
    let file = program.run("beats.json");
    refused(&["beats", "--output", "no/such/beats.json"], "no such folder");
    refused(&["beats", "--output", &file, "--share", "2"], "--share 2");
    refused(
        &["beats", "--output", &file, "--learning-rate", "0"],
        "--learning-rate 0",
    );
    refused(
        &["beats", "--output", &file, "--folds", "1"],
        "1 folds are not possible",
    );
    refused(&["evaluate", model, "--beats", "missing.json"], "missing.json");
    std::fs::write(&file, "{}").expect("a file");
    refused(&["evaluate", model, "--beats", &file], "no file of `trainer beats`");
    let embedded = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/models/beats.json");
    refused(&["evaluate", model, "--beats", embedded], "was fitted on the split");
}
