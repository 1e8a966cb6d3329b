//! What a file of boosted trees holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tree::Tree;
use super::{COUNT, MEASUREMENTS};

/// What the file says it is.
pub(super) const FORMAT: &str = "dualnet.beats/1";

/// The trees of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassForest {
    /// The class, such as `A`.
    pub class: String,
    /// The logit before any tree.
    pub base: f64,
    /// The trees, whose answers are added to it.
    pub trees: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    pub(super) format: String,
    /// What the trees ask for, by name.
    pub(super) measurements: Vec<String>,
    /// The weight of these probabilities in the average with the network's.
    pub(super) share: f64,
    /// How it was fitted, for people.
    pub(super) training: Value,
    pub(super) classes: Vec<ClassForest>,
}

impl Content {
    /// Why the content is no forest that this program can read, if it is none.
    pub(super) fn fault(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!(
                "has the format {:?}; this program reads {FORMAT:?}",
                self.format
            ));
        }
        if self.measurements != MEASUREMENTS {
            return Some(
                "asks for other measurements than this program makes; fit it again with `trainer beats`".to_owned(),
            );
        }
        if !(0.0..=1.0).contains(&self.share) {
            return Some(format!("has the share {}, which is not between 0 and 1", self.share));
        }
        let names: std::collections::HashSet<&str> = self.classes.iter().map(|forest| forest.class.as_str()).collect();
        if names.len() < 2 || names.len() != self.classes.len() {
            return Some("has fewer than two classes, or one of them twice".to_owned());
        }
        self.classes.iter().find_map(|forest| {
            let class = &forest.class;
            if !forest.base.is_finite() {
                return Some(format!("class {class} starts from {}", forest.base));
            }
            let faults = forest.trees.iter().enumerate();
            let mut faults = faults.filter_map(|(index, tree)| Some((index, tree.fault(COUNT)?)));
            faults
                .next()
                .map(|(index, fault)| format!("tree {index} of class {class} {fault}"))
        })
    }
}
