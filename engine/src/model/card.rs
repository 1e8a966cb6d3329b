//! What a model file says about itself.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tract_onnx::pb::ModelProto;

use super::ModelFault;
use super::preprocessing::Preprocessing;
use crate::classifier::Precision;
use crate::record::printable;
use crate::signal;

/// The version of the metadata this engine reads.
pub const FORMAT_VERSION: &str = "1";

/// Keys of an ONNX file's `metadata_props`.
pub mod keys {
    /// [`FORMAT_VERSION`](super::FORMAT_VERSION).
    pub const FORMAT_VERSION: &str = "dualnet.format_version";
    /// Name of the network, such as `dualnet-s`.
    pub const NETWORK: &str = "dualnet.network";
    /// The `[network]` table in TOML.
    pub const CONFIGURATION: &str = "dualnet.configuration";
    /// Class names as a JSON array, in the order of the output.
    pub const CLASSES: &str = "dualnet.classes";
    /// Sampling rate the network was trained at, in Hz.
    pub const SAMPLING_RATE: &str = "dualnet.sampling_rate_hz";
    /// [`Preprocessing`](super::Preprocessing) in JSON.
    pub const PREPROCESSING: &str = "dualnet.preprocessing";
    /// A JSON object: data, labels, split, epochs, seed and the like.
    pub const TRAINING: &str = "dualnet.training";
    /// A JSON object of measured metrics.
    pub const METRICS: &str = "dualnet.metrics";
    /// `f32` or `int8`; missing in files of `f32`.
    pub const PRECISION: &str = "dualnet.precision";
    /// A JSON object, in files of `int8` only: how the activations' ranges were found.
    pub const QUANTIZATION: &str = "dualnet.quantization";
    pub use crate::model::digest::FILE_SHA256;
    pub use crate::model::digest::WEIGHTS_SHA256;
}

/// A model's card: how the network was made, what it was measured to do, and what the file contains.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelCard {
    /// Name of the network, such as `dualnet-s`.
    pub network: String,
    /// Class names, in the order of the output.
    pub classes: Vec<String>,
    /// Sampling rate the network was trained at, in Hz.
    pub sampling_rate_hz: f64,
    /// How it was trained: data, labels, split, epochs, seed.
    pub training: Map<String, Value>,
    /// What it was measured to do, and on which records.
    pub metrics: Map<String, Value>,
    /// The precision of its weights: `f32` or `int8`.
    pub precision: Precision,
    /// How the ranges of its activations were found; empty in `f32`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub quantization: Map<String, Value>,
    /// The preprocessing constants.
    pub preprocessing: Preprocessing,
    /// The `[network]` table in TOML.
    pub configuration: String,
    /// Version of the standard operator set.
    pub opset: i64,
    /// Numbers in the file's floating-point and int8 tensors; folding at export makes them fewer than the network's parameters.
    pub weights: u64,
    /// How many nodes there are of each operator.
    pub operators: BTreeMap<String, usize>,
    /// SHA-256 of the weights, in hexadecimal.
    pub weights_sha256: String,
    /// SHA-256 of the file with these digits read as `0`, in hexadecimal: what [`keys::FILE_SHA256`] states.
    pub content_sha256: String,
}

impl ModelCard {
    /// Reads the metadata; what describes the graph is filled in by its checks.
    pub(super) fn read(model: &ModelProto) -> Result<Self, ModelFault> {
        let properties = Properties(model);
        let version = properties.text(keys::FORMAT_VERSION)?;
        if version != FORMAT_VERSION {
            let problem = format!(
                "is `{}`: this engine reads version {FORMAT_VERSION}",
                version.escape_default()
            );
            return Err(ModelFault::Metadata {
                key: keys::FORMAT_VERSION,
                problem,
            });
        }
        let precision = precision(properties.optional(keys::PRECISION)?)?;
        Ok(Self {
            network: properties.text(keys::NETWORK)?.to_owned(),
            classes: classes(properties.json(keys::CLASSES)?)?,
            sampling_rate_hz: sampling_rate(properties.text(keys::SAMPLING_RATE)?)?,
            training: properties.json(keys::TRAINING)?,
            metrics: properties.json(keys::METRICS)?,
            precision,
            quantization: match precision {
                Precision::Int8 => properties.json(keys::QUANTIZATION)?,
                _ => Map::new(),
            },
            preprocessing: preprocessing(properties.json(keys::PREPROCESSING)?)?,
            configuration: properties.text(keys::CONFIGURATION)?.to_owned(),
            opset: 0,
            weights: 0,
            operators: BTreeMap::new(),
            weights_sha256: properties.text(keys::WEIGHTS_SHA256)?.to_owned(),
            content_sha256: properties.text(keys::FILE_SHA256)?.to_owned(),
        })
    }

