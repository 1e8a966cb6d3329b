//! What was reached beside what was published: a table in Markdown, and a page with the learning curves.

mod chart;
mod html;
mod markdown;
mod run_files;
mod table;

pub use html::html;
pub use markdown::markdown;
pub use run_files::{Confusion, EpochLine, Figures, Intervals, Measured, RunFiles};

use super::{Recipe, TABLE, find, seeds_of};
use std::path::Path;

/// Every row of the paper with its runs.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The rows in the table's order.
    pub rows: Vec<Row>,
    /// Folders that are no row, and those in a row's folder that are no run.
    pub strangers: Vec<String>,
}

/// One row with its runs.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is.
    pub recipe: &'static Recipe,
    /// Its runs, by seed.
    pub runs: Vec<RunFiles>,
}

impl Findings {
    /// Reads the folders `runs/<row>/seed-<n>`.
    ///
    /// # Errors
    /// `runs` cannot be listed.
    pub fn read(runs: &Path) -> std::io::Result<Self> {
        let mut strangers = Vec::new();
        for name in folders(runs)? {
            let Some(recipe) = find(&name) else {
                strangers.push(name);
                continue;
            };
            let seeds: Vec<String> = seeds_of(runs, recipe.name)
                .iter()
                .map(|seed| format!("seed-{seed}"))
                .collect();
            let others = folders(&runs.join(&name))?
                .into_iter()
                .filter(|folder| !seeds.contains(folder));
            strangers.extend(others.map(|folder| format!("{name}/{folder}")));
        }
        strangers.sort_unstable();
        let row = |recipe: &'static Recipe| Row {
            recipe,
            runs: seeds_of(runs, recipe.name)
                .into_iter()
                .map(|seed| RunFiles::read(runs, recipe, seed))
                .collect(),
        };
        let mut findings = Self {
            rows: TABLE.iter().map(row).collect(),
            strangers,
        };
        // Files are named within `runs`.
        let prefix = format!("{}{}", runs.display(), std::path::MAIN_SEPARATOR);
        for run in findings.rows.iter_mut().flat_map(|row| &mut row.runs) {
            for problem in &mut run.problems {
                *problem = problem.replace(&prefix, "");
            }
        }
        Ok(findings)
    }

    /// Whether no run was found.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|row| row.runs.is_empty())
    }

    /// Runs with files that are missing or broken.
    pub fn broken_runs(&self) -> usize {
        let runs = self.rows.iter().flat_map(|row| &row.runs);
        runs.filter(|run| !run.problems.is_empty()).count()
    }

    /// What the reader of the table should know: runs under way, of another recipe, and with broken files.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for row in &self.rows {
            for run in &row.runs {
                let name = format!("{}/seed-{}", row.recipe.name, run.seed);
                if !run.is_finished() {
                    notes.push(format!("{name}: {}", run.standing()));
                }
                if !run.differences.is_empty() {
                    notes.push(format!(
                        "{name}: not the row's recipe, and not in its mean: {}",
                        run.differences.join("; ")
                    ));
                }
                notes.extend(run.problems.iter().map(|problem| format!("{name}: {problem}")));
            }
        }
        notes.extend(self.strangers.iter().map(|name| match name.contains('/') {
            true => format!("{name}: no run of the row, whose folders are seed-1, seed-2, …"),
            false => format!("{name}: no row of the table"),
        }));
        notes
    }
}

/// The names of the folders in a folder.
fn folders(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
