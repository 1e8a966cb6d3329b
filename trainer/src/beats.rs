//! Fits the forest that reads a rhythm from a lead's beats ([`dualnet_engine::beats`]).

use crate::data::{DataError, Dataset};
use crate::error::TrainerError;
use crate::evaluate::Predictions;
use crate::folds::{folds, subset};
use crate::loss::CLASS_WEIGHTS;
use dualnet_engine::beats::{BeatForest, BeatMeter, COUNT, ClassForest, Node, Tree};
use dualnet_engine::score::Label;
use dualnet_export::network::ClassSet;
use forust_ml::objective::ObjectiveType;
use forust_ml::{GradientBooster, Matrix};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

/// What a forest is fitted with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BeatOptions {
    /// Trees of each class.
    pub trees: usize,
    /// The most leaves of a tree.
    pub leaves: usize,
    /// What each tree's answer is multiplied by.
    pub learning_rate: f32,
    /// Share of the measurements that a tree may ask for, drawn anew for each.
    pub measurements: f64,
    /// L2 penalty of a leaf's answer.
    pub l2: f32,
    /// The least sum of second derivatives in a leaf.
    pub min_leaf_weight: f32,
    /// The seed of the draws.
    pub seed: u64,
    /// The forest's weight in the average with a network.
    pub share: f64,
}

impl Default for BeatOptions {
    fn default() -> Self {
        Self {
            trees: 200,
            leaves: 16,
            learning_rate: 0.06,
            measurements: 0.3,
            l2: 2.0,
            min_leaf_weight: 3.0,
            seed: 1,
            share: 0.5,
        }
    }
}

/// Deeper than trees of a few leaves grow.
const DEPTH: usize = 8;

/// What is measured of some records' beats, and their labels.
#[derive(Clone, Debug)]
pub struct BeatTable {
    rows: Vec<[f32; COUNT]>,
    labels: Vec<Label>,
}

impl BeatTable {
    /// Measures the records of these indices, on all of rayon's threads.
    ///
    /// # Errors
    /// An index outside the data set, or named twice.
    pub fn measure(dataset: &Dataset, indices: &[u32]) -> Result<Self, DataError> {
        let records = subset(dataset, indices)?.recordings;
        Ok(Self {
            rows: records
                .par_iter()
                .map_init(BeatMeter::new, |meter, record| meter.measure(&record.samples))
                .collect(),
            labels: records.iter().map(|record| record.label).collect(),
        })
    }

    /// The rows at these places.
    fn part(&self, places: impl Iterator<Item = usize> + Clone) -> Self {
        Self {
            rows: places.clone().map(|place| self.rows[place]).collect(),
            labels: places.map(|place| self.labels[place]).collect(),
        }
    }

    /// What `forest` says of the records.
    pub fn predictions(&self, forest: &BeatForest) -> Predictions {
        Predictions {
            classes: Label::ALL.len(),
            class_set: ClassSet::Challenge,
            probabilities: self.rows.iter().flat_map(|row| forest.probabilities(row)).collect(),
            labels: self.labels.iter().map(|label| label.index() as i64).collect(),
        }
    }

    /// Replaces a network's probabilities of the same records by their average with the forest's.
    pub fn average_with(&self, forest: &BeatForest, predictions: &mut Predictions) {
        let network = predictions.probabilities.chunks_exact_mut(predictions.classes);
        for (row, probabilities) in self.rows.iter().zip(network) {
            forest.average_with(row, probabilities);
        }
    }

    /// A forest that has learned these records, each class against all others, records weighted by class as in the networks' loss.
    ///
    /// # Errors
    /// Too few records.
    pub fn fit(&self, options: &BeatOptions, training: serde_json::Value) -> Result<BeatForest, TrainerError> {
        let weights = self.weights();
        let columns: Vec<f64> = (0..COUNT)
            .flat_map(|column| self.rows.iter().map(move |row| f64::from(row[column])))
            .collect();
        let classes: Result<Vec<ClassForest>, TrainerError> = Label::ALL
            .par_iter()
            .map(|&label| self.fit_class(label, &columns, &weights, options))
            .collect();
        BeatForest::new("the forest", classes?, options.share, training).map_err(failed)
    }

