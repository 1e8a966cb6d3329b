//! `trainer beats` and what reads its file, on the records that ship with the repository.

mod common;

use common::Program;
use dualnet_fixtures::records_dir;
use serde_json::Value;
use std::process::Output;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/models/dualnet-s.onnx");
const EMBEDDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/models/beats.json");

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

/// What cross-validated forests say of the records that train, as a network can learn it.
#[test]
fn answers_are_written_for_every_training_record() {
    let program = Program::new();
    let (file, answers) = (program.run("beats.json"), program.run("answers.csv"));
    let arguments = [
        "beats",
        "--output",
        &file,
        "--answers",
        &answers,
        "--folds",
        "2",
        "--trees",
        "10",
    ];
    let output = run(&program, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let csv = std::fs::read_to_string(&answers).expect("the answers");
    let reference = std::fs::read_to_string(records_dir().join("REFERENCE.csv")).expect("labels");
    let names = |text: &str| -> Vec<String> {
        let name = |line: &str| line.split(',').next().unwrap_or_default().to_owned();
        text.lines().map(name).collect()
    };
    assert_eq!(names(&csv)[1..], names(&reference)[..16]);
    let run_folder = program.run("taught");
    let small = &common::SMALL_RUN[..];
    program.succeeds(&[small, &["--run", &run_folder, "--teacher-answers", &answers]].concat());
}

/// With the embedded forest alone, as if it were of this split: what `evaluate` counts is what `predict` says of each record.
#[test]
fn evaluate_and_predict_read_the_same_beats_of_each_record() {
    let program = Program::new();
    let own = fit(&program, "own.json");
    let mut forest: Value = serde_json::from_slice(&std::fs::read(EMBEDDED).expect("the forest")).expect("a forest");
    forest["share"] = 1.0.into();
    forest["training"]["validation_digest"] = own["training"]["validation_digest"].clone();
    let file = program.run("alone.json");
    std::fs::write(&file, forest.to_string()).expect("a file");
    let beats = format!("--beats={file}");

    evaluated_as_predicted(&program, &[&beats]);
}

#[test]
fn evaluate_and_predict_read_the_same_excerpts_of_each_record() {
    let program = Program::new();
    let excerpts = evaluated_as_predicted(&program, &["--excerpts"]);
    assert_ne!(excerpts, evaluated_as_predicted(&program, &[]));
}

/// What `evaluate` prints with `options`, whose confusion matrix is that of what `predict` answers for the records that validate.
fn evaluated_as_predicted(program: &Program, options: &[&str]) -> String {
    let records = records_dir();
    let records = records.to_str().expect("a plain name");
    let output = run(
        program,
        &[&["predict", MODEL, records, "--probabilities"], options].concat(),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answers = text(&output.stdout);
    let class_of = |record: &str| -> String {
        let line = answers.lines().find(|line| line.starts_with(&format!("{record},")));
        line.and_then(|line| line.split(',').nth(1))
            .expect("an answer")
            .to_owned()
    };
    let reference = std::fs::read_to_string(records_dir().join("REFERENCE.csv")).expect("labels");
    let place = |class: &str| {
        ["N", "O", "A", "~"]
            .iter()
            .position(|known| *known == class)
            .expect("a class")
    };
    let mut confusion = [[0_u64; 4]; 4];
    for line in reference.lines().skip(16).take(6) {
        let (record, label) = line.split_once(',').expect("record,label");
        confusion[place(label.trim())][place(&class_of(record))] += 1;
    }
    let output = run(program, &[&["evaluate", MODEL, "--format", "json"], options].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).expect("figures");
    assert_eq!(figures["confusion"]["counts"], serde_json::json!(confusion));
    text(&output.stdout)
}

#[test]
fn what_cannot_be_used_is_named_before_any_work() {
    let program = Program::new();
    let refused = |arguments: &[&str], reason: &str| {
        let output = run(&program, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.contains(reason), "{arguments:?}: {message}");
        assert!(!message.contains("measuring"), "{arguments:?}: {message}");
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
        "--folds 1 leaves nothing",
    );
    refused(
        &["beats", "--output", &file, "--folds", "9999"],
        "9999 folds are not possible",
    );
    refused(
        &["beats", "--output", &file, "--answers", &file, "--folds", "0"],
        "--folds is at least 2",
    );
    refused(
        &["beats", "--output", &file, "--answers", "no/such/answers.csv"],
        "no such folder",
    );
    let folder = program.run("");
    std::fs::create_dir(program.path("within")).expect("a folder");
    let respelt = program.run("within/../beats.json");
    refused(&["beats", "--output", &folder], "is a folder");
    refused(&["beats", "--output", &file, "--answers", &folder], "is a folder");
    refused(
        &["beats", "--output", &file, "--answers", &respelt],
        "are the same file",
    );
    refused(&["evaluate", MODEL, "--beats=missing.json"], "missing.json");
    std::fs::write(&file, "{}").expect("a file");
    let own = format!("--beats={file}");
    refused(&["evaluate", MODEL, &own], "no file of `trainer beats`");
    refused(&["evaluate", MODEL, "--beats"], "was fitted on the split");
}
