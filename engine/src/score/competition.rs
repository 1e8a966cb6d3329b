//! The scores of the PhysioNet/CinC 2017 competition, from its two files.
//!
//! `REFERENCE.csv` holds one `record,label` a line; `PREDICTIONS.csv` one `record,label[,probability…]`, a header line
//! `record,…` being allowed. A record without a prediction, or with `?` or nothing for one, counts as predicted normal; of several
//! predictions for one record the first counts; predictions for records the reference does not know are counted but not scored.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::confusion::mean;
use super::evaluation::challenge_f1;
use super::label::{Undecided, read_labels};
use super::{ConfusionMatrix, Label, ScoreError, read_reference};

/// What `engine score` reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompetitionScore {
    /// Records in the reference.
    pub reference: usize,
    /// Of these, records that have a prediction.
    pub predicted: usize,
    /// Of the others, records that the predictions leave undecided (`?`, or nothing).
    pub undecided: usize,
    /// Records predicted but absent from the reference; they are not scored.
    pub unknown: usize,
    /// Predictions for a record that has one already; they are not scored.
    pub repeated: usize,
    /// Of these, predictions of another label than the first.
    pub contradicting: usize,
    /// What a record without a prediction counts as, undecided or not named.
    pub missing_predictions_count_as: Label,
    /// Share of records predicted right.
    pub accuracy: f64,
    /// Mean F1 over N, O, A and ~.
    pub f1_macro: f64,
    /// Mean F1 over N, O and A.
    pub f1_challenge: f64,
    /// F1 of N, O, A and ~.
    pub f1_per_class: Vec<f64>,
    /// `TP/(TP + ½(FP + FN))` of atrial fibrillation against normal: FP counts N called A, FN counts A called N, and
    /// every pair with O or ~ is ignored. 0 when nothing is left to count.
    pub f1_af_vs_normal: f64,
    /// Mean of `2·hits/(references + predictions)` over the classes that are in either file.
    pub f1_multi: f64,
    /// Reference against prediction, both in the order N, O, A, ~.
    pub confusion: ConfusionMatrix,
}

/// Scores a predictions file against a reference file.
///
/// # Errors
/// A file that cannot be read or is empty; a line without a record or with a label other than N, O, A, ~; a record
/// that the reference names twice; each names the file and the line. Predictions of which none is for a record of the reference.
pub fn score_files(reference: &Path, predictions: &Path) -> Result<CompetitionScore, ScoreError> {
    let references = read_reference(reference)?;
    let lines = read_labels(predictions, Undecided::Kept)?;
    if lines.is_empty() {
        return Err(ScoreError::Empty {
            path: predictions.to_owned(),
        });
    }
    let known: HashSet<&str> = references.iter().map(|(name, _)| name.as_str()).collect();
    if !lines.iter().any(|(_, name, _)| known.contains(name.as_str())) {
        return Err(ScoreError::Unrelated {
            path: predictions.to_owned(),
            lines: lines.len(),
            expected: references[0].0.clone(),
        });
    }
    let predictions = lines.into_iter().map(|(_, name, label)| (name, label));
    Ok(score(&references, predictions))
}

/// Scores predictions, of which the first that decides counts for a record, against references that name every record once.
pub fn score(
    references: &[(String, Label)],
    predictions: impl IntoIterator<Item = (String, Option<Label>)>,
) -> CompetitionScore {
    const MISSING: Label = Label::Normal;
    let (mut first, mut open) = (HashMap::new(), HashSet::new());
    let (mut repeated, mut contradicting) = (0, 0);
    for (name, label) in predictions {
        let Some(label) = label else {
            open.insert(name);
            continue;
        };
        match first.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(label);
            }
            Entry::Occupied(entry) => {
                repeated += 1;
                contradicting += usize::from(*entry.get() != label);
            }
        }
    }
    let predicted = references.iter().filter(|(name, _)| first.contains_key(name)).count();
    let is_undecided = |name: &String| open.contains(name) && !first.contains_key(name);
    let undecided = references.iter().filter(|(name, _)| is_undecided(name)).count();
    let pairs = references
        .iter()
        .map(|(name, label)| (label.index(), first.get(name).copied().unwrap_or(MISSING).index()));
    let confusion = ConfusionMatrix::from_pairs(Label::ALL.len(), pairs);
    let f1_per_class = confusion.f1_per_class();
    CompetitionScore {
        reference: references.len(),
        predicted,
        undecided,
        unknown: first.len().saturating_sub(predicted),
        repeated,
        contradicting,
        missing_predictions_count_as: MISSING,
        accuracy: confusion.accuracy(),
        f1_macro: mean(&f1_per_class),
        f1_challenge: challenge_f1(&f1_per_class).unwrap_or(0.0),
        f1_per_class,
        f1_af_vs_normal: af_vs_normal(&confusion),
        f1_multi: multi(&confusion),
        confusion,
    }
}

fn af_vs_normal(confusion: &ConfusionMatrix) -> f64 {
    let count = |reference: Label, predicted: Label| confusion.counts[reference.index()][predicted.index()] as f64;
    let hits = count(Label::AtrialFibrillation, Label::AtrialFibrillation);
    let false_alarms = count(Label::Normal, Label::AtrialFibrillation);
    let misses = count(Label::AtrialFibrillation, Label::Normal);
    let denominator = hits + 0.5 * (false_alarms + misses);
    if denominator > 0.0 { hits / denominator } else { 0.0 }
}

fn multi(confusion: &ConfusionMatrix) -> f64 {
    let scores: Vec<f64> = (0..confusion.classes())
        .filter_map(|class| {
            let either = confusion.references(class) + confusion.predictions(class);
            (either > 0).then(|| 2.0 * confusion.counts[class][class] as f64 / either as f64)
        })
        .collect();
    mean(&scores)
}
