//! `--teacher`: a network that learns from others beside the labels.

mod common;

use common::{Program, SMALL_RUN, last_checkpoint, losses, state};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::records_dir;
use serde_json::Value;
use std::path::Path;

/// A share of the loss against the loss of its parts, both float32.
const BLEND: f64 = 1e-6;

/// The fixture records, each with the label of the one before it.
fn relabelled(program: &Program) -> String {
    let folder = program.path("relabelled");
    std::fs::create_dir(&folder).expect("a folder");
    for entry in std::fs::read_dir(records_dir()).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let path = folder.join("REFERENCE.csv");
    let text = std::fs::read_to_string(&path).expect("labels");
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(',')).collect();
    let labels = lines.iter().cycle().skip(lines.len() - 1).map(|(_, label)| label);
    let shifted: String = lines
        .iter()
        .zip(labels)
        .map(|((name, _), label)| format!("{name},{label}\n"))
        .collect();
    assert_ne!(shifted, text);
    std::fs::write(path, shifted).expect("other labels");
    folder.to_str().expect("a plain name").to_owned()
}

#[test]
fn with_the_whole_target_a_teacher_is_all_that_counts_and_a_share_blends() {
    let program = Program::new();
    let teacher = program.trained("teacher", "1", &[]);
    let relabelled = relabelled(&program);
    let split = program.run("split.txt");
    let pupil = |name: &str, flags: &[&str]| {
        let best = program.trained(name, "7", flags);
        (state(Path::new(&best)).tensors, losses(&program.run(name)))
    };
    let elsewhere = ["--data", &relabelled, "--split", &split];
    let whole = ["--teacher", &teacher, "--teacher-share", "1"];
    let quarter = ["--teacher", &teacher, "--teacher-share", "0.25"];
    let (of_teacher, taught) = pupil("taught", &whole);
    let (of_teacher_elsewhere, taught_elsewhere) = pupil("taught-elsewhere", &[&whole[..], &elsewhere].concat());
    assert_eq!(taught, taught_elsewhere);
    assert_eq!(of_teacher, of_teacher_elsewhere);
    let (of_labels, labelled) = pupil("labelled", &[]);
    assert_ne!(of_labels, pupil("labelled-elsewhere", &elsewhere).0);
    assert_ne!(of_labels, of_teacher);
    // Before the first step all of them are the same network, that of seed 7, with the same draws.
    let (_, blended) = pupil("blended", &quarter);
    let expected = 0.75 * labelled[0] + 0.25 * taught[0];
    assert!(
        (blended[0] - expected).abs() < BLEND,
        "{} is not {expected}",
        blended[0]
    );
    assert!((labelled[0] - taught[0]).abs() > 100.0 * BLEND);
    let last = last_checkpoint(&program.run("taught"));
    assert!(last.metadata["dualnet.training"].contains("teachers_digest"));
}

#[test]
fn a_taught_run_is_resumed_to_the_bit_by_the_same_teachers() {
    let program = Program::new();
    // The folder of a run names its best checkpoint.
    program.trained("first", "1", &[]);
    program.trained("second", "2", &[]);
    let teachers = format!("{},{}", program.run("first"), program.run("second"));
    let (whole, pieces) = (program.run("whole"), program.run("pieces"));
    let taught = [
        &SMALL_RUN[..],
        &["--teacher", &teachers, "--mixup", "0.2", "--checkpoint-steps", "1"],
    ]
    .concat();
    program.succeeds(&[&taught[..], &["--run", &whole]].concat());
    program.killed_at(3, &pieces, &[&taught[..], &["--run", &pieces]].concat());

    let resume = ["train", "--resume", "--run", &pieces];
    let file = Path::new(&program.run("second")).join("best.safetensors");
    let bytes = std::fs::read(&file).expect("a teacher");
    std::fs::copy(Path::new(&program.run("first")).join("best.safetensors"), &file).expect("another teacher");
    let message = program.refuses(&resume);
    assert!(
        message.contains("was taught by others than the files of --teacher and --teacher-answers hold now"),
        "{message}"
    );
    std::fs::remove_file(&file).expect("gone");
    let message = program.refuses(&resume);
    assert!(message.contains("second/best.safetensors: "), "{message}");
    std::fs::write(&file, bytes).expect("the teacher again");

    program.succeeds(&resume);
    assert_eq!(last_checkpoint(&pieces).tensors, last_checkpoint(&whole).tensors);
    assert_eq!(losses(&pieces).len(), 8);
}

