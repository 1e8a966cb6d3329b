//! A run that is killed, interrupted or has no room left to save: nothing is lost, and what is resumed ends with the very same bits.

mod common;

use common::{Program, SMALL_RUN, last_checkpoint, losses, reaches, state, wait_for_steps};
use dualnet_engine::pending::PARTIAL;
use dualnet_fixtures::{records_dir, report};
use dualnet_trainer::random::Rng;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Steps of [`SMALL_RUN`], the same number in each of its two epochs.
const STEPS: usize = 8;

/// What decides the draws of a test: the clock, or `ECG_TEST_SEED` where a failure is to be repeated.
fn seed() -> u64 {
    match std::env::var("ECG_TEST_SEED") {
        Ok(text) => text.parse().expect("ECG_TEST_SEED must be a whole number"),
        Err(_) => {
            let time = SystemTime::now().duration_since(UNIX_EPOCH);
            time.expect("a time after 1970").as_millis() as u64
        }
    }
}

fn spawn(mut command: Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

#[cfg(unix)]
fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
}

/// Starts a run and kills it when its log has the first of these steps, goes on and kills it at the next; `false` if it ended before a kill.
fn killed_at_each(steps: &[usize], program: &Program, run: &str, start: &[&str]) -> bool {
    let resume = ["train", "--resume", "--run", run];
    let mut arguments = start;
    for &step in steps {
        // What the process before it logged stays until this one has read the checkpoint.
        let since = SystemTime::now();
        let mut child = spawn(program.command(arguments));
        if let Err(status) = reaches(step, Path::new(run), since, &mut child) {
            assert!(status.success(), "ended with {status} before step {step}");
            return false;
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        if Path::new(run).join("last.safetensors").exists() {
            arguments = &resume;
        }
    }
    true
}

#[test]
fn a_run_killed_at_three_random_steps_ends_with_the_same_bits() {
    // Not the last step, behind which the run may end too soon. One of the others ends an epoch: at least two kills are in mid-epoch.
    let seed = seed();
    let drawn = Rng::for_name(seed, "kills").distinct(3, STEPS - 1);
    let mut kills: Vec<usize> = drawn.into_iter().map(|index| index + 1).collect();
    kills.sort_unstable();

    // Numbers of a file that no flag has go on with the run.
    let program = Program::new();
    let file = program.run("given.toml");
    std::fs::write(
        &file,
        "[train.optimizer]\nbeta1 = 0.8\n[train.augmentations]\ncut_out_share = 0.2\n",
    )
    .expect("a file");
    let how = ["--config", &file, "--checkpoint-steps", "1"];
    let whole = program.run("whole");
    program.succeeds(&[&SMALL_RUN[..], &how, &["--run", &whole]].concat());

    // A process may end before the test sees the step at which it is to be killed; then the three kills begin anew.
    let attempts = (1..=5).map(|attempt| program.run(&format!("pieces-{attempt}")));
    let killed = |pieces: &String| {
        let start = [&SMALL_RUN[..], &how, &["--run", pieces]].concat();
        killed_at_each(&kills, &program, pieces, &start)
    };
    let pieces = attempts
        .into_iter()
        .find(killed)
        .expect("a run that was killed three times");
    report(format_args!(
        "interruption: killed after steps {kills:?}; ECG_TEST_SEED={seed} draws them again"
    ));
    program.succeeds(&["train", "--resume", "--run", &pieces]);
    for file in ["last.safetensors", "best.safetensors"] {
        let read = |run: &str| state(&Path::new(run).join(file)).tensors;
        assert_eq!(read(&pieces), read(&whole), "{file}");
    }
    let losses = |run: &str| -> Vec<String> {
        let text = std::fs::read_to_string(Path::new(run).join("log.csv")).expect("a log");
        text.lines()
            .map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","))
            .collect()
    };
    assert_eq!(losses(&pieces), losses(&whole));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_so_and_goes_on() {
    let program = Program::new();
    let run = program.run("interrupted");
    let mut child = spawn(program.at_a_terminal(&[&SMALL_RUN[..], &["--run", &run]].concat()));
    wait_for_steps(1, Path::new(&run), &mut child);
    signal("INT", &child);
    let status = child.wait().expect("ended");
    let mut message = String::new();
    child
        .stderr
        .take()
        .expect("stderr")
        .read_to_string(&mut message)
        .expect("text");
    assert_eq!(status.code(), Some(130), "{message}");
    assert!(message.contains("--resume"), "{message}");
    program.succeeds(&["train", "--resume", "--run", &run]);
    assert!(Path::new(&run).join("result.json").exists());
}

