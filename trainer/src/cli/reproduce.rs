//! `trainer reproduce` and `trainer ablations`

use super::check::check;
use super::progress::Terminal;
use super::{answer, loader_threads, say, thread_count, use_threads, warn};
use crate::data::{KnownDataset, Shard};
use crate::device::{device, said_of_auto};
use crate::error::TrainerError;
use crate::experiments::{
    Beginning, Group, Listener, Outcome, Overrides, Recipe, Reproduction, Run, Standing, TABLE, published, run_folder,
    seeds_of, select,
};
use crate::logs::EpochRecord;
use crate::train::{Records, Report, TrainOptions, interrupt};
use anyhow::bail;
use clap::Args;
use dualnet_export::network::PRESETS;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Runs the experiments of the paper one by one, each in RUNS/<row>/seed-<n>.
///
/// A run that was stopped is resumed, one that is done is skipped, one that fails does not keep the next from being made.
/// Rows that start from a pre-training on Icentia11k run it first, where --icentia says where the data are.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Rows of the table (--list prints it); every row when none is named.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// Runs the three ablations of the paper, each in RUNS/<row>/seed-<n>.
#[derive(Debug, Args)]
pub(super) struct AblationArguments {
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Folder of PhysioNet/CinC 2017 (A00001.mat …, REFERENCE.csv).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder of Icentia11k (00000_batched.pkl.gz …), for the pre-training, which needs no --data.
    #[arg(long, value_name = "DIR")]
    icentia: Option<PathBuf>,
    /// Folder of the runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Seeds to train, separated by commas, instead of 1, 2, 3 where three runs were published and 1 elsewhere; a
    /// pre-training takes the first.
    #[arg(long, value_name = "SEED,…", value_delimiter = ',')]
    seeds: Option<Vec<u64>>,
    /// Another published network in every row.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    network: Option<String>,
    /// Use only the first N training and validation records, or segments of each Icentia11k file.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Another number of epochs in every row.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Another number of records of one step in every row.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Compute each step in this many parts instead of 1 (dualnet-pp-130m: 4, as published), where memory is short; it is another recipe.
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Where to compute: cpu, cuda, cuda:1, auto.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Threads that compute; one more prepares the batches. The default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// Print the rows with their published figures and what is done of them, and run nothing.
    #[arg(long)]
    list: bool,
}

impl How {
    /// The folder of a data set, and the flag that names it.
    fn folder(&self, dataset: KnownDataset) -> (Option<&Path>, &'static str) {
        match dataset {
            KnownDataset::Icentia11k => (self.icentia.as_deref(), "--icentia"),
            KnownDataset::Physionet | KnownDataset::Course6000 => (self.data.as_deref(), "--data"),
        }
    }

    /// Fails where a run that is not done lacks the folder of its data set, or a pre-training that nothing here makes.
    fn check(&self, reproduction: &Reproduction) -> anyhow::Result<()> {
        for run in reproduction.unfinished() {
            if let (None, flag) = self.folder(run.recipe.dataset()) {
                bail!("{} needs {flag} DIR", name(&run));
            }
            if self.icentia.is_none() {
                reproduction.source(run.recipe)?;
            }
        }
        Ok(())
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let rows = select(&arguments.rows).map_err(anyhow::Error::msg)?;
    reproduce(rows, !arguments.rows.is_empty(), &arguments.how)
}

pub(super) fn run_ablations(arguments: &AblationArguments) -> anyhow::Result<()> {
    let is_ablation = |recipe: &&Recipe| recipe.group == Group::Ablation;
    reproduce(TABLE.iter().filter(is_ablation).collect(), true, &arguments.how)
}

/// Makes the runs of these rows; of rows that were asked for, each must be possible before the first is trained.
fn reproduce(rows: Vec<&'static Recipe>, are_asked_for: bool, how: &How) -> anyhow::Result<()> {
    let mut reproduction = Reproduction {
        rows,
        seeds: how.seeds.clone(),
        overrides: Overrides {
            network: how.network.clone(),
            epochs: how.epochs,
            batch_size: how.batch_size,
            accumulate: how.accumulate,
            limit: how.limit,
            device: how.device.clone(),
        },
        runs: how.runs.clone(),
    };
    if how.list {
        return answer(list(&reproduction));
    }
    if !are_asked_for && how.data.is_none() && how.icentia.is_none() {
        bail!(
            "--data DIR names the folder of PhysioNet/CinC 2017, --icentia DIR that of Icentia11k; at least one of them is needed"
        );
    }
    if let Some(name) = &how.device {
        device(name, 0)?;
    }
    interrupt::listen();
    use_threads(how.threads)?;
    how.device.as_deref().and_then(said_of_auto).iter().for_each(say);
    if how.icentia.is_some() {
        reproduction.add_missing_pre_trainings();
    }
    if are_asked_for {
        how.check(&reproduction)?;
    }
    let mut folders = Folders::new(how);
    let mut listener = Terminals::default();
    let outcomes = reproduction.run(&mut |options| folders.records(options), &mut listener)?;
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
        .map(|(run, _)| name(run))
        .collect();
    if !failed.is_empty() {
        bail!(
            "{} of {} runs failed: {}",
            failed.len(),
            outcomes.len(),
            failed.join(", ")
        );
    }
    Ok(())
}

/// Where the data sets are, and the records of the last run, which the next often shares.
struct Folders<'a> {
    how: &'a How,
    last: Option<(TrainOptions, Records)>,
}

