//! A run that is stopped and resumed, in mid-epoch too, ends with the very same weights.

mod common;

use common::StopAfter;
use dualnet_engine::pending::PARTIAL;
use dualnet_export::network::Network;
use dualnet_export::weights::StateDict;
use dualnet_fixtures::records_dir;
use dualnet_trainer::data::{Dataset, Label, Labels, Split, physionet};
use dualnet_trainer::error::TrainerError;
use dualnet_trainer::torch::Parameters;
use dualnet_trainer::train::{Changes, Checkpoint, DropoutUnit, EarlierPlan, Records, Team, TrainOptions, Training};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

fn records(threads: usize) -> Records {
    let dataset = Arc::new(physionet::read(&records_dir(), Labels::Released).expect("the fixture records"));
    let count = dataset.recordings.len() as u32;
    let split = Split {
        name: "fixtures".to_owned(),
        train: (0..count - 6).collect(),
        validation: (count - 6..count).collect(),
    };
    Records::new(dataset, split, threads)
}

fn start(folder: &Path, threads: usize) -> Training {
    let options = TrainOptions {
        epochs: 2,
        batch_size: 6,
        seed: 42,
        augmentation: 0.5,
        checkpoint_steps: 1,
        ..TrainOptions::default()
    };
    let network = Network::preset("dualnet-s").expect("a preset");
    Training::start(network, options, folder, records(threads)).expect("a run")
}

/// The folder of a run that was stopped after its first step.
fn stopped_at_once() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder.path(), 1)
        .run(&mut StopAfter(1))
        .expect_err("stopped at once");
    folder
}

fn weights(training: &Training) -> Vec<(String, Vec<f32>)> {
    let parameters = training.parameters();
    let values = |name: &str| parameters.values(name).expect("a tensor");
    parameters
        .iter()
        .map(|(parameter, _)| (parameter.name.clone(), values(&parameter.name)))
        .collect()
}

#[test]
fn a_resumed_run_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    let mut uninterrupted = start(&whole, 1);
    uninterrupted.run(&mut StopAfter(usize::MAX)).expect("a whole run");

    let pieces = folder.path().join("pieces");
    let mut stopped = start(&pieces, 2);
    let error = stopped.run(&mut StopAfter(2)).expect_err("stopped in the first epoch");
    assert!(matches!(error, TrainerError::Interrupted { epoch: 1 }), "{error}");
    let taken = Training::resume(&pieces, None, |_| Ok(records(3)))
        .err()
        .expect("refused");
    assert!(taken.to_string().contains("another trainer is at work"), "{taken}");
    drop(stopped);
    let mut stopped = Training::resume(&pieces, None, |_| Ok(records(3))).expect("resumed");
    stopped.run(&mut StopAfter(2)).expect_err("stopped in the second epoch");
    drop(stopped);
    let mut resumed = Training::resume(&pieces, None, |_| Ok(records(1))).expect("resumed again");
    resumed.run(&mut StopAfter(usize::MAX)).expect("the rest");

    assert_eq!(weights(&resumed), weights(&uninterrupted));
    for file in ["best.safetensors", "last.safetensors", "run.toml", "log.csv"] {
        assert!(pieces.join(file).exists(), "{file}");
    }
    let log = |folder: &Path| std::fs::read_to_string(folder.join("log.csv")).expect("a log");
    assert_eq!(log(&pieces).lines().count(), 3);
    let losses = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split(',').nth(2).unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(losses(&log(&pieces)), losses(&log(&whole)));
}

