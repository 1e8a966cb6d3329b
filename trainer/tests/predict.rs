//! `trainer predict`: answers for files and folders, from checkpoints, runs and exported networks; `trainer evaluate`'s
//! figures on the same records.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dualnet_engine::score::score_files;
use dualnet_engine::{Classifier, Model, Options, Record};
use dualnet_export::network::{Network, preset};
use dualnet_fixtures::records_dir;
use dualnet_trainer::torch::Parameters;
use dualnet_trainer::train::Checkpoint;
use serde_json::json;

fn trainer(arguments: &[&dyn AsRef<OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    arguments.iter().for_each(|argument| {
        command.arg(argument);
    });
    command.output().expect("the program runs")
}

fn embedded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/models/dualnet-s.onnx")
}

/// A checkpoint of an untrained network of `classes` in a run's folder.
fn untrained(folder: &Path, classes: usize) -> PathBuf {
    let mut config = preset("dualnet-s").expect("a preset");
    config.classes = classes;
    let network = Network::new(config).expect("a network");
    let parameters = Parameters::initial(&network, 7).expect("parameters");
    let path = folder.join("best.safetensors");
    Checkpoint::new(&network, &parameters, &json!({}), &json!({}))
        .and_then(|checkpoint| checkpoint.save(&path))
        .expect("a checkpoint");
    path
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

#[test]
fn an_exported_network_answers_for_a_folder_as_the_engine_does() {
    answers_as_the_engine_does(false);
}

#[test]
fn it_reads_excerpts_as_the_engine_does() {
    answers_as_the_engine_does(true);
}

fn answers_as_the_engine_does(excerpts: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = folder.path().join("answers.csv");
    let (model, records) = (embedded(), records_dir());
    let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"predict", &model, &records, &"-o", &answers, &"--probabilities"];
    if excerpts {
        arguments.push(&"--excerpts");
    }
    let output = trainer(&arguments);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stdout.is_empty());
    let score = score_files(&records_dir().join("REFERENCE.csv"), &answers).expect("a score");
    assert_eq!((score.predicted, score.reference, score.unknown), (22, 22, 0));

    let options = Options {
        excerpts,
        ..Options::default()
    };
    let classifier = Classifier::new(Model::open(embedded()).expect("the model"), options).expect("a classifier");
    let text = std::fs::read(&answers).expect("the answers");
    let rows = lines(&text);
    assert_eq!(
        rows[0],
        "record,class,probability_af,probability_N,probability_O,probability_~"
    );
    assert_eq!(rows.len(), 23);
    for row in &rows[1..] {
        let fields: Vec<&str> = row.split(',').collect();
        let record = Record::open(records_dir().join(format!("{}.mat", fields[0]))).expect("a record");
        let prediction = classifier.classify(&record).expect("a prediction");
        assert_eq!(fields[1], prediction.class, "{row}");
        for (field, class) in fields[2..].iter().zip(["A", "N", "O", "~"]) {
            let (ours, engine): (f32, f32) = (
                field.parse().expect("a number"),
                prediction.probabilities.get(class).expect("a class"),
            );
            // Batches of 24 and of 1 differ by the rounding of their sums, as `Classifier::classify_batch` says.
            assert!((ours - engine).abs() < 1e-5, "{row}: {class} {engine}");
        }
    }
}

#[test]
fn a_run_answers_for_files_without_probabilities_whatever_the_batch() {
    let run = tempfile::tempdir().expect("a folder");
    let checkpoint = untrained(run.path(), 4);
    let files = ["A00001.mat", "A00004.hea", "A00005"].map(|name| records_dir().join(name));
    let by_folder = trainer(&[&"predict", &run.path(), &files[0], &files[1], &files[2]]);
    assert_eq!(
        by_folder.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&by_folder.stderr)
    );
    let rows = lines(&by_folder.stdout);
    assert_eq!(rows[0], "record,class");
    let names: Vec<&str> = rows[1..].iter().map(|row| &row[..7]).collect();
    assert_eq!(names, ["A00001,", "A00004,", "A00005,"]);
    let one_by_one = trainer(&[
        &"predict",
        &checkpoint,
        &files[0],
        &files[1],
        &files[2],
        &"--batch-size",
        &"1",
    ]);
    assert_eq!(one_by_one.stdout, by_folder.stdout);
}

