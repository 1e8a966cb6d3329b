//! Which options describe no run.

use super::TrainOptions;
use crate::augment::AugmentationOptions;
use crate::data::KnownDataset;
use dualnet_engine::signal::{MAX_SAMPLES, SAMPLING_RATE_HZ};
use std::f64::consts::TAU;

impl TrainOptions {
    /// Why these options describe no run of a network with so many classes, if they do not.
    pub fn fault(&self, classes: usize) -> Option<String> {
        self.fault_of_counts()
            .or_else(|| self.fault_of_data())
            .or_else(|| self.fault_of_rates())
            .or_else(|| self.fault_of_augmentations())
            .or_else(|| self.fault_of_numbers(classes))
            .or_else(|| self.fault_of_paths())
    }

    fn fault_of_counts(&self) -> Option<String> {
        // The limit first: on Icentia11k the batch size follows it.
        let positive = [
            ("limit", self.limit.unwrap_or(1)),
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
            ("validate_every", self.validate_every),
        ];
        if let Some((name, _)) = positive.iter().find(|&&(_, value)| value == 0) {
            return Some(format!("{name} must be at least 1"));
        }
        if self.accumulate > self.batch_size {
            return Some(format!(
                "accumulate must be at most batch_size, {}: a part of a step has at least one record",
                self.batch_size
            ));
        }
        let others = [
            ("clean_epochs", self.clean_epochs),
            ("checkpoint_every", self.checkpoint_every),
            ("checkpoint_steps", self.checkpoint_steps),
        ];
        let counts = positive
            .into_iter()
            .chain(others)
            .map(|(name, value)| (name, value as u64));
        let (name, _) = counts
            .chain([("seed", self.seed)])
            .find(|&(_, value)| i64::try_from(value).is_err())?;
        Some(format!(
            "{name} must be at most {}, the largest number of TOML",
            i64::MAX
        ))
    }

    /// What belongs to one kind of data set only.
    fn fault_of_data(&self) -> Option<String> {
        let usual = Self::default();
        let is_icentia = self.dataset == KnownDataset::Icentia11k;
        let fault = if is_icentia && self.split != usual.split {
            "split divides the records of PhysioNet/CinC 2017; icentia11k has its own division of patients"
        } else if is_icentia && self.labels != usual.labels {
            "labels are those of PhysioNet/CinC 2017; icentia11k has one set of its own"
        } else if self.fresh_crops && !is_icentia {
            "fresh_crops is of icentia11k, whose records are crops of segments"
        } else {
            return None;
        };
        Some(fault.to_owned())
    }

    /// What a run writes of itself is text, and the files that it names are a part of it.
    fn fault_of_paths(&self) -> Option<String> {
        let given = self.distillation.iter();
        let given = given.flat_map(|given| given.teachers.iter().chain(&given.answers));
        let path = self.load.iter().chain(given).find(|path| path.to_str().is_none())?;
        Some(format!(
            "{}: a run cannot keep this path, which is no UTF-8 text; rename the file or its folder",
            path.display()
        ))
    }

