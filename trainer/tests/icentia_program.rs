//! Icentia11k through the program: pre-training by its row, and a network that everywhere speaks of its own classes.

mod common;
mod icentia_files;

use common::Program;
use dualnet_engine::Model;
use dualnet_export::network::Network;
use dualnet_export::onnx::{Card, export, write};
use dualnet_export::weights::StateDict;
use dualnet_fixtures::records_dir;
use dualnet_trainer::train::network_of;
use std::path::Path;

fn succeeds(arguments: &[&str]) -> String {
    Program::new().succeeds(arguments)
}

fn refuses(arguments: &[&str]) -> String {
    Program::new().refuses(arguments)
}

#[test]
fn a_pre_training_does_not_go_on_with_other_patients() {
    let data = icentia_files::two_patients();
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let resumed = [
        "train",
        "--data",
        text(data.path()),
        "--run",
        text(&run),
        "--resume",
        "--epochs",
        "2",
    ];
    let how = [
        "--dataset",
        "icentia11k",
        "--network",
        "dualnet-s",
        "--limit",
        "4",
        "--batch-size",
        "4",
    ];
    succeeds(
        &[
            &[
                "train",
                "--data",
                text(data.path()),
                "--run",
                text(&run),
                "--epochs",
                "1",
            ][..],
            &how,
        ]
        .concat(),
    );
    let rename = |from: &str, to: &str| {
        for suffix in ["_batched.pkl.gz", "_batched_lbls.pkl.gz"] {
            let path = |patient: &str| data.path().join(format!("{patient}{suffix}"));
            std::fs::rename(path(from), path(to)).expect("a file");
        }
    };
    rename("00003", "00004");
    assert!(refuses(&resumed).contains("was trained on other records"));
    rename("00004", "00003");
    succeeds(&resumed);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn a_pre_trained_network_speaks_of_its_own_classes_everywhere() {
    let data = icentia_files::two_patients();
    let folder = tempfile::tempdir().expect("a folder");
    let (icentia, runs, records) = (text(data.path()), folder.path().join("runs"), records_dir());
    succeeds(&[
        "reproduce",
        "pretrain-dualnet-xl",
        "--network",
        "dualnet-s",
        "--limit",
        "8",
        "--epochs",
        "2",
        "--batch-size",
        "8",
        "--icentia",
        icentia,
        "--runs",
        text(&runs),
    ]);
    let run = runs.join("pretrain-dualnet-xl/seed-1");
    let toml = std::fs::read_to_string(run.join("run.toml")).expect("a configuration");
    assert!(toml.contains("class_set = \"icentia11k\""), "{toml}");

    let figures = succeeds(&["evaluate", text(&run), "--data", icentia, "--limit", "8"]);
    assert!(
        figures.contains("F1 of ~ ") && figures.contains("F1 of F "),
        "{figures}"
    );
    assert!(
        !figures.contains("F1 of O") && !figures.contains("N, A, O"),
        "{figures}"
    );
    assert!(figures.contains("     ~     N     A     F"), "{figures}");
    // 50 segments without a limit.
    let json = succeeds(&["evaluate", text(&run), "--data", icentia, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["records"], &json["f1_challenge"]),
        (&50.into(), &serde_json::Value::Null)
    );
    let elsewhere = refuses(&["evaluate", text(&run), "--data", text(&records)]);
    assert!(elsewhere.contains("no file of Icentia11k"), "{elsewhere}");

    let answers = succeeds(&[
        "predict",
        text(&run),
        text(&records.join("A00001.mat")),
        "--probabilities",
    ]);
    let head = answers.lines().next().unwrap_or_default();
    assert_eq!(
        head,
        "record,class,probability_af,probability_~,probability_N,probability_F"
    );

    let best = run.join("best.safetensors");
    let state = StateDict::open(&best).expect("a checkpoint");
    let network: Network = network_of(&state).expect("a network").expect("it says which");
    let card = Card::of_checkpoint(&state).expect("a card");
    let onnx = folder.path().join("icentia.onnx");
    write(&onnx, &export(&network, &state, &best, &card).expect("a model")).expect("a file");
    let model = Model::open(&onnx).expect("a model");
    assert_eq!(model.classes(), ["~", "N", "A", "F"]);
    let figures = succeeds(&["evaluate", text(&onnx), "--data", icentia, "--limit", "8"]);
    assert!(figures.contains("F1 of F "), "{figures}");

    let pt = folder.path().join("icentia.pt");
    let said = succeeds(&["convert", text(&best), text(&pt)]);
    assert!(
        said.contains("its classes are ~, N, A, F, which a .pt cannot say"),
        "{said}"
    );
    let flags = ["--network", "dualnet-s", "--class-set", "icentia11k"];
    let figures = succeeds(&[&["evaluate", text(&pt), "--data", icentia, "--limit", "8"][..], &flags].concat());
    assert!(figures.contains("F1 of F "), "{figures}");
    let other = refuses(&["evaluate", text(&run), "--data", icentia, "--class-set", "challenge"]);
    assert!(other.contains("with classes ~, N, A, F"), "{other}");
}

#[test]
fn runs_that_icentia11k_does_not_allow_are_refused_before_they_begin() {
    let data = icentia_files::two_patients();
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let refused = |more: &[&str]| {
        let train = [
            "train",
            "--network",
            "dualnet-s",
            "--dataset",
            "icentia11k",
            "--run",
            text(&run),
        ];
        let message = refuses(&[&train[..], &["--data", text(data.path())], more].concat());
        assert!(!run.exists(), "{message}");
        message
    };
    let message = refused(&["--batch-size", "24"]);
    assert!(
        message.contains("a batch size of 24 is not possible; it moves in steps of 50"),
        "{message}"
    );
    assert!(refused(&["--limit", "8", "--batch-size", "12"]).contains("steps of 8"));
    assert!(refused(&["--two-classes"]).contains("4 classes"));
    assert!(refused(&["--hold-back", "0.1"]).contains("hold_back"));
    assert!(refused(&["--augmentation", "0.2"]).contains("not augmented"));
    // Both files begin as they should.
    for damaged in ["00003_batched.pkl.gz", "10007_batched_lbls.pkl.gz"] {
        let file = data.path().join(damaged);
        let whole = std::fs::read(&file).expect("a file");
        std::fs::write(&file, &whole[..whole.len() - 9]).expect("a file");
        let message = refused(&["--batch-size", "50"]);
        assert!(message.contains("1 of 2 records cannot be used"), "{message}");
        assert!(message.contains(damaged), "{message}");
        std::fs::write(&file, whole).expect("a file");
    }
    std::fs::remove_file(data.path().join("10007_batched_lbls.pkl.gz")).expect("a file");
    assert!(refused(&["--batch-size", "50"]).contains("10007_batched_lbls.pkl.gz is missing"));
}
