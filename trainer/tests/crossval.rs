//! Cross-validation of ECG-DualNet S on the fixture records: two folds, one epoch, stopped and gone on with.

mod common;

use common::{StopAfter, trainer};
use dualnet_engine::signal::Excerpt;
use dualnet_export::network::preset;
use dualnet_fixtures::records_dir;
use dualnet_trainer::beats::{BeatOptions, BeatTable};
use dualnet_trainer::crossval::{CheckpointPredictions, CrossValidation, FoldPredictions, Plan, Settings};
use dualnet_trainer::data::{Dataset, Excerpts, Labels, Source, physionet};
use dualnet_trainer::error::TrainerError;
use dualnet_trainer::evaluate::{TorchPredictor, evaluate};
use dualnet_trainer::train::{Checkpoint, Distillation, TrainOptions, network_of, parameters_of};
use std::path::Path;
use std::sync::Arc;

fn never() -> StopAfter {
    StopAfter(usize::MAX)
}

fn plan(hold_back: f64) -> Plan {
    Plan {
        crossval: Settings {
            folds: 2,
            hold_back,
            labels: "REFERENCE.csv".to_owned(),
            records: 22,
            split: None,
        },
        train: TrainOptions {
            epochs: 1,
            batch_size: 5,
            seed: 3,
            checkpoint_steps: 1,
            checkpoint_every: 0,
            ..TrainOptions::default()
        },
        network: preset("dualnet-s").expect("a preset"),
    }
}

fn dataset() -> Dataset {
    physionet::read(&records_dir(), Labels::Released).expect("the fixture records")
}

fn open(plan: Plan, dataset: Dataset, folder: &Path) -> Result<CrossValidation, TrainerError> {
    CrossValidation::open(plan, Arc::new(dataset), folder, 1)
}

#[test]
fn a_stopped_cross_validation_goes_on_and_ends_with_the_same_predictions() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    let uninterrupted = open(plan(0.2), dataset(), &whole).expect("a cross-validation");
    let expected: Vec<FoldPredictions> = (0..2)
        .map(|fold| uninterrupted.fold(fold, &mut never()).expect("a fold"))
        .collect();

    let stopped = open(plan(0.2), dataset(), &pieces).expect("a cross-validation");
    let error = stopped.fold(0, &mut StopAfter(1)).expect_err("stopped");
    assert!(matches!(error, TrainerError::Interrupted { epoch: 1 }), "{error}");
    assert!(stopped.folder(0).join("last.safetensors").exists());
    assert_eq!(stopped.done(0).expect("nothing yet"), None);
    let resumed = open(plan(0.2), dataset(), &pieces).expect("the same cross-validation");
    let found: Vec<FoldPredictions> = (0..2)
        .map(|fold| resumed.fold(fold, &mut never()).expect("a fold"))
        .collect();
    assert_eq!(found, expected);
    // What is done is read, not trained again: no batch would be allowed.
    assert_eq!(resumed.fold(1, &mut StopAfter(0)).expect("done already"), expected[1]);

    let mut names: Vec<&str> = found
        .iter()
        .flat_map(|fold| &fold.records)
        .map(String::as_str)
        .collect();
    assert_eq!(names.len(), 22);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 22, "every record is predicted once");

    let summary = resumed.summary(&found).expect("the figures");
    let best = summary.best.as_ref().expect("held-back records choose an epoch");
    for figures in [&summary.last, best] {
        assert_eq!(figures.pooled.evaluation.records, 22);
        assert_eq!(figures.folds.len(), 2);
        assert!(
            figures
                .folds
                .iter()
                .all(|fold| fold.epoch == 1 && fold.temperature.is_some())
        );
        assert!(figures.folds.iter().all(|fold| {
            let [low, high] = fold.measured.intervals.accuracy;
            (low..=high).contains(&fold.measured.evaluation.accuracy)
        }));
        // Both folds have eleven records: the pooled share is the mean of the two, up to rounding.
        assert!((figures.accuracy.mean - figures.pooled.evaluation.accuracy).abs() < 1e-12);
        let [low, high] = figures.pooled.intervals.accuracy;
        assert!(low <= figures.accuracy.mean && figures.accuracy.mean <= high);
        assert!(figures.pooled_with_temperature.is_some());
    }

    // Nor is what another plan made, whoever put it there.
    std::fs::remove_file(pieces.join("crossval.toml")).expect("a plan");
    let mut other = plan(0.2);
    other.train.label_smoothing = 0.1;
    let other = open(other, dataset(), &pieces).expect("a cross-validation");
    let refusal = |error: TrainerError| error.to_string();
    let predictions = other.done(0).map_err(refusal).expect_err("another plan");
    assert!(
        predictions.contains("another plan (label_smoothing 0.0, now 0.1)"),
        "{predictions}"
    );
    std::fs::remove_file(other.folder(0).join("predictions.json")).expect("predictions");
    let training = other.fold(0, &mut never()).map_err(refusal).expect_err("another plan");
    assert!(
        training.contains("another plan (label_smoothing 0.0, not 0.1)"),
        "{training}"
    );
    std::fs::remove_file(pieces.join("crossval.toml")).expect("a plan");

    // Reading predictions of other labels as this data set's would be silent nonsense.
    let mut relabelled = dataset();
    let labels: Vec<_> = relabelled.recordings.iter().map(|recording| recording.label).collect();
    relabelled
        .recordings
        .iter_mut()
        .zip(labels.iter().rev())
        .for_each(|(recording, label)| recording.label = *label);
    let other = open(plan(0.2), relabelled, &pieces).expect("the same plan");
    assert!(
        other
            .done(1)
            .expect_err("other records")
            .to_string()
            .contains("other records or labels")
    );
}

