//! The flags that describe a run, and how they and a configuration file become one.

use super::configuration::Configuration;
use super::weights::file_of;
use crate::data::icentia::SEGMENTS;
use crate::data::{KnownDataset, Labels};
use crate::optimizer::Schedule;
use crate::train::{BatchNorm, DropoutUnit, Precision, TrainOptions};
use anyhow::bail;
use clap::Args;
use dualnet_export::network::{Network, PRESETS, preset};
use std::path::PathBuf;

/// Everything that a resumed run reads from its checkpoint instead.
#[derive(Debug, Default, Args)]
pub(super) struct RunFlags {
    /// Kind of data set, which brings its own batch size, augmentation and split; physionet when nothing says otherwise.
    #[arg(long)]
    dataset: Option<KnownDataset>,
    /// TOML file with a [network] and a [train] table, either of which may be left out; flags win over it, and [network] changes the
    /// network that --network names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Published network.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    network: Option<String>,
    /// Number of classes: 4, or 2 (AF against the rest).
    #[arg(long)]
    classes: Option<usize>,
    /// Two classes: AF against the rest.
    #[arg(long, conflicts_with = "classes")]
    two_classes: bool,
    /// Leave the signal encoder out.
    #[arg(long)]
    no_signal_encoder: bool,
    /// Leave the spectrogram encoder out.
    #[arg(long)]
    no_spectrogram_encoder: bool,
    /// Published split: paper (7000/1528), challenge (8028/500), course6000 (5000/1000). Or a file of two lines, "train" and
    /// "validation", each with the indices of its records in REFERENCE.csv, counted from 0; records may be left out,
    /// but their files must be there.
    #[arg(long, value_name = "NAME|FILE")]
    split: Option<String>,
    /// Set of labels of PhysioNet/CinC 2017: as released (REFERENCE.csv) or revised (REFERENCE-v3.csv).
    #[arg(long)]
    labels: Option<Labels>,
    /// Records of one step, over all processes.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Compute each step in this many parts, where memory is short.
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Learning rate before the schedule.
    #[arg(long, visible_alias = "lr", value_name = "RATE")]
    learning_rate: Option<f64>,
    /// How the learning rate falls.
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Seed of every random draw.
    #[arg(long)]
    seed: Option<u64>,
    /// Probability of each augmentation, also of those that have one of their own in the file of --config.
    #[arg(long, value_name = "P")]
    augmentation: Option<f64>,
    /// Probability that a lead is turned over, as by a recorder held the other way round; not in the paper.
    #[arg(long, value_name = "P", conflicts_with = "no_augmentation")]
    invert: Option<f64>,
    /// Last epochs without augmentation (dropout stays).
    #[arg(long, value_name = "EPOCHS")]
    clean_epochs: Option<usize>,
    /// No augmentation, and no dropout either unless there are two classes.
    #[arg(long, conflicts_with = "augmentation")]
    no_augmentation: bool,
    /// Dropout, whatever the other flags imply.
    #[arg(long, value_name = "P")]
    dropout: Option<f64>,
    /// What dropout in the spectrogram encoder leaves out [default: elements; channels with two classes].
    #[arg(long, value_name = "UNIT")]
    dropout_unit: Option<DropoutUnit>,
    /// The loss's weights of the classes, separated by commas.
    #[arg(long, value_name = "W,…", value_delimiter = ',')]
    class_weights: Option<Vec<f32>>,
    /// Weights of the same network to start from (.safetensors, .pt, or folder of a run: its best.safetensors), whatever its classes, also with an encoder
    /// more or less; the last layer is drawn anew.
    #[arg(long, value_name = "WEIGHTS")]
    load: Option<PathBuf>,
    /// Keep the last layer of --load too, to go on with the same classes.
    #[arg(long)]
    keep_last_layer: bool,
    /// Draw the crops of Icentia11k anew in every epoch.
    #[arg(long)]
    fresh_crops: bool,
    /// Share of the training records to choose the best epoch on, instead of the validation records.
    #[arg(long, value_name = "SHARE")]
    hold_back: Option<f64>,
    /// Keep the exponential moving average of the weights, with this decay per step (such as 0.999).
    #[arg(long, value_name = "DECAY")]
    average_decay: Option<f64>,
    /// Share of each label spread over all classes.
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,
    /// Blend records with each other, λ from Beta(α, α).
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f64>,
    /// Shorten the gradient of a step, over all weights, to this Euclidean norm where it is longer (0: never).
    #[arg(long, value_name = "NORM")]
    clip_gradients: Option<f64>,
    /// Learn also what these trained networks of the same classes say of each record, one of them in each step (.safetensors with what it was
    /// trained on, or folder of a run: its best.safetensors). They must not have learned records that validate here.
    #[arg(long, value_name = "WEIGHTS,…", value_delimiter = ',')]
    teacher: Option<Vec<PathBuf>>,
    /// Learn also what these files say of each record: predictions by models that had not learned it, as `trainer crossval
    /// --training-records` (crossval.csv) and `trainer beats --answers` write them. Learned as they are: a network's have its loss's class
    /// weights in them, a forest's are frequencies. Beside --teacher each has half.
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    teacher_answers: Option<Vec<PathBuf>>,
    /// The teachers' share of the target; the rest is the label's [default: 0.5].
    #[arg(long, value_name = "SHARE")]
    teacher_share: Option<f64>,
    /// Arithmetic of convolutions and linear layers.
    #[arg(long)]
    precision: Option<Precision>,
    /// Statistics of batch normalization when several processes train: each its own, or over the whole batch.
    #[arg(long)]
    batch_norm: Option<BatchNorm>,
    /// Epochs between two validations.
    #[arg(long, value_name = "EPOCHS")]
    validate_every: Option<usize>,
    /// Epochs between two kept checkpoints (0: none).
    #[arg(long, value_name = "EPOCHS")]
    checkpoint_every: Option<usize>,
    /// Steps between two writes of last.safetensors within an epoch (0: at the end of each epoch only).
    #[arg(long, value_name = "STEPS")]
    checkpoint_steps: Option<usize>,
    /// Use only the first N training and validation records, or segments of each Icentia11k file.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl RunFlags {
    /// The network and the options that flags and file describe.
    pub(super) fn resolve(&self, epochs: Option<usize>, devices: &[String]) -> anyhow::Result<(Network, TrainOptions)> {
        self.resolve_over(TrainOptions::default(), epochs, devices)
    }

