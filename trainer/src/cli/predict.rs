//! `trainer predict`

use super::answers::Answers;
use super::weights::{Opened, Weights};
use super::{answer, check_output, thread_count, use_threads, warn};
use crate::evaluate::Predictor;
use anyhow::bail;
use clap::Args;
use dualnet_engine::beats::BeatReader;
use dualnet_engine::classifier::{lead_at_300_hz, mean_of_parts};
use dualnet_engine::record::{Record, Warning, left_out_of, record_name, recordings_of};
use dualnet_engine::signal::{ECG_LEN, Excerpt, Inputs, Preprocessor, SPECTROGRAM_LEN, SignalError};
use indicatif::ProgressBar;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names the rhythm of records: a line `record,class` for each, as the 2017 competition asked for.
///
/// A record that cannot be read is named on standard error and has no class; the others go on. Exit status 1 then.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    weights: Weights,
    /// Recordings (.mat, .hea, or a WFDB record's name) and folders of recordings (folders in these are not searched, hidden files not read), at
    /// any sampling rate.
    #[arg(value_name = "RECORD|FOLDER", required = true)]
    records: Vec<PathBuf>,
    /// Write to this file, which appears when it is complete; `-` or nothing is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add the probability of AF and of every other class.
    #[arg(long)]
    probabilities: bool,
    /// Let the network read each record three times, whole, without its last 15 % and without its first 15 %, and average.
    #[arg(long)]
    excerpts: bool,
    /// Read the records' beats too, and average; without a file by the embedded forest, with one by that of `trainer beats`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    beats: Option<Option<PathBuf>>,
    /// Records computed at a time.
    #[arg(long, default_value_t = 24, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    batch_size: usize,
    /// Threads; the default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
}

impl Arguments {
    /// The file to write, if it is one.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|output| *output != Path::new("-"))
    }

    /// Fails where the answers could not be written, or would be written over what is read.
    fn check_output(&self, records: &[PathBuf]) -> anyhow::Result<()> {
        let Some(output) = self.file() else { return Ok(()) };
        let network = self.weights.file();
        let forest = self.beats.as_ref().and_then(Option::as_deref);
        let records = records
            .iter()
            .map(|record| (record.as_path(), "a recording that is read"));
        let read = std::iter::once((network.as_path(), "the network's file"));
        let read = read.chain(forest.map(|forest| (forest, "the forest's file")));
        check_output(output, read.chain(records))
    }
}