    fn fault_of_numbers(&self, classes: usize) -> Option<String> {
        let below_one = [
            ("hold_back", self.hold_back),
            ("average_decay", self.average_decay),
            ("label_smoothing", self.label_smoothing),
            ("dropout", self.dropout.unwrap_or(0.0)),
            ("optimizer.beta1", self.optimizer.beta1),
            ("optimizer.beta2", self.optimizer.beta2),
        ];
        if let Some((name, value)) = below_one.into_iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
            return Some(format!("{name} is at least 0 and below 1, not {value}"));
        }
        if self.hold_back > 0.0 && self.dataset == KnownDataset::Icentia11k {
            return Some(
                "hold_back needs the records' labels before training; icentia11k gives them file by file".to_owned(),
            );
        }
        if self.keep_last_layer && self.load.is_none() {
            return Some("keep_last_layer needs the weights that load names".to_owned());
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
        if self.dataset == KnownDataset::Icentia11k && classes != 4 {
            return Some(format!("icentia11k has 4 classes, the network {classes}"));
        }
        if self.is_augmented() && self.dataset == KnownDataset::Icentia11k {
            return Some(
                "icentia11k is not augmented (Rohr et al. 2022): set augmentation to 0, and every probability in augmentations".to_owned(),
            );
        }
        if !(self.mixup >= 0.0 && self.mixup.is_finite()) {
            return Some(format!("mixup must not be negative, not {}", self.mixup));
        }
        if !(self.clip_gradients >= 0.0 && self.clip_gradients.is_finite()) {
            return Some(format!(
                "clip_gradients is a norm of at least 0 (0 shortens no gradient), not {}",
                self.clip_gradients
            ));
        }
        let of_distillation = self.distillation.as_ref().and_then(|given| given.fault(self));
        if of_distillation.is_some() {
            return of_distillation;
        }
        let weights = self.class_weights.as_ref()?;
        if weights.len() != classes {
            return Some(format!(
                "class_weights has {} weights for {classes} classes",
                weights.len()
            ));
        }
        let is_usable = |weight: f32| weight >= 0.0 && weight.is_finite();
        if let Some(unusable) = weights.iter().find(|&&weight| !is_usable(weight)) {
            return Some(format!("class_weights are not negative, not {unusable}"));
        }
        let are_all_0 = weights.iter().all(|&weight| weight == 0.0);
        are_all_0.then(|| "class_weights are all 0: nothing would be learned".to_owned())
    }

    fn fault_of_rates(&self) -> Option<String> {
        let numbers = [
            ("optimizer.eps", self.optimizer.eps, [1e-12, 1.0]),
            ("rate.drop_factor", self.rate.drop_factor, [0.0, 1.0]),
            ("rate.cosine_floor", self.rate.cosine_floor, [0.0, 1.0]),
        ];
        let drops = self.rate.drops.iter().map(|&drop| ("rate.drops", drop, [0.0, 1.0]));
        numbers.into_iter().chain(drops).find_map(outside)
    }

    fn fault_of_augmentations(&self) -> Option<String> {
        let options = &self.augmentations;
        let named = AugmentationOptions::NAMES.into_iter().zip(options.probabilities(0.0));
        let own = named.map(|(name, value)| (format!("augmentations.{name}_probability"), value, [0.0, 1.0]));
        let points = options.random_resample_points as f64;
        let numbers = [
            ("invert_probability", options.invert_probability, [0.0, 1.0]),
            ("cut_out_share", options.cut_out_share, [0.0, 1.0]),
            ("drop_share", options.drop_share, [0.0, 1.0]),
            ("random_resample_points", points, [1.0, 1000.0]),
            (
                "random_resample_max_offset",
                options.random_resample_max_offset,
                [0.0, 1.0],
            ),
            ("shift_below", options.shift_below as f64, [1.0, MAX_SAMPLES as f64]),
            ("sine_max_magnitude", options.sine_max_magnitude, [0.0, 1e6]),
            ("sine_max_phase_rad", options.sine_max_phase_rad, [0.0, TAU]),
        ];
        let numbers = numbers.map(|(key, value, bounds)| (format!("augmentations.{key}"), value, bounds));
        let half_rate = SAMPLING_RATE_HZ / 2.0;
        let ranges = [
            ("resample_factors", options.resample_factors, [0.1, 10.0]),
            ("scale_factors", options.scale_factors, [-100.0, 100.0]),
            ("sine_frequencies_hz", options.sine_frequencies_hz, [0.0, half_rate]),
            ("band_pass_hz", options.band_pass_hz, [0.01, half_rate - 1.0]),
        ];
        let within = |(key, range, bounds): (&str, [f64; 2], [f64; 2])| {
            let name = format!("augmentations.{key}");
            let [least, greatest] = range;
            let ends = range.iter().find_map(|&end| outside((&name, end, bounds)));
            ends.or_else(|| {
                let is_empty = greatest < least || (key == "band_pass_hz" && greatest == least);
                is_empty.then(|| format!("{name} goes from the smaller to the larger, not from {least} to {greatest}"))
            })
        };
        own.chain(numbers)
            .find_map(outside)
            .or_else(|| ranges.into_iter().find_map(within))
    }
}

