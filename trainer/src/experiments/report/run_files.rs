//! What the files of a run say. A missing or broken file is a problem to report, not an error.

use super::super::provenance::differences;
use super::super::standing::recipe_options;
use super::super::{Recipe, Standing, run_folder};
use crate::experiments::Overrides;
use crate::logs::whole_lines;
use crate::train::{RunFolder, TrainOptions};
use dualnet_export::network::NetworkConfig;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// One run of a row.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// Its seed.
    pub seed: u64,
    /// Epochs that are done, and epochs in all where that is known.
    pub epochs: (usize, Option<usize>),
    /// The log, one entry per epoch.
    pub log: Vec<EpochLine>,
    /// The best epoch, as far as the run has come.
    pub best: Option<Measured>,
    /// The last validated epoch.
    pub last: Option<Measured>,
    /// What is said about its training: revision, records, device.
    pub training: Value,
    /// In what it differs from the row's recipe.
    pub differences: Vec<String>,
    /// Files that are missing or broken.
    pub problems: Vec<String>,
}

/// The figures of one epoch on the validation records.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Measured {
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// The figures.
    pub evaluation: Figures,
    /// Their bootstrap 95 % intervals.
    pub intervals: Option<Intervals>,
    #[serde(default)]
    training: Value,
}

/// The figures of an evaluation that the report shows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Figures {
    /// Share of records that are right.
    pub accuracy: f64,
    /// Mean F1 over all classes.
    pub f1_macro: f64,
    /// F1 of each class.
    #[serde(default)]
    pub f1_per_class: Vec<f64>,
    /// Mean F1 over N, O and A.
    pub f1_challenge: Option<f64>,
    /// Expected calibration error.
    pub calibration_error: Option<f64>,
    /// Share of the AF records that are found.
    pub af_sensitivity: Option<f64>,
    /// Share of the other records that are not taken for AF.
    pub af_specificity: Option<f64>,
    /// Reference against prediction.
    #[serde(default)]
    pub confusion: Confusion,
}

/// `counts[reference][predicted]`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Confusion {
    /// Records.
    pub counts: Vec<Vec<u64>>,
}

/// Bounds `[low, high]`, as far as the result has them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Intervals {
    /// Of the accuracy.
    pub accuracy: Option<[f64; 2]>,
    /// Of the macro F1.
    pub f1_macro: Option<[f64; 2]>,
    /// Of the F1 of each class.
    #[serde(default)]
    pub f1_per_class: Vec<[f64; 2]>,
    /// Of the mean F1 over N, O and A.
    pub f1_challenge: Option<[f64; 2]>,
    /// Of the expected calibration error.
    pub calibration_error: Option<[f64; 2]>,
    /// Of the share of the AF records that are found.
    pub af_sensitivity: Option<[f64; 2]>,
    /// Of the share of the other records that are not taken for AF.
    pub af_specificity: Option<[f64; 2]>,
}

/// One line of `log.csv`.
#[derive(Clone, Debug, Deserialize)]
pub struct EpochLine {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss.
    pub train_loss: Option<f64>,
    /// Training records per second.
    pub records_per_second: Option<f64>,
    /// Validation accuracy.
    pub accuracy: Option<f64>,
    /// Macro F1.
    pub f1_macro: Option<f64>,
}

#[derive(Deserialize)]
struct ResultFile {
    best: Measured,
    last: Measured,
}

#[derive(Deserialize)]
struct RunToml {
    train: TrainOptions,
}

impl RunFiles {
    /// Reads the folder of the run of `recipe` with this seed.
    pub fn read(runs: &Path, recipe: &Recipe, seed: u64) -> Self {
        let folder = RunFolder::new(&run_folder(runs, recipe.name, seed));
        let mut run = Self {
            seed,
            epochs: (0, None),
            log: Vec::new(),
            best: None,
            last: None,
            training: Value::Null,
            differences: Vec::new(),
            problems: Vec::new(),
        };
        run.read_log(&folder.log());
        run.read_result(&folder.result());
        run.read_standing(&folder, recipe);
        run.miss_result(&folder.result());
        if run.best.is_none() {
            run.figures_of_the_log();
        }
        run
    }

    /// Whether every epoch is done.
    pub fn is_finished(&self) -> bool {
        self.epochs.1.is_some_and(|epochs| self.epochs.0 >= epochs)
    }

