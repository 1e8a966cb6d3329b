//! PyTorch, safetensors and TensorBoard for Python open what a run writes, and `torchrun` starts runs.
//!
//! `make test-pytorch`; `ECG_PEER_PYTHON` names a Python that has them. Nothing here has a tolerance.

mod common;

use common::{Program, SMALL_RUN, losses, state};
use dualnet_fixtures::peer_python;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The JSON that a script of `tests/python` prints.
fn answer(script: &str, arguments: &[&dyn AsRef<OsStr>]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let mut command = Command::new(peer_python());
    command.arg(script).args(arguments);
    serde_json::from_str(&text(command.output().expect("Python starts"))).expect("JSON")
}

/// A checkpoint with its optimizer, as a run leaves it, and weights alone: `torch.load(weights_only=True)` gives what
/// `safetensors.torch.load_file` gives.
#[test]
#[ignore = "pytorch: ECG_PEER_PYTHON, `make test-pytorch`"]
fn pytorch_opens_converted_checkpoints() {
    let program = Program::new();
    let best = program.trained("run", "7", &[]);
    let last = program.run("run/last.safetensors");
    for (checkpoint, flags) in [(&best, &[][..]), (&last, &["--with-optimizer"])] {
        let pt = program.run("converted.pt");
        program.succeeds(&[&["convert", checkpoint, &pt, "--force"], flags].concat());
        let tensors = state(Path::new(checkpoint)).tensors;
        let numbers: usize = tensors
            .values()
            .map(|tensor| tensor.shape().iter().product::<usize>())
            .sum();
        assert_eq!(
            answer("same_weights.py", &[&pt, checkpoint]),
            json!({ "tensors": tensors.len(), "numbers": numbers })
        );
    }
}

/// Of a run that was killed in its second epoch and resumed, TensorBoard shows each step and each epoch once, as `log.jsonl` does.
#[test]
#[ignore = "pytorch: ECG_PEER_PYTHON, `make test-pytorch`"]
fn pytorch_s_tensorboard_reads_a_resumed_run() {
    let program = Program::new();
    let run = program.run("run");
    program.killed_at(6, &run, &[&SMALL_RUN[..], &["--run", &run]].concat());
    program.succeeds(&["train", "--resume", "--run", &run]);

    let scalars = answer("scalars.py", &[&run]);
    let of =
        |tag: &str| -> Vec<(usize, f64)> { serde_json::from_value(scalars[tag].clone()).expect("steps and values") };
    let numbered = |values: Vec<f64>| -> Vec<(usize, f64)> {
        // Event files hold float32.
        let single = values.into_iter().map(|value| f64::from(value as f32));
        single.enumerate().map(|(index, value)| (index + 1, value)).collect()
    };
    assert_eq!(of("loss/step"), numbered(losses(&run)));
    let log = std::fs::read_to_string(Path::new(&run).join("log.jsonl")).expect("a log");
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let logged = |event: &str, field: &str| -> Vec<f64> {
        let of_event = events.iter().filter(|line| line["event"] == event);
        of_event.map(|line| line[field].as_f64().expect("a number")).collect()
    };
    for (tag, event, field) in [
        ("loss/train", "epoch", "train_loss"),
        ("learning_rate", "epoch", "learning_rate"),
        ("validation/accuracy", "validation", "accuracy"),
        ("validation/f1_macro", "validation", "f1_macro"),
    ] {
        let expected = numbered(logged(event, field));
        assert_eq!(expected.len(), 2, "{tag}");
        assert_eq!(of(tag), expected, "{tag}");
    }
}

/// The same two processes, whoever starts them.
#[test]
#[ignore = "pytorch: ECG_PEER_PYTHON, `make test-pytorch`"]
fn pytorch_s_torchrun_trains_what_launch_does() {
    let program = Program::new();
    let [ours, theirs] = ["ours", "theirs"].map(|name| program.run(name));
    let alone = [&SMALL_RUN[..], &["--threads", "1"]].concat();
    program.succeeds(&[&["launch", "--nproc", "2"], &alone[..], &["--run", &ours]].concat());

    let trainer = program.command(&[&alone[..], &["--run", &theirs]].concat());
    let mut torchrun = Command::new(peer_python());
    torchrun.args([
        "-m",
        "torch.distributed.run",
        "--no-python",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--",
    ]);
    torchrun.arg(trainer.get_program()).args(trainer.get_args());
    text(torchrun.output().expect("torchrun starts"));

    assert_eq!(losses(&theirs), losses(&ours));
    for name in ["best.safetensors", "last.safetensors"] {
        let tensors = |run: &str| state(&Path::new(run).join(name)).tensors;
        assert_eq!(tensors(&theirs), tensors(&ours), "{name}");
    }
}
