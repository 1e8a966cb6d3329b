//! Running `export`, as a person calls it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `export` in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    let arguments = arguments.iter().map(OsStr::new);
    Command::new(env!("CARGO_BIN_EXE_export"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("export starts")
}

/// What a run that succeeds prints.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The one-line message of a run that fails with status 2 and writes nothing.
pub fn fail(folder: &Path, arguments: &[&str]) -> String {
    let before = std::fs::read_dir(folder).unwrap().count();
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        before,
        "{arguments:?} leaves a file behind"
    );
    String::from_utf8(output.stderr).expect("UTF-8")
}
