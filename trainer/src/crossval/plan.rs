//! What decides a cross-validation, as its folder keeps it.

use crate::entries::{differences, name_of};
use crate::error::TrainerError;
use crate::train::TrainOptions;
use dualnet_engine::pending;
use dualnet_export::network::NetworkConfig;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::path::Path;

const FILE: &str = "crossval.toml";

/// How the records are divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Number of folds.
    pub folds: usize,
    /// Share of a fold's training records that chooses the epoch and the temperature; 0 for none, and no choice.
    pub hold_back: f64,
    /// The file of their labels.
    pub labels: String,
    /// How many records are divided.
    pub records: usize,
    /// The split whose training records are divided; `None` divides the whole data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

/// A cross-validation's whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// How the records are divided.
    pub crossval: Settings,
    /// How each fold's network is trained. The seed also divides the records.
    pub train: TrainOptions,
    /// The network.
    #[serde(serialize_with = "serialize_network")]
    pub network: NetworkConfig,
}

/// The file, of which [`NetworkConfig::from_toml`] reads the other table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    crossval: Settings,
    train: TrainOptions,
    #[serde(rename = "network")]
    _network: serde::de::IgnoredAny,
}

impl Plan {
    /// Why this plan is not possible, if it is not.
    pub(super) fn fault(&self) -> Option<String> {
        let hold_back = self.crossval.hold_back;
        if !(0.0..1.0).contains(&hold_back) {
            return Some(format!(
                "a held-back share of {hold_back} is not possible; it is at least 0 and below 1"
            ));
        }
        if self.train.distillation.is_some() {
            return Some(
                "a fold's network cannot learn from teachers, which know the records that the fold is measured on"
                    .to_owned(),
            );
        }
        self.train.fault(self.network.classes)
    }

    /// Whether a cross-validation was begun in `folder`.
    pub(super) fn is_begun(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Writes the plan to `folder`, or compares it with the one there.
    pub(super) fn keep(&self, folder: &Path) -> Result<(), TrainerError> {
        let path = folder.join(FILE);
        let io = |source| TrainerError::Io {
            path: path.clone(),
            source,
        };
        let fault = |reason: String| TrainerError::File {
            path: path.clone(),
            reason,
        };
        if path.exists() {
            let text = std::fs::read_to_string(&path).map_err(io)?;
            return match self.difference_from(&text).map_err(fault)? {
                None => Ok(()),
                Some(difference) => Err(fault(format!(
                    "the cross-validation here was begun with another plan ({difference}); choose another --runs"
                ))),
            };
        }
        std::fs::create_dir_all(folder).map_err(io)?;
        let text = self.text().map_err(fault)?;
        pending::write(&path, text.as_bytes()).map_err(io)
    }

    /// The plan as TOML.
    pub(super) fn text(&self) -> Result<String, String> {
        let tables = json!({ "crossval": self.crossval, "train": self.train });
        let tables = toml::to_string(&tables).map_err(|error| error.to_string())?;
        Ok(format!("{tables}\n{}", self.network.to_toml()))
    }

    /// The first entry in which the plan of this [text](Self::text) differs from this one; where they compute may differ.
    pub(super) fn difference_from(&self, text: &str) -> Result<Option<String>, String> {
        let file: PlanFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let begun = Self {
            crossval: file.crossval,
            train: file.train.of_run(),
            network: NetworkConfig::from_toml(text).map_err(|error| error.to_string())?,
        };
        let mut found = differences(&json!(begun), &json!(self)).filter(|(path, _)| path != "train.device");
        Ok(found.next().map(|(path, values)| {
            let [begun, asked] = values.map(|value| match value {
                Value::Null => "nothing".to_owned(),
                value => value.to_string(),
            });
            format!("{} {begun}, now {asked}", name_of(&path))
        }))
    }
}

/// The network's table, as its TOML has it.
fn serialize_network<S: Serializer>(network: &NetworkConfig, serializer: S) -> Result<S::Ok, S::Error> {
    let tables: Value = toml::from_str(&network.to_toml()).map_err(serde::ser::Error::custom)?;
    tables["network"].serialize(serializer)
}
