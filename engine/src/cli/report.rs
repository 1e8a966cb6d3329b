//! The four forms in which predictions are written.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use dualnet_engine::Prediction;
use dualnet_engine::classifier::UNDECIDED;
use dualnet_engine::record::{lossy, printable};
use serde::Serialize;

use super::text::{percent, rhythm};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person: the rhythm in words, its probability, the runner-up, warnings.
    Text,
    /// One JSON array of predictions.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A header, then record, class and probability of atrial fibrillation (the first three columns are those of the
    /// PhysioNet/CinC 2017 competition's PREDICTIONS file), the other classes' probabilities, path, warnings, error.
    Csv,
}

/// A record that could not be classified.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// Name of the record.
    pub record: String,
    /// Its file.
    #[serde(serialize_with = "lossy")]
    pub path: Option<PathBuf>,
    /// What went wrong, on one line.
    pub error: String,
}

/// Writes predictions and failures in one format, a record at a time.
pub struct Report {
    format: Format,
    classes: Vec<String>,
    /// Whether text names files by their paths.
    names_paths: bool,
    records: usize,
}

impl Report {
    /// A report of a network that knows `classes`.
    pub fn new(format: Format, classes: &[String]) -> Self {
        Self {
            format,
            classes: classes.to_vec(),
            names_paths: false,
            records: 0,
        }
    }

    /// The same, in which text names files by their paths where two of `records` have one name: a line must say whose it is.
    pub fn telling_apart(mut self, records: impl Iterator<Item = String>) -> Self {
        let mut seen = HashSet::new();
        self.names_paths = self.format == Format::Text && !records.into_iter().all(|record| seen.insert(record));
        self
    }

    /// What comes before the first record.
    pub fn begin(&self) -> Result<Vec<u8>> {
        match self.format {
            Format::Text | Format::Ndjson => Ok(Vec::new()),
            Format::Json => Ok(b"[".to_vec()),
            Format::Csv => {
                let probabilities = self.other_classes().map(|class| format!("probability_{class}"));
                let fields = ["record", "class", "probability_af"].map(str::to_owned).into_iter();
                let rest = ["path", "warnings", "error"].map(str::to_owned);
                row(fields.chain(probabilities).chain(rest))
            }
        }
    }

    /// The next record. A failure is nothing in text, where standard error says it.
    pub fn record(&mut self, result: &Result<Prediction, Failure>) -> Result<Vec<u8>> {
        self.records += 1;
        match self.format {
            Format::Text => Ok(result
                .as_ref()
                .map(|prediction| self.text(prediction))
                .unwrap_or_default()
                .into_bytes()),
            Format::Csv => self.csv(result),
            Format::Ndjson => Ok([&json(result)?[..], b"\n"].concat()),
            Format::Json => {
                let separator: &[u8] = if self.records == 1 { b"\n" } else { b",\n" };
                Ok([separator, &json(result)?].concat())
            }
        }
    }

    /// What comes behind the last record.
    pub fn end(&self) -> &'static [u8] {
        match self.format {
            Format::Json => b"\n]\n",
            Format::Text | Format::Ndjson | Format::Csv => b"",
        }
    }

    fn other_classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(String::as_str).filter(|class| *class != "A")
    }

    fn csv(&self, result: &Result<Prediction, Failure>) -> Result<Vec<u8>> {
        let path = |path: &Option<PathBuf>| {
            path.as_deref()
                .map(Path::to_string_lossy)
                .unwrap_or_default()
                .into_owned()
        };
        let others = self.other_classes();
        match result {
            Ok(prediction) => {
                let probability = |class: &str| {
                    prediction
                        .probabilities
                        .get(class)
                        .map(|probability| probability.to_string())
                        .unwrap_or_default()
                };
                let first = [prediction.record.clone(), prediction.class.clone(), probability("A")];
                let rest = [path(&prediction.path), prediction.warnings.join("; "), String::new()];
                row(first.into_iter().chain(others.map(probability)).chain(rest))
            }
            Err(failure) => {
                let first = [failure.record.clone(), String::new(), String::new()];
                let rest = [path(&failure.path), String::new(), failure.error.clone()];
                row(first.into_iter().chain(others.map(|_| String::new())).chain(rest))
            }
        }
    }

    fn text(&self, prediction: &Prediction) -> String {
        let ranked = prediction.probabilities.ranked();
        let words =
            |(class, probability): &(&str, f32)| (rhythm(class, ranked.len()).to_owned(), percent(*probability));
        let path = prediction.path.as_deref().filter(|_| self.names_paths);
        let name = path.map_or(prediction.record.as_str().into(), Path::to_string_lossy);
        let mut text = format!("{}: ", printable(&name));
        if let [best, next, ..] = &ranked[..] {
            let ((best, sure), (next, less)) = (words(best), words(next));
            let opening = if prediction.class == UNDECIDED {
                "? undecided, most likely "
            } else {
                ""
            };
            write!(text, "{opening}{best} ({sure}), then {next} ({less})").ok();
        }
        text.push('\n');
        for warning in &prediction.warnings {
            writeln!(text, "  warning: {warning}").ok();
        }
        text
    }
}

fn row(fields: impl Iterator<Item = String>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    Ok(writer.into_inner()?)
}

fn json(result: &Result<Prediction, Failure>) -> Result<Vec<u8>> {
    Ok(match result {
        Ok(prediction) => serde_json::to_vec(prediction)?,
        Err(failure) => serde_json::to_vec(failure)?,
    })
}
