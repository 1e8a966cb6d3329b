//! `trainer crossval`

use super::answers::Answers;
use super::flags::RunFlags;
use super::progress::Terminal;
use super::{answer, class_names, figures, loader_threads, say, thread_count, use_threads, write};
use crate::beats::BeatOptions;
use crate::crossval::{CrossValidation, Figures, Plan, Settings, Spread, Summary, WithBeats, WithExcerpts};
use crate::data::{KnownDataset, Labels, Split, physionet};
use crate::device::{device, said_of_auto};
use crate::folds::subset;
use crate::train::{TrainOptions, interrupt};
use anyhow::{Context, bail};
use clap::Args;
use dualnet_engine::beats::BeatForest;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Cross-validates a network: trains one per fold without the fold's records, and measures it on these.
///
/// DIR gets crossval.toml (the plan), a run's folder per fold, crossval.json (all figures) and crossval.csv (each record's class and
/// probabilities by the network that was trained without it, after the last epoch). The same command goes on after a stop;
/// folds that are done are not done again. With --fold only some are trained, several of them at once if there are processors or GPUs for
/// it: the figures come with the call that finds all done. Weights to start from (--load) must not know the records: those that say they were trained on
/// this data set are refused. --excerpts adds the figures of the networks reading excerpts, --beats those together with forests
/// that have not learned the fold's records either, also when all folds are done already.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of the data set (A00001.mat …, REFERENCE.csv).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the runs.
    #[arg(long, value_name = "DIR", default_value = "crossval")]
    runs: PathBuf,
    /// Divide only the training records of --split (paper by default), with the labels as released unless --labels says otherwise:
    /// no network learns, and none predicts, the records that validate. What they say in crossval.csv can teach another
    /// (`trainer train --teacher-answers`).
    #[arg(long)]
    training_records: bool,
    /// Number of folds.
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    /// Train this fold only, counted from 1 (`--fold 1,3` for two).
    #[arg(long = "fold", value_name = "N", value_delimiter = ',')]
    only: Vec<usize>,
    /// Measure the networks reading each record in excerpts too (whole, without its last 15 % and without its first 15 %, averaged), and with
    /// --beats these together with the beats.
    #[arg(long)]
    excerpts: bool,
    /// Measure the networks together with the beats too: of each fold's records the average with a forest (`trainer beats`) fitted to
    /// the other folds' records. SHARE is the forest's weight, 0 to 1; a third unless given.
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true)]
    beats: Option<Option<f64>>,
    /// Passes over the training records.
    #[arg(long)]
    epochs: Option<usize>,
    /// Where to compute: cpu, cuda, cuda:1, auto.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Threads that compute; one more prepares the batches. The default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// Print nothing but errors and the figures.
    #[arg(long)]
    quiet: bool,
    #[command(flatten, next_help_heading = "The runs")]
    flags: RunFlags,
}