impl<'a> Folders<'a> {
    fn new(how: &'a How) -> Self {
        Self { how, last: None }
    }

    fn records(&mut self, options: &TrainOptions) -> Result<Records, TrainerError> {
        if let Some((last, records)) = &self.last
            && (last.dataset, &last.split, last.labels, last.limit, last.fresh_crops)
                == (
                    options.dataset,
                    &options.split,
                    options.labels,
                    options.limit,
                    options.fresh_crops,
                )
        {
            return Ok(records.clone());
        }
        // Two data sets need not be in memory together.
        self.last = None;
        let records = self.open(options)?;
        self.last = Some((options.clone(), records.clone()));
        Ok(records)
    }

    fn open(&self, options: &TrainOptions) -> Result<Records, TrainerError> {
        let (folder, flag) = self.how.folder(options.dataset);
        let folder = folder.ok_or_else(|| TrainerError::Options(format!("{} needs {flag} DIR", options.dataset)))?;
        let records = Records::open(options, folder, loader_threads(&options.device))?;
        check(records, Shard::default(), false)
    }
}

/// A line for every run, and a progress bar while it goes on.
#[derive(Default)]
struct Terminals {
    terminal: Option<Terminal>,
}

impl Terminals {
    fn terminal(&mut self) -> &mut Terminal {
        self.terminal.get_or_insert_with(|| Terminal::new(false))
    }
}

impl Report for Terminals {
    fn epoch(&mut self, epoch: usize, epochs: usize, batches: usize, done: usize) {
        self.terminal().epoch(epoch, epochs, batches, done);
    }

    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        self.terminal().batch(loss)
    }

    fn validating(&mut self, record: usize, records: usize) {
        self.terminal().validating(record, records);
    }

    fn finished(&mut self, record: &EpochRecord, best: Option<(f64, usize)>) {
        self.terminal().finished(record, best);
    }
}

impl Listener for Terminals {
    fn begins(&mut self, run: &Run, beginning: Beginning) {
        let how = match beginning {
            Beginning::Fresh => "begins".to_owned(),
            Beginning::Resumed { done, epochs } => format!("goes on after epoch {done} of {epochs}"),
        };
        say(format_args!("{}: {how}", name(run)));
    }

    fn ends(&mut self, run: &Run, outcome: &Outcome) {
        self.terminal = None;
        match outcome {
            Outcome::WasDone => say(format_args!("{}: was done before", name(run))),
            Outcome::Trained => say(format_args!("{}: done", name(run))),
            Outcome::Failed(reason) => warn(format_args!("{}: {reason}", name(run))),
        }
    }
}

fn name(run: &Run) -> String {
    format!("{}/seed-{}", run.recipe.name, run.seed)
}

/// The table with the published figures and what is done of it.
fn list(reproduction: &Reproduction) -> String {
    let width = TABLE.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:22}{:22}runs\n", "row", "published ACC", "published F1");
    for group in Group::ALL {
        let rows: Vec<_> = reproduction.rows.iter().filter(|row| row.group == group).collect();
        if rows.is_empty() {
            continue;
        }
        text += &format!("\n{}\n", group.title());
        for recipe in rows {
            let (accuracy, f1) = match published(recipe.name) {
                Some(row) => (figures(&row.accuracy), figures(&row.f1)),
                None => ("not published".to_owned(), String::new()),
            };
            let runs = standings(&reproduction.runs, recipe, &reproduction.overrides);
            text += &format!("{:width$}  {accuracy:22}{f1:22}{runs}\n", recipe.name);
        }
    }
    text
}

fn figures(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
    texts.join(" ")
}

fn standings(runs: &Path, recipe: &Recipe, overrides: &Overrides) -> String {
    let texts: Vec<String> = seeds_of(runs, recipe.name)
        .into_iter()
        .map(|seed| match Standing::read(&run_folder(runs, recipe.name, seed)) {
            Ok(None) => format!("seed {seed}: no epoch"),
            Ok(Some(run)) => {
                let state = match run.is_finished() {
                    true => "done".to_owned(),
                    false => format!("epoch {} of {}", run.done(), run.options.epochs),
                };
                let is_the_rows = run
                    .differences(recipe, seed, overrides)
                    .is_ok_and(|differences| differences.is_empty());
                let which = if is_the_rows { "" } else { " (of another recipe)" };
                format!("seed {seed}: {state}{which}")
            }
            Err(error) => format!("seed {seed}: {error}"),
        })
        .collect();
    match texts.is_empty() {
        true => "not run".to_owned(),
        false => texts.join(", "),
    }
}
