//! Running `export`, as a person calls it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// `export` in `folder`, to be started.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_export"));
    command.current_dir(folder).args(arguments.iter().map(OsStr::new));
    command
}

/// Runs `export` in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("export starts")
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
