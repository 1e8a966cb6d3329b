//! What a network learns from others.

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
