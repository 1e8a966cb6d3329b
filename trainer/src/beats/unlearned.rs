//! What forests say of records that they have not learned.

use super::{BeatOptions, BeatTable};
use crate::error::TrainerError;
use crate::evaluate::Predictions;
use dualnet_engine::beats::BeatForest;
use dualnet_engine::score::Label;
use serde_json::json;
use std::collections::HashSet;

impl BeatTable {
    /// Of each record, what a forest says that has not learned it: each of `parts`, into which the table's records are divided
    /// ([`folds_of`](crate::folds::folds_of)), is read by one that learned the others.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn cross_validated(&self, parts: &[Vec<u32>], options: &BeatOptions) -> Result<Predictions, TrainerError> {
        let classes = Label::ALL.len();
        let mut together = vec![0.0; self.rows.len() * classes];
        for part in parts {
            let left_out: HashSet<u32> = part.iter().copied().collect();
            let forest = self.fit_without(&left_out, options)?;
            for place in (0..self.rows.len()).filter(|&place| left_out.contains(&self.indices[place])) {
                let own = forest.probabilities(&self.rows[place]);
                together[place * classes..][..classes].copy_from_slice(&own);
            }
        }
        Ok(self.labelled(together))
    }

    /// A forest that has learned all records but those of these indices, in the table's order.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub(crate) fn fit_without(
        &self,
        left_out: &HashSet<u32>,
        options: &BeatOptions,
    ) -> Result<BeatForest, TrainerError> {
        let learned = (0..self.rows.len()).filter(|&place| !left_out.contains(&self.indices[place]));
        self.part(learned).fit(options, json!(null))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{few, table};
    use super::*;
    use crate::data::{Dataset, Recording};
    use crate::folds::folds_of;

    /// In the order of the table: in any other, what is said would not fit the labels.
    #[test]
    fn forests_say_what_shows_in_each_record_and_have_not_learned_it() {
        let table = table(400);
        let recording = |(record, label): (usize, &Label)| Recording {
            name: format!("A{record:05}"),
            samples: vec![record as f32; 3],
            label: *label,
        };
        let dataset = Dataset {
            recordings: table.labels.iter().enumerate().map(recording).collect(),
        };
        let parts = folds_of(&dataset, &table.indices, 4, few().seed).expect("four parts");
        let found = table.cross_validated(&parts, &few()).expect("probabilities");
        let accuracy = found.evaluation().expect("figures").accuracy;
        assert!(accuracy > 0.8, "{accuracy}");
        // The parts are those of the data set's labels, which stay: of the record itself its forest knows nothing.
        let mut other = table.clone();
        other.labels[7] = Label::ALL[(table.labels[7].index() + 1) % Label::ALL.len()];
        let again = other.cross_validated(&parts, &few()).expect("probabilities");
        assert_eq!(again.probabilities[28..32], found.probabilities[28..32]);
        assert_ne!(again.probabilities, found.probabilities);
    }
}
