//! Every kind of experiment through the program, on the published splits; and one that is killed.

mod common;
mod icentia_files;

use common::{KINDS, Kinds, Program, state, wait_for_steps};
use dualnet_export::weights::StateDict;
use dualnet_fixtures::{data_dir, records_dir};
use dualnet_trainer::data::Split;
use dualnet_trainer::experiments::{Standing, run_folder};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

/// [`KINDS`], rows of ++ networks where the table has them.
const PLUS_PLUS_KINDS: Kinds = [
    "dualnet-pp-s",
    "no-augmentation",
    "no-signal-encoder",
    "no-spectrogram-encoder",
    "pretrain-dualnet-pp-xl",
    "fine-tuned-dualnet-pp-xl",
    "challenge-dualnet-pp-xl",
    "two-classes-dualnet-pp-xl",
    "two-classes-0.4-dualnet-pp-xl",
];

fn trainer(arguments: &[&str]) -> String {
    Program::new().succeeds(arguments)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// Two epochs on 24 training and 24 validation records, or segments, of each kind, then the report of what was run.
fn two_epochs_of_every_kind(kinds: Kinds, network: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (runs, report) = (folder.path().join("runs"), folder.path().join("report"));
    let icentia = icentia_files::two_patients();
    let data = data_dir();
    let how = [
        "--network",
        network,
        "--data",
        text(&data),
        "--icentia",
        text(icentia.path()),
        "--runs",
        text(&runs),
        "--limit",
        "24",
        "--batch-size",
        "24",
        "--epochs",
        "2",
        "--seeds",
        "1",
    ];
    let command = [&["reproduce"][..], &kinds, &how].concat();
    trainer(&command);
    for row in kinds {
        let run = runs.join(row).join("seed-1");
        let log = std::fs::read_to_string(run.join("log.csv")).expect("a log");
        assert_eq!(log.lines().count(), 3, "{row}: {log}");
        let result = std::fs::read_to_string(run.join("result.json")).expect("a result");
        let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
        assert_eq!(result["last"]["evaluation"]["records"], 24, "{row}");
        let trained = result["network"].as_str().expect("a name");
        assert!(trained.starts_with(network), "{row}: {trained}");
    }
    let repeated = trainer(&command);
    assert_eq!(repeated.matches("was done before").count(), kinds.len(), "{repeated}");
    trainer(&["report", "--runs", text(&runs), "-o", text(&report)]);
    let table = std::fs::read_to_string(report.join("report.md")).expect("a report");
    assert!(table.contains("seed 1: ") && table.contains("not run"), "{table}");
}

#[test]
#[ignore = "needs ECG_DATA_DIR; `make test-data` runs it"]
fn data_two_epochs_of_every_kind_on_24_records() {
    two_epochs_of_every_kind(KINDS, "dualnet-s");
}

#[test]
#[ignore = "needs ECG_DATA_DIR; `make test-data` runs it"]
fn data_two_epochs_of_every_plus_plus_kind_on_24_records() {
    two_epochs_of_every_kind(PLUS_PLUS_KINDS, "dualnet-pp-s");
}

/// Records that train in these runs, and as many that validate.
const LIMIT: usize = 8;

/// A folder with as many records as the paper's split divides: other fixture records wherever one is used, the shortest of
/// them everywhere else.
fn whole_data_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let records = records_dir().canonicalize().expect("the fixture records");
    let labels = std::fs::read_to_string(records.join("REFERENCE.csv")).expect("their labels");
    let fixtures: Vec<(&str, &str)> = labels.lines().filter_map(|line| line.split_once(',')).collect();
    let file = |fixture: &str| records.join(format!("{fixture}.mat"));
    let bytes = |fixture: &str| file(fixture).metadata().expect("a record").len();
    let shortest = fixtures.iter().copied().min_by_key(|(fixture, _)| bytes(fixture));
    let shortest = shortest.expect("fixture records");
    let split = Split::named("paper").expect("the published split");
    let used = [&split.train[..LIMIT], &split.validation[..LIMIT]].concat();
    let mut reference = String::new();
    for index in 0..split.records() as u32 {
        let place = used.iter().position(|&used| used == index);
        let (fixture, label) = place.map_or(shortest, |place| fixtures[place]);
        let name = format!("R{index:04}");
        symlink(file(fixture), folder.path().join(format!("{name}.mat"))).expect("a link");
        reference += &format!("{name},{label}\n");
    }
    std::fs::write(folder.path().join("REFERENCE.csv"), reference).expect("labels");
    folder
}

/// Four epochs of four steps, the first at the published rate.
fn reproduce<'a>(data: &'a Path, runs: &'a Path) -> Vec<&'a str> {
    let how = [
        "reproduce",
        "dualnet-s",
        "--limit",
        "8",
        "--batch-size",
        "2",
        "--epochs",
        "4",
        "--seeds",
        "1",
        "--threads",
        "1",
    ];
    [&how[..], &["--data", text(data), "--runs", text(runs)]].concat()
}