    /// As [`resolve`](Self::resolve), with other defaults for what neither a flag nor the configuration file says.
    pub(super) fn resolve_over(
        &self,
        defaults: TrainOptions,
        epochs: Option<usize>,
        devices: &[String],
    ) -> anyhow::Result<(Network, TrainOptions)> {
        let file = Configuration::read(self.config.as_deref())?;
        let network = self.network(&file)?;
        let limit = self.limit.or(file.limit());
        let dataset = self.dataset.or(file.dataset());
        let mut options = defaults;
        data_recipe(&mut options, dataset.unwrap_or_default(), limit);
        options = file.apply(options)?;
        if let Some(dataset) = self
            .dataset
            .filter(|&dataset| file.dataset().is_some_and(|other| other != dataset))
        {
            // What the file says of another data set is not of this one.
            data_recipe(&mut options, dataset, limit);
        }
        self.override_data(&mut options);
        self.override_recipe(&mut options, epochs);
        replace(&mut options.device, device_of(devices));
        if let Some(fault) = options.fault(network.config().classes) {
            bail!(fault);
        }
        Ok((network.with_class_set(options.class_set())?, options))
    }

    /// The network of the flags and of the file.
    fn network(&self, file: &Configuration) -> anyhow::Result<Network> {
        let mut config = match (file.network(self.network.as_deref())?, &self.network) {
            (Some(config), _) => config,
            (None, Some(name)) => preset(name)?,
            (None, None) => bail!(
                "say --network NAME ({}) or --config FILE with a table [network]",
                PRESETS.join(", ")
            ),
        };
        if let Some(classes) = self.classes {
            config.classes = classes;
        }
        if self.two_classes {
            config.classes = 2;
        }
        if self.no_signal_encoder {
            config.ablate_signal_encoder();
        }
        if self.no_spectrogram_encoder {
            config.ablate_spectrogram_encoder();
        }
        Ok(Network::new(config)?)
    }

    fn override_data(&self, options: &mut TrainOptions) {
        replace(&mut options.dataset, self.dataset);
        if let Some(split) = &self.split {
            options.split.clone_from(split);
        }
        replace(&mut options.labels, self.labels);
        replace(&mut options.hold_back, self.hold_back);
        options.fresh_crops |= self.fresh_crops;
        options.limit = self.limit.or(options.limit);
    }

