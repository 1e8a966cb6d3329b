//! Every bad recording ends in one line that names the file and exit code 1, and the others are still classified.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::*;

const HEADER: &str = "bad 1 300 3000\nbad.dat 16 1000/mV 16 0 0 0 0 ECG\n";

/// Classifies `bad` between two good records and returns the line about it.
fn refusal(bad: &Path) -> String {
    let good = [fixture("A00001.mat"), fixture("A00004.mat")];
    let output = run([
        Path::new("classify"),
        Path::new("--format=ndjson"),
        &good[0],
        bad,
        &good[1],
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let objects = objects(&output);
    let classes: Vec<_> = objects.iter().map(|object| object.get("class").is_some()).collect();
    assert_eq!(classes, [true, false, true], "{}", stdout(&output));
    assert_eq!(objects[1]["path"], bad.to_str().expect("a path in UTF-8"));
    let line = only_line(&output);
    assert_eq!(
        line,
        format!("error: {}", objects[1]["error"].as_str().expect("an error"))
    );
    line
}

/// [`refusal`] of `bytes` in a file `bad.mat`; the line must name the file and say all of `words`.
fn refused(bytes: &[u8], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "bad.mat", bytes);
    says(&refusal(&path), &path, words);
}

fn says(line: &str, path: &Path, words: &[&str]) {
    assert!(line.contains(path.to_str().unwrap()), "names no file: {line}");
    for word in words {
        assert!(line.contains(word), "no word of {word}: {line}");
    }
}

/// A folder with `bad.hea` and, perhaps, `bad.dat`.
fn wfdb(header: &str, samples: Option<&[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "bad.hea", header);
    if let Some(samples) = samples {
        write(folder.path(), "bad.dat", samples);
    }
    (folder, path)
}

#[test]
fn an_empty_file() {
    refused(b"", &["empty"]);
}

#[test]
fn a_truncated_mat() {
    let whole = fs::read(fixture("A00001.mat")).unwrap();
    refused(&whole[..whole.len() / 2], &[]);
    refused(&whole[..10], &[]);
}

#[test]
fn a_header_that_claims_2_to_the_31_samples() {
    let mut bytes = mat4_header(30, 1, 1 << 31, 0);
    bytes.extend([0; 100]);
    refused(&bytes, &[]);
}

#[test]
fn text_renamed_mat() {
    refused(b"Dear reader,\nthis is not a recording.\n", &["supported"]);
}

#[test]
fn complex_samples() {
    let mut bytes = mat4_header(30, 1, 3000, 1);
    bytes.extend([0; 12_000]);
    refused(&bytes, &["omplex"]);
}

#[test]
fn several_rows_without_a_lead() {
    let samples: Vec<i16> = beats(10).iter().flat_map(|sample| [*sample, -sample]).collect();
    refused(&mat4(2, 3000, &samples), &["--lead"]);
}

#[test]
fn samples_that_are_not_finite() {
    for bad in [f64::NAN, f64::INFINITY] {
        let mut samples: Vec<f64> = beats(10).into_iter().map(f64::from).collect();
        samples[1234] = bad;
        refused(&mat4_doubles(&samples), &["1234", "finite"]);
    }
}

#[test]
fn one_second() {
    refused(&mat4(1, 300, &beats(1)), &["2 s"]);
}

#[test]
fn a_missing_dat() {
    let (_folder, path) = wfdb(HEADER, None);
    assert!(refusal(&path).contains("bad.dat"));
}

#[test]
fn a_dat_shorter_than_its_header() {
    let (_folder, path) = wfdb(HEADER, Some(&[0; 2000]));
    assert!(refusal(&path).contains("bad.dat"));
}

#[test]
fn a_header_naming_a_file_outside_its_folder() {
    for name in ["../bad.dat", "/etc/passwd", "..", "sub/bad.dat"] {
        let (_folder, path) = wfdb(&HEADER.replace("bad.dat", name), Some(&[0; 6000]));
        let line = refusal(&path);
        says(&line, &path, &[name]);
    }
}

#[test]
fn a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.mat");
    says(&refusal(&path), &path, &[]);
}

#[test]
fn nothing_but_failures_is_1_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.mat");
    for bad in [folder.path(), &path] {
        let output = run([Path::new("classify"), bad]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    }
}

#[test]
fn a_folder_without_recordings() {
    let folder = tempfile::tempdir().unwrap();
    says(&refusal(folder.path()), folder.path(), &["no recording"]);
}

/// Root may read everything, so there the program runs as another user, on copies that this user can reach.
#[cfg(unix)]
#[test]
fn a_file_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;

    let folder = tempfile::tempdir().unwrap();
    let readable = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let path = write(folder.path(), "bad.mat", mat4(1, 3000, &beats(10)));
    let good = write(folder.path(), "good.mat", mat4(1, 3000, &beats(10)));
    let program = folder.path().join("engine");
    fs::copy(env!("CARGO_BIN_EXE_engine"), &program).unwrap();
    readable(folder.path(), 0o755);
    readable(&good, 0o644);
    readable(&path, 0o000);
    let mut command = std::process::Command::new(&program);
    if fs::File::open(&path).is_ok() {
        readable(&program, 0o755);
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command
        .args(["classify", "--format=ndjson", "--sampling-rate=300"])
        .args([&path, &good]);
    let output = output.current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    says(&only_line(&output), &path, &["ermission"]);
    assert!(objects(&output)[1].get("class").is_some(), "{}", stdout(&output));
}

#[test]
fn a_flat_line_is_classified_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "flat.mat", mat4(1, 3000, &[7; 3000]));
    let output = run([
        Path::new("classify"),
        Path::new("--format=ndjson"),
        Path::new("--sampling-rate=300"),
        &path,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let object = &objects(&output)[0];
    assert!(object["class"].is_string());
    assert!(object["warnings"][0].as_str().unwrap().contains("flat"), "{object}");
}

#[test]
fn a_pressure_is_classified_with_a_warning_in_every_format() {
    let samples: Vec<u8> = beats(10).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let (_folder, path) = wfdb(&HEADER.replace("1000/mV", "100/mmHg"), Some(&samples));
    for format in ["text", "json", "ndjson", "csv"] {
        let output = run([
            "classify".as_ref(),
            "--format".as_ref(),
            format.as_ref(),
            path.as_os_str(),
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stdout(&output);
        assert!(
            said.contains("the lead is measured in mmHg, which is no voltage"),
            "{format}: {said}"
        );
    }
}