/// Libtorch's globals must not go while a step computes with them: what is written then would be nonsense.
#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_the_process_in_its_step_and_the_run_goes_on_with_the_same_bits() {
    let program = Program::new();
    let [whole, pieces] = ["whole", "pieces"].map(|name| program.run(name));
    // Two steps of more than a second: the signals come in the second.
    let arguments = [
        "train",
        "--network",
        "dualnet-pp-l",
        "--batch-size",
        "8",
        "--epochs",
        "1",
        "--seed",
        "7",
        "--threads",
        "1",
        "--checkpoint-steps",
        "1",
    ];
    program.succeeds(&[&arguments[..], &["--run", &whole]].concat());
    let mut child = spawn(program.at_a_terminal(&[&arguments[..], &["--run", &pieces]].concat()));
    wait_for_steps(1, Path::new(&pieces), &mut child);
    let last = Path::new(&pieces).join("last.safetensors");
    // It comes after the step's line in the log, and appears when it is complete.
    while !last.exists() {
        assert!(
            child.try_wait().expect("a status").is_none(),
            "ended without a checkpoint"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    signal("INT", &child);
    std::thread::sleep(Duration::from_millis(300));
    signal("INT", &child);
    let output = child.wait_with_output().expect("ended");
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("once more ends it at once"), "{message}");
    program.succeeds(&["train", "--resume", "--threads", "1", "--run", &pieces]);
    assert_eq!(last_checkpoint(&pieces).tensors, last_checkpoint(&whole).tensors);
}

/// A second trainer in a run's folder would mix logs and checkpoints: it is refused, and the first is not disturbed.
#[cfg(unix)]
#[test]
fn a_run_under_way_is_left_alone() {
    let program = Program::new();
    let run = program.run("taken");
    let start = [&SMALL_RUN[..], &["--run", &run, "--checkpoint-steps", "1"]].concat();
    let mut child = spawn(program.command(&start));
    wait_for_steps(2, Path::new(&run), &mut child);
    signal("STOP", &child);
    let message = program.refuses(&["train", "--resume", "--run", &run]);
    signal("CONT", &child);
    assert!(message.contains("another trainer is at work"), "{message}");
    assert!(child.wait().expect("ended").success());
    assert!(Path::new(&run).join("result.json").exists());
}

/// What `nohup` starts outlives its terminal, and stops when it is asked to all the same.
#[cfg(unix)]
#[test]
fn what_is_started_to_ignore_a_hangup_ignores_it_and_heeds_ctrl_c() {
    let program = Program::new();
    let run = program.run("nohup");
    let line = "trap '' HUP; exec env --default-signal=INT \"$@\"";
    let mut child = spawn(program.shell(line, &[&SMALL_RUN[..], &["--run", &run]].concat()));
    wait_for_steps(1, Path::new(&run), &mut child);
    signal("HUP", &child);
    wait_for_steps(2, Path::new(&run), &mut child);
    signal("INT", &child);
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    assert!(Path::new(&run).join("last.safetensors").exists());
}

/// A data set of so many copies of a short recording.
#[cfg(unix)]
fn copies(folder: &Path, records: usize) {
    std::fs::create_dir(folder).expect("a folder");
    let record = records_dir().canonicalize().expect("the records").join("A00005.mat");
    let mut reference = String::new();
    for index in 0..records {
        let name = format!("R{index:04}");
        std::os::unix::fs::symlink(&record, folder.join(format!("{name}.mat"))).expect("a link");
        reference += &format!("{name},{}\n", ["N", "O", "A", "~"][index % 4]);
    }
    std::fs::write(folder.join("REFERENCE.csv"), reference).expect("labels");
}

