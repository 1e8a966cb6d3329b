//! The lines of the table *published | ours*, for any form of output.

use super::run_files::{Figures, Intervals, Measured, RunFiles};
use super::{Findings, Row};
use crate::experiments::{Group, published};

/// One line: a row's accuracy or its macro F1.
pub(super) struct Line<'a> {
    pub(super) row: &'a Row,
    pub(super) figure: Figure,
    /// Published figures of each run, and their mean.
    pub(super) published: [String; 2],
    /// Ours at the best epoch, and their mean.
    pub(super) best: [String; 2],
    /// Ours at the last epoch, and their mean.
    pub(super) last: [String; 2],
}

impl Line<'_> {
    /// The cells below [`COLUMNS`]; `name` stands beside the first figure of the row.
    pub(super) fn cells(self, name: String) -> [String; 8] {
        let name = match self.figure {
            Figure::Accuracy => name,
            Figure::F1 => String::new(),
        };
        let figure = self.figure.name().to_owned();
        let [published, published_mean] = self.published;
        let ([best, best_mean], [last, last_mean]) = (self.best, self.last);
        [
            name,
            figure,
            published,
            published_mean,
            best,
            best_mean,
            last,
            last_mean,
        ]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Accuracy,
    F1,
}

impl Figure {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "ACC",
            Self::F1 => "F1",
        }
    }

    fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Accuracy => figures.accuracy,
            Self::F1 => figures.f1_macro,
        }
    }

    fn interval(self, intervals: &Intervals) -> Option<[f64; 2]> {
        match self {
            Self::Accuracy => intervals.accuracy,
            Self::F1 => intervals.f1_macro,
        }
    }
}

pub(super) const COLUMNS: [&str; 8] = [
    "row",
    "",
    "published",
    "mean",
    "ours, best epoch",
    "mean",
    "ours, last epoch",
    "mean",
];

/// What every table is preceded by.
pub(super) const LEGEND: &str = "Validation accuracy (ACC) and macro F1 of each run: published figures are those of the epoch with the best \
    accuracy. Ours are given by seed, at that epoch and at the last; in parentheses the bootstrap 95 % interval over the validation records. \
    A figure with † is of a run that is under way or not by the row's recipe, and no part of the mean.";

/// The lines of the rows of `group`.
pub(super) fn lines(findings: &Findings, group: Group) -> Vec<Line<'_>> {
    let rows = findings.rows.iter().filter(|row| row.recipe.group == group);
    rows.flat_map(|row| [Figure::Accuracy, Figure::F1].map(|figure| line(row, figure)))
        .collect()
}

fn line(row: &Row, figure: Figure) -> Line<'_> {
    let published = match published(row.recipe.name) {
        None => ["not published".to_owned(), String::new()],
        Some(published) => {
            let values = match figure {
                Figure::Accuracy => &published.accuracy,
                Figure::F1 => &published.f1,
            };
            let texts: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
            [texts.join("; "), mean(values)]
        }
    };
    Line {
        row,
        figure,
        published,
        best: ours(row, figure, |run| run.best.as_ref()),
        last: ours(row, figure, |run| run.last.as_ref()),
    }
}

fn ours(row: &Row, figure: Figure, measured: impl Fn(&RunFiles) -> Option<&Measured>) -> [String; 2] {
    if row.runs.is_empty() {
        return ["not run".to_owned(), String::new()];
    }
    let mut counted = Vec::new();
    let texts: Vec<String> = row
        .runs
        .iter()
        .map(|run| {
            let seed = run.seed;
            let Some(measured) = measured(run) else {
                return format!("seed {seed}: {}", run.standing());
            };
            let value = figure.of(&measured.evaluation);
            let interval = measured.intervals.as_ref().and_then(|all| figure.interval(all));
            let interval = interval.map_or_else(String::new, |[low, high]| format!(" ({low:.4} to {high:.4})"));
            let standing = if run.is_finished() {
                String::new()
            } else {
                format!(", {}", run.standing())
            };
            if run.counts() {
                counted.push(value);
                return format!("seed {seed}: {value:.4}{interval}");
            }
            format!("seed {seed}: {value:.4}†{interval}{standing}")
        })
        .collect();
    [texts.join("; "), mean(&counted)]
}

/// The mean of more than no values.
fn mean(values: &[f64]) -> String {
    match values.len() {
        0 => "–".to_owned(),
        count => format!("{:.4}", values.iter().sum::<f64>() / count as f64),
    }
}