    fn weights(&self) -> Vec<f64> {
        let weight = |label: &Label| f64::from(CLASS_WEIGHTS[label.index()]);
        self.labels.iter().map(weight).collect()
    }

    fn fit_class(
        &self,
        label: Label,
        columns: &[f64],
        weights: &[f64],
        options: &BeatOptions,
    ) -> Result<ClassForest, TrainerError> {
        let is_label: Vec<f64> = self.labels.iter().map(|&own| f64::from(u8::from(own == label))).collect();
        let mut booster = GradientBooster::default()
            .set_objective_type(ObjectiveType::LogLoss)
            .set_iterations(options.trees)
            .set_learning_rate(options.learning_rate)
            .set_max_leaves(options.leaves)
            .set_max_depth(DEPTH)
            .set_colsample_bytree(options.measurements)
            .set_l2(options.l2)
            .set_min_leaf_weight(options.min_leaf_weight)
            .set_seed(options.seed)
            .set_parallel(false);
        booster
            .fit(&Matrix::new(columns, self.rows.len(), COUNT), &is_label, weights, None)
            .map_err(failed)?;
        Ok(ClassForest {
            class: label.symbol().to_owned(),
            base: booster.base_score,
            trees: booster.trees.iter().map(tree).collect(),
        })
    }

    /// What forests say of records that they have not learned: each of `count` parts is read by one that learned the others, recordings of
    /// the same samples in one part.
    ///
    /// # Errors
    /// Fewer than two parts, or more than records.
    pub fn cross_validated(
        &self,
        dataset: &Dataset,
        indices: &[u32],
        count: usize,
        options: &BeatOptions,
    ) -> Result<Predictions, TrainerError> {
        let mut together: Option<Predictions> = None;
        for part in folds(&subset(dataset, indices)?, count, options.seed)? {
            let mut is_left_out = vec![false; self.rows.len()];
            part.iter().for_each(|&place| is_left_out[place as usize] = true);
            let learned = self.part((0..self.rows.len()).filter(|&place| !is_left_out[place]));
            let forest = learned.fit(options, json!(null))?;
            let found = self.part(part.iter().map(|&place| place as usize)).predictions(&forest);
            match &mut together {
                None => together = Some(found),
                Some(together) => {
                    together.probabilities.extend(found.probabilities);
                    together.labels.extend(found.labels);
                }
            }
        }
        together.ok_or_else(|| failed("no part"))
    }
}

fn failed(error: impl std::fmt::Display) -> TrainerError {
    TrainerError::Network(format!("the beats: {error}"))
}

/// The tree in the engine's form, nodes in the order in which they are walked. Measurements are float32, so that a threshold
/// may be rounded up to one.
fn tree(grown: &forust_ml::tree::Tree) -> Tree {
    let mut order = vec![0];
    let mut place = vec![0_u16; grown.nodes.len()];
    let mut at = 0;
    while let Some(&index) = order.get(at) {
        let node = &grown.nodes[index];
        place[index] = at as u16;
        if !node.is_leaf {
            order.extend([node.left_child, node.right_child]);
        }
        at += 1;
    }
    let nodes = order.into_iter().map(|index| {
        let node = &grown.nodes[index];
        match node.is_leaf {
            true => Node::Answer([node.weight_value]),
            false => Node::Question(
                node.split_feature as u16,
                rounded_up(node.split_value),
                place[node.left_child],
                place[node.right_child],
                place[node.missing_node],
            ),
        }
    });
    Tree {
        nodes: nodes.collect(),
    }
}

/// The smallest float32 that is not below the number.
fn rounded_up(value: f64) -> f32 {
    let nearest = value as f32;
    match f64::from(nearest) < value {
        true => nearest.next_up(),
        false => nearest,
    }
}
