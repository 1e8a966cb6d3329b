//! `trainer evaluate`

use super::weights::Weights;
use super::{figures, thread_count, use_threads};
use crate::data::{Labels, Source, Split, physionet};
use crate::evaluate::{Measured, evaluate};
use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::sync::Arc;

/// Prints accuracy, F1, AF sensitivity and specificity and calibration error with bootstrap 95 % intervals, and the
/// confusion matrix.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    weights: Weights,
    /// Folder of the data set (A00001.mat …, REFERENCE.csv).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Set of labels: as released (REFERENCE.csv) or revised (REFERENCE-v3.csv).
    #[arg(long, default_value = "released")]
    labels: Labels,
    /// Published split, or a file of two lines with the indices that train and validate.
    #[arg(long, value_name = "NAME|FILE", default_value = "paper")]
    split: String,
    /// Which of its records.
    #[arg(long, default_value = "validation")]
    part: Part,
    /// Records computed at a time.
    #[arg(long, default_value_t = 24)]
    batch_size: usize,
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

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use_threads(arguments.threads)?;
    let (mut predictor, classes) = arguments.weights.open()?;
    let dataset = Arc::new(physionet::read(&arguments.data, arguments.labels)?);
    let split = Split::find(&arguments.split)?;
    split.check(&dataset)?;
    let indices = match arguments.part {
        Part::Train => &split.train,
        Part::Validation => &split.validation,
    };
    let bar = ProgressBar::new(indices.len() as u64);
    let source: Arc<dyn Source> = dataset;
    let predictions = evaluate(
        predictor.as_mut(),
        &source,
        indices,
        arguments.batch_size,
        1,
        &mut |done| bar.set_position(done as u64),
    )?;
    bar.finish_and_clear();
    let measured = predictions.measured()?;
    match arguments.format {
        Format::Json => println!("{}", json(&measured).context("the evaluation")?),
        Format::Text => print!("{}", figures::text(&measured, &classes)),
    }
    Ok(())
}

/// The figures, and their intervals as one more entry.
fn json(measured: &Measured) -> serde_json::Result<String> {
    let mut object = serde_json::to_value(&measured.evaluation)?;
    object["intervals"] = serde_json::to_value(&measured.intervals)?;
    serde_json::to_string_pretty(&object)
}
