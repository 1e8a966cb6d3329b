//! The experiments of the paper: what the recipes say, and short versions of each kind.

mod common;
mod icentia_files;

use common::KINDS;
use dualnet_fixtures::{icentia_dir, records_dir};
use dualnet_trainer::data::{KnownDataset, Labels, Split, physionet};
use dualnet_trainer::error::TrainerError;
use dualnet_trainer::experiments::{
    Ablation, Beginning, Data, Group, Listener, Outcome, Overrides, Reproduction, Run, Standing, TABLE, find,
    published, run_folder, select,
};
use dualnet_trainer::train::{DropoutUnit, REVISION, Records, Report, TrainOptions};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

#[test]
fn the_table_has_every_row_once_and_what_it_starts_from_comes_first() {
    for (place, recipe) in TABLE.iter().enumerate() {
        assert_eq!(TABLE.iter().filter(|other| other.name == recipe.name).count(), 1);
        if let Some(source) = recipe.starts_from {
            let source = TABLE.iter().position(|other| other.name == source).expect("a row");
            assert!(source < place, "{} comes before {}", recipe.name, TABLE[source].name);
            assert_eq!(TABLE[source].network, recipe.network);
            assert_eq!(TABLE[source].data, Data::Icentia11k);
        }
    }
    let runs: usize = TABLE.iter().map(|recipe| recipe.runs).sum();
    assert_eq!(runs, 9 * 3 + 3 + 2 + 2 * 3 + 2 * 3 + 4);
}

// Section 4 of MODEL.md and the table of section 3.
#[test]
fn recipes_are_the_published_ones() {
    let none = Overrides::default();
    for recipe in &TABLE {
        let network = recipe.network(&none).expect("a network");
        let options = recipe.options(1, None, &none);
        assert_eq!(network.classes, recipe.class_weights.len(), "{}", recipe.name);
        assert_eq!(options.fault(recipe.classes), None, "{}", recipe.name);
        let is_icentia = recipe.data == Data::Icentia11k;
        assert_eq!(
            network.class_names()[0],
            if is_icentia { "~" } else { "N" },
            "{}",
            recipe.name
        );
        assert_eq!((options.learning_rate, options.validate_every), (1e-3, 2));
        let parts = if recipe.name == "dualnet-pp-130m" { 4 } else { 1 };
        assert_eq!(options.accumulate, parts, "{}", recipe.name);
        let expected = match recipe.group {
            Group::Results | Group::FineTuned => ("paper", 100, 24, 0.2, 0.05),
            Group::Ablation if recipe.ablation == Some(Ablation::Augmentation) => ("paper", 100, 24, 0.0, 0.0),
            Group::Ablation => ("paper", 100, 24, 0.2, 0.05),
            Group::PreTraining => ("paper", 20, 100, 0.0, 0.05),
            Group::Challenge => ("challenge", 100, 24, 0.2, 0.05),
            Group::TwoClasses if recipe.name.contains("-0.4-") => ("challenge", 100, 24, 0.4, 0.05),
            Group::TwoClasses => ("challenge", 100, 24, 0.2, 0.3),
        };
        let found = (
            options.split.as_str(),
            options.epochs,
            options.batch_size,
            options.augmentation,
            recipe.dropout,
        );
        assert_eq!(found, expected, "{}", recipe.name);
    }
    // What the original's code left out when it made each table.
    for recipe in &TABLE {
        let expected = match recipe.group {
            Group::TwoClasses => DropoutUnit::Channels,
            _ => DropoutUnit::Elements,
        };
        assert_eq!(recipe.dropout_unit, expected, "{}", recipe.name);
    }
    let weights = |name: &str| find(name).expect("a row").class_weights;
    assert_eq!(weights("dualnet-s"), [0.4, 0.7, 0.9, 0.9]);
    assert_eq!(weights("pretrain-dualnet-xl"), [0.1, 0.1, 1.0, 4.0]);
    assert_eq!(weights("two-classes-dualnet-xl"), [1.0, 1.0]);
    let ablated = |name: &str| find(name).expect("a row").network(&none).expect("a network");
    assert_eq!(ablated("no-signal-encoder").name, "dualnet-m-no-signal-encoder");
    assert!(!ablated("no-spectrogram-encoder").spectrogram_encoder);
}

