//! `trainer evaluate`

use super::{thread_count, use_threads};
use crate::data::{Labels, Source, Split, physionet};
use crate::evaluate::{Measured, OnnxPredictor, Predictor, TorchPredictor, evaluate};
use crate::train::{network_of, parameters_of};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dualnet_engine::score::Evaluation;
use dualnet_export::network::{Network, PRESETS, preset};
use dualnet_export::weights::StateDict;
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::sync::Arc;

/// Prints accuracy, macro F1, challenge F1 and the confusion matrix.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Checkpoint (.safetensors, .pt) or exported network (.onnx).
    #[arg(value_name = "WEIGHTS")]
    weights: PathBuf,
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
    /// Published network, for weights that do not say which they belong to.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    network: Option<String>,
    /// Number of classes of such weights.
    #[arg(long)]
    classes: Option<usize>,
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
    let (mut predictor, classes) = predictor(arguments)?;
    let dataset = Arc::new(physionet::read(&arguments.data, arguments.labels)?);
    let split = Split::find(&arguments.split)?;
    split.check(&dataset)?;
    let indices = match arguments.part {
        Part::Train => &split.train,
        Part::Validation => &split.validation,
    };
    let bar = ProgressBar::new(indices.len() as u64);
    let source: Arc<dyn Source> = dataset;
    let Measured { evaluation, .. } = evaluate(
        predictor.as_mut(),
        &source,
        indices,
        arguments.batch_size,
        1,
        &mut |done| bar.set_position(done as u64),
    )?;
    bar.finish_and_clear();
    match arguments.format {
        Format::Json => println!(
            "{}",
            serde_json::to_string_pretty(&evaluation).context("the evaluation")?
        ),
        Format::Text => print(&evaluation, &classes),
    }
    Ok(())
}

/// What `WEIGHTS` names, ready to predict, and the names of its classes.
fn predictor(arguments: &Arguments) -> anyhow::Result<(Box<dyn Predictor>, Vec<String>)> {
    let path = &arguments.weights;
    if path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
    {
        let predictor = OnnxPredictor::open(path)?;
        let classes = predictor.class_names();
        return Ok((Box::new(predictor), classes));
    }
    let state = StateDict::open(path)?;
    let network = match (network_of(&state)?, &arguments.network) {
        (Some(network), name) => {
            let stated = network.config();
            let is_other = name.as_ref().is_some_and(|name| *name != stated.name)
                || arguments.classes.is_some_and(|classes| classes != stated.classes);
            if is_other {
                bail!(
                    "{} says it is {} with {} classes; --network and --classes say otherwise",
                    path.display(),
                    stated.name,
                    stated.classes
                )
            }
            network
        }
        (None, Some(name)) => {
            let mut config = preset(name)?;
            config.classes = arguments.classes.unwrap_or(config.classes);
            Network::new(config)?
        }
        (None, None) => {
            bail!(
                "{} does not say which network it is; add --network ({})",
                path.display(),
                PRESETS.join(", ")
            )
        }
    };
    let parameters = parameters_of(&network, &state, path)?;
    let classes = network
        .config()
        .class_names()
        .iter()
        .map(|&class| class.to_owned())
        .collect();
    Ok((Box::new(TorchPredictor { network, parameters }), classes))
}

fn print(evaluation: &Evaluation, classes: &[String]) {
    println!("records       {}", evaluation.records);
    println!("accuracy      {:.4}", evaluation.accuracy);
    println!("macro F1      {:.4}", evaluation.f1_macro);
    if let Some(f1) = evaluation.f1_challenge {
        println!("challenge F1  {f1:.4}  (mean of N, A, O)");
    }
    println!("\nconfusion (row: reference, column: predicted)");
    println!(
        "      {}",
        classes.iter().map(|class| format!("{class:>6}")).collect::<String>()
    );
    for (class, row) in classes.iter().zip(&evaluation.confusion.counts) {
        println!(
            "{class:>6}{}",
            row.iter().map(|count| format!("{count:>6}")).collect::<String>()
        );
    }
}