/// A run goes on with what its dropout left out, also one that does not say so because there was no choice when it began.
#[test]
fn a_resumed_run_leaves_out_what_it_did() {
    let folder = stopped_at_once();
    let configuration = std::fs::read_to_string(folder.path().join("run.toml")).expect("a configuration");
    assert!(configuration.contains("dropout_unit = \"elements\""), "{configuration}");
    let unit = || {
        let run = Training::resume(folder.path(), None, |_| Ok(records(1))).expect("resumed");
        run.options().dropout_unit
    };
    assert_eq!(unit(), Some(DropoutUnit::Elements));

    forget(folder.path(), br#"\"dropout_unit\":\"elements\","#, 0);
    assert_eq!(unit(), Some(DropoutUnit::Channels));
}

/// A kill, or a full disk, leaves half a line in the log and half a checkpoint beside the last one.
#[test]
fn what_was_half_written_is_written_again() {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder.path(), 1).run(&mut StopAfter(usize::MAX)).expect("a run");
    let last = folder.path().join("last.safetensors");
    let checkpoint = std::fs::read(&last).expect("a checkpoint");
    let log = folder.path().join("log.csv");
    let whole = std::fs::read_to_string(&log).expect("a log");
    let head = whole.lines().next().expect("a head").len() + 1;
    let half = folder.path().join(format!(".last.safetensors.1.0{PARTIAL}"));
    for cut in [
        whole.len() - 1,
        whole.len() - 9,
        whole.len() - 40,
        head + 3,
        head - 5,
        0,
    ] {
        std::fs::write(&log, &whole[..cut]).expect("a log");
        std::fs::write(&half, [0; 9]).expect("half a checkpoint");
        let mut resumed = Training::resume(folder.path(), Some(3), |_| Ok(records(1))).expect("resumed");
        assert!(!half.exists());
        resumed.run(&mut StopAfter(1)).expect_err("stopped");
        let kept = std::fs::read_to_string(&log).expect("a log");
        let end = whole[..cut].rfind('\n').map_or(0, |end| end + 1);
        // The head alone is written with the first line.
        let expected = if end == head { "" } else { &whole[..end] };
        assert_eq!(kept, expected, "cut at {cut}");
        std::fs::write(&last, &checkpoint).expect("a checkpoint");
    }
}

/// Not after the rest of the epochs.
#[test]
fn a_missing_best_checkpoint_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder.path(), 1).run(&mut StopAfter(usize::MAX)).expect("a run");
    let best = folder.path().join("best.safetensors");
    std::fs::rename(&best, folder.path().join("elsewhere")).expect("moved");
    let refused = Training::resume(folder.path(), Some(3), |_| Ok(records(1)));
    let refused = refused.err().expect("refused").to_string();
    assert!(
        refused.contains("best.safetensors: is missing: the network of epoch "),
        "{refused}"
    );
}

/// Killed between the two files of an epoch: the kept network is of an epoch that the last checkpoint does not know.
#[test]
fn a_best_checkpoint_ahead_of_the_last_is_the_best() {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder.path(), 1).run(&mut StopAfter(usize::MAX)).expect("a run");
    let path = folder.path().join("best.safetensors");
    let mut best = StateDict::open(&path).expect("a checkpoint");
    let edit = |best: &mut StateDict, entry: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let text = best.metadata.get_mut(entry).expect("an entry");
        let mut value = serde_json::from_str(text).expect("JSON");
        change(&mut value);
        *text = value.to_string();
    };
    edit(&mut best, "dualnet.training", &|training| training["epoch"] = 3.into());
    edit(&mut best, "dualnet.metrics", &|metrics| {
        metrics["validation"]["accuracy"] = 1.0.into()
    });
    best.save(&path).expect("written");
    let mut resumed = Training::resume(folder.path(), Some(3), |_| Ok(records(1))).expect("resumed");
    resumed.run(&mut StopAfter(usize::MAX)).expect("a run");
    drop(resumed);
    let result = std::fs::read(folder.path().join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_slice(&result).expect("JSON");
    assert_eq!(result["best"]["epoch"], 3);
    let last = StateDict::open(folder.path().join("last.safetensors")).expect("a checkpoint");
    let progress: serde_json::Value = serde_json::from_str(&last.metadata["dualnet.progress"]).expect("JSON");
    assert_eq!(progress["best"], serde_json::json!([1.0, 3]));
}

#[test]
fn a_resumed_run_may_compute_elsewhere_and_says_so() {
    let folder = stopped_at_once();
    let resume = |device: &str| {
        let changes = Changes {
            device: Some(device.to_owned()),
            ..Changes::default()
        };
        Training::resume_in(Team::default(), folder.path(), changes, |_| Ok(records(1)))
    };
    let refused = resume("gpu9").err().expect("refused").to_string();
    assert!(refused.contains("cpu, cuda, cuda:N and auto"), "{refused}");
    assert_eq!(resume("auto").expect("resumed").options().device, "auto");
    let configuration = std::fs::read_to_string(folder.path().join("run.toml")).expect("a configuration");
    assert!(configuration.contains("device = \"auto\""), "{configuration}");
}

#[test]
fn a_resumed_run_does_not_end_before_where_it_stands() {
    let folder = stopped_at_once();
    let refused = |epochs| {
        let resumed = Training::resume(folder.path(), Some(epochs), |_| Ok(records(1)));
        resumed.err().expect("refused").to_string()
    };
    assert!(
        refused(0).contains("0 epochs are done; --epochs 0 leaves nothing to go on with"),
        "{}",
        refused(0)
    );
    Training::resume(folder.path(), Some(1), |_| Ok(records(1))).expect("resumed");
}

