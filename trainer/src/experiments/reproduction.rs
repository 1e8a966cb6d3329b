//! Running experiments one by one: each run in its own folder, resumed where it was stopped, skipped when it is done.

use super::{Overrides, Recipe, Standing, find, run_folder, seeds_of};
use crate::error::TrainerError;
use crate::train::{Changes, Records, Report, RunFolder, Team, TrainOptions, Training};
use dualnet_export::network::Network;
use std::path::{Path, PathBuf};

/// Which experiments to run, and where.
#[derive(Clone, Debug)]
pub struct Reproduction {
    /// The rows, in the table's order.
    pub rows: Vec<&'static Recipe>,
    /// Seeds to train instead of each recipe's own; a pre-training takes the first.
    pub seeds: Option<Vec<u64>>,
    /// What is changed in every recipe.
    pub overrides: Overrides,
    /// The folder of the runs: `<row>/seed-<n>`.
    pub runs: PathBuf,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// What is run.
    pub recipe: &'static Recipe,
    /// With which seed.
    pub seed: u64,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its epochs were done before.
    WasDone,
    /// It was trained to the end.
    Trained,
    /// It was not; the reason names the file, the row or the option.
    Failed(String),
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With the first epoch.
    Fresh,
    /// With what is left of `epochs` after the first `done`.
    Resumed {
        /// Epochs that are done.
        done: usize,
        /// Epochs in all.
        epochs: usize,
    },
}

/// Hears which runs begin and how they end.
pub trait Listener: Report {
    /// A run begins.
    fn begins(&mut self, run: &Run, beginning: Beginning);
    /// A run has ended, or was done before.
    fn ends(&mut self, run: &Run, outcome: &Outcome);
}

impl Reproduction {
    /// Adds the pre-trainings that a row starts from and that are not done in `runs`, each at its place in the table.
    pub fn add_missing_pre_trainings(&mut self) {
        let mut missing: Vec<&'static Recipe> = Vec::new();
        for recipe in self.rows.iter().filter_map(|row| find(row.starts_from?)) {
            let is_listed = self.rows.iter().chain(&missing).any(|row| row.name == recipe.name);
            if !is_listed && self.pre_training(recipe).is_err() {
                missing.push(recipe);
            }
        }
        self.rows.extend(missing);
        self.rows
            .sort_by_key(|row| super::TABLE.iter().position(|recipe| recipe.name == row.name));
    }

    /// The runs in the order they are made.
    pub fn plan(&self) -> Vec<Run> {
        let runs = |&recipe: &&'static Recipe| self.seeds_for(recipe).into_iter().map(move |seed| Run { recipe, seed });
        self.rows.iter().flat_map(runs).collect()
    }

    /// Those of them that are not done.
    pub fn unfinished(&self) -> Vec<Run> {
        let is_left = |run: &Run| {
            let folder = run_folder(&self.runs, run.recipe.name, run.seed);
            !matches!(Standing::read(&folder), Ok(Some(standing)) if is_done(&standing, &folder))
        };
        self.plan().into_iter().filter(is_left).collect()
    }

    fn seeds_for(&self, recipe: &Recipe) -> Vec<u64> {
        let mut seeds = self.seeds.clone().unwrap_or_else(|| recipe.seeds());
        if recipe.group == super::Group::PreTraining {
            seeds.truncate(1);
        }
        seeds
    }