/// What is wrong with a number that must be within bounds, if it is not.
fn outside((name, value, [least, greatest]): (impl std::fmt::Display, f64, [f64; 2])) -> Option<String> {
    let is_within = (least..=greatest).contains(&value);
    (!is_within).then(|| format!("{name} is at least {least} and at most {greatest}, not {value}"))
}

#[cfg(test)]
mod tests {
    use super::super::Distillation;
    use super::*;

    /// What is wrong with the published options after a change.
    fn fault(change: impl Fn(&mut TrainOptions)) -> String {
        let mut options = TrainOptions::default();
        change(&mut options);
        options.fault(4).unwrap_or_default()
    }

    #[test]
    fn options_that_describe_no_run_are_named() {
        assert_eq!(TrainOptions::default().fault(4), None);
        assert!(fault(|options| options.accumulate = 0).contains("accumulate"));
        assert!(fault(|options| options.limit = Some(0)).contains("limit"));
        assert!(fault(|options| (options.limit, options.batch_size) = (Some(0), 0)).contains("limit"));
        type Change = fn(&mut TrainOptions, usize);
        let counts: [(Change, &str); 4] = [
            (|options, count| options.epochs = count, "epochs"),
            (|options, count| options.clean_epochs = count, "clean_epochs"),
            (|options, count| options.checkpoint_every = count, "checkpoint_every"),
            (|options, count| options.seed = count as u64, "seed"),
        ];
        for (change, name) in counts {
            assert_eq!(fault(|options| change(options, i64::MAX as usize)), "");
            let found = fault(|options| change(options, i64::MAX as usize + 1));
            assert!(
                found.starts_with(name) && found.contains("largest number of TOML"),
                "{found}"
            );
        }
        assert!(fault(|options| options.hold_back = 1.0).contains("hold_back"));
        assert!(fault(|options| options.average_decay = f64::NAN).contains("average_decay"));
        assert!(fault(|options| options.mixup = -1.0).contains("mixup"));
        for norm in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(fault(|options| options.clip_gradients = norm).contains("clip_gradients"));
        }
        assert!(fault(|options| options.keep_last_layer = true).contains("load"));
        assert!(fault(|options| options.class_weights = Some(vec![1.0; 2])).contains("4 classes"));
        assert!(fault(|options| options.class_weights = Some(vec![-1.0; 4])).contains("negative"));
        assert!(fault(|options| options.class_weights = Some(vec![0.0; 4])).contains("all 0"));
        assert!(fault(|options| options.dataset = KnownDataset::Icentia11k).contains("augmentation"));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_named() {
        use std::os::unix::ffi::OsStringExt;

        let path = || std::path::PathBuf::from(std::ffi::OsString::from_vec(b"\xff.pt".to_vec()));
        let teachers = |teachers, answers| {
            Some(Distillation {
                teachers,
                answers,
                ..Distillation::default()
            })
        };
        assert!(fault(|options| options.load = Some(path())).contains(".pt: a run cannot keep this path"));
        assert!(fault(|options| options.distillation = teachers(vec![path()], Vec::new())).contains("UTF-8"));
        assert!(fault(|options| options.distillation = teachers(Vec::new(), vec![path()])).contains("UTF-8"));
    }

