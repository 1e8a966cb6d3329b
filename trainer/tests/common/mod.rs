//! The program `trainer` on the records that ship with the repository.
#![allow(dead_code, reason = "each test file uses its own part")]

use dualnet_export::weights::StateDict;
use dualnet_fixtures::records_dir;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Two epochs of ECG-DualNet S on 16 records, 4 steps each; what is missing is `--run`.
pub const SMALL_RUN: [&str; 11] = [
    "train",
    "--network",
    "dualnet-s",
    "--epochs",
    "2",
    "--batch-size",
    "4",
    "--seed",
    "7",
    "--validate-every",
    "1",
];

/// The program, with a folder of its own and a split of the fixture records: 16 train, 6 validate.
pub struct Program {
    folder: TempDir,
}

impl Program {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let list = |range: std::ops::Range<u32>| range.map(|index| index.to_string()).collect::<Vec<_>>().join(" ");
        let split = format!("train {}\nvalidation {}\n", list(0..16), list(16..22));
        std::fs::write(folder.path().join("split.txt"), split).expect("a split");
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of a run, as an argument.
    pub fn run(&self, name: &str) -> String {
        self.path(name).to_str().expect("a plain name").to_owned()
    }

    /// The program with these arguments and, for `train`, the fixture records and their split.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(self.complete(arguments));
        command
    }

    /// As [`command`](Self::command), with Ctrl-C as a terminal gives it: a shell starts what runs in its background with the
    /// signal ignored, and then the program leaves it so.
    pub fn at_a_terminal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_trainer")]);
        command.args(self.complete(arguments));
        command
    }

    /// The program through a line of shell that ends in `exec "$@"`.
    pub fn shell(&self, line: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line, "sh", env!("CARGO_BIN_EXE_trainer")]);
        command.args(self.complete(arguments));
        command
    }

    fn complete(&self, arguments: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
        if arguments.contains(&"train") && !arguments.contains(&"--data") {
            all.extend(["--data".to_owned(), text(&records_dir())]);
            if !arguments.contains(&"--resume") {
                all.extend(["--split".to_owned(), text(&self.path("split.txt"))]);
            }
        }
        all
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The one line of an error, with exit code 2.
    pub fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let message = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }
}

/// The state dict in a file.
pub fn state(path: &Path) -> StateDict {
    StateDict::open(path).expect("a state dict")
}