/// Weights, epoch and temperature are the same whatever the fold's records are.
#[test]
fn a_fold_s_records_do_not_reach_its_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let original = open(plan(0.2), dataset(), &folder.path().join("original")).expect("a cross-validation");
    let mut changed = dataset();
    for &record in original.records(0) {
        changed.recordings[record as usize]
            .samples
            .iter_mut()
            .for_each(|sample| *sample = -*sample);
    }
    let changed = open(plan(0.2), changed, &folder.path().join("changed")).expect("a cross-validation");
    assert_eq!(changed.records(0), original.records(0));
    let (one, other) = (
        original.fold(0, &mut never()).expect("a fold"),
        changed.fold(0, &mut never()).expect("a fold"),
    );
    assert_ne!(one.last.probabilities, other.last.probabilities, "the records differ");
    assert_eq!(one.last.temperature, other.last.temperature);
    let chosen = |fold: &FoldPredictions| fold.best.as_ref().map(|best| (best.epoch, best.temperature));
    assert_eq!(chosen(&one), chosen(&other));
}

#[test]
fn without_held_back_records_there_is_no_choice() {
    let folder = tempfile::tempdir().expect("a folder");
    let validation = open(plan(0.0), dataset(), folder.path()).expect("a cross-validation");
    let fold = validation.fold(1, &mut never()).expect("a fold");
    assert_eq!((fold.best.is_none(), fold.last.temperature), (true, None));
    let summary = validation.summary(&[fold]).expect("figures");
    assert!(summary.best.is_none() && summary.last.pooled_with_temperature.is_none());
}

/// With all of the forest, a fold's figures are those of a forest that was fitted to the other folds' records; with nothing of it, the network's.
#[test]
fn beats_are_read_by_forests_that_have_not_learned_the_fold() {
    let folder = tempfile::tempdir().expect("a folder");
    let dataset = dataset();
    let validation = open(plan(0.0), dataset.clone(), folder.path()).expect("a cross-validation");
    let folds: Vec<FoldPredictions> = (0..2)
        .map(|fold| {
            let records = validation.records(fold).iter();
            let recordings = records.map(|&record| &dataset.recordings[record as usize]);
            let last = CheckpointPredictions {
                epoch: 1,
                temperature: Some(2.0),
                probabilities: [0.1, 0.2, 0.3, 0.4].repeat(recordings.len()),
            };
            FoldPredictions {
                plan: String::new(),
                records: recordings.clone().map(|recording| recording.name.clone()).collect(),
                labels: recordings.map(|recording| recording.label.index() as i64).collect(),
                last,
                best: None,
            }
        })
        .collect();
    let options = |share| BeatOptions {
        trees: 10,
        min_leaf_weight: 0.0,
        share,
        ..BeatOptions::default()
    };
    let alone = validation.summary(&folds).expect("figures").last;
    let nothing = validation.with_beats(&folds, &options(0.0)).expect("figures").last;
    assert_eq!(nothing.pooled, alone.pooled);
    assert!(nothing.pooled_with_temperature.is_none());
    let all = validation.with_beats(&folds, &options(1.0)).expect("figures");
    assert!(all.share == 1.0 && all.best.is_none());
    for fold in 0..2 {
        let measured = |fold: usize| BeatTable::measure(&dataset, validation.records(fold)).expect("beats");
        // In the order of the data set, in which it draws what a tree is grown on.
        let mut learned = validation.records(1 - fold).to_vec();
        learned.sort_unstable();
        let learned = BeatTable::measure(&dataset, &learned).expect("beats");
        let forest = learned.fit(&options(1.0), serde_json::Value::Null).expect("a forest");
        let expected = measured(fold).predictions(&forest).evaluation().expect("figures");
        assert_eq!(all.last.folds[fold].measured.evaluation, expected);
    }
}