/// One step, then a validation of seconds, in which Ctrl-C comes: the epoch's step is kept, and what is resumed only validates.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_validation() {
    const RECORDS: usize = 1500;
    let program = Program::new();
    let data = program.run("data");
    copies(Path::new(&data), RECORDS);
    let split = program.run("long.txt");
    let list = |range: std::ops::Range<usize>| range.map(|index| format!(" {index}")).collect::<String>();
    let text = format!("train{}\nvalidation{}\n", list(0..4), list(4..RECORDS));
    std::fs::write(&split, text).expect("a split");
    let run = program.run("run");
    let mut arguments = SMALL_RUN;
    arguments[4] = "1";
    let arguments = [&arguments[..], &["--data", &data, "--split", &split, "--run", &run]].concat();
    let mut child = spawn(program.at_a_terminal(&arguments));
    wait_for_steps(1, Path::new(&run), &mut child);
    signal("INT", &child);
    let output = child.wait_with_output().expect("ended");
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("stopped in epoch 1; --resume"), "{message}");
    assert!(Path::new(&run).join("last.safetensors").exists() && !Path::new(&run).join("result.json").exists());

    let said = program.succeeds(&["train", "--resume", "--data", &data, "--run", &run]);
    assert!(said.contains("epoch 1/1"), "{said}");
    assert_eq!(losses(&run).len(), 1, "no step is done twice");
    assert!(Path::new(&run).join("result.json").exists());
}

/// A reader that goes away, as behind `| head`, does not end a run; what was asked for and cannot be printed is an error.
#[cfg(unix)]
#[test]
fn a_closed_standard_output_ends_no_training() {
    let program = Program::new();
    let run = program.run("run");
    let arguments = [&SMALL_RUN[..], &["--run", &run]].concat();
    let output = program
        .shell("exec \"$@\" > /dev/full", &arguments)
        .output()
        .expect("the shell starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(Path::new(&run).join("result.json").exists());
    let records = records_dir();
    let data = records.to_str().expect("a plain name");
    let best = format!("{run}/best.safetensors");
    let arguments = ["evaluate", &best, "--data", data, "--split", &program.run("split.txt")];
    let output = program
        .shell("exec \"$@\" > /dev/full", &arguments)
        .output()
        .expect("the shell starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.starts_with("trainer: standard output: "), "{message}");
}

/// Who has heard enough ends no program with an error.
#[cfg(unix)]
#[test]
fn a_listener_that_goes_away_is_no_error() {
    let program = Program::new();
    let records = records_dir();
    let data = records.to_str().expect("a plain name");
    let output = program
        .shell("exec \"$@\" | true", &["data", "verify", data, "--all"])
        .output()
        .expect("the shell starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!message.contains("standard output"), "{message}");
}

/// Nothing is kept of weights that are not finite, and what was kept before stays.
#[test]
fn a_run_that_diverges_keeps_no_checkpoint_of_it() {
    let program = Program::new();
    let run = program.run("run");
    let message = program.refuses(
        &[
            &SMALL_RUN[..],
            &["--lr", "1e38", "--checkpoint-steps", "1", "--run", &run],
        ]
        .concat(),
    );
    assert!(
        message.contains("start a new run with a lower --learning-rate"),
        "{message}"
    );
    let last = Path::new(&run).join("last.safetensors");
    if last.exists() {
        for (name, tensor) in state(&last).tensors {
            assert!(
                tensor
                    .as_f32()
                    .is_none_or(|values| values.iter().all(|value| value.is_finite())),
                "{name}"
            );
        }
    }
}

/// Weights that one step has spoilt are first met in the validation after it.
#[test]
fn a_run_that_diverges_in_its_last_step_says_so() {
    let program = Program::new();
    for rate in ["1e4", "1e38"] {
        let run = program.run(rate);
        let message = program.refuses(&[&SMALL_RUN[..], &["--limit", "4", "--lr", rate, "--run", &run]].concat());
        assert!(
            message.starts_with("trainer: the run has diverged: "),
            "{rate}: {message}"
        );
    }
}

/// A limit on the size of files stands for a full disk: the write fails in the same place, with another reason.
#[cfg(unix)]
#[test]
fn without_room_the_last_good_checkpoint_stays() {
    let program = Program::new();
    let run = program.run("full");
    program.succeeds(&[&SMALL_RUN[..], &["--run", &run]].concat());
    let last = Path::new(&run).join("last.safetensors");
    let before = std::fs::read(&last).expect("a checkpoint");
    let arguments = ["train", "--resume", "--epochs", "3", "--run", &run];
    // 512-byte blocks: 5 MB hold the logs but no checkpoint.
    let output = program
        .shell("trap '' XFSZ; ulimit -f 10000; exec \"$@\"", &arguments)
        .output()
        .expect("the shell starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("safetensors"), "{message}");
    assert_eq!(std::fs::read(&last).expect("a checkpoint"), before);
    let left: Vec<_> = std::fs::read_dir(&run)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().ends_with(PARTIAL))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    program.succeeds(&arguments);
}
