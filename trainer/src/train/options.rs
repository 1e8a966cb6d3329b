//! What decides a training run.

mod distillation;
mod fault;

pub use distillation::Distillation;

use crate::augment::{Augmentation, AugmentationOptions};
use crate::data::{KnownDataset, Labels};
use crate::loss::{CLASS_WEIGHTS, CLASS_WEIGHTS_ICENTIA, CLASS_WEIGHTS_TWO};
use crate::optimizer::{RAdamOptions, RateOptions, Schedule};
use clap::ValueEnum;
use dualnet_export::network::ClassSet;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Every hyper-parameter of a run but the network's. The defaults are the published recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// The data set.
    pub dataset: KnownDataset,
    /// Name of the split, or a file with one ([`Split::parse`](crate::data::Split::parse)); Icentia11k divides its patients by their numbers and has none.
    pub split: String,
    /// Which of the published sets of labels of PhysioNet/CinC 2017.
    pub labels: Labels,
    /// Passes over the training records.
    pub epochs: usize,
    /// Records of one step, over all processes.
    pub batch_size: usize,
    /// Parts in which each process computes its share of a step, one after the other, where memory is short. Batch normalization
    /// then sees each part apart.
    pub accumulate: usize,
    /// Learning rate before the schedule.
    pub learning_rate: f64,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Decides every random draw.
    pub seed: u64,
    /// Probability of each augmentation that `augmentations` gives none of its own. Where all are 0 dropout is off too, unless `dropout` is
    /// given.
    pub augmentation: f64,
    /// Dropout while training, whatever else says; absent for the published rule ([`dropout`](Self::dropout)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// What dropout in the spectrogram encoder leaves out; absent for the published rule ([`dropout_unit`](Self::dropout_unit)). In what a run
    /// has written absence means channels ([`of_run`](Self::of_run)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout_unit: Option<DropoutUnit>,
    /// The loss's weights of the classes; absent for the published ones of the data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f32>>,
    /// Last epochs that train on the leads as they are, so that the network ends on what it will see (0 in the published recipe).
    /// Dropout stays.
    pub clean_epochs: usize,
    /// Crops of Icentia11k are drawn anew in every epoch; the published code reuses the same.
    pub fresh_crops: bool,
    /// State dict of the same network to start from, whatever its classes: the last layer is drawn anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<PathBuf>,
    /// The last layer is taken from `load` too: the network goes on with the classes it knows.
    pub keep_last_layer: bool,
    /// Share of the training records that is held back from training: the best epoch is chosen on it instead of on the validation records.
    pub hold_back: f64,
    /// Decay per step of the exponential moving average of the weights, which is then what is validated and kept; 0 keeps none.
    pub average_decay: f64,
    /// Share of the label that is spread over all classes.
    pub label_smoothing: f64,
    /// Parameter α of mixup's Beta(α, α) (Zhang et al. 2018); 0 mixes nothing.
    pub mixup: f64,
    /// Greatest Euclidean norm of a step's gradient over all weights, to which longer ones are shortened; 0 shortens none.
    pub clip_gradients: f64,
    /// Arithmetic of convolutions and linear layers.
    pub precision: Precision,
    /// Over which records batch normalization takes its statistics when several processes train.
    pub batch_norm: BatchNorm,
    /// Where to compute: `cpu`, `cuda`, `cuda:1`, `auto`.
    pub device: String,
    /// Epochs between two validations; the last epoch is always validated. Where no record is there to validate on, none is.
    pub validate_every: usize,
    /// Epochs between two kept checkpoints (`epoch-010.safetensors`, …); 0 keeps none.
    pub checkpoint_every: usize,
    /// Steps between two writes of `last.safetensors` within an epoch; 0 writes it at the end of each epoch only.
    pub checkpoint_steps: usize,
    /// Schedules that were given up for a longer or shorter one, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_plans: Vec<EarlierPlan>,
    /// At most this many training and validation records (the first of each list), or segments of each Icentia11k file; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The optimizer's numbers.
    pub optimizer: RAdamOptions,
    /// The schedules' numbers.
    pub rate: RateOptions,
    /// How far each augmentation goes, and its probability where that is its own.
    pub augmentations: AugmentationOptions,
    /// Networks to learn from beside the labels, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

/// Arithmetic of convolutions and linear layers; everything else is float32 in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32, as published.
    #[default]
    F32,
    /// Products of bfloat16 numbers summed in float32; the weights stay float32.
    Bf16,
}

/// What dropout in the spectrogram encoder leaves out, each with the same probability; elsewhere it is always single elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DropoutUnit {
    /// Single elements of a feature map.
    Elements,
    /// Whole channels of a record (Tompson et al. 2015).
    Channels,
}

/// Over which records batch normalization takes its statistics when several processes train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BatchNorm {
    /// Each process over its own share; the first one's running statistics are kept (PyTorch's `DataParallel`, as published).
    #[default]
    Replica,
    /// Over the whole batch: the number of processes changes nothing.
    Synchronized,
}

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
            dataset: KnownDataset::Physionet,
            split: "paper".to_owned(),
            labels: Labels::default(),
            epochs: 100,
            batch_size: 24,
            accumulate: 1,
            learning_rate: 1e-3,
            schedule: Schedule::Step,
            seed: 0,
            augmentation: Augmentation::PUBLISHED.probability,
            dropout: None,
            dropout_unit: None,
            class_weights: None,
            clean_epochs: 0,
            fresh_crops: false,
            load: None,
            keep_last_layer: false,
            hold_back: 0.0,
            average_decay: 0.0,
            label_smoothing: 0.0,
            mixup: 0.0,
            clip_gradients: 0.0,
            precision: Precision::F32,
            batch_norm: BatchNorm::Replica,
            device: "cpu".to_owned(),
            validate_every: 2,
            checkpoint_every: 10,
            checkpoint_steps: 0,
            earlier_plans: Vec::new(),
            limit: None,
            optimizer: RAdamOptions::default(),
            rate: RateOptions::default(),
            augmentations: AugmentationOptions::PUBLISHED,
            distillation: None,
        }
    }
}