/// Each record is read by the network of its fold: the mean of what that says of the excerpts.
#[test]
fn excerpts_are_read_by_the_networks_of_the_folds() {
    let folder = tempfile::tempdir().expect("a folder");
    let dataset = Arc::new(dataset());
    let validation =
        CrossValidation::open(plan(0.2), Arc::clone(&dataset), folder.path(), 1).expect("a cross-validation");
    for fold in 0..2 {
        let whole = validation.fold(fold, &mut never()).expect("a fold");
        let read = validation.excerpts(fold, &whole).expect("excerpts");
        assert_eq!((&read.records, &read.labels), (&whole.records, &whole.labels));
        assert_ne!(read.last.probabilities, whole.last.probabilities);
        assert!(read.best.is_some_and(|best| best.temperature.is_some()));
        let mut other = whole.clone();
        other.last.epoch += 1;
        let refusal = validation
            .excerpts(fold, &other)
            .expect_err("other checkpoints")
            .to_string();
        assert!(refusal.contains("other epochs than predictions.json"), "{refusal}");

        let path = validation.folder(fold).join("last.safetensors");
        let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
        let network = network_of(checkpoint.state()).expect("a network").expect("its name");
        let parameters = parameters_of(&network, checkpoint.state(), &path).expect("parameters");
        let mut predictor = TorchPredictor { network, parameters };
        let records = validation.records(fold);
        let mut parts = Excerpt::ALL.map(|excerpt| {
            let dataset = Arc::clone(&dataset);
            let source: Arc<dyn Source> = Arc::new(Excerpts { dataset, excerpt });
            let predicted = evaluate(&mut predictor, &source, records, 5, 1, &mut |_| Ok(())).expect("predictions");
            predicted.probabilities.into_iter()
        });
        for (place, found) in read.last.probabilities.iter().enumerate() {
            let parts = parts.each_mut().map(|part| part.next().expect("a probability"));
            // Float32 holds the mean of three within this.
            assert!(
                (parts.iter().sum::<f32>() / 3.0 - found).abs() < 1e-6,
                "{place}: {parts:?} {found}"
            );
        }
    }
}

#[test]
fn another_plan_in_the_same_folder_is_refused_by_what_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    open(plan(0.2), dataset(), folder.path()).expect("a cross-validation");
    open(plan(0.2), dataset(), folder.path()).expect("the same one");
    let refusal = |plan: Plan| open(plan, dataset(), folder.path()).expect_err("refused").to_string();
    let mut other = plan(0.2);
    other.train.epochs = 2;
    assert!(refusal(other).contains("epochs 1, now 2"));
    assert!(refusal(plan(0.1)).contains("hold_back 0.2, now 0.1"));
    let mut other = plan(0.2);
    other.network = preset("dualnet-m").expect("a preset");
    let message = refusal(other);
    assert!(
        message.contains("another plan") && message.contains("crossval.toml"),
        "{message}"
    );
}

/// Its folds were trained with dropout of channels.
#[test]
fn a_plan_that_does_not_say_what_dropout_leaves_out_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    open(plan(0.2), dataset(), folder.path()).expect("a cross-validation");
    let path = folder.path().join("crossval.toml");
    let text = std::fs::read_to_string(&path).expect("the plan");
    let line = "dropout_unit = \"elements\"\n";
    assert!(text.contains(line), "{text}");
    std::fs::write(&path, text.replace(line, "")).expect("a plan of before");
    let message = open(plan(0.2), dataset(), folder.path())
        .expect_err("refused")
        .to_string();
    assert!(
        message.contains(r#"dropout_unit "channels", now "elements""#),
        "{message}"
    );
}

