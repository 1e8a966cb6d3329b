//! What was published: figures and learning curves of every row.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The published figures of a row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Best validation accuracy of each run.
    pub accuracy: Vec<f64>,
    /// Macro F1 of the same epoch of the same run.
    pub f1: Vec<f64>,
    /// The learning curve of one of the runs.
    pub curve: Option<Curve>,
}

/// A published learning curve.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The folder of the run in the published repository.
    pub run: String,
    /// Validation accuracy after epochs 2, 4, ….
    pub accuracy: Vec<f64>,
    /// Macro F1 after epochs 2, 4, ….
    pub f1: Vec<f64>,
    /// Mean training loss of every epoch.
    pub loss: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    source: String,
    rows: BTreeMap<String, Published>,
}

/// A test holds the file to this format.
static FILE: LazyLock<Option<File>> = LazyLock::new(|| serde_json::from_str(include_str!("published.json")).ok());

/// What was published of the row called `name`; `None` where nothing was.
pub fn published(name: &str) -> Option<&'static Published> {
    FILE.as_ref()?.rows.get(name)
}

/// Where the published figures come from.
pub fn published_source() -> &'static str {
    FILE.as_ref().map_or("", |file| file.source.as_str())
}
