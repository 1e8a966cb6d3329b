//! `engine classify`: records in, rhythms out.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use dualnet_engine::beats::BeatForest;
use dualnet_engine::pending::check_lost;
use dualnet_engine::record::{OpenOptions, Record, SAMPLING_RATES_HZ, read_ahead, record_name};
use dualnet_engine::{Classifier, Device, Error, Options, Precision, Prediction};
use indicatif::{ProgressBar, ProgressStyle};

use super::destination::Destination;
use super::inputs::{self, Input};
use super::report::{Failure, Format, Report};
use super::{Outcome, is_broken_pipe, model, report_error, report_note, workers};

/// Fewer records than this are done before a progress bar could be read.
const MANY: usize = 10;

/// Batches that a GPU gets at a time: one is copied while another is computed, and a third is being read.
const BATCHES: usize = 4;

/// Name the rhythm of ECG recordings.
///
/// Exit code 0: all were classified; 1: some or all failed (each says why on standard error, the others are classified); 2: wrong usage,
/// or a model or an output that cannot be used. Who closes standard output early ends the run: 0 or 1 then tells of the records before.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Recordings (.mat, .hea, or a WFDB record's name), folders of recordings (folders in these are not searched, hidden files not read), or -
    /// for a .mat file on standard input.
    #[arg(value_name = "RECORD|FOLDER", required = true)]
    records: Vec<PathBuf>,
    /// The model file; without it, the embedded ECG-DualNet S.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Let the network read each record three times, whole, without its last 15 % and without its first 15 % (at least 9 s of it), and average: right a little more
    /// often (accuracy of the embedded network 0.8527 instead of 0.8488), in two and a half times the time.
    #[arg(long)]
    excerpts: bool,
    /// Read the record's beats too: the probabilities become the average of the network's and of what a forest says of when the beats come
    /// and what they look like. Without a file, the embedded forest; with one (behind an equals sign), that of `trainer beats`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    beats: Option<Option<PathBuf>>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to this file, which appears when it is complete, instead of standard output (-).
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Probability (0 to 1) below which the class is `?`.
    #[arg(long, value_name = "P", default_value = "0", value_parser = probability, allow_negative_numbers = true)]
    min_confidence: f32,
    /// Records classified at the same time; as many as there are processors unless given.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// Where to compute: auto, cpu or cuda; auto unless given, which is a GPU where this build, this machine and the model have one, otherwise
    /// the CPU.
    #[arg(long)]
    device: Option<Device>,
    /// Records that run together on a GPU; 64 unless given. More are faster until they do not fit its memory. The CPU takes one at a time.
    #[arg(long, value_name = "N", value_parser = batch_size)]
    batch_size: Option<NonZeroUsize>,
    /// How precisely: f32, f16 (cuda only) or int8. A model file has one of them, which `export quantize` makes int8; the embedded
    /// model has f32, which it is without this flag, and int8.
    #[arg(long)]
    precision: Option<Precision>,
    /// Sampling rate of recordings that do not state theirs.
    #[arg(long, value_name = "HZ", value_parser = sampling_rate)]
    sampling_rate: Option<f64>,
    /// The lead to classify, by name or by index from 0, where a recording has several.
    #[arg(long, value_name = "NAME|INDEX")]
    lead: Option<String>,
    /// The variable that holds the samples in .mat files [default: val].
    #[arg(long, value_name = "NAME")]
    variable: Option<String>,
    /// Read files instead of mapping them: for network drives and files that are still being written.
    #[arg(long)]
    no_mmap: bool,
}

fn probability(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err("not a probability from 0 to 1".to_owned())
    }
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "not a whole number from 1 on".to_owned())
}

fn batch_size(text: &str) -> Result<NonZeroUsize, String> {
    let largest = Options::MAX_BATCH_SIZE;
    let size = text.parse().ok().filter(|size: &NonZeroUsize| size.get() <= largest);
    size.ok_or_else(|| format!("not a whole number from 1 to {largest}"))
}

fn sampling_rate(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if SAMPLING_RATES_HZ.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "not within {} to {} Hz",
        SAMPLING_RATES_HZ.start(),
        SAMPLING_RATES_HZ.end()
    ))
}

impl Arguments {
    fn open_options(&self) -> OpenOptions {
        let mut options = OpenOptions::new().memory_map(!self.no_mmap);
        if let Some(lead) = &self.lead {
            options = options.lead(lead);
        }
        if let Some(variable) = &self.variable {
            options = options.variable(variable);
        }
        if let Some(hz) = self.sampling_rate {
            options = options.sampling_rate_hz(hz);
        }
        options
    }

    /// Fails where an argument cannot be meant as it stands: a forest's file that `--beats` does not take without an equals sign, an output that would
    /// overwrite what is read.
    fn check(&self, inputs: &[Input]) -> anyhow::Result<()> {
        let is_json = |path: &&PathBuf| {
            let extension = path.extension();
            extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
        };
        if let (Some(None), Some(path)) = (&self.beats, self.records.iter().find(is_json)) {
            bail!(
                "{0}: would be read as a recording; a forest is named by --beats={0}",
                path.display()
            );
        }
        let Some(output) = self.output.as_ref().filter(|path| path.as_os_str() != "-") else {
            return Ok(());
        };
        let model = self.model.as_deref().map(|path| (path, "the model"));
        let forest = self.beats.as_ref().and_then(Option::as_deref);
        let forest = forest.map(|path| (path, "the forest that reads the beats"));
        let records = inputs.iter().filter_map(|input| match input {
            Input::File(path) => Some((path.as_path(), "a recording that is read")),
            _ => None,
        });
        check_lost(output, model.into_iter().chain(forest).chain(records)).map_err(anyhow::Error::msg)
    }