    fn override_recipe(&self, options: &mut TrainOptions, epochs: Option<usize>) {
        replace(&mut options.epochs, epochs);
        replace(&mut options.batch_size, self.batch_size);
        replace(&mut options.accumulate, self.accumulate);
        replace(&mut options.clean_epochs, self.clean_epochs);
        replace(&mut options.validate_every, self.validate_every);
        replace(&mut options.checkpoint_every, self.checkpoint_every);
        replace(&mut options.checkpoint_steps, self.checkpoint_steps);
        replace(&mut options.learning_rate, self.learning_rate);
        replace(&mut options.seed, self.seed);
        if let Some(probability) = self.augmentation {
            options.set_augmentation(probability);
        }
        replace(&mut options.average_decay, self.average_decay);
        replace(&mut options.label_smoothing, self.label_smoothing);
        replace(&mut options.mixup, self.mixup);
        replace(&mut options.clip_gradients, self.clip_gradients);
        replace(&mut options.precision, self.precision);
        replace(&mut options.batch_norm, self.batch_norm);
        replace(&mut options.schedule, self.schedule);
        if self.no_augmentation {
            options.set_augmentation(0.0);
        }
        replace(&mut options.augmentations.invert_probability, self.invert);
        options.dropout = self.dropout.or(options.dropout);
        if self.no_augmentation && options.dataset == KnownDataset::Icentia11k {
            // Its runs are not augmented, and have dropout all the same; the flag leaves out both.
            options.dropout.get_or_insert(0.0);
        }
        options.dropout_unit = self.dropout_unit.or(options.dropout_unit);
        options.keep_last_layer |= self.keep_last_layer;
        let load = self.load.clone().or(options.load.take());
        options.load = load.map(|weights| file_of(&weights));
        self.override_distillation(options);
        options.class_weights = self.class_weights.clone().or(options.class_weights.take());
    }

    fn override_distillation(&self, options: &mut TrainOptions) {
        if self.teacher.is_some() || self.teacher_answers.is_some() || self.teacher_share.is_some() {
            let distillation = options.distillation.get_or_insert_default();
            replace(&mut distillation.teachers, self.teacher.clone());
            replace(&mut distillation.answers, self.teacher_answers.clone());
            replace(&mut distillation.share, self.teacher_share);
        }
        let teachers = options.distillation.iter_mut().flat_map(|given| &mut given.teachers);
        teachers.for_each(|teacher| *teacher = file_of(teacher));
    }
}

/// Gives a data set its own batch size, augmentation, split and class weights.
fn data_recipe(options: &mut TrainOptions, dataset: KnownDataset, limit: Option<usize>) {
    let published = TrainOptions::default();
    let (batch_size, augmentation, split) = match dataset {
        KnownDataset::Icentia11k => (limit.unwrap_or(SEGMENTS).min(SEGMENTS), 0.0, published.split),
        KnownDataset::Course6000 => (published.batch_size, published.augmentation, dataset.name().to_owned()),
        KnownDataset::Physionet => (published.batch_size, published.augmentation, published.split),
    };
    options.batch_size = batch_size;
    options.split = split;
    options.class_weights = None;
    options.set_augmentation(augmentation);
    options.augmentations.invert_probability = published.augmentations.invert_probability;
}

fn replace<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// What each process computes on: `cuda` of `cuda:0,cuda:1`, of which each takes its own.
pub(super) fn device_of(devices: &[String]) -> Option<String> {
    let first = devices.first()?;
    let kind = first.split(':').next().filter(|_| devices.len() > 1);
    Some(kind.unwrap_or(first).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_leads_are_turned_over_is_of_the_file_s_data_set() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("run.toml");
        let text = "[train]\ndataset = \"physionet\"\n[train.augmentations]\ninvert_probability = 0.5\n";
        std::fs::write(&file, text).expect("a file");
        let inverted = |dataset: Option<KnownDataset>, invert: Option<f64>| {
            let flags = RunFlags {
                dataset,
                network: Some("dualnet-s".to_owned()),
                config: Some(file.clone()),
                invert,
                ..RunFlags::default()
            };
            let (_, options) = flags.resolve(None, &[]).expect("a run");
            options.augmentations.invert_probability
        };
        assert_eq!(inverted(None, None), 0.5);
        assert_eq!(inverted(Some(KnownDataset::Course6000), None), 0.0);
        assert_eq!(inverted(Some(KnownDataset::Course6000), Some(0.25)), 0.25);
    }

    /// The original's --no_data_aug turns dropout off, on Icentia11k too, whose recipe has dropout and no augmentation.
    #[test]
    fn without_augmentation_there_is_no_dropout_on_any_data_set() {
        let dropout = |dataset: KnownDataset, no_augmentation: bool, given: Option<f64>| {
            let flags = RunFlags {
                dataset: Some(dataset),
                network: Some("dualnet-s".to_owned()),
                no_augmentation,
                dropout: given,
                ..RunFlags::default()
            };
            let (network, options) = flags.resolve(None, &[]).expect("a run");
            options.dropout(network.config().classes, network.config().dropout)
        };
        for dataset in [KnownDataset::Physionet, KnownDataset::Icentia11k] {
            assert_eq!(dropout(dataset, false, None), 0.05);
            assert_eq!(dropout(dataset, true, None), 0.0);
            assert_eq!(dropout(dataset, true, Some(0.1)), 0.1);
        }
    }
}
