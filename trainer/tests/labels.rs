//! The revised labels of PhysioNet/CinC 2017, `REFERENCE-v3.csv`, beside the released ones, through the program.

mod common;

use common::{Program, SMALL_RUN};
use dualnet_export::network::Network;
use dualnet_trainer::torch::Parameters;
use dualnet_trainer::train::Checkpoint;
use serde_json::{Value, json};
use std::path::Path;

/// The record of the fixtures that the revision is of: released as other rhythm, the last of those that validate.
const REVISED: &str = "A06948";

/// The fixture records with both files of labels, which differ in one.
fn with_both(program: &Program) -> String {
    let data = program.copied_records("data");
    let released = std::fs::read_to_string(Path::new(&data).join("REFERENCE.csv")).expect("labels");
    let revised = released.replace(&format!("{REVISED},O"), &format!("{REVISED},A"));
    assert_ne!(revised, released);
    std::fs::write(Path::new(&data).join("REFERENCE-v3.csv"), revised).expect("a file");
    data
}

#[test]
fn evaluate_counts_the_labels_that_were_asked_for() {
    let program = Program::new();
    let (data, split, weights) = (
        with_both(&program),
        program.run("split.txt"),
        program.run("s.safetensors"),
    );
    let network = Network::preset("dualnet-s").expect("a preset");
    let parameters = Parameters::initial(&network, 7).expect("parameters");
    Checkpoint::new(&network, &parameters, &json!({}), &json!({}))
        .and_then(|checkpoint| checkpoint.save(Path::new(&weights)))
        .expect("a checkpoint");
    // How many of the six records that validate have each label, in the order N, O, A, ~.
    let counted = |flags: &[&str]| -> Vec<u64> {
        let command = [
            "evaluate", &weights, "--data", &data, "--split", &split, "--format", "json",
        ];
        let text = program.succeeds(&[&command[..], flags].concat());
        let measured: Value = serde_json::from_str(&text).expect("JSON");
        let rows = measured["confusion"]["counts"].as_array().expect("rows");
        let sum = |row: &Value| row.as_array().expect("a row").iter().filter_map(Value::as_u64).sum();
        rows.iter().map(sum).collect()
    };
    assert_eq!(counted(&[]), [2, 1, 0, 3]);
    assert_eq!(counted(&["--labels", "released"]), [2, 1, 0, 3]);
    assert_eq!(counted(&["--labels", "v3"]), [2, 0, 1, 3]);
}

#[test]
fn a_run_says_which_labels_it_learned() {
    let program = Program::new();
    let (data, split, run) = (with_both(&program), program.run("split.txt"), program.run("run"));
    let mut one_epoch = SMALL_RUN;
    one_epoch[4] = "1";
    let flags = ["--labels", "v3", "--data", &data, "--split", &split, "--run", &run];
    program.succeeds(&[&one_epoch[..], &flags].concat());
    let text = std::fs::read_to_string(Path::new(&run).join("run.toml")).expect("a configuration");
    let configuration: toml::Table = text.parse().expect("TOML");
    assert_eq!(configuration["train"]["labels"].as_str(), Some("v3"));
    let text = std::fs::read_to_string(Path::new(&run).join("result.json")).expect("a result");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    let last = &result["last"];
    assert_eq!(last["training"]["options"]["labels"], "v3");
    let labels = last["training"]["labels"].as_str().expect("text");
    assert!(labels.ends_with("with N 8, O 3, A 8, ~ 3"), "{labels}");
    // The row of O, which has only the revised record, is empty, and that of A has it.
    let row = |class: usize| -> u64 {
        let row = last["evaluation"]["confusion"]["counts"][class].as_array();
        row.expect("a row").iter().filter_map(Value::as_u64).sum()
    };
    assert_eq!((row(1), row(2)), (0, 1), "{last}");
}

#[test]
fn cross_validation_takes_the_revised_labels_unless_told_otherwise() {
    let program = Program::new();
    let data = with_both(&program);
    for (runs, flags, file) in [
        ("default", &[][..], "REFERENCE-v3.csv"),
        ("released", &["--labels", "released"], "REFERENCE.csv"),
    ] {
        let runs = program.run(runs);
        let command = [
            "crossval",
            "--data",
            &data,
            "--runs",
            &runs,
            "--network",
            "dualnet-s",
            "--folds",
            "2",
            "--fold",
            "1",
            "--epochs",
            "1",
            "--batch-size",
            "6",
            "--limit",
            "6",
            "--hold-back",
            "0",
        ];
        program.succeeds(&[&command[..], flags].concat());
        let text = std::fs::read_to_string(Path::new(&runs).join("crossval.toml")).expect("a plan");
        let plan: toml::Table = text.parse().expect("TOML");
        assert_eq!(plan["crossval"]["labels"].as_str(), Some(file));
    }
}
