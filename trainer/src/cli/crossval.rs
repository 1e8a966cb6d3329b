//! `trainer crossval`

use super::answers::Answers;
use super::progress::Terminal;
use super::{figures, thread_count, use_threads};
use crate::crossval::{CrossValidation, Figures, Plan, Settings, Spread, Summary};
use crate::data::{Dataset, physionet};
use crate::train::TrainOptions;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dualnet_engine::score::read_reference;
use dualnet_export::network::{PRESETS, preset};
use dualnet_export::weights::write_beside;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cross-validates a network: trains one per fold without the fold's records, and measures it on these.
///
/// DIR gets crossval.toml (the plan), a run's folder per fold, crossval.json (all figures) and crossval.csv (each record's class and
/// probabilities by the network that was trained without it, after the last epoch). The same command goes on after a stop;
/// folds that are done are not done again.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of the data set (A00001.mat …, REFERENCE.csv).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the runs.
    #[arg(long, value_name = "DIR", default_value = "crossval")]
    runs: PathBuf,
    /// Which labels: REFERENCE.csv as released, or REFERENCE-v3.csv, by which the challenge was ranked.
    #[arg(long, default_value = "v3")]
    labels: LabelFile,
    /// Published network.
    #[arg(long, value_name = "NAME", value_parser = PRESETS, default_value = "dualnet-s")]
    network: String,
    /// Number of classes: 4, or 2 (AF against the rest).
    #[arg(long)]
    classes: Option<usize>,
    /// Number of folds.
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    /// Share of a fold's training records that chooses its best epoch and its temperature (0: no such choice).
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    hold_back: f64,
    /// Passes over the training records.
    #[arg(long)]
    epochs: Option<usize>,
    /// Records of one step.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Seed of every random draw, the division into folds included.
    #[arg(long)]
    seed: Option<u64>,
    /// Use only the first N records of the data set.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Threads that compute; one more prepares the batches. The default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LabelFile {
    Released,
    V3,
}

const LOADER_THREADS: usize = 1;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use_threads(arguments.threads)?;
    let mut network = preset(&arguments.network)?;
    network.classes = arguments.classes.unwrap_or(network.classes);
    let classes: Vec<String> = network.class_names().iter().map(|&class| class.to_owned()).collect();
    let defaults = TrainOptions::default();
    let train = TrainOptions {
        epochs: arguments.epochs.unwrap_or(defaults.epochs),
        batch_size: arguments.batch_size.unwrap_or(defaults.batch_size),
        seed: arguments.seed.unwrap_or(defaults.seed),
        checkpoint_every: 0,
        ..defaults
    };
    let (mut dataset, labels) = read(&arguments.data, arguments.labels)?;
    if let Some(limit) = arguments.limit {
        dataset.recordings.truncate(limit);
    }
    let plan = Plan {
        crossval: Settings {
            folds: arguments.folds,
            hold_back: arguments.hold_back,
            labels: labels.to_owned(),
            records: dataset.recordings.len(),
        },
        train,
        network,
    };
    let validation = CrossValidation::open(plan, Arc::new(dataset), &arguments.runs, LOADER_THREADS)?;
    let mut folds = Vec::with_capacity(validation.folds());
    for fold in 0..validation.folds() {
        let folder = validation.folder(fold);
        let which = format!("fold {} of {}: {}", fold + 1, validation.folds(), folder.display());
        match validation.done(fold)? {
            Some(done) => {
                println!("{which}: done already");
                folds.push(done);
            }
            None => {
                println!("{which}");
                folds.push(validation.fold(fold, &mut Terminal::new())?);
            }
        }
    }
    let summary = validation.summary(&folds)?;
    let mut answers = Answers::new(&classes, true)?;
    for fold in &folds {
        for (record, row) in fold
            .records
            .iter()
            .zip(fold.last.probabilities.chunks_exact(classes.len()))
        {
            answers.add(record, row)?;
        }
    }
    write(&arguments.runs.join("crossval.csv"), &answers.finish()?)?;
    let json = serde_json::to_vec_pretty(&summary).context("the figures")?;
    write(&arguments.runs.join("crossval.json"), &json)?;
    print!("{}", text(&summary, &classes));
    Ok(())
}

/// The records with the labels asked for, and what these are called.
fn read(folder: &Path, labels: LabelFile) -> anyhow::Result<(Dataset, &'static str)> {
    let mut dataset = physionet::read(folder)?;
    let LabelFile::V3 = labels else {
        return Ok((dataset, "released"));
    };
    let path = folder.join("REFERENCE-v3.csv");
    let labels: HashMap<String, _> = read_reference(&path)?.into_iter().collect();
    for recording in &mut dataset.recordings {
        match labels.get(&recording.name) {
            Some(&label) => recording.label = label,
            None => bail!("{}: record {} has no label", path.display(), recording.name),
        }
    }
    Ok((dataset, "v3"))
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_beside(path, |file| file.write_all(bytes)).with_context(|| path.display().to_string())
}

fn text(summary: &Summary, classes: &[String]) -> String {
    let mut text = String::new();
    for (title, figures) in [
        ("last epoch", Some(&summary.last)),
        ("best epoch on the held-back records", summary.best.as_ref()),
    ] {
        let Some(figures) = figures else { continue };
        writeln!(text, "\n{title}\n{}", table(figures)).ok();
        writeln!(text, "all folds together\n{}", figures::text(&figures.pooled, classes)).ok();
        if let Some(tempered) = figures.pooled_with_temperature {
            let [low, high] = tempered.interval;
            writeln!(
                text,
                "calibration error with the held-back records' temperature  {:.4}   {low:.4} to {high:.4}",
                tempered.calibration_error
            )
            .ok();
        }
    }
    text
}

/// A line per fold, and mean ± standard deviation.
fn table(figures: &Figures) -> String {
    let cell = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.4}"));
    let names = ["accuracy", "macro F1", "N, A, O F1", "AF sens.", "AF spec.", "calib."];
    let mut text = format!("{:<6}{:>7}{:>6}", "fold", "records", "epoch");
    names.iter().for_each(|name| text += &format!("{name:>12}"));
    for fold in &figures.folds {
        let evaluation = &fold.evaluation;
        write!(text, "\n{:<6}{:>7}{:>6}", fold.fold, evaluation.records, fold.epoch).ok();
        for figure in [
            Some(evaluation.accuracy),
            Some(evaluation.f1_macro),
            evaluation.f1_challenge,
            evaluation.af_sensitivity,
            evaluation.af_specificity,
            Some(evaluation.calibration_error),
        ] {
            write!(text, "{:>12}", cell(figure)).ok();
        }
    }
    let spreads = [
        Some(figures.accuracy),
        Some(figures.f1_macro),
        figures.f1_challenge,
        figures.af_sensitivity,
        figures.af_specificity,
        Some(figures.calibration_error),
    ];
    for (name, part) in [
        ("mean", (|spread| spread.mean) as fn(Spread) -> f64),
        ("± sd", |spread| spread.sd),
    ] {
        write!(text, "\n{name:<19}").ok();
        for spread in spreads {
            write!(text, "{:>12}", cell(spread.map(part))).ok();
        }
    }
    text.push('\n');
    text
}
