//! The program `trainer` on the records that ship with the repository.
#![allow(dead_code, reason = "each test file uses its own part")]

use dualnet_export::weights::StateDict;
use dualnet_fixtures::records_dir;
use dualnet_trainer::train::Report;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
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

/// One row of each kind of experiment: data set, split, number of classes, ablation, what it starts from.
pub type Kinds = [&'static str; 9];

pub const KINDS: Kinds = [
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

/// What the program answers to these arguments.
pub fn trainer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// Stops after so many batches.
pub struct StopAfter(pub usize);

impl Report for StopAfter {
    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        assert!(loss.is_finite());
        self.0 -= 1;
        if self.0 == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

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

    /// A copy of the fixture records in the folder `name`, as an argument.
    pub fn copied_records(&self, name: &str) -> String {
        let to = self.path(name);
        std::fs::create_dir(&to).expect("a folder");
        for entry in std::fs::read_dir(records_dir()).expect("the records") {
            let entry = entry.expect("a file");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
        self.run(name)
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

    /// One epoch of [`SMALL_RUN`] with this seed and these flags; where its best checkpoint is.
    pub fn trained(&self, name: &str, seed: &str, flags: &[&str]) -> String {
        let run = self.run(name);
        let mut arguments = SMALL_RUN;
        (arguments[4], arguments[8]) = ("1", seed);
        self.succeeds(&[&arguments[..], flags, &["--run", &run]].concat());
        format!("{run}/best.safetensors")
    }

    /// Starts what trains in the folder `run`, and kills it when its log has this step.
    pub fn killed_at(&self, step: usize, run: &str, arguments: &[&str]) {
        let mut child = self.command(arguments).spawn().expect("started");
        reaches(step, Path::new(run), UNIX_EPOCH, &mut child).expect("the step");
        child.kill().expect("killed");
        child.wait().expect("gone");
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

/// The losses of the steps that the log of a run's folder has.
pub fn losses(run: &str) -> Vec<f64> {
    of_steps(run, "loss")
}

/// What a run's log says of each step.
pub fn of_steps(run: &str, entry: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(Path::new(run).join("log.jsonl")).expect("a log");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line"));
    lines
        .filter(|line| line["event"] == "step")
        .map(|line| line[entry].as_f64().expect("a number"))
        .collect()
}

/// The last step that the log of a run's folder has of a time after `since`; 0 where there is none.
fn last_step(run: &Path, since: SystemTime) -> usize {
    let since = since
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs_f64();
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["event"] == "step" && line["time"].as_f64().is_some_and(|time| time > since))
        .filter_map(|line| line["step"].as_u64())
        .max()
        .map_or(0, |step| step as usize)
}

/// Waits until the log of a run's folder has this step, or a later one, of a time after `since`.
///
/// # Errors
/// How the program ended before.
pub fn reaches(step: usize, run: &Path, since: SystemTime, child: &mut Child) -> Result<(), ExitStatus> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while last_step(run, since) < step {
        if let Some(status) = child.try_wait().expect("a status") {
            return Err(status);
        }
        assert!(Instant::now() < deadline, "step {step} was not reached");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits until the log of a run's folder has so many steps.
pub fn wait_for_steps(steps: usize, run: &Path, child: &mut Child) {
    if let Err(status) = reaches(steps, run, UNIX_EPOCH, child) {
        panic!("ended with {status} before step {steps}");
    }
}

/// The most memory that a process, by its number or `self`, has had, in KiB; `None` where the system does not say.
pub fn peak_kib(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The last checkpoint of a run.
pub fn last_checkpoint(run: &str) -> StateDict {
    state(&Path::new(run).join("last.safetensors"))
}

/// The state dict in a file.
pub fn state(path: &Path) -> StateDict {
    StateDict::open(path).expect("a state dict")
}
