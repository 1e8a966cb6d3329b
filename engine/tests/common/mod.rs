//! What the tests of the program share: running it, and recordings made to measure.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program under test, with no environment of its own.
pub fn engine() -> Command {
    Command::new(env!("CARGO_BIN_EXE_engine"))
}

/// Runs `engine` with arguments of any kind.
pub fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    engine().args(arguments).output().expect("the program starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

/// The single line on standard error.
pub fn only_line(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(text.lines().count(), 1, "one line expected: {text:?}");
    text.trim_end().to_owned()
}

/// The JSON objects of `--format ndjson`.
pub fn objects(output: &Output) -> Vec<serde_json::Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect()
}

/// A real recording of the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    let path = dualnet_fixtures::records_dir().join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// A level-4 MATLAB matrix `val` of int16, stored by columns.
pub fn mat4(rows: u32, columns: u32, samples: &[i16]) -> Vec<u8> {
    let mut bytes = mat4_header(30, rows, columns, 0);
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

/// A level-4 MATLAB row `val` of float64.
pub fn mat4_doubles(samples: &[f64]) -> Vec<u8> {
    let mut bytes = mat4_header(0, 1, samples.len() as u32, 0);
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

pub fn mat4_header(kind: u32, rows: u32, columns: u32, imaginary: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = [kind, rows, columns, imaginary, 4]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    bytes.extend(b"val\0");
    bytes
}

/// `seconds` of something that beats once a second at 300 Hz.
pub fn beats(seconds: usize) -> Vec<i16> {
    (0..seconds * 300)
        .map(|index| {
            let phase = (index % 300) as f64 / 300.0;
            let wave = 40.0 * (2.0 * std::f64::consts::PI * phase).sin();
            let beat = 900.0 * (-((phase - 0.4) / 0.012).powi(2)).exp();
            (wave + beat) as i16
        })
        .collect()
}

/// Writes a file into `folder` and returns its path.
pub fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a writable folder");
    path
}