/// Some of what was named has no answer: exit status 1.
#[derive(Debug, thiserror::Error)]
pub(super) enum SomeFailed {
    #[error("{failed} of {records} records have no answer")]
    Records { failed: usize, records: usize },
    #[error("not every folder holds recordings")]
    Folders,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use_threads(arguments.threads)?;
    let (paths, is_complete) = expand(&arguments.records)?;
    arguments.check_output(&paths)?;
    warn_of_namesakes(&paths);
    let Opened {
        mut predictor, classes, ..
    } = arguments.weights.open()?;
    let reader = super::beats::forest(&arguments.beats, &classes)?.map(BeatReader::new);
    let mut answers = Answers::new(&classes, arguments.probabilities)?;
    let mut failed = 0;
    let bar = ProgressBar::new(paths.len() as u64);
    let excerpts = Excerpt::of_record(arguments.excerpts);
    for paths in paths.chunks(arguments.batch_size) {
        for (path, answer) in paths
            .iter()
            .zip(predict(predictor.as_mut(), reader.as_ref(), excerpts, paths)?)
        {
            match answer {
                Ok(Answer {
                    record,
                    warnings,
                    probabilities,
                }) => {
                    for warning in warnings {
                        bar.suspend(|| warn(format_args!("{}: {warning}", path.display())));
                    }
                    answers.add(&record, &probabilities)?;
                }
                Err(reason) => {
                    failed += 1;
                    bar.suspend(|| warn(&reason));
                    answers.add_failed(&record_name(path))?;
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let text = answers.finish()?;
    match arguments.file() {
        Some(path) => super::write(path, &text)?,
        None => answer(String::from_utf8_lossy(&text))?,
    }
    let records = paths.len();
    match failed {
        0 if is_complete => Ok(()),
        0 => Err(SomeFailed::Folders.into()),
        _ => Err(SomeFailed::Records { failed, records }.into()),
    }
}

/// The records that the command line names, and whether every folder gives some; those that do not are named. A folder stands for its
/// records, sorted by name; that folders in it are left out is said.
///
/// # Errors
/// There are no records at all.
fn expand(arguments: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, bool)> {
    let (mut paths, mut failed) = (Vec::new(), Vec::new());
    for argument in arguments {
        match recordings_of(argument) {
            Ok(records) => paths.extend(records),
            Err(reason) => failed.push(format!("{}: {reason}", argument.display())),
        }
        left_out_of(argument).iter().for_each(warn);
    }
    if paths.is_empty() {
        bail!(failed.join("; "));
    }
    failed.iter().for_each(warn);
    Ok((paths, failed.is_empty()))
}

/// Says where the lines of several records begin with the same name.
fn warn_of_namesakes(paths: &[PathBuf]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        *counts.entry(record_name(path)).or_default() += 1;
    }
    let mut shared = counts.iter().filter(|&(_, &count)| count > 1);
    if let Some((name, count)) = shared.next() {
        let others = match shared.count() {
            0 => String::new(),
            others => format!(", and {others} more names are shared"),
        };
        warn(format_args!(
            "{count} of the records are called {name}{others}: their lines follow each other as the command line does, and nothing else tells them apart"
        ));
    }
}

/// What is said of a record.
struct Answer {
    /// Its name.
    record: String,
    /// What makes the answer less certain.
    warnings: Vec<String>,
    probabilities: Vec<f32>,
}

/// The answers for records that fit into one batch, or what is wrong with a record: a batch of each excerpt.
fn predict(
    predictor: &mut dyn Predictor,
    reader: Option<&BeatReader>,
    excerpts: &[Excerpt],
    paths: &[PathBuf],
) -> anyhow::Result<Vec<Result<Answer, String>>> {
    let mut prepared: Vec<Result<Prepared, String>> = paths
        .par_iter()
        .map_init(Preprocessor::new, |preprocessor, path| {
            Prepared::open(preprocessor, excerpts, path)
        })
        .collect();
    let classes = predictor.classes();
    for excerpt in 0..excerpts.len() {
        let usable = || prepared.iter().flatten();
        let (mut ecg, mut spectrogram) = (Vec::new(), Vec::new());
        ecg.reserve_exact(usable().count() * ECG_LEN);
        spectrogram.reserve_exact(usable().count() * SPECTROGRAM_LEN);
        for Prepared { inputs, .. } in usable() {
            ecg.extend_from_slice(&inputs[excerpt].ecg);
            spectrogram.extend_from_slice(&inputs[excerpt].spectrogram);
        }
        let probabilities = match usable().count() {
            0 => break,
            batch => predictor.probabilities(&ecg, &spectrogram, batch)?,
        };
        let rows = probabilities.chunks_exact(classes);
        for (prepared, row) in prepared.iter_mut().flatten().zip(rows) {
            prepared.probabilities.extend_from_slice(row);
        }
    }
    let finish = |(prepared, path): (Result<Prepared, String>, &PathBuf)| {
        let Prepared {
            record, probabilities, ..
        } = prepared?;
        let mut mean = mean_of_parts(&probabilities, classes);
        if !mean.iter().all(|probability| probability.is_finite()) {
            return Err(format!("{}: the network's answer is not a number", path.display()));
        }
        if let Some(reader) = reader {
            let averaged = reader.average_with_record(&record, &mut mean);
            averaged.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Answer {
            record: record.name().to_owned(),
            warnings: record.warnings().iter().map(said_of).collect(),
            probabilities: mean,
        })
    };
    Ok(prepared.into_par_iter().zip(paths).map(finish).collect())
}

/// A warning as this program says it, which takes no sampling rate.
fn said_of(warning: &Warning) -> String {
    match warning {
        Warning::AssumedSamplingRate { hz, missing } => format!(
            "sampling rate assumed to be {hz} Hz ({missing}); a header states another, as does `engine classify --sampling-rate`"
        ),
        other => other.to_string(),
    }
}

/// A record on its way through the network.
struct Prepared {
    record: Record,
    /// Of each excerpt.
    inputs: Vec<Inputs>,
    /// `[excerpts, classes]`, as far as there are any yet.
    probabilities: Vec<f32>,
}

impl Prepared {
    fn open(preprocessor: &mut Preprocessor, excerpts: &[Excerpt], path: &Path) -> Result<Self, String> {
        let record = Record::open(path).map_err(|error| error.to_string())?;
        let inputs = inputs(preprocessor, excerpts, &record).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            record,
            inputs,
            probabilities: Vec::new(),
        })
    }
}

/// What the network reads of each excerpt of a record.
fn inputs(preprocessor: &mut Preprocessor, excerpts: &[Excerpt], record: &Record) -> Result<Vec<Inputs>, SignalError> {
    let lead = lead_at_300_hz(record)?;
    let prepare = |excerpt: &Excerpt| {
        let mut inputs = Inputs::zeros();
        preprocessor.prepare(
            &lead[excerpt.range(lead.len())],
            &mut inputs.ecg,
            &mut inputs.spectrogram,
        )?;
        Ok(inputs)
    };
    excerpts.iter().map(prepare).collect()
}
