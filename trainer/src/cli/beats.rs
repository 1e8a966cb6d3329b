//! `trainer beats`

use super::answers::Answers;
use super::{check_output, figures, is_same_file, thread_count, use_threads, write};
use crate::beats::{BeatOptions, BeatTable};
use crate::data::Labels;
use crate::evaluate::Predictions;
use crate::folds::folds_of;
use crate::train::{Records, TrainOptions};
use anyhow::bail;
use clap::Args;
use dualnet_engine::beats::BeatForest;
use dualnet_engine::score::Label;
use serde_json::json;
use std::path::PathBuf;

/// Finds the beats of every record, measures them, and fits a forest of boosted trees that reads a rhythm from the measurements.
///
/// The file it writes goes beside a network, whose probabilities are averaged with the forest's: `trainer evaluate --beats`, `trainer
/// predict --beats`, `engine classify --beats`. What it prints first is the forest alone, cross-validated on the training records: what options of the
/// trees are to be chosen by; then come its figures on the validation records. Half a minute on two processors.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of the data set (A00001.mat …, REFERENCE.csv).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Set of labels: as released (REFERENCE.csv, the default) or revised (REFERENCE-v3.csv).
    #[arg(long)]
    labels: Option<Labels>,
    /// Published split (paper by default), or a file of two lines with the indices that train and validate.
    #[arg(long, value_name = "NAME|FILE")]
    split: Option<String>,
    /// Parts of the training records in cross-validation; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 5)]
    folds: usize,
    /// Write what the cross-validated forests say of the training records, a line for each: what a network can learn from beside
    /// their labels (`trainer train --teacher-answers`).
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Trees of each class.
    #[arg(long, value_name = "N", default_value_t = BeatOptions::default().trees, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    trees: usize,
    /// The most leaves of a tree.
    #[arg(long, value_name = "N", default_value_t = BeatOptions::default().leaves, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=256))]
    leaves: usize,
    /// What each tree's answer is multiplied by, above 0 and at most 1.
    #[arg(long, value_name = "RATE", default_value_t = BeatOptions::default().learning_rate)]
    learning_rate: f64,
    /// The forest's weight in the average with a network, 0 to 1: more of it finds fewer records of AF and takes fewer others for it.
    #[arg(long, value_name = "SHARE", default_value_t = BeatOptions::default().share)]
    share: f64,
    /// Seed of the draws.
    #[arg(long, value_name = "N", default_value_t = BeatOptions::default().seed)]
    seed: u64,
    /// Threads; the default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = arguments.options()?;
    use_threads(arguments.threads)?;
    let defaults = TrainOptions::default();
    let train = TrainOptions {
        split: arguments.split.clone().unwrap_or_else(|| defaults.split.clone()),
        labels: arguments.labels.unwrap_or(defaults.labels),
        ..defaults
    };
    let records = Records::open(&train, &arguments.data, 1)?;
    let Some(dataset) = records.dataset.as_deref() else {
        bail!("beats are measured of PhysioNet/CinC 2017 only");
    };
    let (learned, validation) = (&records.split.train, &records.split.validation);
    let parts = match arguments.folds {
        0 => Vec::new(),
        folds => folds_of(dataset, learned, folds, options.seed)?,
    };
    eprintln!("measuring the beats of {} records", learned.len() + validation.len());
    let table = BeatTable::measure(dataset, learned)?;
    if !parts.is_empty() {
        eprintln!("cross-validating on {} parts of the training records", arguments.folds);
        let found = table.cross_validated(&parts, &options)?;
        print(
            &format!("training records, cross-validated on {} parts", arguments.folds),
            &found,
        )?;
        if let Some(file) = &arguments.answers {
            let names: Vec<String> = learned.iter().map(|&record| records.source.name(record)).collect();
            let mut answers = Answers::new(&Label::ALL.map(|label| label.symbol().to_owned()), true)?;
            answers.add_all(&names, &found.probabilities)?;
            write(file, &answers.finish()?)?;
        }
    }
    eprintln!("fitting");
    let training = json!({
        "data": records.data,
        "labels": records.labels,
        "split": train.split,
        "training_records": learned.len(),
        "validation_records": validation.len(),
        "validation_digest": records.validation_digest(),
        "options": options,
        "program": crate::train::REVISION,
    });
    let forest = table.fit(&options, training)?;
    if !validation.is_empty() {
        let found = BeatTable::measure(dataset, validation)?.predictions(&forest);
        print("validation records", &found)?;
    }
    write(&arguments.output, &forest.to_json())?;
    eprintln!(
        "{} holds {} numbers, {}",
        arguments.output.display(),
        forest.parameters(),
        forest.identity()
    );
    Ok(())
}

impl Arguments {
    fn options(&self) -> anyhow::Result<BeatOptions> {
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            bail!("--learning-rate {} is not above 0 and at most 1", self.learning_rate);
        }
        if self.folds == 1 {
            bail!("--folds 1 leaves nothing to learn from; 0 leaves cross-validation out");
        }
        if !(0.0..=1.0).contains(&self.share) {
            bail!("--share {} is not between 0 and 1", self.share);
        }
        if self.folds == 0 && self.answers.is_some() {
            bail!("--answers are those of forests that are cross-validated: --folds is at least 2");
        }
        let answers = self.answers.as_deref();
        if answers.is_some_and(|answers| is_same_file(answers, &self.output)) {
            bail!("--answers and --output are the same file");
        }
        for output in std::iter::once(self.output.as_path()).chain(answers) {
            check_output(output, [])?;
        }
        Ok(BeatOptions {
            trees: self.trees,
            leaves: self.leaves,
            learning_rate: self.learning_rate,
            share: self.share,
            seed: self.seed,
            ..BeatOptions::default()
        })
    }
}

/// The forest that `--beats` names, of the classes of a network.
pub(super) fn forest(option: &Option<Option<PathBuf>>, classes: &[String]) -> anyhow::Result<Option<BeatForest>> {
    let Some(file) = option else { return Ok(None) };
    let forest = BeatForest::open_or_embedded(file.as_deref())?;
    forest.check_classes(classes)?;
    Ok(Some(forest))
}

fn print(title: &str, predictions: &Predictions) -> anyhow::Result<()> {
    let classes = Label::ALL.map(|label| label.symbol().to_owned());
    super::say(format_args!(
        "{title}\n{}",
        figures::text(&predictions.measured()?, &classes)
    ));
    Ok(())
}