/// Killed before its first checkpoint and in its second epoch; the same command goes on each time.
#[test]
fn a_reproduction_killed_twice_ends_with_the_same_bits() {
    let data = whole_data_set();
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    trainer(&reproduce(data.path(), &whole));

    for step in [2, 6] {
        let mut child = Program::new()
            .command(&reproduce(data.path(), &pieces))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        wait_for_steps(step, &pieces.join("dualnet-s/seed-1"), &mut child);
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    let said = trainer(&reproduce(data.path(), &pieces));
    assert!(said.contains("dualnet-s/seed-1: goes on after epoch "), "{said}");

    let file = |runs: &Path, name: &str| runs.join("dualnet-s/seed-1").join(name);
    for name in ["last.safetensors", "best.safetensors", "epoch-004.safetensors"] {
        let [killed, not] = [&pieces, &whole].map(|runs| StateDict::open(file(runs, name)).expect("a checkpoint"));
        assert!(killed.tensors == not.tensors, "{name}");
    }
    let losses = |runs: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(file(runs, "log.csv")).expect("a log");
        let columns = |line: &str| line.split(',').take(3).collect::<Vec<_>>().join(",");
        text.lines().map(columns).collect()
    };
    assert_eq!(losses(&pieces), losses(&whole));
    let said = trainer(&reproduce(data.path(), &pieces));
    assert!(said.contains("dualnet-s/seed-1: was done before"), "{said}");
    let list = |how: &[&str]| trainer(&[&["reproduce", "dualnet-s", "--list", "--runs", text(&pieces)], how].concat());
    let changed = ["--limit", "8", "--batch-size", "2", "--epochs", "4"];
    assert!(list(&changed).ends_with("seed 1: done\n"));
    assert!(list(&[]).ends_with("seed 1: done (of another recipe)\n"));
}

/// Row, name of the network, and whether it has a signal encoder, a spectrogram encoder and augmented records.
const ABLATIONS: [(&str, &str, [bool; 3]); 3] = [
    ("no-augmentation", "dualnet-s", [true, true, false]),
    ("no-signal-encoder", "dualnet-s-no-signal-encoder", [false, true, true]),
    (
        "no-spectrogram-encoder",
        "dualnet-s-no-spectrogram-encoder",
        [true, false, true],
    ),
];

/// Two epochs of two steps each; the second call does not even need the records.
#[test]
fn ablations_trains_each_network_without_what_it_leaves_out_and_trains_none_twice() {
    let data = whole_data_set();
    let folder = tempfile::tempdir().expect("a folder");
    let (runs, nowhere) = (folder.path().join("runs"), folder.path().join("nowhere"));
    let ablations = |data: &Path| {
        let how = [
            "ablations",
            "--network",
            "dualnet-s",
            "--limit",
            "8",
            "--batch-size",
            "4",
            "--epochs",
            "2",
            "--seeds",
            "1",
            "--threads",
            "1",
        ];
        trainer(&[&how[..], &["--data", text(data), "--runs", text(&runs)]].concat())
    };
    let said = ablations(data.path());
    assert_eq!(std::fs::read_dir(&runs).expect("the runs").count(), ABLATIONS.len());
    for (row, network, [signal, spectrogram, augmented]) in ABLATIONS {
        assert!(said.contains(&format!("{row}/seed-1: done")), "{said}");
        let run = run_folder(&runs, row, 1);
        let standing = Standing::read(&run).expect("a checkpoint").expect("a run");
        assert!(standing.is_finished(), "{row}");
        assert_eq!(standing.done(), 2, "{row}");
        assert_eq!(standing.network.name, network);
        assert_eq!(standing.network.signal_encoder.is_some(), signal, "{row}");
        assert_eq!(standing.network.spectrogram_encoder, spectrogram, "{row}");
        assert_eq!(standing.options.augmentation > 0.0, augmented, "{row}");
        assert_eq!(
            standing.options.dropout,
            Some(if augmented { 0.05 } else { 0.0 }),
            "{row}"
        );
        for name in ["last.safetensors", "best.safetensors", "epoch-002.safetensors"] {
            let tensors = state(&run.join(name)).tensors;
            let has = |encoder: &str| tensors.keys().any(|tensor| tensor.starts_with(encoder));
            let found = [has("ecg_encoder."), has("spectrogram_encoder."), has("linear_layer_2.")];
            assert_eq!(found, [signal, spectrogram, true], "{row}: {name}");
        }
        let configuration = std::fs::read_to_string(run.join("run.toml")).expect("a configuration");
        let named = format!("name = \"{network}\"\n");
        assert!(configuration.contains(&named), "{configuration}");
        let result = std::fs::read_to_string(run.join("result.json")).expect("a result");
        let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
        assert_eq!(result["network"], network);
        assert_eq!(result["last"]["epoch"], 2, "{row}");
        assert_eq!(result["last"]["evaluation"]["records"], LIMIT, "{row}");
    }

    // With the time of each step: what is trained again has another log.
    let logs = || ABLATIONS.map(|(row, ..)| std::fs::read(run_folder(&runs, row, 1).join("log.jsonl")).expect("a log"));
    let before = logs();
    let repeated = ablations(&nowhere);
    let done = ABLATIONS.map(|(row, ..)| format!("{row}/seed-1: was done before\n"));
    assert_eq!(repeated, done.concat());
    assert!(logs() == before);
}

/// The folder of a data set is asked for before anything is trained.
#[test]
fn a_row_whose_data_are_not_named_is_refused_at_once() {
    let program = Program::new();
    let (runs, data) = (program.run("runs"), records_dir());
    let data = data.to_str().expect("a plain name");
    for (arguments, expected) in [
        (
            &["dualnet-s", "pretrain-dualnet-xl", "--data", data][..],
            "pretrain-dualnet-xl/seed-1 needs --icentia DIR",
        ),
        (
            &["dualnet-s", "fine-tuned-dualnet-xl", "--data", data],
            "starts from the row pretrain-dualnet-xl, which was not run",
        ),
        (
            &["pretrain-dualnet-xl"],
            "pretrain-dualnet-xl/seed-1 needs --icentia DIR",
        ),
        (&["dualnet-s", "--icentia", data], "dualnet-s/seed-1 needs --data DIR"),
        (&[], "at least one of them is needed"),
    ] {
        let message = program.refuses(&[&["reproduce"][..], arguments, &["--runs", &runs]].concat());
        assert!(message.contains(expected), "{message}");
        assert!(!Path::new(&runs).exists());
    }
}
