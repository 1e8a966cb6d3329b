//! The program on real recordings: formats, order, confidence, output files, standard input, scores.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::*;
use dualnet_fixtures::{golden_dir, records_dir};

fn classify(arguments: &[&str], records: &[&Path]) -> std::process::Output {
    engine().arg("classify").args(arguments).args(records).output().unwrap()
}

/// Names of the recordings among the fixtures, sorted.
fn recordings() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(records_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mat"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 12, "the fixtures hold at least twelve recordings");
    names
}

#[test]
fn ndjson_is_the_contracts() {
    let output = classify(&["--format=ndjson"], &[&fixture("A00001.mat")]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let object = &objects(&output)[0];
    let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "record",
        "path",
        "class",
        "probabilities",
        "samples",
        "sampling_rate_hz",
        "duration_s",
        "model",
        "device",
        "precision",
        "latency_ms",
        "warnings",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        (&object["record"], &object["samples"]),
        (&"A00001".into(), &9000.into())
    );
    assert_eq!(
        (&object["sampling_rate_hz"], &object["duration_s"]),
        (&300.into(), &30.0.into())
    );
    assert_eq!(
        (&object["device"], &object["precision"]),
        (&"cpu".into(), &"f32".into())
    );
    assert!(object["latency_ms"].as_f64().unwrap() > 0.0);
    let probabilities = object["probabilities"].as_object().unwrap();
    assert_eq!(probabilities.keys().collect::<Vec<_>>(), ["N", "O", "A", "~"]);
    let sum: f64 = probabilities.values().map(|value| value.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "a softmax in f32 sums to {sum}");
    let best = probabilities
        .iter()
        .max_by(|a, b| a.1.as_f64().unwrap().total_cmp(&b.1.as_f64().unwrap()))
        .unwrap();
    assert_eq!(object["class"], best.0.as_str());
}

#[test]
fn a_folder_gives_its_records_once_and_sorted_whatever_the_threads() {
    let alone: Vec<_> = recordings()
        .iter()
        .map(|name| probabilities(&classify(&["--format=ndjson"], &[&fixture(&format!("{name}.mat"))]))[0].clone())
        .collect();
    for threads in ["1", "2", "5"] {
        let output = classify(&["--format=ndjson", "--threads", threads], &[&records_dir()]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
        let names: Vec<_> = objects(&output)
            .iter()
            .map(|o| o["record"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, recordings());
        for (together, alone) in probabilities(&output).iter().zip(&alone) {
            assert_close(together, alone);
        }
    }
}

/// The probabilities of every object of `--format ndjson`.
fn probabilities(output: &std::process::Output) -> Vec<Vec<f64>> {
    let values = |object: &serde_json::Value| {
        let probabilities = object["probabilities"].as_object().expect("probabilities");
        probabilities.values().map(|value| value.as_f64().unwrap()).collect()
    };
    objects(output).iter().map(values).collect()
}

/// The order of the runtime's sums depends on where its buffers lie, which moves the last digits of an f32.
fn assert_close(a: &[f64], b: &[f64]) {
    assert!(
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5),
        "{a:?}, not {b:?}"
    );
}

#[test]
fn the_first_columns_of_csv_are_the_competitions() {
    let folder = tempfile::tempdir().unwrap();
    let bad = write(folder.path(), "bad.mat", b"no, \"recording\"");
    let output = classify(&["--format=csv"], &[&fixture("A00004.mat"), &bad]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let mut rows = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header: Vec<_> = rows.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header[..3], ["record", "class", "probability_af"]);
    assert_eq!(header.last().unwrap(), "error");
    let rows: Vec<_> = rows
        .records()
        .map(|row| row.expect("as many columns as the header"))
        .collect();
    assert_eq!(&rows[0][0], "A00004");
    assert!(rows[0][2].parse::<f64>().unwrap() <= 1.0);
    assert_eq!((&rows[1][0], &rows[1][1], &rows[1][2]), ("bad", "", ""));
    assert!(rows[1][header.len() - 1].contains("bad.mat"));
}

#[test]
fn json_is_one_array_with_failures_in_their_place() {
    let missing = Path::new("missing.mat");
    for records in [vec![], vec![fixture("A00001.mat")]] {
        let mut paths: Vec<&Path> = records.iter().map(PathBuf::as_path).collect();
        paths.insert(0, missing);
        let output = classify(&["--format=json"], &paths);
        let array: Vec<serde_json::Value> = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(array.len(), paths.len());
        assert!(array[0]["error"].is_string() && array[0].get("class").is_none());
        assert!(array[1..].iter().all(|object| object["class"].is_string()));
    }
}

#[test]
fn text_names_the_rhythm_in_words() {
    let output = classify(&[], &[&fixture("A00001.mat")]);
    let text = stdout(&output);
    assert!(
        text.starts_with("A00001: ") && text.contains(" %)") && text.contains(", then "),
        "{text}"
    );
    assert!(
        ["normal rhythm", "other rhythm", "atrial fibrillation", "too noisy"]
            .iter()
            .any(|w| text.contains(w))
    );
}

/// Two patients' files of one name: each line says whose it is, by its path, whether the other could be read or not.
#[test]
fn text_tells_records_of_one_name_apart() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["p1/ecg.mat", "p2/ecg.mat"].map(|path| folder.path().join(path));
    for path in &paths {
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::copy(fixture("A00001.mat"), path).unwrap();
    }
    let [first, second] = paths.each_ref().map(PathBuf::as_path);
    let text = stdout(&classify(&[], &[first, second]));
    let lines = text.lines().filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = lines.filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(names, [first.to_str().unwrap(), second.to_str().unwrap()]);
    fs::write(first, "no recording").unwrap();
    let output = classify(&[], &[first, second]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).starts_with(second.to_str().unwrap()),
        "{}",
        stdout(&output)
    );
    assert!(stdout(&classify(&[], &[second])).starts_with("ecg: "));
}

