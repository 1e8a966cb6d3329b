//! Fits the forest that reads a rhythm from a lead's beats ([`dualnet_engine::beats`]).

mod grown;
mod unlearned;

use crate::data::{DataError, Dataset, Recording};
use crate::error::TrainerError;
use crate::evaluate::Predictions;
use dualnet_engine::beats::{BeatForest, BeatMeter, COUNT, ClassForest, Measured};
use dualnet_engine::score::Label;
use dualnet_export::network::ClassSet;
use forust_ml::objective::ObjectiveType;
use forust_ml::sampler::SampleMethod;
use forust_ml::{GradientBooster, Matrix};
use rayon::prelude::*;
use serde::Serialize;

/// What a forest is fitted with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BeatOptions {
    /// Trees of each class.
    pub trees: usize,
    /// The most leaves of a tree.
    pub leaves: usize,
    /// What each tree's answer is multiplied by.
    pub learning_rate: f64,
    /// Share of the measurements that a tree may ask for, drawn anew for each.
    pub measurements: f64,
    /// Share of the records that a tree is grown on, drawn anew for each.
    pub records: f64,
    /// L2 penalty of a leaf's answer.
    pub l2: f64,
    /// The least sum of second derivatives in a leaf.
    pub min_leaf_weight: f64,
    /// The seed of the draws.
    pub seed: u64,
    /// The forest's weight in the average with a network.
    ///
    /// The default of a third was set after a look at the validation records of the paper's split; cross-validated on its training records one half is best
    /// by 0.4 points.
    pub share: f64,
}

impl Default for BeatOptions {
    fn default() -> Self {
        Self {
            trees: 200,
            leaves: 16,
            learning_rate: 0.06,
            measurements: 0.3,
            records: 0.7,
            l2: 2.0,
            min_leaf_weight: 3.0,
            seed: 1,
            share: 1.0 / 3.0,
        }
    }
}

/// The logit of a class that no record has, or with the other sign every record.
const CERTAIN: f64 = 15.0;

/// The most questions from a tree's root to an answer.
const DEPTH: usize = 8;

/// What is measured of some records' beats, and their labels.
#[derive(Clone, Debug)]
pub struct BeatTable {
    indices: Vec<u32>,
    rows: Vec<Measured>,
    labels: Vec<Label>,
}

impl BeatTable {
    /// Measures the records of these indices, on all of rayon's threads.
    ///
    /// # Errors
    /// An index outside the data set.
    pub fn measure(dataset: &Dataset, indices: &[u32]) -> Result<Self, DataError> {
        let records: Result<Vec<&Recording>, DataError> = indices
            .iter()
            .map(|&index| {
                let records = dataset.recordings.len();
                let record = dataset.recordings.get(index as usize);
                record.ok_or(DataError::Index { index, records })
            })
            .collect();
        let records = records?;
        let meter = BeatMeter::new();
        Ok(Self {
            indices: indices.to_vec(),
            rows: records
                .par_iter()
                .map(|record| meter.measure(&record.samples))
                .collect(),
            labels: records.iter().map(|record| record.label).collect(),
        })
    }

    /// The rows at these places, in their order.
    pub(crate) fn part(&self, places: impl Iterator<Item = usize> + Clone) -> Self {
        Self {
            indices: places.clone().map(|place| self.indices[place]).collect(),
            rows: places.clone().map(|place| self.rows[place]).collect(),
            labels: places.map(|place| self.labels[place]).collect(),
        }
    }

    /// What `forest` says of the records.
    pub fn predictions(&self, forest: &BeatForest) -> Predictions {
        self.labelled(self.rows.iter().flat_map(|row| forest.probabilities(row)).collect())
    }

    /// These probabilities, `[records, 4]`, of the records and their labels.
    fn labelled(&self, probabilities: Vec<f32>) -> Predictions {
        Predictions {
            classes: Label::ALL.len(),
            class_set: ClassSet::Challenge,
            probabilities,
            labels: self.labels.iter().map(|label| label.index() as i64).collect(),
        }
    }

    /// Replaces a network's probabilities of the same records, `[records, 4]`, by their average with the forest's.
    pub fn average_with(&self, forest: &BeatForest, probabilities: &mut [f32]) {
        let network = probabilities.chunks_exact_mut(Label::ALL.len());
        for (row, probabilities) in self.rows.iter().zip(network) {
            forest.average_with(row, probabilities);
        }
    }