#[test]
fn two_classes_are_n_and_a() {
    let run = tempfile::tempdir().expect("a folder");
    untrained(run.path(), 2);
    let output = trainer(&[
        &"predict",
        &run.path(),
        &records_dir().join("A00001.mat"),
        &"--probabilities",
    ]);
    let rows = lines(&output.stdout);
    assert_eq!(rows[0], "record,class,probability_af,probability_N");
    let fields: Vec<&str> = rows[1].split(',').collect();
    let sum: f32 = fields[2..]
        .iter()
        .map(|field| field.parse::<f32>().expect("a number"))
        .sum();
    // Two float32 roundings.
    assert!((sum - 1.0).abs() < 1e-6 && ["N", "A"].contains(&fields[1]), "{rows:?}");
}

/// As the original's `predict_pretrained.py` is run: weights that say nothing of their network.
#[test]
fn a_pt_file_answers_for_the_network_that_the_flags_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = untrained(folder.path(), 2);
    let state = Checkpoint::open(&checkpoint).expect("a checkpoint");
    let pt = folder.path().join("best_model.pt");
    state.state().save_pt(&pt).expect("written");
    let flags: [&dyn AsRef<OsStr>; 4] = [&"--network", &"dualnet-s", &"--classes", &"2"];
    let answers = |weights: &Path, flags: &[&dyn AsRef<OsStr>]| {
        let command: [&dyn AsRef<OsStr>; 4] = [&"predict", &weights, &records_dir(), &"--probabilities"];
        let output = trainer(&[&command[..], flags].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{message}");
        lines(&output.stdout)
    };
    let rows = answers(&pt, &flags);
    assert_eq!(
        (rows.len(), &*rows[0]),
        (23, "record,class,probability_af,probability_N")
    );
    // The same weights by the same sums, and recognized by the shapes of their tensors.
    assert_eq!(rows, answers(&checkpoint, &[]));
    assert_eq!(rows, answers(&pt, &[]));
    for (flags, named) in [
        (["--classes", "4"], "is dualnet-s with classes N, A;"),
        (
            ["--network", "dualnet-m"],
            "is dualnet-s with classes N, A; --network says otherwise",
        ),
    ] {
        let output = trainer(&[&"predict", &pt, &records_dir(), &flags[0], &flags[1]]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && message.contains(named), "{message}");
    }
}

#[test]
fn a_checkpoint_that_says_what_it_is_answers_for_no_other_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = untrained(folder.path(), 2);
    for command in [
        &[&"predict" as &dyn AsRef<OsStr>, &checkpoint, &records_dir()][..],
        &[&"evaluate", &checkpoint, &"--data", &records_dir()],
    ] {
        for flags in [
            ["--network", "dualnet-m"],
            ["--classes", "4"],
            ["--class-set", "icentia11k"],
        ] {
            let output = trainer(&[command, &[&flags[0], &flags[1]]].concat());
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(
                message.contains("is dualnet-s with classes N, A;") && message.lines().count() == 1,
                "{message}"
            );
        }
    }
}

#[test]
fn a_bad_record_is_named_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("broken.mat"), b"not a recording").expect("a file");
    std::fs::copy(records_dir().join("A00001.mat"), folder.path().join("fine.mat")).expect("a copy");
    let absent = folder.path().join("absent.mat");
    let output = trainer(&[&"predict", &embedded(), &folder.path(), &absent, &"--probabilities"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = lines(&output.stderr);
    assert!(
        errors[0].contains("broken.mat") && errors[2].contains("absent.mat"),
        "{errors:?}"
    );
    assert!(errors[1].contains("fine.mat: sampling rate assumed"), "{errors:?}");
    assert_eq!(errors[3], "trainer: 2 of 3 records have no answer");
    let rows = lines(&output.stdout);
    assert_eq!(rows[1], "broken,,,,,");
    assert!(
        rows[2].starts_with("fine,") && rows[2].split(',').all(|field| !field.is_empty()),
        "{rows:?}"
    );
    assert_eq!(rows[3], "absent,,,,,");
}

#[test]
fn an_empty_folder_is_named_namesakes_too_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (empty, other) = (folder.path().join("empty"), folder.path().join("other"));
    std::fs::create_dir(&empty).expect("a folder");
    std::fs::create_dir(&other).expect("a folder");
    let record = records_dir().join("A00001.mat");
    std::fs::copy(&record, other.join("A00001.mat")).expect("a copy");
    let output = trainer(&[&"predict", &embedded(), &empty, &record, &other, &"-o", &"-"]);
    assert_eq!(output.status.code(), Some(1));
    let rows = lines(&output.stdout);
    assert_eq!(rows, ["record,class", "A00001,N", "A00001,N"]);
    let errors = lines(&output.stderr);
    assert!(
        errors[0].contains("empty: this folder holds no recording"),
        "{errors:?}"
    );
    assert!(errors[1].contains("2 of the records are called A00001:"), "{errors:?}");
    assert_eq!(
        errors.last().expect("a line"),
        "trainer: not every folder holds recordings"
    );
}

