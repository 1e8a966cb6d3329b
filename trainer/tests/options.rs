//! The options beyond the published recipe, through the program.

mod common;

use common::{Program, SMALL_RUN, last_checkpoint, losses, state};
use dualnet_fixtures::records_dir;
use std::path::Path;

fn column(run: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(run).join("log.csv")).expect("a log");
    let mut lines = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().expect("a head");
    let index = head.iter().position(|column| column == name).expect("the column");
    lines.map(|line| line[index].clone()).collect()
}

#[test]
fn every_option_trains_and_is_stored_with_the_run() {
    let program = Program::new();
    let run = program.run("options");
    let flags = [
        "--average-decay",
        "0.9",
        "--label-smoothing",
        "0.1",
        "--mixup",
        "0.2",
        "--hold-back",
        "0.25",
        "--schedule",
        "cosine",
        "--precision",
        "bf16",
        "--accumulate",
        "2",
        "--clean-epochs",
        "1",
        "--dropout-unit",
        "channels",
        "--clip-gradients",
        "0.5",
        "--invert",
        "0.5",
    ];
    program.succeeds(&[&SMALL_RUN[..], &flags, &["--run", &run]].concat());
    let configuration = std::fs::read_to_string(Path::new(&run).join("run.toml")).expect("a configuration");
    for line in [
        "average_decay = 0.9",
        "label_smoothing = 0.1",
        "precision = \"bf16\"",
        "hold_back = 0.25",
        "dropout_unit = \"channels\"",
        "clip_gradients = 0.5",
        "invert_probability = 0.5",
    ] {
        assert!(configuration.contains(line), "{line}: {configuration}");
    }
    let best = state(&Path::new(&run).join("best.safetensors"));
    assert!(best.metadata["dualnet.training"].contains("held-back training records"));
    assert!(best.metadata["dualnet.metrics"].contains("held_back"));
    assert!(column(&run, "trained_accuracy").iter().all(|value| !value.is_empty()));
    let result = std::fs::read_to_string(Path::new(&run).join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(result["last"]["evaluation"]["records"], 6);
    assert!(result["best"]["intervals"]["accuracy"][1].is_number());
}

#[test]
fn the_average_is_resumed_to_the_bit() {
    let program = Program::new();
    let (whole, pieces) = (program.run("whole"), program.run("pieces"));
    let run = |folder: &str, epochs: &str| {
        let mut arguments = SMALL_RUN;
        arguments[4] = epochs;
        program.succeeds(
            &[
                &arguments[..],
                &["--average-decay", "0.9", "--schedule", "step", "--run", folder],
            ]
            .concat(),
        );
    };
    run(&whole, "3");
    // A run of three epochs whose first two are done: the step schedule of 2 and 3 epochs differs, so the cut is a stop.
    let mut arguments = SMALL_RUN;
    arguments[4] = "3";
    let full = [
        &arguments[..],
        &["--average-decay", "0.9", "--run", &pieces, "--checkpoint-steps", "1"],
    ]
    .concat();
    program.killed_at(2, &pieces, &full);
    assert!(losses(&pieces).len() < losses(&whole).len(), "the run was done");
    program.succeeds(&["train", "--resume", "--run", &pieces]);
    let whole = last_checkpoint(&whole).tensors;
    assert_eq!(last_checkpoint(&pieces).tensors, whole);
    assert!(whole.keys().any(|name| name.starts_with("optimizer.trained.")));
}

#[test]
fn a_transfer_takes_what_fits_and_draws_the_last_layer_anew() {
    let program = Program::new();
    let first = program.run("first");
    let mut one_epoch = SMALL_RUN;
    one_epoch[4] = "1";
    program.succeeds(&[&one_epoch[..], &["--run", &first]].concat());
    let weights = Path::new(&first).join("best.safetensors");
    let second = program.run("second");
    let weights = weights.to_str().expect("a plain name");
    let printed = program.succeeds(&[&one_epoch[..], &["--two-classes", "--load", weights, "--run", &second]].concat());
    assert!(
        printed.contains("tensors taken") && printed.contains("linear_layer_2.weight"),
        "{printed}"
    );

    let third = program.run("third");
    let printed = program.succeeds(
        &[
            &one_epoch[..],
            &[
                "--load",
                weights,
                "--keep-last-layer",
                "--learning-rate",
                "1e-30",
                "--run",
                &third,
            ],
        ]
        .concat(),
    );
    assert!(printed.contains("the last layer is kept"), "{printed}");
    let read = |run: &str| state(&Path::new(run).join("best.safetensors")).tensors;
    assert_eq!(
        read(&third)["linear_layer_2.weight"],
        read(&first)["linear_layer_2.weight"]
    );
    let message = program.refuses(
        &[
            &one_epoch[..],
            &[
                "--two-classes",
                "--load",
                weights,
                "--keep-last-layer",
                "--run",
                &program.run("fourth"),
            ],
        ]
        .concat(),
    );
    assert!(message.contains("not N, A: its last layer cannot be kept"), "{message}");

    // The split of `program` validates on 16 to 22; this one trained on them.
    let list = |range: std::ops::Range<u32>| range.map(|index| format!(" {index}")).collect::<String>();
    std::fs::write(
        program.path("other.txt"),
        format!("train{}\nvalidation{}\n", list(6..22), list(0..6)),
    )
    .expect("a split");
    let records = records_dir();
    let elsewhere = [
        "--data",
        records.to_str().expect("a plain name"),
        "--split",
        &program.run("other.txt"),
    ];
    let leaking = program.run("leaking");
    let message = program.refuses(&[&one_epoch[..], &elsewhere, &["--load", weights, "--run", &leaking]].concat());
    assert!(message.contains("may be among its training records"), "{message}");
    assert!(!Path::new(&leaking).exists());
    let flags = [&["evaluate", weights][..], &elsewhere].concat();
    let output = program.output(&flags);
    assert!(output.status.success());
    let warning = String::from_utf8(output.stderr).expect("text");
    assert!(
        warning.contains("warning: ") && warning.contains("that it has learned"),
        "{warning}"
    );
    let on_its_own = ["--data", elsewhere[1], "--split", &program.run("split.txt")];
    let output = program.output(&[&["evaluate", weights][..], &on_its_own].concat());
    assert!(output.status.success() && output.stderr.is_empty());

    // Fewer of the same records: those that validate are not among the others' training records.
    let fewer = program.run("fewer");
    program.succeeds(&[&one_epoch[..], &["--limit", "3", "--load", weights, "--run", &fewer]].concat());

    let fifth = program.run("fifth");
    let message = program.refuses(&[&one_epoch[..], &["--load", "nowhere.pt", "--run", &fifth]].concat());
    assert!(
        message.contains("nowhere.pt: ") && !Path::new(&fifth).exists(),
        "{message}"
    );
    let message = program.refuses(&[&one_epoch[..], &["--load", weights, "--run", &second]].concat());
    assert!(message.contains("a run is here already"), "{message}");
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let program = Program::new();
    let run = program.run("run");
    for (flags, named) in [
        (&["--device", "gpu"][..], "cpu, cuda, cuda:N and auto"),
        (&["--devices", "cpu,cpu"], "--data-parallel"),
        (&["--data-parallel"], "--devices"),
        (&["--accumulate", "25"], "at most batch_size"),
        (&["--keep-last-layer"], "load"),
    ] {
        let message = program.refuses(&[&SMALL_RUN[..], flags, &["--run", &run]].concat());
        assert!(message.contains(named), "{message}");
    }
    assert!(!Path::new(&run).exists());
}

/// MODEL.md, section 4: only a strictly higher accuracy makes a later epoch the best.
#[test]
fn of_epochs_that_are_level_the_earliest_is_the_best() {
    let program = Program::new();
    let run = program.run("level");
    // Whose weights do not move says the same after every epoch, as its average does, whose statistics are hardly moved.
    let still = [
        "--learning-rate",
        "1e-30",
        "--no-augmentation",
        "--average-decay",
        "0.999999",
    ];
    program.succeeds(&[&SMALL_RUN[..], &still, &["--run", &run]].concat());
    let accuracy = column(&run, "accuracy");
    assert_eq!((accuracy.len(), &accuracy[0]), (2, &accuracy[1]));
    let result = std::fs::read_to_string(Path::new(&run).join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(
        (&result["best"]["epoch"], &result["last"]["epoch"]),
        (&1.into(), &2.into())
    );
}