#[test]
fn overrides_replace_what_they_name_and_keep_the_rest() {
    let overrides = Overrides {
        network: Some("dualnet-l".to_owned()),
        epochs: Some(4),
        batch_size: Some(6),
        limit: Some(12),
        ..Overrides::default()
    };
    let recipe = find("no-signal-encoder").expect("a row");
    assert_eq!(
        recipe.network(&overrides).expect("a network").name,
        "dualnet-l-no-signal-encoder"
    );
    let options = recipe.options(7, None, &overrides);
    assert_eq!(
        (options.epochs, options.batch_size, options.limit, options.seed),
        (4, 6, Some(12), 7)
    );
    assert_eq!(options.checkpoint_every, 4, "the last epoch is kept");
    let unknown = Overrides {
        network: Some("dualnet-xxs".to_owned()),
        ..Overrides::default()
    };
    assert!(
        recipe
            .network(&unknown)
            .expect_err("no such network")
            .to_string()
            .contains("dualnet-s")
    );
}

#[test]
fn rows_are_chosen_by_name_in_the_tables_order() {
    let names = ["two-classes-dualnet-xl", "dualnet-m", "dualnet-m"].map(str::to_owned);
    let rows: Vec<&str> = select(&names).expect("rows").iter().map(|row| row.name).collect();
    assert_eq!(rows, ["dualnet-m", "two-classes-dualnet-xl"]);
    assert_eq!(select(&[]).expect("rows").len(), TABLE.len());
    let error = select(&["dualnet-xs".to_owned()]).expect_err("no such row");
    assert!(
        error.contains("dualnet-xs") && error.contains("pretrain-dualnet-pp-xl"),
        "{error}"
    );
}

#[test]
fn published_figures_have_one_value_per_run_and_belong_to_their_curve() {
    for recipe in &TABLE {
        let Some(row) = published(recipe.name) else {
            assert!(recipe.name.starts_with("two-classes-0.4-"), "{}", recipe.name);
            continue;
        };
        assert_eq!(
            (row.accuracy.len(), row.f1.len()),
            (recipe.runs, recipe.runs),
            "{}",
            recipe.name
        );
        let Some(curve) = &row.curve else {
            assert_eq!(recipe.group, Group::Ablation, "{}", recipe.name);
            continue;
        };
        assert_eq!(curve.loss.len(), recipe.epochs, "{}", recipe.name);
        assert_eq!(
            (curve.accuracy.len(), curve.f1.len()),
            (recipe.epochs / 2, recipe.epochs / 2)
        );
        // The paper cuts the fourth digit off where the log rounds it.
        let best = curve.accuracy.iter().copied().fold(0.0, f64::max);
        let is_published = |accuracy: &f64| (accuracy - best).abs() < 1.5e-4;
        assert!(row.accuracy.iter().any(is_published), "{}: {best}", recipe.name);
    }
}

/// Trains and validates on the fixture records; counts what begins, and stops the run after so many batches.
struct Silent {
    begun: Vec<(String, Beginning)>,
    batches_left: usize,
}

impl Silent {
    fn new() -> Self {
        Self {
            begun: Vec::new(),
            batches_left: usize::MAX,
        }
    }
}