#[cfg(unix)]
#[test]
fn a_name_brings_no_control_characters_to_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let strange = folder.path().join("\u{1b}[31m\n.mat");
    std::fs::copy(records_dir().join("A00001.mat"), &strange).expect("a copy");
    let output = trainer(&[&"predict", &embedded(), &folder.path()]);
    assert_eq!(output.status.code(), Some(0));
    let errors = lines(&output.stderr);
    assert!(
        errors.len() == 1 && errors[0].contains("sampling rate assumed"),
        "{errors:?}"
    );
    assert!(!errors[0].contains('\u{1b}'), "{errors:?}");
}

#[test]
fn what_is_read_is_not_written_over_and_folders_in_folders_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name);
    std::fs::create_dir(inside("deeper")).expect("a folder");
    for name in ["A00001.mat", "A00001.hea"] {
        std::fs::copy(records_dir().join(name), inside(name)).expect("a copy");
    }
    std::fs::copy(embedded(), inside("s.onnx")).expect("a copy");
    std::fs::copy(records_dir().join("A00001.mat"), inside("other.bin")).expect("a copy");
    for output in ["A00001.mat", "A00001.hea", "s.onnx", "other.bin"] {
        let before = std::fs::read(inside(output)).expect("a file");
        let records: [&dyn AsRef<OsStr>; 2] = [&folder.path(), &inside("other.bin")];
        let refused = trainer(&[
            &"predict",
            &inside("s.onnx"),
            records[0],
            records[1],
            &"-o",
            &inside(output),
        ]);
        assert_eq!(refused.status.code(), Some(2), "{output}");
        let message = lines(&refused.stderr).pop().expect("a message");
        assert!(
            message.contains(output) && message.contains("would be lost"),
            "{message}"
        );
        assert_eq!(std::fs::read(inside(output)).expect("a file"), before);
    }
    let output = trainer(&[&"predict", &inside("s.onnx"), &folder.path()]);
    assert_eq!(output.status.code(), Some(0));
    let errors = lines(&output.stderr);
    assert!(errors[0].contains("1 folder in it is not searched"), "{errors:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn what_names_no_records_or_no_network_is_an_error_and_writes_nothing() {
    let empty = tempfile::tempdir().expect("a folder");
    let answers = empty.path().join("answers.csv");
    let record = records_dir().join("A00001.mat");
    for (weights, records, named) in [
        (embedded(), empty.path().to_owned(), "holds no recording"),
        (empty.path().to_owned(), record.clone(), "best.safetensors"),
        (empty.path().join("absent.onnx"), record, "absent.onnx"),
    ] {
        let output = trainer(&[&"predict", &weights, &records, &"-o", &answers]);
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(named) && message.lines().count() == 1, "{message}");
        assert!(!answers.exists());
    }
    // An exported network says itself which it is.
    for flags in [
        ["--network", "dualnet-m"],
        ["--classes", "2"],
        ["--class-set", "icentia11k"],
    ] {
        let output = trainer(&[&"predict", &embedded(), &records_dir(), &flags[0], &flags[1]]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(
            message.contains("leave out --network, --classes and --class-set"),
            "{message}"
        );
    }
    let nowhere = empty.path().join("absent/answers.csv");
    let output = trainer(&[&"predict", &embedded(), &records_dir(), &"-o", &nowhere]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such folder"));
    let output = trainer(&[&"predict", &embedded(), &records_dir(), &"-o", &empty.path()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is a folder, not a file to write"));
}