    fn threads(&self) -> usize {
        self.threads
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get)
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let options = Options {
        device: arguments.device.unwrap_or(Device::Auto),
        precision: arguments.precision,
        min_confidence: arguments.min_confidence,
        batch_size: arguments.batch_size,
        excerpts: arguments.excerpts,
    };
    let inputs = inputs::expand(&arguments.records)?;
    arguments.check(&inputs)?;
    inputs::left_out(&arguments.records).for_each(|sentence| report_note(&sentence));
    let mut classifier = Classifier::new(model(arguments.model.as_deref(), arguments.precision)?, options)?;
    if let Some(path) = &arguments.beats {
        let forest = BeatForest::open_or_embedded(path.as_deref()).map_err(Error::from)?;
        classifier = classifier.with_beats(forest)?;
    }
    if let Some(reason) = classifier.fallback() {
        report_note(&format!(
            "{} runs on tract, not on the fused kernels: {reason}",
            classifier.model().name()
        ));
    }
    // Who asked for nothing does not hear from each build without CUDA that it is one.
    let is_news = cfg!(feature = "cuda") || arguments.device.is_some();
    if let Some(reason) = classifier.note().filter(|_| is_news) {
        report_note(&format!("the records are classified on the CPU: {reason}"));
    }
    let open_options = arguments.open_options();
    let mut report =
        Report::new(arguments.format, classifier.model().classes()).telling_apart(inputs.iter().map(name_of));
    let mut destination = Destination::open(arguments.output.as_deref())?;
    destination.write(&report.begin()?)?;
    let progress = progress_bar(inputs.len());
    let shared_terminal = destination.is_terminal();
    let mut outcome = Outcome::Complete;
    let announce = |input: &Input| {
        if let (Input::File(path), false) = (input, arguments.no_mmap) {
            read_ahead(path);
        }
    };
    let mut take = |result: Result<Prediction, Failure>| {
        if let Err(failure) = &result {
            outcome = Outcome::SomeFailed;
            progress.suspend(|| report_error(&failure.error));
        }
        let text = report.record(&result)?;
        progress.inc(1);
        if shared_terminal {
            progress.suspend(|| destination.write(&text))
        } else {
            destination.write(&text)
        }
    };
    let threads = arguments.threads();
    let ran = if classifier.device() == Device::Cuda {
        let mut waiting = Vec::new();
        let most = BATCHES * classifier.batch_size();
        let work = |input: &Input| open(input, &open_options);
        workers::in_order(&inputs, threads, announce, work, |opened| {
            waiting.push(opened);
            match waiting.len() < most {
                true => Ok(()),
                false => together(&classifier, &mut waiting, &mut take),
            }
        })
        .and_then(|()| together(&classifier, &mut waiting, &mut take))
    } else {
        let work = |input: &Input| {
            let record = open(input, &open_options)?;
            classifier
                .classify(&record)
                .map_err(|error| unclassified(&record, &error))
        };
        workers::in_order(&inputs, threads, announce, work, take)
    };
    progress.finish_and_clear();
    let written = ran
        .and_then(|()| destination.write(report.end()))
        .and_then(|()| destination.finish());
    match written {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        _ => Ok(outcome),
    }
}

fn progress_bar(records: usize) -> ProgressBar {
    if records < MANY || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} records, {per_sec}, {eta} left");
    ProgressBar::new(records as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What a record is called, whether it can be read or not.
fn name_of(input: &Input) -> String {
    record_name(match input {
        Input::File(path) | Input::Unusable(path, _) => path,
        Input::Standard => Path::new("-"),
    })
}

fn open(input: &Input, options: &OpenOptions) -> Result<Record, Failure> {
    let open = |path: &Path| Record::open_with(path, options).map_err(|error| Error::from(error).to_string());
    let (path, opened) = match input {
        Input::File(path) => (Some(path), open(path)),
        Input::Standard => (None, open(Path::new("-"))),
        Input::Unusable(path, reason) => (Some(path), Err(format!("{}: {reason}", path.display()))),
    };
    opened.map_err(|error| Failure {
        record: name_of(input),
        path: path.cloned(),
        error,
    })
}

/// A record that was read and cannot be classified.
fn unclassified(record: &Record, error: &Error) -> Failure {
    Failure {
        record: record.name().to_owned(),
        path: record.path().map(Path::to_owned),
        error: error.to_string(),
    }
}

/// Classifies what is waiting, and hands all of it over in its order.
fn together(
    classifier: &Classifier,
    waiting: &mut Vec<Result<Record, Failure>>,
    take: &mut impl FnMut(Result<Prediction, Failure>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let records: Vec<&Record> = waiting.iter().flatten().collect();
    let mut predictions = classifier.classify_batch(&records).into_iter();
    for opened in waiting.drain(..) {
        let prediction = match opened {
            Ok(record) => predictions
                .next()
                .map(|prediction| prediction.map_err(|error| unclassified(&record, &error))),
            Err(failure) => Some(Err(failure)),
        };
        if let Some(prediction) = prediction {
            take(prediction)?;
        }
    }
    Ok(())
}
