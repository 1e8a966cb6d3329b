//! Folders of runs as the trainer leaves them, without the weights, with figures made up here.

use crate::common::Program;
use dualnet_engine::score::{Bootstrap, ConfusionMatrix, Evaluation, Intervals};
use dualnet_trainer::evaluate::Measured;
use dualnet_trainer::experiments::{Overrides, find, run_folder};
use dualnet_trainer::logs::{EpochLog, EpochRecord};
use dualnet_trainer::train::{REVISION, TrainOptions};
use serde_json::{Value, json};
use std::path::PathBuf;

const BEST_EPOCH: usize = 40;

// The learning curves, which fall: the best epoch of a log is its first.

pub fn accuracy(seed: u64, epoch: usize) -> f64 {
    0.8 + 0.01 * seed as f64 - 0.002 * epoch as f64
}

pub fn f1(seed: u64, epoch: usize) -> f64 {
    accuracy(seed, epoch) - 0.1
}

pub fn loss(seed: u64, epoch: usize) -> f64 {
    0.2 + 0.01 * seed as f64 - 0.001 * epoch as f64
}

/// An evaluation in which no two figures are the same, each interval from 0.02 below its figure to 0.01 above it.
fn measured(accuracy: f64, f1: f64) -> Measured {
    let around = |value: f64| [value - 0.02, value + 0.01];
    let per_class = [f1 + 0.15, f1 - 0.06, f1 + 0.05, f1 - 0.14];
    let (challenge, sensitivity, specificity) = (f1 + 0.03, accuracy - 0.1, accuracy + 0.12);
    let calibration = 0.9 - accuracy;
    let count = (accuracy * 1000.0).round() as u64;
    Measured {
        evaluation: Evaluation {
            records: 1528,
            accuracy,
            f1_macro: f1,
            f1_challenge: Some(challenge),
            f1_per_class: per_class.to_vec(),
            calibration_error: calibration,
            af_sensitivity: Some(sensitivity),
            af_specificity: Some(specificity),
            confusion: ConfusionMatrix {
                counts: (0..4)
                    .map(|row| (0..4).map(|column| count + 10 * row + column).collect())
                    .collect(),
            },
        },
        intervals: Intervals {
            bootstrap: Bootstrap::default(),
            accuracy: around(accuracy),
            f1_macro: around(f1),
            f1_challenge: Some(around(challenge)),
            f1_per_class: per_class.map(around).to_vec(),
            calibration_error: around(calibration),
            af_sensitivity: Some(around(sensitivity)),
            af_specificity: Some(around(specificity)),
        },
    }
}

/// A run's folder, without the weights.
pub struct Run {
    folder: PathBuf,
    network: String,
    seed: u64,
    options: TrainOptions,
}

impl Run {
    /// The folder with `run.toml`; `change` departs from the row's recipe.
    pub fn create(program: &Program, row: &str, seed: u64, change: impl FnOnce(&mut TrainOptions)) -> Self {
        let (recipe, none) = (find(row).expect("a row"), Overrides::default());
        let mut options = recipe.options(seed, None, &none);
        change(&mut options);
        let network = recipe.network(&none).expect("a network");
        let folder = run_folder(&program.path("runs"), row, seed);
        std::fs::create_dir_all(&folder).expect("a folder");
        let train = toml::to_string(&json!({ "train": options })).expect("TOML");
        let text = format!("# trainer {REVISION}\n{train}\n{}", network.to_toml());
        std::fs::write(folder.join("run.toml"), text).expect("a configuration");
        Self {
            folder,
            network: network.name,
            seed,
            options,
        }
    }

    /// `log.csv` of so many epochs, every second one validated.
    pub fn log(&self, epochs: usize) {
        let log = EpochLog::open(&self.folder.join("log.csv"), 0).expect("a log");
        for epoch in 1..=epochs {
            let figure = |of: fn(u64, usize) -> f64| epoch.is_multiple_of(2).then(|| of(self.seed, epoch));
            let record = EpochRecord {
                epoch,
                learning_rate: 0.001,
                train_loss: loss(self.seed, epoch),
                records_per_second: 40.5,
                accuracy: figure(accuracy),
                f1_macro: figure(f1),
                f1_challenge: figure(f1),
                trained_accuracy: None,
                trained_f1_macro: None,
            };
            log.append(&record).expect("a line");
        }
    }

    /// What `result.json` says.
    pub fn result(&self, best: (f64, f64), last: (f64, f64)) -> Value {
        let entry = |epoch: usize, (accuracy, f1): (f64, f64)| {
            let Measured { evaluation, intervals } = measured(accuracy, f1);
            json!({
                "epoch": epoch,
                "training": {
                    "data": "A & B <i>",
                    "labels": "as released (REFERENCE.csv)",
                    "training_records": 7000,
                    "validation_records": 1528,
                    "epoch": epoch,
                    "epochs": self.options.epochs,
                    "seed": self.seed,
                    "revision": REVISION,
                    "options": self.options,
                },
                "evaluation": evaluation,
                "intervals": intervals,
            })
        };
        json!({
            "network": self.network,
            "best": entry(BEST_EPOCH, best),
            "last": entry(self.options.epochs, last),
        })
    }

    /// The rest of a run that is done.
    pub fn finish(&self, result: &Value) {
        self.log(self.options.epochs);
        let text = serde_json::to_string_pretty(result).expect("JSON");
        std::fs::write(self.folder.join("result.json"), text + "\n").expect("a result");
    }
}