#[test]
fn records_that_a_teacher_held_back_too_may_choose_the_epoch() {
    let program = Program::new();
    let held_back = ["--hold-back", "0.25"];
    let teacher = program.trained("teacher", "7", &held_back);
    // The same split under another name; parts of a step, each with a teacher of its own.
    std::fs::copy(program.path("split.txt"), program.path("copy.txt")).expect("a copy");
    let (records, copy) = (records_dir(), program.run("copy.txt"));
    let teachers = format!("{teacher},{teacher}");
    let flags = ["--teacher", &teachers, "--accumulate", "2", "--split", &copy];
    let data = ["--data", records.to_str().expect("a plain name")];
    let best = program.trained("pupil", "7", &[&flags[..], &data, &held_back].concat());
    let text = &state(Path::new(&best)).metadata["dualnet.training"];
    let training: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(training["best_epoch_chosen_on"], "held-back training records");
    assert_eq!(training["teachers_digest"].as_str().map(str::len), Some(16));
}

#[test]
fn what_cannot_teach_is_refused_before_a_run_begins() {
    let program = Program::new();
    let teacher = program.trained("teacher", "1", &[]);
    let two_classes = program.trained("two", "1", &["--two-classes"]);
    let altered = |name: &str, change: &dyn Fn(&mut StateDict)| {
        let mut state = state(Path::new(&teacher));
        change(&mut state);
        let path = program.path(name);
        state.save(&path).expect("a file");
        path.to_str().expect("a plain name").to_owned()
    };
    let nameless = altered("nameless.safetensors", &|state| {
        state.metadata.remove("dualnet.configuration");
    });
    let infinite = altered("infinite.safetensors", &|state| {
        let name = "linear_layer_2.bias".to_owned();
        let values = vec![0.0, f32::INFINITY, 0.0, 0.0];
        state.tensors.insert(name, Tensor::f32(&[4], values).expect("a tensor"));
    });
    let short = altered("short.safetensors", &|state| {
        state.tensors.remove("linear_layer_2.bias");
    });
    let list = |range: std::ops::Range<u32>| range.map(|index| format!(" {index}")).collect::<String>();
    let split = format!("train{}\nvalidation{}\n", list(6..22), list(0..6));
    std::fs::write(program.path("other.txt"), split).expect("another split");
    let (records, other) = (records_dir(), program.run("other.txt"));
    let elsewhere = ["--data", records.to_str().expect("a plain name"), "--split", &other];
    let run = program.run("run");
    for (flags, expected) in [
        (&["--teacher", "nowhere.safetensors"][..], "nowhere.safetensors: "),
        (
            &["--teacher", &two_classes],
            "its classes are N, A; it cannot teach N, O, A, ~",
        ),
        (
            &["--teacher", &nameless],
            "does not say which network it is; a teacher must",
        ),
        (&["--teacher", &infinite], "NaN or infinite"),
        (&["--teacher", &short], "linear_layer_2.bias"),
        (
            &[&["--teacher", &teacher], &elsewhere[..]].concat(),
            &format!("and the validation records of {other} may be among its training records"),
        ),
        (
            &["--teacher", &teacher, "--hold-back", "0.25"],
            "was not trained with --hold-back 0.25 --seed 7",
        ),
        (
            &["--teacher-share", "0.5"],
            "distillation needs a teacher (--teacher) or answers (--teacher-answers)",
        ),
        (
            &["--teacher", &teacher, "--teacher-share", "0"],
            "above 0 and at most 1, not 0",
        ),
        (
            &["--teacher", &teacher, "--teacher-share", "1.5"],
            "above 0 and at most 1, not 1.5",
        ),
        (
            &["--teacher", &teacher, "--teacher-share", "nan"],
            "above 0 and at most 1, not NaN",
        ),
    ] {
        let message = program.refuses(&[&SMALL_RUN[..], flags, &["--run", &run]].concat());
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert!(!Path::new(&run).exists(), "{flags:?} began a run");
    }
}
