//! What decides a training run.

use crate::augment::Augmentation;
use crate::loss::{CLASS_WEIGHTS, CLASS_WEIGHTS_TWO};
use crate::optimizer::Schedule;
use serde::{Deserialize, Serialize};

/// Every hyper-parameter of a run but the network's. The defaults are the published recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Name of the data set.
    pub dataset: String,
    /// Name of the split.
    pub split: String,
    /// Passes over the training records.
    pub epochs: usize,
    /// Records of one step.
    pub batch_size: usize,
    /// Learning rate before the schedule.
    pub learning_rate: f64,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Decides every random draw.
    pub seed: u64,
    /// Probability of each augmentation; 0 switches augmentation and dropout off.
    pub augmentation: f64,
    /// Last epochs that train on the leads as they are, so that the network ends on what it will see (0 in the published recipe).
    /// Dropout stays.
    pub clean_epochs: usize,
    /// Epochs between two validations; the last epoch is always validated.
    pub validate_every: usize,
    /// Epochs between two kept checkpoints (`epoch-010.safetensors`, …); 0 keeps none.
    pub checkpoint_every: usize,
    /// Steps between two writes of `last.safetensors` within an epoch; 0 writes it at the end of each epoch only.
    pub checkpoint_steps: usize,
    /// Schedules that were given up for a longer or shorter one, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_plans: Vec<EarlierPlan>,
    /// At most this many training and validation records (the first of each list); absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The data sets there are.
pub const DATASETS: [&str; 1] = ["physionet"];

/// A number of epochs that a run was planned for before it was resumed with another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierPlan {
    /// The number of epochs the schedule was made for.
    pub epochs: usize,
    /// The last epoch, whole or in part, that followed it.
    pub until_epoch: usize,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            dataset: "physionet".to_owned(),
            split: "paper".to_owned(),
            epochs: 100,
            batch_size: 24,
            learning_rate: 1e-3,
            schedule: Schedule::Step,
            seed: 0,
            augmentation: Augmentation::PUBLISHED.probability,
            clean_epochs: 0,
            validate_every: 2,
            checkpoint_every: 10,
            checkpoint_steps: 0,
            earlier_plans: Vec::new(),
            limit: None,
        }
    }
}

impl TrainOptions {
    /// Why these options describe no run, if they do not.
    pub fn fault(&self) -> Option<String> {
        if !DATASETS.contains(&self.dataset.as_str()) {
            let known = DATASETS.join(", ");
            return Some(format!("no data set is called {:?}; there is {known}", self.dataset));
        }
        if i64::try_from(self.seed).is_err() {
            return Some(format!("seed must be at most {}, the largest number of TOML", i64::MAX));
        }
        let positive = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("validate_every", self.validate_every),
        ];
        if let Some((name, _)) = positive.into_iter().find(|&(_, value)| value == 0) {
            return Some(format!("{name} must be at least 1"));
        }
        if self.limit == Some(0) {
            return Some("limit must be at least 1".to_owned());
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Some(format!(
                "learning_rate must be a positive number, not {}",
                self.learning_rate
            ));
        }
        if !(0.0..=1.0).contains(&self.augmentation) {
            return Some(format!("augmentation is a probability, not {}", self.augmentation));
        }
        None
    }

    /// The augmentation of training records in `epoch` (counted from 1), if there is any.
    pub fn augmentation(&self, epoch: usize) -> Option<Augmentation> {
        let is_clean = epoch + self.clean_epochs > self.epochs;
        (self.augmentation > 0.0 && !is_clean).then_some(Augmentation {
            probability: self.augmentation,
        })
    }

    /// The dropout while training: the two-class setting's 0.3 wins, then 0 without augmentation, then `configured`.
    pub fn dropout(&self, classes: usize, configured: f64) -> f64 {
        match (classes, self.augmentation > 0.0) {
            (2, _) => TWO_CLASS_DROPOUT,
            (_, false) => 0.0,
            (_, true) => configured,
        }
    }

    /// The loss's weights of the classes.
    pub fn class_weights(classes: usize) -> &'static [f32] {
        match classes {
            2 => &CLASS_WEIGHTS_TWO,
            _ => &CLASS_WEIGHTS,
        }
    }
}

const TWO_CLASS_DROPOUT: f64 = 0.3;
