//! Every kind of experiment through the program, on the published splits.

mod icentia_files;

use dualnet_fixtures::data_dir;
use std::path::Path;
use std::process::Command;

/// One row of each kind: data set, split, number of classes, ablation, what it starts from.
const KINDS: [&str; 9] = [
    "dualnet-s",
    "no-augmentation",
    "no-signal-encoder",
    "no-spectrogram-encoder",
    "pretrain-dualnet-xl",
    "fine-tuned-dualnet-xl",
    "challenge-dualnet-xl",
    "two-classes-dualnet-xl",
    "two-classes-0.4-dualnet-xl",
];

fn trainer(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(arguments)
        .output()
        .expect("the program starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).expect("text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// Two epochs on 24 training and 24 validation records, or segments, of each kind, then the report of what was run.
#[test]
#[ignore = "needs ECG_DATA_DIR; `make test-data` runs it"]
fn data_two_epochs_of_every_kind_on_24_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runs, report) = (folder.path().join("runs"), folder.path().join("report"));
    let icentia = icentia_files::two_patients();
    let data = data_dir();
    let common = [
        "--data",
        text(&data),
        "--icentia",
        text(icentia.path()),
        "--runs",
        text(&runs),
        "--limit",
        "24",
        "--batch-size",
        "24",
        "--epochs",
        "2",
        "--seeds",
        "1",
    ];
    trainer(&[&["reproduce"][..], &KINDS, &common, &["--network", "dualnet-s"]].concat());
    trainer(&[&["reproduce", "dualnet-pp-s"][..], &common].concat());
    for row in KINDS.into_iter().chain(["dualnet-pp-s"]) {
        let run = runs.join(row).join("seed-1");
        let log = std::fs::read_to_string(run.join("log.csv")).expect("a log");
        assert_eq!(log.lines().count(), 3, "{row}: {log}");
        let result = std::fs::read_to_string(run.join("result.json")).expect("a result");
        let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
        assert_eq!(result["last"]["evaluation"]["records"], 24, "{row}");
    }
    let repeated = trainer(&[&["reproduce"][..], &KINDS, &common, &["--network", "dualnet-s"]].concat());
    assert_eq!(repeated.matches("was done before").count(), KINDS.len(), "{repeated}");
    trainer(&["report", "--runs", text(&runs), "-o", text(&report)]);
    let table = std::fs::read_to_string(report.join("report.md")).expect("a report");
    assert!(table.contains("seed 1: ") && table.contains("not run"), "{table}");
}