impl Report for Silent {
    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        assert!(loss.is_finite());
        self.batches_left -= 1;
        match self.batches_left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Listener for Silent {
    fn begins(&mut self, run: &Run, beginning: Beginning) {
        self.begun
            .push((format!("{}/{}", run.recipe.name, run.seed), beginning));
    }

    fn ends(&mut self, _: &Run, _: &Outcome) {}
}

/// The fixtures are fewer than the published splits divide.
fn fixture_records(_: &TrainOptions) -> Result<Records, TrainerError> {
    let dataset = Arc::new(physionet::read(&records_dir(), Labels::Released)?);
    let count = dataset.recordings.len() as u32;
    let split = Split {
        name: "fixtures".to_owned(),
        train: (0..count).step_by(2).collect(),
        validation: (1..count).step_by(2).collect(),
    };
    Ok(Records::new(dataset, split, 1))
}

/// Two epochs of ECG-DualNet S (or ++ S) with a few records.
fn short(rows: &[&str], runs: &Path, network: &str) -> Reproduction {
    let names: Vec<String> = rows.iter().map(|&row| row.to_owned()).collect();
    Reproduction {
        rows: select(&names).expect("rows"),
        seeds: Some(vec![1]),
        overrides: Overrides {
            network: Some(network.to_owned()),
            epochs: Some(2),
            batch_size: Some(6),
            limit: Some(6),
            ..Overrides::default()
        },
        runs: runs.to_owned(),
    }
}

fn outcomes(reproduction: &Reproduction, listener: &mut Silent) -> Vec<Outcome> {
    outcomes_on(&mut fixture_records, reproduction, listener)
}

fn outcomes_on(
    records: &mut dyn FnMut(&TrainOptions) -> Result<Records, TrainerError>,
    reproduction: &Reproduction,
    listener: &mut Silent,
) -> Vec<Outcome> {
    let made = reproduction.run(records, listener).expect("not interrupted");
    made.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The fixtures, and the patients in `icentia`.
fn all_records(icentia: &Path) -> impl FnMut(&TrainOptions) -> Result<Records, TrainerError> {
    move |options| match options.dataset {
        KnownDataset::Icentia11k => Records::open(options, icentia, 1),
        _ => fixture_records(options),
    }
}

/// A pre-training on two patients.
fn pre_training(runs: &Path, row: &str) {
    let icentia = icentia_files::two_patients();
    let made = outcomes_on(
        &mut all_records(icentia.path()),
        &short(&[row], runs, "dualnet-s"),
        &mut Silent::new(),
    );
    assert_eq!(made, [Outcome::Trained]);
}

#[test]
fn two_epochs_of_every_kind_on_the_fixtures_then_nothing_is_left_to_do() {
    let runs = tempfile::tempdir().expect("a folder");
    let icentia = icentia_files::two_patients();
    let reproduction = short(&KINDS, runs.path(), "dualnet-s");
    let mut listener = Silent::new();
    assert_eq!(
        outcomes_on(&mut all_records(icentia.path()), &reproduction, &mut listener),
        vec![Outcome::Trained; KINDS.len()]
    );
    assert!(
        listener
            .begun
            .iter()
            .all(|(_, beginning)| *beginning == Beginning::Fresh)
    );
    for row in KINDS {
        let folder = run_folder(runs.path(), row, 1);
        for file in [
            "run.toml",
            "log.csv",
            "best.safetensors",
            "last.safetensors",
            "epoch-002.safetensors",
        ] {
            assert!(folder.join(file).is_file(), "{row}: {file}");
        }
        names_its_revision(&folder);
        let standing = Standing::read(&folder).expect("a checkpoint").expect("a run");
        assert!(standing.is_finished());
        assert_eq!(standing.done(), 2);
        // Cut off behind its header, it is no finished run.
        let last = std::fs::read(folder.join("last.safetensors")).expect("a file");
        let cut = tempfile::tempdir().expect("a folder");
        std::fs::write(cut.path().join("last.safetensors"), &last[..last.len() - 1]).expect("a file");
        let error = Standing::read(cut.path()).expect_err("damaged").to_string();
        assert!(error.contains("is damaged"), "{error}");
    }
    let mut listener = Silent::new();
    assert_eq!(
        outcomes_on(&mut all_records(icentia.path()), &reproduction, &mut listener),
        vec![Outcome::WasDone; KINDS.len()]
    );
    assert_eq!(listener.begun, []);
    speaks_of_its_own_classes(runs.path(), 6);
}

/// A run's folder says which program made it, in its configuration and in its result.
fn names_its_revision(folder: &Path) {
    let (version, commit) = REVISION.split_once(' ').unwrap_or((REVISION, ""));
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    if Path::new(env!("CARGO_MANIFEST_DIR")).join("../.git").exists() {
        let hash = commit.strip_prefix('(').and_then(|commit| commit.strip_suffix(')'));
        let hash = hash.map(|hash| hash.strip_suffix("-dirty").unwrap_or(hash));
        assert!(
            hash.is_some_and(|hash| hash.len() >= 12 && hash.bytes().all(|digit| digit.is_ascii_hexdigit())),
            "{REVISION}"
        );
    }
    let configuration = std::fs::read_to_string(folder.join("run.toml")).expect("a configuration");
    assert_eq!(configuration.lines().next(), Some(&*format!("# trainer {REVISION}")));
    let result = std::fs::read_to_string(folder.join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
    for epoch in ["best", "last"] {
        assert_eq!(result[epoch]["training"]["revision"], REVISION, "{epoch}");
    }
}

/// What a pre-training on Icentia11k says of itself, and what starts from it.
fn speaks_of_its_own_classes(runs: &Path, segments: usize) {
    let folder = run_folder(runs, "pretrain-dualnet-xl", 1);
    let standing = Standing::read(&folder).expect("a checkpoint").expect("a run");
    assert_eq!(standing.network.class_names(), ["~", "N", "A", "F"]);
    assert_eq!(standing.training["training_records"], segments);
    assert!(
        standing.training["data"]
            .to_string()
            .contains("Tan et al. 2019, CC BY-NC-SA 4.0")
    );
    assert!(standing.training["labels"].to_string().contains("flutter"));
    let result = std::fs::read_to_string(folder.join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
    let evaluation = &result["last"]["evaluation"];
    assert_eq!(evaluation["records"], segments);
    assert!(evaluation["f1_challenge"].is_null(), "the challenge ranks N, O and A");
    assert!(result["last"]["intervals"]["f1_challenge"].is_null());
    let fine_tuned = run_folder(runs, "fine-tuned-dualnet-xl", 1);
    let standing = Standing::read(&fine_tuned).expect("a checkpoint").expect("a run");
    assert_eq!(standing.network.class_names(), ["N", "O", "A", "~"]);
}

/// Two epochs on 8 segments of a patient, then fine-tuning from there; 00016 validates under another number.
#[test]
#[ignore = "needs ECG_ICENTIA_DIR; `make test-icentia` runs it"]
fn icentia11k_pre_training_on_two_patients() {
    let runs = tempfile::tempdir().expect("a folder");
    let icentia = tempfile::tempdir().expect("a folder");
    for (patient, number) in [("00010", "00010"), ("00016", "10016")] {
        for suffix in ["_batched.pkl.gz", "_batched_lbls.pkl.gz"] {
            let source = icentia_dir().join(format!("{patient}{suffix}"));
            let source = source
                .canonicalize()
                .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
            std::os::unix::fs::symlink(source, icentia.path().join(format!("{number}{suffix}"))).expect("a link");
        }
    }
    let rows = ["pretrain-dualnet-xl", "fine-tuned-dualnet-xl"];
    let mut reproduction = short(&rows, runs.path(), "dualnet-s");
    reproduction.overrides.batch_size = None;
    reproduction.overrides.limit = Some(8);
    let made = outcomes_on(&mut all_records(icentia.path()), &reproduction, &mut Silent::new());
    assert_eq!(made, [Outcome::Trained, Outcome::Trained]);
    speaks_of_its_own_classes(runs.path(), 8);
}

#[test]
fn an_interrupt_ends_all_and_the_next_call_goes_on_with_the_same_run() {
    let runs = tempfile::tempdir().expect("a folder");
    let reproduction = short(&["dualnet-s", "no-augmentation"], runs.path(), "dualnet-s");
    let mut listener = Silent::new();
    listener.batches_left = 2;
    let error = reproduction
        .run(&mut fixture_records, &mut listener)
        .expect_err("interrupted");
    assert!(matches!(error, TrainerError::Interrupted { epoch: 2 }), "{error}");
    assert_eq!(listener.begun.len(), 1, "the second row does not begin");
    let mut listener = Silent::new();
    assert_eq!(outcomes(&reproduction, &mut listener), vec![Outcome::Trained; 2]);
    let resumed = Beginning::Resumed { done: 1, epochs: 2 };
    assert_eq!(
        listener.begun,
        [
            ("dualnet-s/1".to_owned(), resumed),
            ("no-augmentation/1".to_owned(), Beginning::Fresh)
        ]
    );
}

// What a kill leaves before the first checkpoint, and what damage leaves.
#[test]
fn a_run_without_a_checkpoint_begins_again_and_a_damaged_one_does_not_stop_the_next() {
    let runs = tempfile::tempdir().expect("a folder");
    let started = run_folder(runs.path(), "dualnet-s", 1);
    std::fs::create_dir_all(&started).expect("a folder");
    std::fs::write(started.join("run.toml"), "[train]\n").expect("a file");
    std::fs::write(started.join("log.csv"), "").expect("a file");
    let damaged = run_folder(runs.path(), "dualnet-m", 1);
    std::fs::create_dir_all(&damaged).expect("a folder");
    std::fs::write(damaged.join("last.safetensors"), [0xff; 64]).expect("a file");
    let reproduction = short(&["dualnet-s", "dualnet-m", "no-augmentation"], runs.path(), "dualnet-s");
    let made = outcomes(&reproduction, &mut Silent::new());
    assert_eq!((&made[0], &made[2]), (&Outcome::Trained, &Outcome::Trained));
    let Outcome::Failed(reason) = &made[1] else {
        panic!("{made:?}")
    };
    assert!(
        reason.contains("dualnet-m") && reason.contains("last.safetensors"),
        "{reason}"
    );
}

#[test]
fn a_missing_or_unfinished_pre_training_is_named_with_the_row_that_makes_it() {
    let runs = tempfile::tempdir().expect("a folder");
    let mut reproduction = short(&["fine-tuned-dualnet-xl"], runs.path(), "dualnet-s");
    let made = outcomes(&reproduction, &mut Silent::new());
    let [Outcome::Failed(reason)] = made.as_slice() else {
        panic!("{made:?}")
    };
    assert!(reason.contains("reproduce pretrain-dualnet-xl --icentia"), "{reason}");
    reproduction.add_missing_pre_trainings();
    let plan: Vec<&str> = reproduction.plan().iter().map(|run| run.recipe.name).collect();
    assert_eq!(plan, ["pretrain-dualnet-xl", "fine-tuned-dualnet-xl"]);
    pre_training(runs.path(), "pretrain-dualnet-xl");
    let mut reproduction = short(&["fine-tuned-dualnet-xl"], runs.path(), "dualnet-s");
    reproduction.add_missing_pre_trainings();
    assert_eq!(reproduction.plan().len(), 1, "the pre-training is done");
    let reproduction = short(&["fine-tuned-dualnet-xl"], runs.path(), "dualnet-m");
    let made = outcomes(&reproduction, &mut Silent::new());
    let [Outcome::Failed(reason)] = made.as_slice() else {
        panic!("{made:?}")
    };
    assert!(
        reason.contains("is of another recipe (network dualnet-s, not dualnet-m)"),
        "{reason}"
    );
    // A pre-training that was a trial is none for a whole run, also where the network is the same.
    let mut reproduction = short(&["fine-tuned-dualnet-xl"], runs.path(), "dualnet-s");
    reproduction.overrides.epochs = None;
    let made = outcomes(&reproduction, &mut Silent::new());
    let [Outcome::Failed(reason)] = made.as_slice() else {
        panic!("{made:?}")
    };
    assert!(reason.contains("is of another recipe (epochs 2, not 20)"), "{reason}");
    let mut reproduction = short(&["fine-tuned-dualnet-xl"], runs.path(), "dualnet-m");
    reproduction.add_missing_pre_trainings();
    assert_eq!(reproduction.plan().len(), 2);
}

#[test]
fn a_run_of_another_recipe_is_neither_resumed_nor_counted() {
    let runs = tempfile::tempdir().expect("a folder");
    let mut reproduction = short(&["no-augmentation"], runs.path(), "dualnet-s");
    assert_eq!(outcomes(&reproduction, &mut Silent::new()), [Outcome::Trained]);
    // What was measured of it is measured again where the file is damaged, and nothing is trained.
    let folder = run_folder(runs.path(), "no-augmentation", 1);
    let [result, log] = ["result.json", "log.jsonl"].map(|name| folder.join(name));
    let [whole, steps] = [&result, &log].map(|path| std::fs::read(path).expect("a file"));
    std::fs::write(&result, &whole[..whole.len() / 2]).expect("a damaged file");
    assert_eq!(outcomes(&reproduction, &mut Silent::new()), [Outcome::WasDone]);
    assert_eq!(std::fs::read(&result).expect("a result"), whole);
    assert_eq!(std::fs::read(&log).expect("a log"), steps);
    reproduction.overrides.limit = None;
    reproduction.overrides.network = None;
    let made = outcomes(&reproduction, &mut Silent::new());
    let [Outcome::Failed(reason)] = made.as_slice() else {
        panic!("{made:?}")
    };
    assert!(reason.contains("limit 6, not none"), "{reason}");
    assert!(reason.contains("network dualnet-s, not dualnet-m"), "{reason}");
}

#[test]
fn seeds_that_are_asked_for_replace_the_recipes_but_a_pre_training_is_one_run() {
    let mut reproduction = short(&["dualnet-s", "pretrain-dualnet-xl"], Path::new("nowhere"), "dualnet-s");
    reproduction.seeds = None;
    let seeds = |reproduction: &Reproduction| reproduction.plan().iter().map(|run| run.seed).collect::<Vec<_>>();
    assert_eq!(seeds(&reproduction), [1, 2, 3, 1]);
    reproduction.seeds = Some(vec![7, 8]);
    assert_eq!(seeds(&reproduction), [7, 8, 7]);
}