    /// Network and weights in a few characters, such as `dualnet-s@5f2a90c1b3d4`.
    pub fn identity(&self) -> String {
        let digest: String = self.weights_sha256.chars().take(12).collect();
        format!("{}@{digest}", self.network)
    }
}

struct Properties<'a>(&'a ModelProto);

impl<'a> Properties<'a> {
    /// The value of a property that need not be there.
    fn optional(&self, key: &'static str) -> Result<Option<&'a str>, ModelFault> {
        if self.0.metadata_props.iter().any(|property| property.key == key) {
            self.text(key).map(Some)
        } else {
            Ok(None)
        }
    }

    fn text(&self, key: &'static str) -> Result<&'a str, ModelFault> {
        let fault = |problem: &str| ModelFault::Metadata {
            key,
            problem: problem.to_owned(),
        };
        let mut values = self.0.metadata_props.iter().filter(|property| property.key == key);
        match (values.next(), values.next()) {
            (Some(property), None) if property.value.is_empty() => Err(fault("is empty")),
            (Some(property), None) => Ok(&property.value),
            (Some(_), Some(_)) => Err(fault("is there twice")),
            (None, _) => Err(fault("is missing: `export` writes the files this engine reads")),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, key: &'static str) -> Result<T, ModelFault> {
        let text = self.text(key)?;
        serde_json::from_str(text).map_err(|error| ModelFault::Metadata {
            key,
            problem: printable(&error.to_string()),
        })
    }
}

fn classes(names: Vec<String>) -> Result<Vec<String>, ModelFault> {
    let fault = |problem: String| {
        Err(ModelFault::Metadata {
            key: keys::CLASSES,
            problem,
        })
    };
    if !(2..=16).contains(&names.len()) {
        return fault(format!("names {} classes: 2 to 16 are supported", names.len()));
    }
    for (index, name) in names.iter().enumerate() {
        let printable = name
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '"' | '?'));
        if name.is_empty() || !printable {
            return fault(format!("`{}` cannot name a class", name.escape_default()));
        }
        if names[..index].contains(name) {
            return fault(format!("`{name}` names two classes"));
        }
    }
    Ok(names)
}

fn precision(stated: Option<&str>) -> Result<Precision, ModelFault> {
    match stated {
        None | Some("f32") => Ok(Precision::F32),
        Some("int8") => Ok(Precision::Int8),
        Some(other) => Err(ModelFault::Metadata {
            key: keys::PRECISION,
            problem: format!("is `{}`: f32 and int8 are supported", other.escape_default()),
        }),
    }
}

fn sampling_rate(text: &str) -> Result<f64, ModelFault> {
    match text.parse() {
        Ok(rate) if rate == signal::SAMPLING_RATE_HZ => Ok(rate),
        _ => Err(ModelFault::Metadata {
            key: keys::SAMPLING_RATE,
            problem: format!(
                "is `{}`: this engine prepares records at {} Hz",
                text.escape_default(),
                signal::SAMPLING_RATE_HZ
            ),
        }),
    }
}

fn preprocessing(found: Preprocessing) -> Result<Preprocessing, ModelFault> {
    if found == Preprocessing::CURRENT {
        return Ok(found);
    }
    let problem = "has other constants than this engine's preprocessing".to_owned();
    Err(ModelFault::Metadata {
        key: keys::PREPROCESSING,
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::StringStringEntryProto;

    fn complete() -> Vec<(&'static str, String)> {
        let preprocessing = serde_json::to_string(&Preprocessing::CURRENT).unwrap();
        let texts = [
            (keys::FORMAT_VERSION, "1"),
            (keys::NETWORK, "dualnet-s"),
            (keys::CONFIGURATION, "[network]"),
            (keys::CLASSES, r#"["N","O","A","~"]"#),
            (keys::SAMPLING_RATE, "300"),
            (keys::PREPROCESSING, &preprocessing),
            (keys::TRAINING, r#"{"epochs":100}"#),
            (keys::METRICS, "{}"),
            (keys::WEIGHTS_SHA256, "0123456789abcdef"),
            (keys::FILE_SHA256, "fedcba9876543210"),
        ];
        texts.map(|(key, value)| (key, value.to_owned())).to_vec()
    }

    fn read(properties: Vec<(&'static str, String)>) -> Result<ModelCard, String> {
        let entry = |(key, value): (&str, String)| StringStringEntryProto {
            key: key.to_owned(),
            value,
        };
        let metadata_props = properties.into_iter().map(entry).collect();
        ModelCard::read(&ModelProto {
            metadata_props,
            ..ModelProto::default()
        })
        .map_err(|fault| fault.to_string())
    }

    #[test]
    fn complete_metadata_is_a_card() {
        let card = read(complete()).unwrap();
        assert_eq!(card.classes, ["N", "O", "A", "~"]);
        assert_eq!(card.training["epochs"], 100);
        assert_eq!(card.identity(), "dualnet-s@0123456789ab");
    }

    #[test]
    fn every_property_is_required_once_and_not_empty() {
        for index in 0..complete().len() {
            let key = complete()[index].0;
            let mut without = complete();
            without.remove(index);
            assert!(read(without).unwrap_err().contains(key));
            let mut empty = complete();
            empty[index].1.clear();
            assert!(read(empty).unwrap_err().contains(key));
            let mut twice = complete();
            twice.push(twice[index].clone());
            assert!(read(twice).unwrap_err().contains("twice"));
        }
    }

    #[test]
    fn values_that_are_not_understood_are_refused() {
        let refused = [
            (keys::FORMAT_VERSION, "2"),
            (keys::FORMAT_VERSION, "\u{1b}]0;x\u{7}\n"),
            (keys::CLASSES, "[]"),
            (keys::CLASSES, r#"["N"]"#),
            (keys::CLASSES, r#"["N","N"]"#),
            (keys::CLASSES, r#"["N","?"]"#),
            (keys::CLASSES, r#"["N","a,b"]"#),
            (keys::CLASSES, r#"["N",""]"#),
            (keys::CLASSES, "N, A"),
            (keys::SAMPLING_RATE, "250"),
            (keys::SAMPLING_RATE, "NaN"),
            (keys::SAMPLING_RATE, "\u{1b}[31m300\n"),
            (keys::PREPROCESSING, "{}"),
            (keys::PREPROCESSING, r#"{"\u001b[31m": 1}"#),
            (keys::TRAINING, "[]"),
            (keys::METRICS, "{"),
        ];
        for (key, value) in refused {
            let mut properties = complete();
            properties
                .iter_mut()
                .filter(|(known, _)| *known == key)
                .for_each(|(_, text)| *text = value.to_owned());
            let error = read(properties).unwrap_err();
            assert!(error.contains(key) && !error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn precisions_are_f32_unless_stated_and_int8_says_how() {
        assert_eq!(read(complete()).unwrap().precision, Precision::F32);
        let with = |entries: &[(&'static str, &str)]| {
            let mut properties = complete();
            properties.extend(entries.iter().map(|(key, value)| (*key, (*value).to_owned())));
            read(properties)
        };
        let how = (keys::QUANTIZATION, r#"{"records":256}"#);
        let card = with(&[(keys::PRECISION, "int8"), how]).unwrap();
        assert_eq!(
            (card.precision, &card.quantization["records"]),
            (Precision::Int8, &256.into())
        );
        assert_eq!(with(&[(keys::PRECISION, "f32")]).unwrap().precision, Precision::F32);
        assert!(
            with(&[(keys::PRECISION, "int8")])
                .unwrap_err()
                .contains(keys::QUANTIZATION)
        );
        for unknown in ["int4", "f16", "INT8", ""] {
            assert!(
                with(&[(keys::PRECISION, unknown), how])
                    .unwrap_err()
                    .contains(keys::PRECISION)
            );
        }
        assert!(
            with(&[(keys::PRECISION, "int8"), (keys::PRECISION, "f32"), how])
                .unwrap_err()
                .contains("twice")
        );
    }

    #[test]
    fn another_preprocessing_is_refused() {
        let other = Preprocessing {
            window_step: 256,
            ..Preprocessing::CURRENT
        };
        let mut properties = complete();
        properties.retain(|(key, _)| *key != keys::PREPROCESSING);
        properties.push((keys::PREPROCESSING, serde_json::to_string(&other).unwrap()));
        assert!(read(properties).unwrap_err().contains("preprocessing"));
    }
}