    /// Makes one run after the other; a run that fails does not keep the next from being made. `records` gives the records
    /// that options name.
    ///
    /// # Errors
    /// [`TrainerError::Interrupted`] and [`TrainerError::NotBegun`] end all.
    pub fn run(
        &self,
        records: &mut dyn FnMut(&TrainOptions) -> Result<Records, TrainerError>,
        listener: &mut dyn Listener,
    ) -> Result<Vec<(Run, Outcome)>, TrainerError> {
        let mut outcomes = Vec::new();
        for run in self.plan() {
            let outcome = match self.make(&run, records, listener) {
                Ok(outcome) => outcome,
                Err(error @ (TrainerError::Interrupted { .. } | TrainerError::NotBegun)) => return Err(error),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            listener.ends(&run, &outcome);
            outcomes.push((run, outcome));
        }
        Ok(outcomes)
    }

    fn make(
        &self,
        run: &Run,
        records: &mut dyn FnMut(&TrainOptions) -> Result<Records, TrainerError>,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, TrainerError> {
        let folder = run_folder(&self.runs, run.recipe.name, run.seed);
        let network = run.recipe.network(&self.overrides)?;
        let Some(standing) = Standing::read(&folder)? else {
            let options = run.recipe.options(run.seed, self.source(run.recipe)?, &self.overrides);
            let records = records(&options)?;
            listener.begins(run, Beginning::Fresh);
            Training::start(Network::new(network)?, options, &folder, records)?.run(listener)?;
            return Ok(Outcome::Trained);
        };
        let deviations = standing.deviations(run.recipe, run.seed, &self.overrides)?;
        if !deviations.is_empty() {
            return Err(TrainerError::File {
                path: folder,
                reason: format!(
                    "the run there is of another recipe ({}); choose another --runs",
                    deviations.join("; ")
                ),
            });
        }
        if is_done(&standing, &folder) {
            return Ok(Outcome::WasDone);
        }
        let was_done = standing.is_finished();
        if !was_done {
            let (done, epochs) = (standing.done(), standing.options.epochs);
            listener.begins(run, Beginning::Resumed { done, epochs });
        }
        let changes = Changes {
            device: self.overrides.device.clone(),
            ..Changes::default()
        };
        Training::resume_in(Team::default(), &folder, changes, |options| records(options))?.run(listener)?;
        Ok(if was_done { Outcome::WasDone } else { Outcome::Trained })
    }

    /// The checkpoint that a recipe starts from, if it starts from one.
    ///
    /// # Errors
    /// It was not made, or not as the recipe has it.
    pub fn source(&self, recipe: &Recipe) -> Result<Option<PathBuf>, TrainerError> {
        let Some(name) = recipe.starts_from else {
            return Ok(None);
        };
        let missing = |reason: String| TrainerError::File {
            path: self.runs.join(name),
            reason: format!(
                "{} starts from the row {name}, {reason}; `trainer reproduce {name} --icentia DIR` makes it, in another --runs where one is there",
                recipe.name
            ),
        };
        let pre_training = find(name).ok_or_else(|| missing("which is not in the table".to_owned()))?;
        self.pre_training(pre_training).map(Some).map_err(missing)
    }

    /// The last checkpoint of a finished pre-training with the planned seed, or else with any.
    fn pre_training(&self, recipe: &Recipe) -> Result<PathBuf, String> {
        let mut seeds = self.seeds_for(recipe);
        seeds.extend(seeds_of(&self.runs, recipe.name));
        let mut reason = "which was not run".to_owned();
        for seed in seeds {
            let folder = run_folder(&self.runs, recipe.name, seed);
            match self.checkpoint(recipe, &folder) {
                Ok(Some(path)) => return Ok(path),
                Ok(None) => {}
                Err(problem) => reason = format!("of which seed {seed} {problem}"),
            }
        }
        Err(reason)
    }

    fn checkpoint(&self, recipe: &Recipe, folder: &Path) -> Result<Option<PathBuf>, String> {
        let standing = Standing::read(folder).map_err(|error| format!("cannot be read ({error})"))?;
        let Some(standing) = standing else { return Ok(None) };
        let (done, epochs) = (standing.done(), standing.options.epochs);
        if !standing.is_finished() {
            return Err(format!("is in epoch {} of {epochs}", done + 1));
        }
        // As published, or changed as this reproduction is.
        let seed = standing.options.seed;
        let deviations = |overrides| {
            standing
                .deviations(recipe, seed, overrides)
                .map_err(|error| error.to_string())
        };
        let (published, changed) = (deviations(&Overrides::default())?, deviations(&self.overrides)?);
        let least = if changed.len() < published.len() {
            changed
        } else {
            published
        };
        if !least.is_empty() {
            return Err(format!("is of another recipe ({})", least.join("; ")));
        }
        let path = RunFolder::new(folder).epoch(epochs);
        match path.is_file() {
            true => Ok(Some(path)),
            false => Err(format!("lacks {}", path.file_name().unwrap_or_default().display())),
        }
    }
}

/// Whether nothing is left to do of a run: all epochs are done, and measured.
fn is_done(standing: &Standing, folder: &Path) -> bool {
    standing.is_finished() && RunFolder::new(folder).has_result()
}