#[test]
fn a_resumed_run_can_be_given_more_epochs_and_says_so() {
    let folder = stopped_at_once();
    let run = Training::resume(folder.path(), Some(3), |_| Ok(records(1))).expect("resumed");
    assert_eq!(run.options().epochs, 3);
    assert_eq!(
        run.options().earlier_plans,
        [EarlierPlan {
            epochs: 2,
            until_epoch: 1
        }]
    );
    let configuration = std::fs::read_to_string(folder.path().join("run.toml")).expect("a configuration");
    assert!(configuration.contains("\nepochs = 3\n"), "{configuration}");
}

#[test]
fn a_folder_with_a_run_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("last.safetensors"), b"precious").expect("a file");
    let network = Network::preset("dualnet-s").expect("a preset");
    let error = Training::start(network, TrainOptions::default(), folder.path(), records(1))
        .err()
        .expect("refused");
    assert!(error.to_string().contains("--resume"), "{error}");
    assert_eq!(
        std::fs::read(folder.path().join("last.safetensors")).expect("the file"),
        b"precious"
    );
}

/// Without the last checkpoint nobody can go on; what was kept stays all the same. A kill in the first epoch leaves nothing worth it.
#[test]
fn what_was_kept_of_a_run_is_not_overwritten() {
    let start = |folder: &Path| {
        let network = Network::preset("dualnet-s").expect("a preset");
        Training::start(network, TrainOptions::default(), folder, records(1)).map(drop)
    };
    let best = |folder: &Path, epoch: Option<usize>| {
        let network = Network::preset("dualnet-s").expect("a preset");
        let parameters = Parameters::initial(&network, 0).expect("parameters");
        let training = json!({ "epoch": epoch });
        let checkpoint = Checkpoint::new(&network, &parameters, &training, &json!({})).expect("a checkpoint");
        checkpoint.save(&folder.join("best.safetensors")).expect("written");
    };
    for epoch in [Some(2), None] {
        let folder = tempfile::tempdir().expect("a folder");
        best(folder.path(), epoch);
        let error = start(folder.path()).expect_err("refused").to_string();
        assert!(error.contains("best.safetensors: is an earlier run's"), "{error}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    best(folder.path(), Some(1));
    start(folder.path()).expect("a run");
    // A resumed run would take it for its own.
    assert!(!folder.path().join("best.safetensors").exists());
    std::fs::write(folder.path().join("result.json"), "{}").expect("a file");
    let error = start(folder.path()).expect_err("refused").to_string();
    assert!(error.contains("result.json: is an earlier run's"), "{error}");
    for (log, kept) in [("epoch,x\n1,0.1\n", false), ("epoch,x\n1,0.1\n2,0.1\n", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        best(folder.path(), Some(1));
        std::fs::write(folder.path().join("log.csv"), log).expect("a file");
        let error = start(folder.path()).err().map(|error| error.to_string());
        assert_eq!(
            error.is_some_and(|error| error.contains("log.csv: is an earlier")),
            kept
        );
    }
}

#[test]
fn a_run_that_another_trainer_made_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let last = folder.path().join("last.safetensors");
    let network = Network::preset("dualnet-s").expect("a preset");
    let meanwhile = |_: &TrainOptions| {
        std::fs::write(&last, b"precious").expect("a file");
        Ok(records(1))
    };
    let started = Training::start_in(
        Team::default(),
        network,
        TrainOptions::default(),
        folder.path(),
        meanwhile,
    );
    let refused = started.err().expect("refused").to_string();
    assert!(refused.contains("a run is here already"), "{refused}");
    assert_eq!(std::fs::read(&last).expect("the file"), b"precious");
    assert!(!folder.path().join("run.toml").exists());
}

#[test]
fn a_checkpoint_of_another_network_names_the_tensor() {
    let folder = stopped_at_once();
    let path = folder.path().join("last.safetensors");
    let checkpoint = dualnet_trainer::train::Checkpoint::open(&path).expect("a checkpoint");
    let other = Network::preset("dualnet-m").expect("a preset");
    let error = dualnet_trainer::train::parameters_of(&other, checkpoint.state(), &path)
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("spectrogram_encoder") || error.contains("ecg_encoder"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_continued_is_refused() {
    let folder = stopped_at_once();
    let path = folder.path().join("last.safetensors");
    let whole = StateDict::open(&path).expect("a checkpoint");
    let refusal = |state: &StateDict| {
        state.save(&path).expect("written");
        let resumed = Training::resume(folder.path(), None, |_| Ok(records(1)));
        resumed.err().expect("refused").to_string()
    };

    let mut halved = whole.clone();
    halved.tensors.remove("optimizer.first.linear_layer_2.weight");
    let error = refusal(&halved);
    assert!(
        error.contains("linear_layer_2.weight") && error.contains("moments"),
        "{error}"
    );

    let mut before_the_first = whole;
    let progress = before_the_first.metadata.get_mut("dualnet.progress").expect("progress");
    *progress = progress.replace("\"epoch\":1", "\"epoch\":0");
    let error = refusal(&before_the_first);
    assert!(error.contains("epochs count from 1"), "{error}");
}

/// Leaves an entry and so many bytes behind it out of the last checkpoint, as if it were of before.
fn forget(folder: &Path, entry: &[u8], more: usize) {
    let path = folder.join("last.safetensors");
    let mut bytes = std::fs::read(&path).expect("a checkpoint");
    let places: Vec<usize> = (0..bytes.len() - entry.len())
        .filter(|&at| bytes[at..].starts_with(entry))
        .collect();
    assert!(!places.is_empty(), "no entry");
    for at in places {
        // Spaces instead, so that the header stays as long as it is.
        bytes[at..at + entry.len() + more].fill(b' ');
    }
    std::fs::write(&path, bytes).expect("a checkpoint of before");
}

/// What may become of the records while a run is stopped.
type Change = dyn Fn(&mut Dataset, &mut Split);

#[test]
fn a_run_does_not_go_on_with_other_records() {
    let folder = stopped_at_once();
    let resumed = |change: &Change| {
        let released = records(1);
        let mut dataset = Dataset::clone(&released.dataset.expect("recordings"));
        let mut split = released.split;
        change(&mut dataset, &mut split);
        let records = Records::new(Arc::new(dataset), split, 1);
        Training::resume(folder.path(), None, |_| Ok(records)).map(|_| ())
    };
    assert!(resumed(&|_, _| {}).is_ok());
    let changes: [&Change; 6] = [
        &|_, split| split.train.swap(0, 1),
        &|_, split| split.validation.truncate(5),
        &|_, split| split.validation.extend(split.train.pop()),
        &|dataset, _| {
            let label = &mut dataset.recordings[0].label;
            *label = if *label == Label::Normal {
                Label::Other
            } else {
                Label::Normal
            };
        },
        &|dataset, _| dataset.recordings[0].samples.push(0.0),
        &|dataset, _| "B00001".clone_into(&mut dataset.recordings[0].name),
    ];
    for (place, change) in changes.iter().enumerate() {
        let error = resumed(change).expect_err("other records").to_string();
        assert!(error.contains("was trained on other records"), "{place}: {error}");
        assert!(error.contains("last.safetensors"), "{place}: {error}");
    }
    // A checkpoint of before does not know its records.
    forget(
        folder.path(),
        br#"\"records_digest\":\""#,
        br#"0123456789abcdef\","#.len(),
    );
    for change in changes {
        assert!(resumed(change).is_ok());
    }
}

#[test]
fn the_log_of_a_run_that_ended_before_its_checkpoint_has_every_epoch_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log.csv");
    start(folder.path(), 1)
        .run(&mut StopAfter(3))
        .expect_err("stopped with the first epoch's batches done");
    std::fs::write(
        &log,
        "epoch,learning_rate,train_loss,records_per_second,accuracy,f1_macro,f1_challenge\n1,0.1,9.0,1.0,,,\n",
    )
    .expect("a log");
    let mut resumed = Training::resume(folder.path(), None, |_| Ok(records(1))).expect("resumed");
    assert_eq!(resumed.epochs_left(), 2);
    resumed.run(&mut StopAfter(usize::MAX)).expect("the rest");
    assert_eq!(resumed.epochs_left(), 0);
    let text = std::fs::read_to_string(&log).expect("a log");
    let epochs: Vec<&str> = text
        .lines()
        .map(|line| line.split(',').next().unwrap_or_default())
        .collect();
    assert_eq!(epochs, ["epoch", "1", "2"]);
    assert!(!text.contains("1,0.1,9.0,"), "{text}");
}