/// Share of a fold's training records that chooses its best epoch and its temperature when nothing says otherwise.
const HOLD_BACK: f64 = 0.1;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use_threads(arguments.threads)?;
    let defaults = TrainOptions {
        labels: match arguments.training_records {
            true => Labels::Released,
            false => Labels::V3,
        },
        hold_back: HOLD_BACK,
        checkpoint_every: 0,
        ..TrainOptions::default()
    };
    let devices: Vec<String> = arguments.device.iter().cloned().collect();
    let (network, mut train) = arguments.flags.resolve_over(defaults, arguments.epochs, &devices)?;
    let divisible = KnownDataset::Physionet;
    if train.dataset != divisible {
        bail!(
            "cross-validation divides the records of {divisible}, not of {}",
            train.dataset
        );
    }
    if !arguments.training_records && train.split != TrainOptions::default().split {
        bail!(
            "the whole data set is divided; --split {} goes with --training-records",
            train.split
        );
    }
    if let Some(fold) = arguments
        .only
        .iter()
        .find(|&fold| !(1..=arguments.folds).contains(fold))
    {
        bail!("--fold {fold}: the folds are 1 to {}", arguments.folds);
    }
    let classes = class_names(network.config());
    let beats = arguments.beat_options(&classes)?;
    device(&train.device, 0)?;
    let mut dataset = physionet::read(&arguments.data, train.labels)?;
    if arguments.training_records {
        let split = Split::find(&train.split)?;
        split.check(&dataset)?;
        dataset = subset(&dataset, &split.train)?;
    }
    dataset.recordings.truncate(train.limit.take().unwrap_or(usize::MAX));
    let plan = Plan {
        crossval: Settings {
            folds: arguments.folds,
            hold_back: std::mem::take(&mut train.hold_back),
            labels: train.labels.file().to_owned(),
            records: dataset.recordings.len(),
            split: arguments.training_records.then(|| train.split.clone()),
        },
        train,
        network: network.config().clone(),
    };
    interrupt::listen();
    let tell = |text: &str| {
        if !arguments.quiet {
            say(text);
        }
    };
    if let Some(device) = said_of_auto(&plan.train.device) {
        tell(&device);
    }
    let threads = loader_threads(&plan.train.device);
    let validation = CrossValidation::open(plan, Arc::new(dataset), &arguments.runs, threads)?;
    let count = validation.folds();
    for fold in (0..count).filter(|fold| arguments.only.is_empty() || arguments.only.contains(&(fold + 1))) {
        let which = format!("fold {} of {count}: {}", fold + 1, validation.folder(fold).display());
        if validation.done(fold)?.is_some() {
            tell(&format!("{which}: done already"));
            continue;
        }
        tell(&which);
        let mut terminal = Terminal::new(arguments.quiet).with_records_per_step(validation.plan().train.batch_size);
        validation.fold(fold, &mut terminal)?;
    }
    let folds: Vec<_> = (0..count).map(|fold| validation.done(fold)).collect::<Result<_, _>>()?;
    let missing = (1..).zip(&folds).filter(|(_, fold)| fold.is_none());
    let missing: Vec<String> = missing.map(|(fold, _)| fold.to_string()).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        tell(&format!(
            "not done yet: fold {missing} of {count}; the figures come when all are"
        ));
        return Ok(());
    }
    let mut folds: Vec<_> = folds.into_iter().flatten().collect();
    let mut summary = validation.summary(&folds)?;
    let mut answers = Answers::new(&classes, true)?;
    for fold in &folds {
        answers.add_all(&fold.records, &fold.last.probabilities)?;
    }
    write(&arguments.runs.join("crossval.csv"), &answers.finish()?)?;
    if arguments.excerpts {
        tell(&format!("reading the records of {count} folds in excerpts"));
        let read = |(fold, whole)| validation.excerpts(fold, whole);
        folds = folds.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let Summary { last, best, .. } = validation.summary(&folds)?;
        summary.with_excerpts = Some(WithExcerpts { last, best });
    }
    if let Some(options) = &beats {
        tell(&format!("fitting {count} forests to the beats"));
        summary.with_beats = Some(validation.with_beats(&folds, options)?);
    }
    let json = serde_json::to_vec_pretty(&summary).context("the figures")?;
    write(&arguments.runs.join("crossval.json"), &json)?;
    let mut said = text([&summary.last].into_iter().chain(&summary.best), "", &classes);
    let mut how = String::new();
    if let Some(WithExcerpts { last, best }) = &summary.with_excerpts {
        how += ", reading excerpts";
        said += &text([last].into_iter().chain(best), &how, &classes);
    }
    if let Some(WithBeats { share, last, best }) = &summary.with_beats {
        let together = format!("{how}, averaged with the beats (share {share:.2})");
        said += &text([last].into_iter().chain(best), &together, &classes);
    }
    answer(said)
}

impl Arguments {
    /// What the forests are fitted with where there are to be any.
    fn beat_options(&self, classes: &[String]) -> anyhow::Result<Option<BeatOptions>> {
        let Some(share) = self.beats else { return Ok(None) };
        let options = BeatOptions::default();
        let share = share.unwrap_or(options.share);
        if !(0.0..=1.0).contains(&share) {
            bail!("--beats={share} is not between 0 and 1");
        }
        BeatForest::open_or_embedded(None)?.check_classes(classes)?;
        Ok(Some(BeatOptions { share, ..options }))
    }
}

/// The figures of the last epochs and, if there are any, of the best.
fn text<'a>(figures: impl Iterator<Item = &'a Figures>, what: &str, classes: &[String]) -> String {
    let mut text = String::new();
    for (title, figures) in ["last epoch", "best epoch on the held-back records"]
        .iter()
        .zip(figures)
    {
        writeln!(text, "\n{title}{what}\n{}", table(figures)).ok();
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
    let names = ["accuracy", "macro F1", "F1 N, A, O", "AF sens.", "AF spec.", "calib."];
    let mut text = format!("{:<6}{:>7}{:>6}", "fold", "records", "epoch");
    names.iter().for_each(|name| text += &format!("{name:>12}"));
    for fold in &figures.folds {
        let evaluation = &fold.measured.evaluation;
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