    #[test]
    fn numbers_of_the_tables_are_named_with_their_range() {
        for (found, expected) in [
            (
                fault(|o| o.optimizer.beta1 = 1.0),
                "optimizer.beta1 is at least 0 and below 1, not 1",
            ),
            (
                fault(|o| o.optimizer.beta2 = f64::NAN),
                "optimizer.beta2 is at least 0 and below 1, not NaN",
            ),
            (
                fault(|o| o.optimizer.eps = 0.0),
                "optimizer.eps is at least 0.000000000001 and at most 1, not 0",
            ),
            (
                fault(|o| o.rate.drops[1] = 1.5),
                "rate.drops is at least 0 and at most 1, not 1.5",
            ),
            (
                fault(|o| o.rate.drop_factor = -0.1),
                "rate.drop_factor is at least 0 and at most 1, not -0.1",
            ),
            (
                fault(|o| o.rate.cosine_floor = f64::INFINITY),
                "rate.cosine_floor is at least 0 and at most 1, not inf",
            ),
        ] {
            assert_eq!(found, expected);
        }
        type Change = fn(&mut AugmentationOptions);
        let changes: [(Change, &str); 21] = [
            (
                |o| o.cut_out_probability = Some(1.1),
                "cut_out_probability is at least 0 and at most 1",
            ),
            (|o| o.drop_probability = Some(-0.1), "drop_probability is"),
            (
                |o| o.random_resample_probability = Some(2.0),
                "random_resample_probability is",
            ),
            (|o| o.resample_probability = Some(2.0), ".resample_probability is"),
            (|o| o.scale_probability = Some(2.0), "scale_probability is"),
            (|o| o.invert_probability = 1.5, "invert_probability is"),
            (|o| o.shift_probability = Some(2.0), "shift_probability is"),
            (|o| o.sine_probability = Some(2.0), "sine_probability is"),
            (|o| o.band_pass_probability = Some(f64::NAN), "band_pass_probability is"),
            (|o| o.cut_out_share = 1.1, "cut_out_share is"),
            (|o| o.drop_share = -0.1, "drop_share is"),
            (
                |o| o.random_resample_points = 0,
                "random_resample_points is at least 1 and at most 1000, not 0",
            ),
            (|o| o.random_resample_max_offset = 1.1, "random_resample_max_offset is"),
            (
                |o| o.resample_factors = [0.0, 1.0],
                "resample_factors is at least 0.1 and at most 10, not 0",
            ),
            (
                |o| o.scale_factors = [1.0, 0.9],
                "scale_factors goes from the smaller to the larger, not from 1 to 0.9",
            ),
            (
                |o| o.shift_below = 18_001,
                "shift_below is at least 1 and at most 18000, not 18001",
            ),
            (|o| o.sine_max_magnitude = f64::INFINITY, "sine_max_magnitude is"),
            (
                |o| o.sine_frequencies_hz[1] = 151.0,
                "sine_frequencies_hz is at least 0 and at most 150, not 151",
            ),
            (|o| o.sine_max_phase_rad = 7.0, "sine_max_phase_rad is"),
            (
                |o| o.band_pass_hz[1] = 150.0,
                "band_pass_hz is at least 0.01 and at most 149, not 150",
            ),
            (
                |o| o.band_pass_hz = [5.0, 5.0],
                "band_pass_hz goes from the smaller to the larger",
            ),
        ];
        for (change, expected) in changes {
            let found = fault(|options| change(&mut options.augmentations));
            assert!(
                found.starts_with("augmentations.") && found.contains(expected),
                "{found}"
            );
        }
    }

    /// One augmentation alone is augmentation; a probability for all leaves none its own.
    #[test]
    fn augmentation_is_whatever_has_a_probability() {
        let mut options = TrainOptions {
            augmentation: 0.0,
            ..TrainOptions::default()
        };
        assert_eq!(options.augmentation(1), None);
        options.augmentations.sine_probability = Some(0.5);
        let drawn = options.augmentation(1).expect("an augmentation");
        assert!(drawn.options == options.augmentations && options.dropout(4, 0.05) == 0.05);
        options.dataset = KnownDataset::Icentia11k;
        assert!(options.fault(4).is_some_and(|fault| fault.contains("not augmented")));
        options.set_augmentation(0.0);
        assert_eq!(options.fault(4), None);
        assert_eq!(options.augmentation(1), None);
    }
}
