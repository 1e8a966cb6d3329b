//! What the command line must not do without a word: overwrite what it reads, take a file for another, leave something out.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::*;

fn classify(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut engine = engine();
    engine.arg("classify").args(arguments).current_dir(folder);
    engine.output().expect("the program starts")
}

/// A folder with a record of its own.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["A00001.mat", "A00001.hea"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn an_output_overwrites_nothing_that_is_read() {
    let folder = folder();
    let inside = |name: &str| folder.path().join(name);
    fs::copy(fixture("A00001.mat"), inside("A00004.mat")).unwrap();
    write(folder.path(), "signal.DAT", [0; 4]);
    write(folder.path(), "s.onnx", dualnet_engine::Model::EMBEDDED_FILE);
    let forest = dualnet_engine::beats::BeatForest::embedded().unwrap();
    write(folder.path(), "beats.json", forest.to_json());
    let linked = ["--output=link.mat", "A00001.mat"];
    write(folder.path(), "stored", [0; 4]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("A00001.mat", inside("link.mat")).unwrap();
        std::os::unix::fs::symlink("stored", inside("A00005.mat")).unwrap();
    }
    #[cfg(not(unix))]
    {
        fs::hard_link(inside("A00001.mat"), inside("link.mat")).unwrap();
        fs::hard_link(inside("stored"), inside("A00005.mat")).unwrap();
    }
    for (arguments, output) in [
        (&["--output=A00001.mat", "A00001.mat"] as &[_], "A00001.mat"),
        (&["--output=A00001.hea", "A00001.mat"], "A00001.hea"),
        (&["--output=./A00004.mat", "."], "A00004.mat"),
        (&linked, "A00001.mat"),
        // Of a recording that is not read, or of one whose header names it.
        (&["--output=A00004.mat", "A00001.mat"], "A00004.mat"),
        (&["--output=signal.DAT", "A00001.mat"], "signal.DAT"),
        // Whose content lies elsewhere.
        (&["--output=A00005.mat", "A00001.mat"], "stored"),
        (&["--output=s.onnx", "--model=s.onnx", "A00001.mat"], "s.onnx"),
        (
            &["--output=beats.json", "--beats=beats.json", "A00001.mat"],
            "beats.json",
        ),
    ] {
        let before = fs::read(inside(output)).unwrap();
        let refused = classify(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(
            only_line(&refused).contains("would be lost"),
            "{arguments:?}: {}",
            stderr(&refused)
        );
        assert_eq!(fs::read(inside(output)).unwrap(), before);
    }
    write(folder.path(), "A00001.csv", "old");
    let beside = classify(folder.path(), &["--output=A00001.csv", "A00001.mat"]);
    assert_eq!(beside.status.code(), Some(0), "{}", stderr(&beside));
}

#[test]
fn an_output_called_minus_is_standard_output() {
    let folder = folder();
    let output = classify(folder.path(), &["--format=csv", "--output=-", "A00001.mat"]);
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 2));
    assert!(!folder.path().join("-").exists());
}

/// Without its equals sign the file of a forest would be a record that fails, and the embedded forest would answer.
#[test]
fn a_forest_without_an_equals_sign_is_refused() {
    let folder = folder();
    let output = classify(folder.path(), &["--beats", "beats.json", "A00001.mat"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
    assert!(only_line(&output).contains("--beats=beats.json"), "{}", stderr(&output));
}

#[test]
fn folders_in_a_folder_are_mentioned() {
    let folder = folder();
    fs::create_dir(folder.path().join("more")).unwrap();
    let output = classify(folder.path(), &["."]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        only_line(&output).starts_with("note: .: 1 folder in it is not searched"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_message_names_a_file_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "two  blanks.mat", "x");
    let output = classify(folder.path(), &["two  blanks.mat"]);
    assert!(
        only_line(&output).starts_with("error: two  blanks.mat: "),
        "{}",
        stderr(&output)
    );
}

#[cfg(unix)]
#[test]
fn a_model_from_a_pipe_has_its_digest() {
    let mut child = engine()
        .args(["info", "--model=/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, dualnet_engine::Model::EMBEDDED_FILE).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    let line = text.lines().find(|line| line.starts_with("file sha256")).unwrap();
    let digest = dualnet_engine::model::digest::sha256(dualnet_engine::Model::EMBEDDED_FILE);
    assert!(line.ends_with(&digest), "{line}");
}

#[test]
fn score_says_that_predictions_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let reference = write(folder.path(), "R.csv", "A1,N\nA2,A\n");
    let predictions = write(folder.path(), "P.csv", "A1.mat,N\nA2,A\n");
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let output = run([
        "score",
        "--format=json",
        &flag("reference", &reference),
        &flag("predictions", &predictions),
    ]);
    assert_eq!(output.status.code(), Some(0));
    let line = only_line(&output);
    assert!(
        line.contains("1 of the reference's 2 records have no prediction"),
        "{line}"
    );
}

/// A device without an end would take all memory.
#[cfg(unix)]
#[test]
fn score_reads_no_more_than_labels_have() {
    let folder = tempfile::tempdir().unwrap();
    let labels = write(folder.path(), "R.csv", "A1,N\n");
    let endless = Path::new("/dev/zero");
    for (reference, predictions) in [(endless, labels.as_path()), (&labels, endless)] {
        let [reference, predictions] = [("reference", reference), ("predictions", predictions)]
            .map(|(flag, path)| format!("--{flag}={}", path.display()));
        let output = run(["score", &reference, &predictions]);
        assert_eq!(output.status.code(), Some(2));
        let line = only_line(&output);
        assert!(line.contains("/dev/zero: is larger than 64 MiB"), "{line}");
    }
}

/// Ctrl-C, and the signal that `kill` and `timeout` send, while standard input is waited for. What starts the tests may ignore signals, which the
/// program then does too: `env` of GNU undoes it.
#[cfg(target_os = "linux")]
#[test]
fn who_ends_the_program_finds_no_half_written_file() {
    use std::os::unix::process::ExitStatusExt;
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM,HUP", env!("CARGO_BIN_EXE_engine")])
            .args(["classify", "--output=out.csv", "-"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let entries = || fs::read_dir(folder.path()).unwrap().count();
        let start = Instant::now();
        while entries() == 0 && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(entries(), 1, "the file is begun");
        // Between the file's creation and its being noted for removal there is a moment.
        std::thread::sleep(Duration::from_millis(200));
        let sent = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status();
        assert!(sent.expect("kill starts").success());
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
        assert_eq!(entries(), 0, "{name}");
    }
}
