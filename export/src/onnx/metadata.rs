//! The model card inside an ONNX file: `metadata_props`.

use super::error::ExportError;
use crate::network::NetworkConfig;
use crate::weights::StateDict;
use dualnet_engine::model::digest::{DIGITS, Initializer, file_digest_position, file_sha256, weights_sha256};
use dualnet_engine::model::{FORMAT_VERSION, Preprocessing, keys};
use dualnet_engine::signal::SAMPLING_RATE_HZ;
use onnx_ir::{GraphProto, Message, ModelProto};
use serde_json::{Map, Value, json};

/// What is known about a network beside its weights: the training and metrics entries of the model card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// How it was trained: data, labels, split, epochs, seed and the like.
    pub training: Map<String, Value>,
    /// What was measured of it.
    pub metrics: Map<String, Value>,
}

impl Card {
    /// What a checkpoint's metadata says: `dualnet.training` and `dualnet.metrics`, JSON objects that may be missing.
    ///
    /// # Errors
    /// [`ExportError::Card`] when an entry is no JSON object.
    pub fn of_checkpoint(weights: &StateDict) -> Result<Self, ExportError> {
        let object = |key: &str| match weights.metadata.get(key) {
            None => Ok(Map::new()),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| ExportError::card(key, format!("the checkpoint's entry is no JSON object: {error}"))),
        };
        Ok(Self {
            training: object(keys::TRAINING)?,
            metrics: object(keys::METRICS)?,
        })
    }

    /// With the entries of another card in the place of those of the same name.
    pub fn with(mut self, other: Self) -> Self {
        self.training.extend(other.training);
        self.metrics.extend(other.metrics);
        self
    }

    /// Adds `key=value`, the value as JSON or else as text. `metrics.` in front of the key puts it among the metrics;
    /// everything else is about the training, with or without `training.`.
    ///
    /// # Errors
    /// [`ExportError::Card`] without a key.
    pub fn set(&mut self, entry: &str) -> Result<(), ExportError> {
        let wrong = || {
            ExportError::card(
                entry,
                "a card entry is key=value, such as seed=1 or metrics.accuracy=0.84",
            )
        };
        let (key, value) = entry.split_once('=').ok_or_else(wrong)?;
        let (table, key) = match key.split_once('.') {
            Some(("metrics", key)) => (&mut self.metrics, key),
            Some(("training", key)) => (&mut self.training, key),
            _ => (&mut self.training, key),
        };
        if key.is_empty() {
            return Err(wrong());
        }
        table.insert(
            key.to_owned(),
            serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        );
        Ok(())
    }
}

/// Fills in the metadata, but for the digest of the file, which is left as zeros.
pub(super) fn describe(model: &mut ModelProto, config: &NetworkConfig, card: &Card) {
    let preprocessing = serde_json::to_value(Preprocessing::CURRENT).unwrap_or_default();
    let entries = [
        (keys::FORMAT_VERSION, FORMAT_VERSION.to_owned()),
        (keys::NETWORK, config.name.clone()),
        (keys::CONFIGURATION, config.to_toml()),
        (keys::CLASSES, json!(config.class_names()).to_string()),
        (keys::SAMPLING_RATE, SAMPLING_RATE_HZ.to_string()),
        (keys::PREPROCESSING, preprocessing.to_string()),
        (keys::TRAINING, Value::Object(card.training.clone()).to_string()),
        (keys::METRICS, Value::Object(card.metrics.clone()).to_string()),
        (keys::WEIGHTS_SHA256, graph_digest(&model.graph)),
        (keys::FILE_SHA256, "0".repeat(DIGITS)),
    ];
    for (key, value) in entries {
        enter(model, key, value);
    }
}

/// The metrics' own entry for those that were measured before the weights were rounded, by the precision of that file.
const METRICS_BEFORE: &str = "f32";

/// Renews the metadata of a float file whose weights were rounded: their digest, zeros for that of the file, and on top of its card the entries of
/// `card`. Its metrics go to `metrics.f32`. `entries` are what the metadata say beside that.
pub(crate) fn describe_again<const N: usize>(
    model: &mut ModelProto,
    card: &Card,
    entries: [(&str, String); N],
) -> Result<(), ExportError> {
    let object = |key: &str| -> Result<Map<String, Value>, ExportError> {
        serde_json::from_str(property(model, key).unwrap_or("{}"))
            .map_err(|error| ExportError::card(key, format!("is no JSON object: {error}")))
    };
    let mut training = object(keys::TRAINING)?;
    training.extend(card.training.clone());
    let mut metrics = Map::new();
    match object(keys::METRICS)? {
        before if before.is_empty() => {}
        before => drop(metrics.insert(METRICS_BEFORE.to_owned(), Value::Object(before))),
    }
    metrics.extend(card.metrics.clone());
    let digest = graph_digest(&model.graph);
    let renewed = [
        (keys::TRAINING, Value::Object(training).to_string()),
        (keys::METRICS, Value::Object(metrics).to_string()),
        (keys::WEIGHTS_SHA256, digest),
        (keys::FILE_SHA256, "0".repeat(DIGITS)),
    ];
    for (key, value) in renewed.into_iter().chain(entries) {
        enter(model, key, value);
    }
    Ok(())
}

/// Sets a metadata entry, which keeps its place if it is there.
fn enter(model: &mut ModelProto, key: &str, value: String) {
    let entries = &mut model.metadata_props;
    let known = entries.iter().position(|entry| entry.key == key);
    let index = known.unwrap_or_else(|| {
        entries.push(Default::default());
        entries.len() - 1
    });
    entries[index].key = key.to_owned();
    entries[index].value = value;
}

/// The digest of a graph's weights.
fn graph_digest(graph: &GraphProto) -> String {
    weights_sha256(graph.initializer.iter().map(|tensor| Initializer {
        name: &tensor.name,
        data_type: tensor.data_type,
        dims: &tensor.dims,
        raw_data: &tensor.raw_data,
    }))
}

/// The bytes of a model whose metadata [`describe`] wrote, with the digest of the file filled in.
pub(crate) fn seal(model: &ModelProto) -> Result<Vec<u8>, ExportError> {
    let mut bytes = model
        .write_to_bytes()
        .map_err(|error| ExportError::Check(error.to_string()))?;
    let digits =
        file_digest_position(&bytes).ok_or_else(|| ExportError::Check("no place for the file's digest".to_owned()))?;
    let digest = file_sha256(&bytes, digits.clone()).unwrap_or_default();
    bytes[digits].copy_from_slice(digest.as_bytes());
    Ok(bytes)
}

/// The value of a metadata entry.
fn property<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model
        .metadata_props
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}
