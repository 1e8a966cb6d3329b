//! The four labels of the PhysioNet/CinC 2017 challenge and the file that assigns them.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ScoreError;
use crate::bounded::read_up_to;
use crate::record::one_line;

/// Larger files are no labels of a data set.
const LARGEST: u64 = 64 << 20;

/// The rhythm of a record, in the order of the network's four outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Label {
    /// `N`, normal sinus rhythm, output 0.
    #[serde(rename = "N")]
    Normal,
    /// `O`, another rhythm, output 1.
    #[serde(rename = "O")]
    Other,
    /// `A`, atrial fibrillation, output 2.
    #[serde(rename = "A")]
    AtrialFibrillation,
    /// `~`, too noisy to classify, output 3.
    #[serde(rename = "~")]
    Noise,
}

impl Label {
    /// Every label, in the order of the network's outputs.
    pub const ALL: [Label; 4] = [Label::Normal, Label::Other, Label::AtrialFibrillation, Label::Noise];

    /// The position among the network's four outputs.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The position among the two outputs of a two-class network: 1 for atrial fibrillation, 0 for everything else.
    pub fn binary_index(self) -> usize {
        usize::from(self == Label::AtrialFibrillation)
    }

    /// The symbol the challenge uses.
    pub fn symbol(self) -> &'static str {
        match self {
            Label::Normal => "N",
            Label::Other => "O",
            Label::AtrialFibrillation => "A",
            Label::Noise => "~",
        }
    }

    /// The label of a challenge symbol, `None` for any other text.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.symbol() == symbol)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// Reads a `REFERENCE.csv`: one `record,label` a line, no header, in the file's order.
///
/// # Errors
/// An unreadable or empty file, one larger than 64 MiB, and by line: fewer than two fields, an unknown label, a record named twice.
pub fn read_reference(path: &Path) -> Result<Vec<(String, Label)>, ScoreError> {
    let references = read_labels(path, Undecided::Refused)?;
    let mut seen = HashSet::with_capacity(references.len());
    let mut labelled = Vec::with_capacity(references.len());
    for (line, name, label) in &references {
        let fault = |problem| ScoreError::Line {
            path: path.to_owned(),
            line: *line,
            problem,
        };
        if !seen.insert(name.as_str()) {
            return Err(fault(format!("record {name} has a label already")));
        }
        let label = label.ok_or_else(|| fault(format!("record {name} has no label")))?;
        labelled.push((name.clone(), label));
    }
    Ok(labelled)
}

/// What to make of a line whose label is `?` or empty: a prediction below the minimum confidence, or a record that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecided {
    /// An error, as any other unknown label.
    Refused,
    /// A line without a label.
    Kept,
}

/// The lines `record,label[,…]` of a file as (line number, record, label), which only an undecided line is without. A first line `record,…` of predictions is a header, unless
/// it gives a label.
pub(super) fn read_labels(path: &Path, undecided: Undecided) -> Result<Vec<(u64, String, Option<Label>)>, ScoreError> {
    let content = read(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(content.as_slice());
    let mut labels = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| at_line(path, error))?;
        let line = row.position().map_or(0, csv::Position::line);
        let fault = |problem| ScoreError::Line {
            path: path.to_owned(),
            line,
            problem,
        };
        // A name of a prediction may be of several lines, as any name of a file.
        let single = if undecided == Undecided::Kept { 1 } else { 0 };
        if row.iter().skip(single).any(|field| field.contains('\n')) {
            return Err(fault("a quote that opens here is not closed on its line".to_owned()));
        }
        let name = row
            .get(0)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| fault("no record name".to_owned()))?;
        let symbol = row.get(1);
        let is_header = || symbol.is_none_or(|symbol| Label::from_symbol(symbol).is_none());
        if undecided == Undecided::Kept && labels.is_empty() && line == 1 && name == "record" && is_header() {
            continue;
        }
        let symbol = symbol.ok_or_else(|| {
            fault(format!(
                "record {} has no label; expected one of N, O, A, ~",
                one_line(name)
            ))
        })?;
        if undecided == Undecided::Kept && matches!(symbol, "" | "?") {
            labels.push((line, name.to_owned(), None));
            continue;
        }
        let label = Label::from_symbol(symbol).ok_or_else(|| {
            fault(format!(
                "record {} has label \"{}\"; expected one of N, O, A, ~",
                one_line(name),
                one_line(symbol)
            ))
        })?;
        labels.push((line, name.to_owned(), Some(label)));
    }
    if labels.is_empty() && undecided == Undecided::Refused {
        return Err(ScoreError::Empty { path: path.to_owned() });
    }
    Ok(labels)
}

fn read(path: &Path) -> Result<Vec<u8>, ScoreError> {
    File::open(path)
        .and_then(|file| read_up_to(LARGEST, file))
        .map_err(|source| ScoreError::Read {
            path: path.to_owned(),
            source,
        })?
        .ok_or_else(|| ScoreError::TooLarge { path: path.to_owned() })
}

fn at_line(path: &Path, error: csv::Error) -> ScoreError {
    let path = path.to_owned();
    let line = error.position().map_or(0, csv::Position::line);
    let problem = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => ScoreError::Read { path, source },
        csv::ErrorKind::Utf8 { .. } => ScoreError::Line {
            path,
            line,
            problem: "not UTF-8 text".to_owned(),
        },
        _ => ScoreError::Line { path, line, problem },
    }
}