#[test]
fn below_the_minimum_confidence_the_class_is_unknown() {
    let record = fixture("A00001.mat");
    let class = |confidence: &str| {
        let output = classify(&["--format=ndjson", "--min-confidence", confidence], &[&record]);
        assert_eq!(output.status.code(), Some(0));
        objects(&output)[0]["class"].as_str().unwrap().to_owned()
    };
    assert_ne!(class("0"), "?");
    assert_eq!(class("1"), "?");
    let text = stdout(&classify(&["--min-confidence=1"], &[&record]));
    assert!(text.contains("? undecided"), "{text}");
}

#[test]
fn standard_input_and_reading_without_a_map_change_nothing() {
    let path = fixture("A00001.mat");
    let mapped = classify(&["--format=ndjson"], &[&path]);
    let read = classify(&["--format=ndjson", "--no-mmap"], &[&path]);
    let mut child = engine()
        .args(["classify", "--format=ndjson", "--sampling-rate=300", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&fs::read(&path).unwrap())
        .unwrap();
    let piped = child.wait_with_output().unwrap();
    assert_close(&probabilities(&mapped)[0], &probabilities(&read)[0]);
    assert_close(&probabilities(&mapped)[0], &probabilities(&piped)[0]);
    assert_eq!(objects(&piped)[0]["path"], serde_json::Value::Null);
}

#[test]
fn an_output_file_is_complete_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let to_file = ["--format=csv", "--output", path.to_str().unwrap()];
    let output = classify(&to_file, &[&fixture("A00001.mat")]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );

    fs::write(&path, "precious").unwrap();
    let refused = engine()
        .args(["classify", "--model=none.onnx"])
        .args(to_file)
        .arg(fixture("A00001.mat"))
        .output();
    assert_eq!(refused.unwrap().status.code(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[cfg(unix)]
#[test]
fn an_output_link_stays_and_a_file_keeps_its_mode() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    fs::create_dir(inside("deep")).unwrap();
    fs::write(inside("deep/private.csv"), "old").unwrap();
    fs::set_permissions(inside("deep/private.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("deep/private.csv", inside("near.csv")).unwrap();
    symlink(inside("near.csv"), inside("link.csv")).unwrap();
    symlink("deep/new.csv", inside("dangling.csv")).unwrap();
    for (link, file) in [("link.csv", "deep/private.csv"), ("dangling.csv", "deep/new.csv")] {
        let to_file = ["--format=csv", "--output", inside(link).to_str().unwrap()].map(str::to_owned);
        let output = classify(&to_file.each_ref().map(String::as_str), &[&fixture("A00001.mat")]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(inside(link).is_symlink());
        assert_eq!(fs::read_to_string(inside(file)).unwrap().lines().count(), 2);
    }
    let mode = fs::metadata(inside("deep/private.csv")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(inside("deep")).unwrap().count(),
        2,
        "nothing is left beside them"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn output_to_what_is_open_goes_straight_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "out.csv", "first\n");
    let link = folder.path().join("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", &link).unwrap();
    let output = classify(
        &["--format=csv", "--output", link.to_str().unwrap()],
        &[&fixture("A00001.mat")],
    );
    assert_eq!(stdout(&output).lines().count(), 2, "{}", stderr(&output));
    let file = fs::File::options().append(true).open(&path).unwrap();
    let status = engine()
        .args(["classify", "--format=csv", "--output"])
        .args([&link, &fixture("A00001.mat")])
        .stdout(file)
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    assert!(link.is_symlink());
}

#[cfg(unix)]
#[test]
fn control_characters_of_a_name_stay_out_of_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a\u{1b}[31m.mat", mat4(1, 3000, &beats(10)));
    let output = classify(&["--sampling-rate=300"], &[&path]);
    assert!(stdout(&output).starts_with("a\\u{1b}[31m: "), "{:?}", stdout(&output));
}

#[cfg(unix)]
#[test]
fn a_failure_is_on_one_line_whatever_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a\nb.mat", mat4(1, 100, &[0; 100]));
    let output = classify(&["--format=ndjson", "--sampling-rate=300"], &[&path]);
    assert_eq!(output.status.code(), Some(1));
    let error = objects(&output)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("a\\nb.mat: ") && !error.contains('\n'), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_failure_before_the_reader_left_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let bad = write(folder.path(), "bad.mat", "");
    let mut child = engine()
        .args(["classify", "--format=ndjson", "--threads=1"])
        .args([&bad, &fixture("A00001.mat")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = engine()
        .args(["classify", "--format=ndjson"])
        .arg(records_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn a_lead_is_chosen_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<i16> = beats(10).iter().flat_map(|sample| [0, *sample]).collect();
    let path = write(folder.path(), "two.mat", mat4(2, 3000, &samples));
    let output = classify(&["--format=ndjson", "--lead=1", "--sampling-rate=300"], &[&path]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    assert_eq!(objects(&output)[0]["samples"], 3000);
}

#[test]
fn a_record_at_another_rate_is_resampled_and_a_long_one_cut_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "long.mat", mat4(1, 21_000, &beats(70)));
    let output = classify(&["--format=ndjson", "--sampling-rate=250"], &[&path]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let object = &objects(&output)[0];
    assert_eq!(
        (&object["samples"], &object["duration_s"]),
        (&21_000.into(), &84.0.into())
    );
    assert!(
        object["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|w| w.as_str().unwrap().contains("60 s")),
        "{object}"
    );
}

#[test]
fn the_embedded_model_classifies_in_int8() {
    let float = classify(&["--format=ndjson"], &[&records_dir()]);
    let int8 = classify(&["--format=ndjson", "--precision=int8"], &[&records_dir()]);
    assert_eq!(int8.status.code(), Some(0), "{}", stderr(&int8));
    let (float, int8) = (objects(&float), objects(&int8));
    assert_eq!(float.len(), int8.len());
    let mut same = 0;
    for (float, int8) in float.iter().zip(&int8) {
        assert_eq!(
            (&float["precision"], &int8["precision"]),
            (&"f32".into(), &"int8".into())
        );
        assert_ne!(float["model"], int8["model"]);
        same += usize::from(float["class"] == int8["class"]);
        for class in ["N", "O", "A", "~"] {
            let difference =
                float["probabilities"][class].as_f64().unwrap() - int8["probabilities"][class].as_f64().unwrap();
            assert!(difference.abs() < 0.1, "{}: {class} {difference}", float["record"]);
        }
    }
    assert!(same + 1 >= float.len(), "{same} of {} classes kept", float.len());
    let card: serde_json::Value =
        serde_json::from_str(&stdout(&run(["info", "--precision=int8", "--format=json"]))).unwrap();
    assert_eq!(card["precision"], "int8");
    assert!(card["quantization"]["records"].as_u64().unwrap() >= 100);
}

#[test]
fn info_prints_the_card() {
    let text = run(["info"]);
    assert_eq!(text.status.code(), Some(0));
    let text = stdout(&text);
    for key in [
        "network",
        "classes",
        "trained",
        "measured",
        "operators",
        "PadeActivation",
        "sha256",
    ] {
        assert!(text.contains(key), "no {key} in {text}");
    }
    let card: serde_json::Value = serde_json::from_str(&stdout(&run(["info", "--format=json"]))).unwrap();
    let embedded = dualnet_engine::Model::embedded().unwrap();
    assert_eq!(card["content_sha256"], embedded.card().content_sha256.as_str());
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "s.onnx", dualnet_engine::Model::EMBEDDED_FILE);
    let output = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    let digest = stdout(&output)[..64].to_owned();
    assert_eq!(card["file_sha256"], digest.as_str());
    let of_file = stdout(&run([Path::new("info"), Path::new("--model"), &path]));
    for text in [text, of_file] {
        let line = text.lines().find(|line| line.starts_with("file sha256")).unwrap();
        assert!(line.ends_with(&digest), "{line}");
    }
    assert_eq!(card["classes"], serde_json::json!(embedded.classes()));
}

fn score(predictions: &Path, reference: &Path) -> serde_json::Value {
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let output = run([
        "score",
        "--format=json",
        &flag("reference", reference),
        &flag("predictions", predictions),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn score_reproduces_the_competitions() {
    let file = |name: &str| golden_dir().join("score").join(name);
    let expected: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file("expected.json")).unwrap()).unwrap();
    let found = score(&file("PREDICTIONS.csv"), &file("REFERENCE.csv"));
    for key in ["f1_af_vs_normal", "f1_multi"] {
        let (found, expected) = (found[key].as_f64().unwrap(), expected[key].as_f64().unwrap());
        assert!(
            (found - expected).abs() < 1e-12,
            "{key}: {found}, not {expected}; both are quotients of counts"
        );
    }
    for key in ["missing_predictions_count_as", "reference", "predicted"] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    let text = run([
        "score".to_owned(),
        format!("--reference={}", file("REFERENCE.csv").display()),
        format!("--predictions={}", file("PREDICTIONS.csv").display()),
    ]);
    let text = stdout(&text);
    assert!(
        text.contains("accuracy") && text.contains("macro F1") && text.contains("reference \\ predicted"),
        "{text}"
    );
}

#[test]
fn score_mentions_predictions_that_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let reference = write(folder.path(), "R.csv", "A1,N\n");
    let predictions = write(folder.path(), "P.csv", "A1,N\nA1,A\nA1,N\n");
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let output = run([
        "score",
        &flag("reference", &reference),
        &flag("predictions", &predictions),
    ]);
    let line = only_line(&output);
    assert!(
        line.starts_with("note: 2 predictions") && line.contains("1 of another class"),
        "{line}"
    );
}

#[test]
fn what_classify_writes_score_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    let output = classify(&["--format=csv", "--output", path.to_str().unwrap()], &[&records_dir()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = score(&path, &records_dir().join("REFERENCE.csv"));
    assert_eq!(found["reference"], recordings().len());
    assert_eq!(found["predicted"], recordings().len());
}