    /// A forest that has learned these records, each class against all others; records of all classes have one weight.
    ///
    /// # Errors
    /// No record; options that the library refuses; a share outside 0 to 1.
    pub fn fit(&self, options: &BeatOptions, training: serde_json::Value) -> Result<BeatForest, TrainerError> {
        if self.rows.is_empty() {
            return Err(failed("there is no record to learn from"));
        }
        let columns = self.columns();
        let classes: Result<Vec<ClassForest>, TrainerError> = Label::ALL
            .par_iter()
            .map(|&label| self.fit_class(label, &columns, options))
            .collect();
        BeatForest::new("the forest", classes?, options.share, training).map_err(failed)
    }

    /// The measurements, one after the other.
    fn columns(&self) -> Vec<f64> {
        let column = |column: usize| self.rows.iter().map(move |row| f64::from(row.values()[column]));
        (0..COUNT).flat_map(column).collect()
    }

    fn fit_class(&self, label: Label, columns: &[f64], options: &BeatOptions) -> Result<ClassForest, TrainerError> {
        let class = label.symbol().to_owned();
        let count = self.labels.iter().filter(|&&own| own == label).count();
        if count == 0 || count == self.labels.len() {
            let base = if count == 0 { -CERTAIN } else { CERTAIN };
            let trees = Vec::new();
            return Ok(ClassForest { class, base, trees });
        }
        let is_label: Vec<f64> = self
            .labels
            .iter()
            .map(|&own| f64::from(u8::from(own == label)))
            .collect();
        let mut booster = GradientBooster::default()
            .set_objective_type(ObjectiveType::LogLoss)
            .set_iterations(options.trees)
            .set_learning_rate(options.learning_rate as f32)
            .set_max_leaves(options.leaves)
            .set_max_depth(DEPTH)
            .set_colsample_bytree(options.measurements)
            .set_l2(options.l2 as f32)
            .set_min_leaf_weight(options.min_leaf_weight as f32)
            .set_sample_method(SampleMethod::Random)
            .set_subsample(options.records as f32)
            .set_seed(options.seed)
            .set_parallel(false);
        booster
            .fit_unweighted(&Matrix::new(columns, self.rows.len(), COUNT), &is_label, None)
            .map_err(failed)?;
        Ok(ClassForest {
            class,
            base: booster.base_score,
            trees: booster.trees.iter().map(grown::tree).collect(),
        })
    }
}

fn failed(error: impl std::fmt::Display) -> TrainerError {
    TrainerError::Internal(format!("the beats: {error}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::Rng;
    use serde_json::json;

    /// Records of 75 beats per minute whose rhythm shows in two measurements, every fifth of the second unknown.
    pub(super) fn table(records: usize) -> BeatTable {
        let mut random = Rng::for_name(3, "beats");
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for record in 0..records {
            let mut row = [0.0; COUNT];
            row.iter_mut().for_each(|value| *value = random.unit_f64() as f32 - 5.0);
            labels.push(Label::ALL[usize::from(row[2] > -4.5) + 2 * usize::from(row[3] > -4.3)]);
            row[1] = 75.0;
            if record % 5 == 0 {
                row[3] = f32::NAN;
            }
            rows.push(Measured::from(row));
        }
        let indices = (0..records as u32).collect();
        BeatTable { indices, rows, labels }
    }

    pub(super) fn few() -> BeatOptions {
        BeatOptions {
            trees: 20,
            learning_rate: 0.3,
            ..BeatOptions::default()
        }
    }

    #[test]
    fn what_shows_in_the_measurements_is_learned_and_two_fits_agree() {
        let (learned, other) = (table(600), table(600).part(0..200));
        let forest = learned.fit(&few(), json!(null)).expect("a forest");
        assert_eq!(learned.fit(&few(), json!(null)).expect("a forest"), forest);
        let accuracy = other.predictions(&forest).evaluation().expect("figures").accuracy;
        assert!(accuracy > 0.85, "{accuracy}");
        let mut network = [0.25; 800];
        other.average_with(&forest, &mut network);
        let own = other.predictions(&forest).probabilities;
        let share = few().share as f32;
        assert!(
            network
                .iter()
                .zip(own)
                .all(|(half, own)| (half - (0.25 * (1.0 - share) + share * own)).abs() < 1e-6)
        );
    }

    #[test]
    fn a_class_without_records_is_never_named() {
        let mut table = table(100);
        for label in &mut table.labels {
            *label = [Label::Normal, Label::Other][usize::from(*label == Label::Noise)];
        }
        let found = table.predictions(&table.fit(&few(), json!(null)).expect("a forest"));
        assert!(
            found
                .probabilities
                .chunks_exact(4)
                .all(|row| row[2] < 1e-4 && row[3] < 1e-4)
        );
    }
}
