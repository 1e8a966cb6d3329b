//! `trainer train`

use super::progress::Terminal;
use super::{thread_count, use_threads};
use crate::data::{Split, physionet};
use crate::optimizer::Schedule;
use crate::train::{DATASETS, Records, TrainOptions, Training};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dualnet_export::network::{Network, NetworkConfig, PRESETS, preset};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::PathBuf;
use std::sync::Arc;

/// Trains on the training records of a split and keeps the epoch that is best on its validation records.
///
/// The run's folder gets run.toml (the configuration), log.csv (one line per epoch), best.safetensors, last.safetensors
/// and a checkpoint every few epochs. The defaults are the published recipe (Rohr et al. 2022).
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kind of data set; physionet when nothing says otherwise.
    #[arg(long, value_parser = DATASETS)]
    dataset: Option<String>,
    /// Folder of the data set (A00001.mat …, REFERENCE.csv).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the run.
    #[arg(long, value_name = "DIR", default_value = "run")]
    run: PathBuf,
    /// Go on with the run in that folder; everything but --epochs is read from its last checkpoint.
    #[arg(long, conflicts_with_all = DECIDED_AT_THE_START)]
    resume: bool,
    /// TOML file with a [network] and a [train] table; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Published network.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    network: Option<String>,
    /// Number of classes: 4, or 2 (AF against the rest).
    #[arg(long)]
    classes: Option<usize>,
    /// Leave the signal encoder out.
    #[arg(long)]
    no_signal_encoder: bool,
    /// Leave the spectrogram encoder out.
    #[arg(long)]
    no_spectrogram_encoder: bool,
    /// Published split: paper (7000/1528), challenge (8028/500), course6000 (5000/1000).
    #[arg(long, value_parser = Split::NAMES)]
    split: Option<String>,
    /// Passes over the training records; with --resume, a new number for the rest of the schedule.
    #[arg(long)]
    epochs: Option<usize>,
    /// Records of one step.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Learning rate before the schedule.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// How the learning rate falls.
    #[arg(long)]
    schedule: Option<ScheduleName>,
    /// Seed of every random draw.
    #[arg(long)]
    seed: Option<u64>,
    /// Probability of each augmentation.
    #[arg(long, value_name = "P")]
    augmentation: Option<f64>,
    /// Last epochs without augmentation (dropout stays).
    #[arg(long, value_name = "EPOCHS")]
    clean_epochs: Option<usize>,
    /// No augmentation, and no dropout either unless there are two classes.
    #[arg(long, conflicts_with = "augmentation")]
    no_augmentation: bool,
    /// Steps between two writes of last.safetensors within an epoch (0: at the end of each epoch only).
    #[arg(long, value_name = "STEPS")]
    checkpoint_steps: Option<usize>,
    /// Use only the first N training and validation records.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Threads that compute; one more prepares the batches. The default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleName {
    /// × 0.1 after each quarter of the epochs.
    Step,
    /// Half a cosine.
    Cosine,
}

/// A configuration file, of which [`NetworkConfig::from_toml`] reads the other table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigurationFile {
    #[serde(rename = "network")]
    _network: Option<IgnoredAny>,
    #[serde(default)]
    train: TrainOptions,
}

/// The flags that a resumed run takes from its checkpoint.
const DECIDED_AT_THE_START: [&str; 14] = [
    "config",
    "network",
    "classes",
    "no_signal_encoder",
    "no_spectrogram_encoder",
    "split",
    "batch_size",
    "learning_rate",
    "schedule",
    "seed",
    "augmentation",
    "no_augmentation",
    "clean_epochs",
    "limit",
];

const LOADER_THREADS: usize = 1;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use_threads(arguments.threads)?;
    let resolved = if arguments.resume {
        None
    } else {
        Some((arguments.network()?, arguments.options()?))
    };
    let dataset = Arc::new(physionet::read(&arguments.data)?);
    let records = |options: &TrainOptions| {
        Ok(Records {
            dataset: Arc::clone(&dataset),
            split: Split::named(&options.split)?,
            threads: LOADER_THREADS,
        })
    };
    let mut training = match resolved {
        None => Training::resume(&arguments.run, arguments.epochs, records)?,
        Some((network, options)) => {
            let records = records(&options)?;
            Training::start(network, options, &arguments.run, records)?
        }
    };
    if training.epochs_left() == 0 {
        println!(
            "{}: all {} epochs are done; --resume --epochs N makes it longer",
            arguments.run.display(),
            training.options().epochs
        );
    }
    Ok(training.run(&mut Terminal::new())?)
}

impl Arguments {
    fn network(&self) -> anyhow::Result<Network> {
        let mut config = match (&self.config, &self.network) {
            (_, Some(name)) => preset(name)?,
            (Some(path), None) => {
                let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                NetworkConfig::from_toml(&text).with_context(|| path.display().to_string())?
            }
            (None, None) => bail!("say --network NAME ({}) or --config FILE", PRESETS.join(", ")),
        };
        if let Some(classes) = self.classes {
            config.classes = classes;
        }
        if self.no_signal_encoder {
            config.ablate_signal_encoder();
        }
        if self.no_spectrogram_encoder {
            config.ablate_spectrogram_encoder();
        }
        Ok(Network::new(config)?)
    }

    fn options(&self) -> anyhow::Result<TrainOptions> {
        let mut options = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                match toml::from_str::<ConfigurationFile>(&text) {
                    Ok(file) => file.train,
                    Err(error) => bail!("{}: {}", path.display(), with_line(&error, &text)),
                }
            }
            None => TrainOptions::default(),
        };
        if let Some(dataset) = &self.dataset {
            options.dataset.clone_from(dataset);
        }
        let set = |slot: &mut usize, value: Option<usize>| *slot = value.unwrap_or(*slot);
        set(&mut options.epochs, self.epochs);
        set(&mut options.batch_size, self.batch_size);
        set(&mut options.clean_epochs, self.clean_epochs);
        set(&mut options.checkpoint_steps, self.checkpoint_steps);
        options.learning_rate = self.learning_rate.unwrap_or(options.learning_rate);
        options.seed = self.seed.unwrap_or(options.seed);
        options.augmentation = self.augmentation.unwrap_or(options.augmentation);
        options.limit = self.limit.or(options.limit);
        if let Some(split) = &self.split {
            options.split.clone_from(split);
        }
        match self.schedule {
            Some(ScheduleName::Step) => options.schedule = Schedule::Step,
            Some(ScheduleName::Cosine) => options.schedule = Schedule::Cosine,
            None => {}
        }
        if self.no_augmentation {
            options.augmentation = 0.0;
        }
        if let Some(fault) = options.fault() {
            bail!(fault);
        }
        Ok(options)
    }
}

/// What is wrong with a TOML file, and in which line.
fn with_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}
