//! What one experiment trains, on what and how.

use super::Overrides;
use crate::data::KnownDataset;
use crate::data::icentia::SEGMENTS;
use crate::train::{DropoutUnit, TrainOptions};
use dualnet_export::network::{ClassSet, Network, NetworkConfig, NetworkError, preset};
use std::path::PathBuf;

/// One experiment of the paper: a row of one of its tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What the row is called on the command line, and its folder.
    pub name: &'static str,
    /// What the paper calls it.
    pub title: &'static str,
    /// The table it belongs to.
    pub group: Group,
    /// Published network.
    pub network: &'static str,
    /// What is left out of the network or of its training.
    pub ablation: Option<Ablation>,
    /// What it is trained and validated on.
    pub data: Data,
    /// Number of classes: 4, or 2 (AF against the rest).
    pub classes: usize,
    /// Passes over the training records.
    pub epochs: usize,
    /// Records of one step.
    pub batch_size: usize,
    /// Parts of a step, of which batch normalization sees each apart: as many as GPUs that shared it when the row was published.
    pub accumulate: usize,
    /// Probability of each augmentation.
    pub augmentation: f64,
    /// Dropout while training.
    pub dropout: f64,
    /// What dropout in the spectrogram encoder left out when the row was published.
    pub dropout_unit: DropoutUnit,
    /// The loss's weights of the classes.
    pub class_weights: &'static [f32],
    /// The row whose last checkpoint this one starts from.
    pub starts_from: Option<&'static str>,
    /// How many runs were published, and so how many seeds are trained.
    pub runs: usize,
}

/// The tables of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The nine networks.
    Results,
    /// What each part contributes.
    Ablation,
    /// Training on Icentia11k.
    PreTraining,
    /// Training on from there.
    FineTuned,
    /// The same on the challenge split.
    Challenge,
    /// AF against the rest.
    TwoClasses,
}

impl Group {
    /// The tables in their order.
    pub const ALL: [Self; 6] = [
        Self::Results,
        Self::Ablation,
        Self::PreTraining,
        Self::FineTuned,
        Self::Challenge,
        Self::TwoClasses,
    ];

    /// What the table is about.
    pub fn title(self) -> &'static str {
        match self {
            Self::Results => "Networks, paper split",
            Self::Ablation => "Ablations, paper split",
            Self::PreTraining => "Pre-training on Icentia11k",
            Self::FineTuned => "Fine-tuned from Icentia11k, paper split",
            Self::Challenge => "Fine-tuned from Icentia11k, challenge split",
            Self::TwoClasses => "Two classes, challenge split, fine-tuned from Icentia11k",
        }
    }
}

/// What an ablation leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ablation {
    /// Augmentation, and with it dropout.
    Augmentation,
    /// The waveform's encoder.
    SignalEncoder,
    /// The spectrogram's encoder.
    SpectrogramEncoder,
}

/// A data set and its division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// PhysioNet/CinC 2017, 7000 records to 1528.
    Paper,
    /// PhysioNet/CinC 2017, 8028 records to 500.
    Challenge,
    /// Icentia11k, patients 0…9999 to 10 000…10 999.
    Icentia11k,
}

/// Epochs between two kept checkpoints.
const CHECKPOINT_EVERY: usize = 10;

impl Recipe {
    /// The seeds that are trained when nobody asks for others: 1, 2, 3 where three runs were published.
    pub fn seeds(&self) -> Vec<u64> {
        (1..=self.runs as u64).collect()
    }

    /// The network's configuration.
    ///
    /// # Errors
    /// The overrides name no published network, or one that cannot be had with this ablation.
    pub fn network(&self, overrides: &Overrides) -> Result<NetworkConfig, NetworkError> {
        let mut config = preset(overrides.network.as_deref().unwrap_or(self.network))?;
        config.classes = self.classes;
        if self.data == Data::Icentia11k {
            config.class_set = ClassSet::Icentia11k;
        }
        match self.ablation {
            Some(Ablation::SignalEncoder) => config.ablate_signal_encoder(),
            Some(Ablation::SpectrogramEncoder) => config.ablate_spectrogram_encoder(),
            Some(Ablation::Augmentation) | None => {}
        }
        Ok(Network::new(config)?.config().clone())
    }

    /// The data set.
    pub fn dataset(&self) -> KnownDataset {
        match self.data {
            Data::Paper | Data::Challenge => KnownDataset::Physionet,
            Data::Icentia11k => KnownDataset::Icentia11k,
        }
    }

    /// How it is trained; `load` is the checkpoint of the row it starts from.
    pub fn options(&self, seed: u64, load: Option<PathBuf>, overrides: &Overrides) -> TrainOptions {
        let defaults = TrainOptions::default();
        let epochs = overrides.epochs.unwrap_or(self.epochs);
        let split = match self.data {
            Data::Paper | Data::Icentia11k => "paper",
            Data::Challenge => "challenge",
        };
        // The last epoch of a pre-training is what other rows start from.
        let checkpoint_every = if epochs.is_multiple_of(CHECKPOINT_EVERY) {
            CHECKPOINT_EVERY
        } else {
            epochs
        };
        let published = match (self.data, overrides.limit) {
            // As many files a step as published, where its records are not those of whole files.
            (Data::Icentia11k, Some(limit)) if !self.batch_size.is_multiple_of(limit.clamp(1, SEGMENTS)) => {
                self.batch_size / SEGMENTS * limit.clamp(1, SEGMENTS)
            }
            _ => self.batch_size,
        };
        let batch_size = overrides.batch_size.unwrap_or(published);
        TrainOptions {
            dataset: self.dataset(),
            split: split.to_owned(),
            epochs,
            batch_size,
            seed,
            // A trial of few records has no more parts than these.
            accumulate: overrides.accumulate.unwrap_or(self.accumulate.min(batch_size)),
            augmentation: self.augmentation,
            dropout: Some(self.dropout),
            dropout_unit: Some(self.dropout_unit),
            class_weights: Some(self.class_weights.to_vec()),
            load,
            device: overrides.device.clone().unwrap_or_else(|| defaults.device.clone()),
            checkpoint_every,
            limit: overrides.limit,
            ..defaults
        }
    }
}