impl TrainOptions {
    /// The augmentation of training records in `epoch` (counted from 1), if there is any.
    pub fn augmentation(&self, epoch: usize) -> Option<Augmentation> {
        let is_clean = epoch + self.clean_epochs > self.epochs;
        (self.is_augmented() && !is_clean).then_some(Augmentation {
            probability: self.augmentation,
            options: self.augmentations,
        })
    }

    fn is_augmented(&self) -> bool {
        let probabilities = self.augmentations.probabilities(self.augmentation);
        let mut probabilities = probabilities.into_iter().chain([self.augmentations.invert_probability]);
        probabilities.any(|probability| probability > 0.0)
    }

    /// Gives each of the eight augmentations this probability, also those that had one of their own; with 0 leads are not turned over either.
    pub fn set_augmentation(&mut self, probability: f64) {
        self.augmentation = probability;
        self.augmentations = self.augmentations.without_probabilities();
        if probability == 0.0 {
            self.augmentations.invert_probability = 0.0;
        }
    }

    /// The learning rate in `epoch` (counted from 1).
    pub fn learning_rate(&self, epoch: usize) -> f64 {
        self.learning_rate * self.schedule.factor(epoch, self.epochs, &self.rate)
    }

    /// The dropout while training: what is given explicitly, else the published rule: the two-class setting's 0.3 wins, then
    /// 0 without augmentation, then `configured`. Icentia11k, which is never augmented, keeps `configured`.
    pub fn dropout(&self, classes: usize, configured: f64) -> f64 {
        let is_augmented = self.is_augmented() || self.dataset == KnownDataset::Icentia11k;
        match (self.dropout, classes, is_augmented) {
            (Some(dropout), _, _) => dropout,
            (None, 2, _) => TWO_CLASS_DROPOUT,
            (None, _, false) => 0.0,
            (None, _, true) => configured,
        }
    }

    /// What dropout in the spectrogram encoder leaves out: what is given explicitly, else the published rule. The original's four-class
    /// results, of May and June 2021, are of code that left out elements; from commit c887d8f of June 2021 on, before its two-class results,
    /// it has left out channels.
    pub fn dropout_unit(&self, classes: usize) -> DropoutUnit {
        match (self.dropout_unit, classes) {
            (Some(unit), _) => unit,
            (None, 2) => DropoutUnit::Channels,
            (None, _) => DropoutUnit::Elements,
        }
    }

    /// Options as a run has written them: one of before `dropout_unit` left out channels.
    pub fn of_run(mut self) -> Self {
        self.dropout_unit.get_or_insert(DropoutUnit::Channels);
        self
    }

    /// What the classes of the data set are.
    pub fn class_set(&self) -> ClassSet {
        match self.dataset {
            KnownDataset::Icentia11k => ClassSet::Icentia11k,
            KnownDataset::Physionet | KnownDataset::Course6000 => ClassSet::Challenge,
        }
    }

    /// The loss's weights of the classes.
    pub fn class_weights(&self, classes: usize) -> &[f32] {
        match &self.class_weights {
            Some(weights) => weights,
            None if classes == 2 => &CLASS_WEIGHTS_TWO,
            None if self.dataset == KnownDataset::Icentia11k => &CLASS_WEIGHTS_ICENTIA,
            None => &CLASS_WEIGHTS,
        }
    }
}

const TWO_CLASS_DROPOUT: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_dropout_wins_over_the_published_rule() {
        let options = |dropout, augmentation| TrainOptions {
            dropout,
            augmentation,
            ..TrainOptions::default()
        };
        assert_eq!(options(None, 0.2).dropout(4, 0.05), 0.05);
        assert_eq!(options(None, 0.0).dropout(4, 0.05), 0.0);
        assert_eq!(options(None, 0.0).dropout(2, 0.05), 0.3);
        assert_eq!(options(Some(0.05), 0.4).dropout(2, 0.05), 0.05);
        assert_eq!(options(Some(0.1), 0.0).dropout(4, 0.05), 0.1);
    }

    #[test]
    fn dropout_leaves_out_what_it_did_when_a_table_was_published() {
        let rule = TrainOptions::default();
        assert_eq!(rule.dropout_unit(4), DropoutUnit::Elements);
        assert_eq!(rule.dropout_unit(2), DropoutUnit::Channels);
        let chosen = |unit| TrainOptions {
            dropout_unit: Some(unit),
            ..TrainOptions::default()
        };
        for unit in [DropoutUnit::Elements, DropoutUnit::Channels] {
            assert_eq!([2, 4].map(|classes| chosen(unit).dropout_unit(classes)), [unit; 2]);
            assert_eq!(chosen(unit).of_run(), chosen(unit));
        }
        assert_eq!(rule.of_run(), chosen(DropoutUnit::Channels));
    }
}
