//! What a network learns from others.

use super::TrainOptions;
use crate::data::KnownDataset;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The table `[train.distillation]`: a share of each target is what trained networks say of the record as it is trained on (Hinton et al. 2015, at
/// temperature 1), or what is known to be said of it unchanged, the rest its label. Each part of a step that is computed at once asks one of the
/// networks, drawn at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distillation {
    /// Checkpoints of any networks with the same classes.
    pub teachers: Vec<PathBuf>,
    /// Files of predictions of the records that train, by models that had not learned them. Their mean has as much of the target as a teacher, or
    /// all of the share without teachers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<PathBuf>,
    /// The teachers' share of the target.
    pub share: f64,
}

impl Default for Distillation {
    /// Half of the target of teachers that are still to be named.
    fn default() -> Self {
        Self {
            teachers: Vec::new(),
            answers: Vec::new(),
            share: 0.5,
        }
    }
}

impl Distillation {
    /// Why nothing can be learned so in a run of these options, if it cannot.
    pub(super) fn fault(&self, options: &TrainOptions) -> Option<String> {
        if self.teachers.is_empty() && self.answers.is_empty() {
            return Some("distillation needs a teacher (--teacher) or answers (--teacher-answers)".to_owned());
        }
        if !self.answers.is_empty() && options.mixup > 0.0 {
            return Some("--teacher-answers are of whole records, not of blended ones: set mixup to 0".to_owned());
        }
        if !self.answers.is_empty() && options.dataset == KnownDataset::Icentia11k {
            return Some("--teacher-answers are of records, not of the segments of icentia11k".to_owned());
        }
        let share = self.share;
        (!(share > 0.0 && share <= 1.0)).then(|| format!("distillation's share is above 0 and at most 1, not {share}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(teachers: &[&str], answers: &[&str], change: impl FnOnce(&mut TrainOptions, &mut Distillation)) -> String {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect();
        let mut distillation = Distillation {
            teachers: paths(teachers),
            answers: paths(answers),
            ..Distillation::default()
        };
        let mut options = TrainOptions::default();
        change(&mut options, &mut distillation);
        options.distillation = Some(distillation);
        options.fault(4).unwrap_or_default()
    }

    #[test]
    fn what_teaches_nothing_is_named() {
        let (network, file) = (&["a.safetensors"][..], &["a.csv"][..]);
        assert_eq!(fault(network, file, |_, given| given.share = 1.0), "");
        assert_eq!(fault(network, &[], |options, _| options.mixup = 0.2), "");
        assert_eq!(fault(&[], file, |_, _| ()), "");
        assert!(fault(&[], &[], |_, _| ()).contains("needs a teacher"));
        assert!(fault(network, &[], |_, given| given.share = 0.0).contains("above 0"));
        assert!(fault(network, file, |options, _| options.mixup = 0.2).contains("blended"));
        let icentia = |options: &mut TrainOptions, _: &mut Distillation| {
            options.dataset = KnownDataset::Icentia11k;
            options.augmentation = 0.0;
        };
        assert!(fault(&[], file, icentia).contains("segments"));
    }
}
