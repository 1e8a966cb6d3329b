//! The program `trainer` refuses what it does not understand, on one line, and begins no run.

mod common;

use common::{Program, SMALL_RUN, trainer};
use dualnet_fixtures::records_dir;
use std::path::Path;
use std::process::Output;

/// What `trainer train --config` answers to a configuration it refuses.
fn refusal(configuration: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.toml");
    std::fs::write(&path, configuration).expect("a file");
    let (data, run) = (records_dir(), folder.path().join("run"));
    let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
    let output = trainer(&[
        "train",
        "--data",
        &text(&data),
        "--run",
        &text(&run),
        "--config",
        &text(&path),
    ]);
    assert_eq!(output.status.code(), Some(2), "{configuration}");
    assert!(!run.exists(), "{configuration}");
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn a_configuration_with_an_unknown_key_table_or_value_is_refused() {
    for (configuration, named) in [
        ("[network]\n\n[train]\nepoch = 1\n", "line 4: unknown field `epoch`"),
        ("[network]\nchanels = [1]\n", "unknown field `chanels`"),
        ("[network]\n[trian]\nseed = 1\n", "unknown field `trian`"),
        ("[network]\n[train]\nseed = \"one\"\n", "line 3"),
        (
            "[network]\n[train]\ndataset = \"other\"\n",
            "expected one of `physionet`",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\n[train]\nsplit = \"other\"\n",
            "paper, challenge and course6000",
        ),
        ("[network]\npreset = \"dualnet-s\"\nclasses = 3\n", "neither 2 nor 4"),
        ("[network]\nname = \"dualnet-xl\"\n", "preset: is missing"),
        ("[train]\nepochs = 1\n", "[network]"),
        ("[network\n", "unclosed"),
    ] {
        let message = refusal(configuration);
        assert!(message.contains(named), "{message}");
    }
}

/// What a file says of a network is not passed over for a network on the command line.
#[test]
fn a_configuration_of_another_network_than_the_flag_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.toml");
    let refused = |text: &str, network: &str| {
        std::fs::write(&file, text).expect("a file");
        let file = file.to_str().expect("a plain name");
        let output = trainer(&["train", "--data", "nowhere", "--config", file, "--network", network]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("text")
    };
    let message = refused("[network]\nname = \"dualnet-m\"\n", "dualnet-s");
    let named = "is of \"dualnet-m\", and --network says \"dualnet-s\"";
    assert!(message.contains(named), "{message}");
    let message = refused("[network]\npreset = \"dualnet-m\"\ndropout = 0.2\n", "dualnet-s");
    assert!(message.contains(named), "{message}");
    for preset in ["", "preset = \"dualnet-s\"\n"] {
        let message = refused(&format!("[network]\n{preset}chanels = [1]\n"), "dualnet-s");
        assert!(message.contains("unknown field `chanels`"), "{message}");
    }
}

/// The flags that a checkpoint decides would otherwise be passed over in silence.
#[test]
fn a_resumed_run_takes_no_flag_that_its_checkpoint_decides() {
    for flag in [["--network", "dualnet-m"], ["--seed", "1"], ["--limit", "2"]] {
        let output = trainer(&["train", "--data", "nowhere", "--resume", flag[0], flag[1]]);
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.contains("--resume") && message.contains(flag[0]), "{message}");
    }
}

#[test]
fn a_folder_without_a_run_cannot_be_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = records_dir();
    let output = trainer(&[
        "train",
        "--data",
        data.to_str().expect("a plain name"),
        "--resume",
        "--run",
        folder.path().to_str().expect("a plain name"),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(message.contains("start without --resume"), "{message}");
}

#[test]
fn a_folder_without_data_is_named_once() {
    let output = trainer(&["train", "--data", "nowhere", "--network", "dualnet-s"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(message.matches("os error").count(), 1, "{message}");
    assert!(message.contains("REFERENCE.csv"), "{message}");
}

#[test]
fn a_wrong_label_and_a_missing_record_are_named_and_nothing_is_trained() {
    let program = Program::new();
    let (data, run, split) = (
        program.copied_records("data"),
        program.run("run"),
        program.run("split.txt"),
    );
    let flags = ["--data", &data, "--split", &split, "--run", &run];
    let refused = || {
        let message = program.refuses(&[&SMALL_RUN[..], &flags].concat());
        assert!(!Path::new(&run).exists(), "{message}");
        message
    };

    let reference = Path::new(&data).join("REFERENCE.csv");
    let labels = std::fs::read_to_string(&reference).expect("labels");
    let wrong = labels.replacen("A00004,A", "A00004,B", 1);
    assert_ne!(wrong, labels);
    std::fs::write(&reference, wrong).expect("a file");
    let message = refused();
    let named = "REFERENCE.csv:2: record A00004 has label \"B\"; expected one of N, O, A, ~";
    assert!(message.contains(named), "{message}");

    std::fs::write(&reference, labels).expect("a file");
    std::fs::remove_file(Path::new(&data).join("A00005.mat")).expect("a record");
    let message = refused();
    assert!(message.contains("1 of 22 records cannot be used: "), "{message}");
    assert!(message.contains("A00005.mat: "), "{message}");
}

/// Who evaluates a run need not say again how its records were divided.
#[test]
fn a_run_is_evaluated_on_its_own_split() {
    let program = Program::new();
    let best = program.trained("run", "7", &[]);
    let records = records_dir();
    let data = records.to_str().expect("a plain name");
    let evaluated = |more: &[&str]| program.output(&[&["evaluate", &best, "--data", data][..], more].concat());
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let own = evaluated(&[]);
    assert!(
        said(&own).contains("with which the network was trained; --split names another"),
        "{}",
        said(&own)
    );
    let named = evaluated(&["--split", &program.run("split.txt")]);
    assert!(own.status.success() && !own.stdout.is_empty() && own.stdout == named.stdout);
    assert_eq!(said(&named), "");

    std::fs::write(program.path("split.txt"), "train 0 1 2\nvalidation 3 4\n").expect("a split");
    let other = said(&evaluated(&[]));
    assert!(
        other.contains("called as the network's is") && other.contains("may be among its training records"),
        "{other}"
    );
    std::fs::remove_file(program.path("split.txt")).expect("removed");
    let gone = evaluated(&[]);
    assert_eq!(gone.status.code(), Some(2));
    let advice = "split paper divides 8528 records; the data set has 22; --split names another one: paper, challenge, course6000, or a file";
    assert!(said(&gone).contains(advice), "{}", said(&gone));
}