    /// Whether its figures are the row's: done to the end, by the row's recipe.
    pub fn counts(&self) -> bool {
        self.is_finished() && self.differences.is_empty() && self.best.is_some()
    }

    /// How far it has come, such as `epoch 12 of 100`.
    pub fn standing(&self) -> String {
        match self.epochs {
            (done, Some(epochs)) if done >= epochs => format!("{epochs} epochs"),
            (done, Some(epochs)) => format!("epoch {done} of {epochs}"),
            (done, None) => format!("epoch {done}"),
        }
    }

    /// Training records per second, the mean over the epochs.
    pub fn records_per_second(&self) -> Option<f64> {
        // None of an epoch that was only validated after a resume.
        let speeds = self.log.iter().filter_map(|line| line.records_per_second);
        let speeds: Vec<f64> = speeds.filter(|&speed| speed > 0.0).collect();
        (!speeds.is_empty()).then(|| speeds.iter().sum::<f64>() / speeds.len() as f64)
    }

    fn read_log(&mut self, path: &Path) {
        let text = match whole_lines(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("log.csv: {error}")),
        };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_slice());
        for line in reader.deserialize::<EpochLine>() {
            match line {
                Ok(line) => self.log.push(line),
                Err(error) => {
                    self.problems.push(format!("log.csv: {error}"));
                    break;
                }
            }
        }
        self.epochs.0 = self.log.iter().map(|line| line.epoch).max().unwrap_or(0);
    }

    /// From the last checkpoint, or from `run.toml` where only the small files were kept.
    fn read_standing(&mut self, folder: &RunFolder, recipe: &Recipe) {
        let (network, options) = match Standing::read(folder.path()) {
            Ok(Some(standing)) => {
                self.epochs = (standing.done(), Some(standing.options.epochs));
                let options = standing.recipe_options();
                self.training = standing.training;
                (standing.network, options)
            }
            other => {
                if let Err(error) = other {
                    self.problems.push(error.to_string());
                }
                match configuration(&folder.configuration()) {
                    Ok((network, options)) => {
                        self.epochs.1 = Some(options.epochs);
                        (network, recipe_options(options, &self.training))
                    }
                    Err(problem) => return self.problems.push(format!("run.toml: {problem}")),
                }
            }
        };
        let none = Overrides::default();
        match differences(recipe, self.seed, &none, (&network, &options), &self.training) {
            Ok(found) => self.differences = found,
            Err(error) => self.problems.push(error.to_string()),
        }
        for plan in &options.earlier_plans {
            let (epochs, until) = (plan.epochs, plan.until_epoch);
            self.differences
                .push(format!("planned for {epochs} epochs up to epoch {until}"));
        }
    }

    fn read_result(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.problems.push(format!("result.json: {error}")),
        };
        match serde_json::from_str::<ResultFile>(&text) {
            Ok(result) => {
                self.training = result.last.training.clone();
                self.best = Some(result.best);
                self.last = Some(result.last);
            }
            Err(error) => self.problems.push(format!("result.json: {error}")),
        }
    }

    /// A run that is done to the end has a result.
    fn miss_result(&mut self, path: &Path) {
        if self.is_finished() && !path.exists() {
            self.problems
                .push("result.json: there is none, though all epochs are done".to_owned());
        }
    }

    /// The best epoch is the first of those with the highest accuracy, as the run itself has it.
    fn figures_of_the_log(&mut self) {
        let validated = self.log.iter().filter_map(|line| {
            let (accuracy, f1_macro) = (line.accuracy?, line.f1_macro?);
            Some(Measured {
                epoch: Some(line.epoch),
                evaluation: Figures {
                    accuracy,
                    f1_macro,
                    ..Figures::default()
                },
                ..Measured::default()
            })
        });
        let (mut best, mut last): (Option<Measured>, Option<Measured>) = (None, None);
        for measured in validated {
            let is_better = |best: &Measured| measured.evaluation.accuracy > best.evaluation.accuracy;
            if best.as_ref().is_none_or(is_better) {
                best = Some(measured.clone());
            }
            last = Some(measured);
        }
        (self.best, self.last) = (best, last);
    }
}

fn configuration(path: &Path) -> Result<(NetworkConfig, TrainOptions), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let network = NetworkConfig::from_toml(&text).map_err(|error| error.to_string())?;
    let file: RunToml = toml::from_str(&text).map_err(|error| error.message().to_owned())?;
    Ok((network, file.train.of_run()))
}
