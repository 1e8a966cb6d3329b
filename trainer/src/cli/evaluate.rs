//! `trainer evaluate`

use super::weights::{Opened, Weights};
use super::{answer, figures, thread_count, use_threads};
use crate::beats::BeatTable;
use crate::data::icentia::SEGMENTS;
use crate::data::{KnownDataset, Labels, Split};
use crate::evaluate::{Measured, evaluate, evaluate_excerpts};
use crate::train::{Records, TrainOptions, stated_leak};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dualnet_engine::beats::BeatForest;
use dualnet_engine::signal::Excerpt;
use dualnet_export::network::ClassSet;
use indicatif::ProgressBar;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Prints accuracy, F1, AF sensitivity and specificity and calibration error with bootstrap 95 % intervals, and the
/// confusion matrix.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    weights: Weights,
    /// Folder of the data set (A00001.mat …, REFERENCE.csv); of a network of Icentia11k's classes, 00000_batched.pkl.gz ….
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Set of labels: as released (REFERENCE.csv, the default) or revised (REFERENCE-v3.csv).
    #[arg(long)]
    labels: Option<Labels>,
    /// Published split, or a file of two lines with the indices that train and validate; records may be left out, but their files
    /// must be there. By default the split that the weights were trained with, where they name one that is known here, or else paper.
    #[arg(long, value_name = "NAME|FILE")]
    split: Option<String>,
    /// Which of its records.
    #[arg(long, default_value = "validation")]
    part: Part,
    /// Records computed at a time: 24 by default, or the segments of one file of Icentia11k.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Use only the first N segments of each file of Icentia11k.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=50))]
    limit: Option<usize>,
    /// Let the network read each record three times, whole, without its last 15 % and without its first 15 %, and average.
    #[arg(long)]
    excerpts: bool,
    /// Read the records' beats too, and average; without a file by the embedded forest, with one by that of `trainer beats`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    beats: Option<Option<PathBuf>>,
    /// Threads; the default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// How to print.
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Train,
    Validation,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The split of labelled records that a network says it was trained with, if it is a published one or its file is there.
fn split_of(training: &Value) -> Option<&str> {
    let split = training["split"].as_str()?;
    (Split::NAMES.contains(&split) || Path::new(split).is_file()).then_some(split)
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use_threads(arguments.threads)?;
    let Opened {
        mut predictor,
        classes,
        training,
    } = arguments.weights.open()?;
    let forest = super::beats::forest(&arguments.beats, &classes)?;
    let mut options = TrainOptions::default();
    if predictor.class_set() == ClassSet::Icentia11k {
        if arguments.split.is_some() || arguments.labels.is_some() {
            bail!("--split and --labels are for PhysioNet/CinC 2017; Icentia11k divides its patients by their numbers");
        }
        options.dataset = KnownDataset::Icentia11k;
        options.limit = arguments.limit;
        options.batch_size = arguments.limit.unwrap_or(SEGMENTS);
    } else if arguments.limit.is_some() {
        bail!("--limit is for networks of Icentia11k's classes; --split chooses records of the others");
    }
    if let Some(split) = arguments.split.as_deref().or(split_of(&training)) {
        split.clone_into(&mut options.split);
    }
    options.labels = arguments.labels.unwrap_or(options.labels);
    options.batch_size = arguments.batch_size.unwrap_or(options.batch_size);
    let records = Records::open(&options, &arguments.data, 1)?;
    if arguments.split.is_none() && options.split != TrainOptions::default().split {
        let is_its_own = training["validation_digest"] == records.validation_digest();
        let which = if is_its_own {
            "with which the network was trained"
        } else {
            "called as the network's is"
        };
        eprintln!("split {}, {which}; --split names another", options.split);
    }
    if let Some(forest) = &forest {
        check_beats(forest, &records)?;
    }
    if matches!(arguments.part, Part::Validation)
        && let Some(reason) = stated_leak(&training, &options, &records)
    {
        eprintln!("warning: the network {reason}: these figures may be of records that it has learned");
    }
    let indices = match arguments.part {
        Part::Train => &records.split.train,
        Part::Validation => &records.split.validation,
    };
    let excerpted = match (arguments.excerpts, &records.dataset) {
        (true, None) => bail!("excerpts are read of PhysioNet/CinC 2017 only"),
        (true, dataset) => dataset.as_ref(),
        (false, _) => None,
    };
    let bar = ProgressBar::new(records.source.records_in_all(indices) as u64);
    let mut progress = |done| {
        bar.set_position(done as u64);
        Ok(())
    };
    let (batch_size, threads) = (options.batch_size, records.threads);
    let predictor = predictor.as_mut();
    let mut predictions = match excerpted {
        None => evaluate(predictor, &records.source, indices, batch_size, threads, &mut progress),
        Some(dataset) => {
            bar.set_length((indices.len() * Excerpt::ALL.len()) as u64);
            evaluate_excerpts(
                predictor,
                dataset,
                &Excerpt::ALL,
                indices,
                batch_size,
                threads,
                &mut progress,
            )
        }
    }?;
    bar.finish_and_clear();
    if let (Some(forest), Some(dataset)) = (&forest, records.dataset.as_deref()) {
        BeatTable::measure(dataset, indices)?.average_with(forest, &mut predictions.probabilities);
    }
    let measured = predictions.measured()?;
    match arguments.format {
        Format::Json => answer(json(&measured).context("the evaluation")? + "\n"),
        Format::Text => answer(figures::text(&measured, &classes)),
    }
}

/// Refuses a forest that may have learned the validation records.
fn check_beats(forest: &BeatForest, records: &Records) -> anyhow::Result<()> {
    if records.dataset.is_none() {
        bail!("beats are read of PhysioNet/CinC 2017 only");
    }
    if forest.training()["validation_digest"] != records.validation_digest() {
        bail!(
            "{} was fitted on the split {}; records of {} may be among those that it learned",
            forest.identity(),
            forest.training()["split"],
            records.split.name
        );
    }
    Ok(())
}

/// The figures, and their intervals as one more entry.
fn json(measured: &Measured) -> serde_json::Result<String> {
    let mut object = serde_json::to_value(&measured.evaluation)?;
    object["intervals"] = serde_json::to_value(&measured.intervals)?;
    serde_json::to_string_pretty(&object)
}