#[test]
fn what_cannot_be_cross_validated_is_an_error_and_leaves_no_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    let refusal = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan(0.2);
        change(&mut plan);
        let message = open(plan, dataset(), &runs).expect_err("refused").to_string();
        assert!(!runs.exists(), "{message}");
        message
    };
    assert!(refusal(&|plan| plan.crossval.folds = 1).contains("2 to 22"));
    assert!(refusal(&|plan| plan.crossval.folds = 23).contains("2 to 22"));
    assert!(refusal(&|plan| plan.crossval.hold_back = 1.0).contains("held-back share"));
    assert!(refusal(&|plan| plan.crossval.hold_back = f64::NAN).contains("held-back share"));
    assert!(refusal(&|plan| plan.train.distillation = Some(Distillation::default())).contains("teachers"));
    assert!(refusal(&|plan| plan.crossval.records = 21).contains("22"));
    assert!(refusal(&|plan| plan.train.epochs = 0).contains("epochs"));
    // What a fold's training ended with has learned the other fold.
    let trained = folder.path().join("trained");
    let validation = open(plan(0.0), dataset(), &trained).expect("a cross-validation");
    validation.fold(0, &mut never()).expect("a fold");
    let weights = trained.join("fold-1/last.safetensors");
    let message = refusal(&|plan| plan.train.load = Some(weights.clone()));
    assert!(
        message.contains("last.safetensors") && message.contains("was trained on physionet"),
        "{message}"
    );
}

#[test]
fn the_program_prints_and_writes_the_figures_and_skips_what_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runs, data) = (folder.path().join("cv"), records_dir());
    let (runs_name, data_name) = (
        runs.to_str().expect("a plain name"),
        data.to_str().expect("a plain name"),
    );
    let command = [
        "crossval",
        "--data",
        data_name,
        "--runs",
        runs_name,
        "--network",
        "dualnet-s",
        "--labels",
        "released",
        "--folds",
        "2",
        "--epochs",
        "1",
        "--batch-size",
        "6",
        "--limit",
        "14",
        "--seed",
        "1",
        "--hold-back",
        "0.3",
        "--classes",
        "2",
    ];
    let output = |arguments: &[&str]| {
        let output = trainer(&[&command[..], arguments].concat());
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code(), text.concat())
    };
    let (code, text) = output(&["--fold", "3"]);
    assert!(
        code == Some(2) && text.contains("--fold 3: the folds are 1 to 2"),
        "{text}"
    );
    let (code, text) = output(&["--beats"]);
    assert!(code == Some(2) && text.contains("the network's N, A"), "{text}");
    let (code, text) = output(&["--beats=1.5"]);
    assert!(code == Some(2) && text.contains("--beats=1.5"), "{text}");
    let (code, text) = output(&["--fold", "2"]);
    assert!(code == Some(0) && text.contains("not done yet: fold 1 of 2"), "{text}");
    assert!(!runs.join("fold-1").exists() && !runs.join("crossval.csv").exists());
    let first = trainer(&command);
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert_eq!(
        first.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    for part in [
        "fold 1 of 2",
        "fold-2: done already",
        "last epoch",
        "best epoch",
        "± sd",
        "AF sensitivity",
        "95 % interval",
        "temperature",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(runs.join("crossval.json")).expect("the figures")).expect("JSON");
    assert_eq!(json["last"]["pooled"]["evaluation"]["records"], 14);
    assert_eq!(json["plan"]["crossval"]["labels"], "REFERENCE.csv");
    assert_eq!(json["plan"]["network"]["classes"], 2);
    assert!(json["last"]["f1_challenge"].is_null());
    let csv = std::fs::read_to_string(runs.join("crossval.csv")).expect("the predictions");
    assert_eq!(
        (csv.lines().count(), csv.lines().next()),
        (15, Some("record,class,probability_af,probability_N"))
    );

    let again = trainer(&command);
    let text_again = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(text_again.matches("done already").count(), 2, "{text_again}");
    assert!(text_again.ends_with(&text[text.find("\nlast epoch").expect("figures")..]));

    let (code, text_again) = output(&["--excerpts"]);
    assert!(
        code == Some(0) && text_again.contains("last epoch, reading excerpts\n"),
        "{text_again}"
    );
    let read: serde_json::Value =
        serde_json::from_slice(&std::fs::read(runs.join("crossval.json")).expect("the figures")).expect("JSON");
    assert_eq!(read["with_excerpts"]["best"]["pooled"]["evaluation"]["records"], 14);
    assert_eq!(read["last"], json["last"]);
    assert!(json["with_excerpts"].is_null() && read["with_beats"].is_null());

    // The revised labels are the default, and missing here.
    let refused = trainer(&[
        "crossval",
        "--network",
        "dualnet-s",
        "--data",
        data_name,
        "--runs",
        runs_name,
    ]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("REFERENCE-v3.csv"));
}
