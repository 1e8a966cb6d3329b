//! The `[network]` table: a preset, and every hyper-parameter that departs from it.

use super::config::{ClassSet, NetworkConfig, PauInitial, SignalEncoder};
use super::error::NetworkError;
use super::presets::{PRESETS, preset, variants};
use serde::{Deserialize, Serialize};

/// The keys of a `[network]` table; what is absent comes from the preset.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    name: Option<String>,
    classes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_set: Option<ClassSet>,
    signal_encoder: Option<EncoderKind>,
    layers: Option<usize>,
    heads: Option<usize>,
    feed_forward: Option<usize>,
    latent: Option<usize>,
    spectrogram_encoder: Option<bool>,
    channels: Option<Vec<usize>>,
    spans: Option<Vec<(usize, usize)>>,
    dropout: Option<f64>,
    pau: Option<PauTable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EncoderKind {
    Lstm,
    Transformer,
    None,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum PauTable {
    Named(String),
    Coefficients { numerator: Vec<f64>, denominator: Vec<f64> },
}

#[derive(Serialize, Deserialize)]
struct Document {
    network: NetworkTable,
}

impl NetworkConfig {
    /// Reads the `[network]` table of a TOML document; other tables are left to their readers.
    ///
    /// `preset = "dualnet-s"` is the start; every other key replaces one hyper-parameter. Without it every hyper-parameter must be there.
    ///
    /// # Errors
    /// Unknown keys, missing ones, the name of a published network for another one.
    pub fn from_toml(text: &str) -> Result<Self, NetworkError> {
        let toml = |error: toml::de::Error| NetworkError::Toml(first_line(error.message()));
        let document: toml::Table = text.parse().map_err(toml)?;
        match document.get("network") {
            Some(table) => Self::from_table(table.clone()),
            None => Err(NetworkError::Toml("there is no [network] table".to_owned())),
        }
    }

    /// As [`from_toml`](Self::from_toml), of the table itself.
    pub fn from_table(table: toml::Value) -> Result<Self, NetworkError> {
        let toml = |error: toml::de::Error| NetworkError::Toml(first_line(error.message()));
        let config = NetworkTable::deserialize(table).map_err(toml)?.resolve()?;
        config.check()?;
        Ok(config)
    }

    /// The `[network]` table as TOML, every hyper-parameter written out.
    pub fn to_toml(&self) -> String {
        let (signal_encoder, layers, heads, feed_forward) = match self.signal_encoder {
            None => (EncoderKind::None, None, None, None),
            Some(SignalEncoder::Lstm { layers }) => (EncoderKind::Lstm, Some(layers), None, None),
            Some(SignalEncoder::Transformer {
                heads,
                feed_forward,
                layers,
            }) => (EncoderKind::Transformer, Some(layers), Some(heads), Some(feed_forward)),
        };
        let network = NetworkTable {
            preset: None,
            name: Some(self.name.clone()),
            classes: Some(self.classes),
            class_set: Some(self.class_set).filter(|set| *set != ClassSet::Challenge),
            signal_encoder: Some(signal_encoder),
            layers,
            heads,
            feed_forward,
            latent: Some(self.latent),
            spectrogram_encoder: Some(self.spectrogram_encoder),
            channels: Some(self.channels.clone()),
            spans: Some(self.spans.clone()),
            dropout: Some(self.dropout),
            pau: Some(PauTable::Coefficients {
                numerator: self.pau.numerator.clone(),
                denominator: self.pau.denominator.clone(),
            }),
        };
        toml::to_string(&Document { network }).expect("a table of numbers and names is valid TOML")
    }
}

impl NetworkTable {
    fn resolve(self) -> Result<NetworkConfig, NetworkError> {
        self.check_whole()?;
        let mut config = preset(self.preset.as_deref().unwrap_or(PRESETS[0]))?;
        if self.name.is_none() && self.departs() {
            config.name = format!("{}-variant", config.name);
        }
        config.signal_encoder = self.signal_encoder(config.signal_encoder.take())?;
        replace(&mut config.name, self.name);
        replace(&mut config.classes, self.classes);
        replace(&mut config.class_set, self.class_set);
        replace(&mut config.latent, self.latent);
        replace(&mut config.spectrogram_encoder, self.spectrogram_encoder);
        replace(&mut config.channels, self.channels);
        replace(&mut config.spans, self.spans);
        replace(&mut config.dropout, self.dropout);
        match self.pau {
            Some(PauTable::Named(name)) => config.pau = PauInitial::named(&name)?,
            Some(PauTable::Coefficients { numerator, denominator }) => {
                config.pau = PauInitial { numerator, denominator };
            }
            None => {}
        }
        check_name(&config)?;
        Ok(config)
    }

    /// Fails where there is neither a preset nor all that one would say.
    fn check_whole(&self) -> Result<(), NetworkError> {
        let encoder = self.signal_encoder;
        let is_transformer = encoder == Some(EncoderKind::Transformer);
        let keys = [
            ("name", self.name.is_some()),
            ("classes", self.classes.is_some()),
            ("signal_encoder", encoder.is_some()),
            ("layers", self.layers.is_some() || encoder == Some(EncoderKind::None)),
            ("heads", self.heads.is_some() || !is_transformer),
            ("feed_forward", self.feed_forward.is_some() || !is_transformer),
            ("latent", self.latent.is_some()),
            ("spectrogram_encoder", self.spectrogram_encoder.is_some()),
            ("channels", self.channels.is_some()),
            ("spans", self.spans.is_some()),
            ("dropout", self.dropout.is_some()),
            ("pau", self.pau.is_some()),
        ];
        match keys.iter().find(|(_, is_given)| !is_given) {
            Some((missing, _)) if self.preset.is_none() => Err(NetworkError::Invalid {
                key: "preset",
                reason: format!(
                    "is missing: the published network that this one departs from ({}); without one every key is needed, and {missing} is not there",
                    PRESETS.join(", ")
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the result has another architecture than the preset.
    fn departs(&self) -> bool {
        self.signal_encoder.is_some()
            || self.layers.is_some()
            || self.heads.is_some()
            || self.feed_forward.is_some()
            || self.latent.is_some()
            || self.spectrogram_encoder.is_some()
            || self.channels.is_some()
            || self.spans.is_some()
            || self.pau.is_some()
    }

    fn signal_encoder(&self, start: Option<SignalEncoder>) -> Result<Option<SignalEncoder>, NetworkError> {
        let kind = match (self.signal_encoder, &start) {
            (Some(kind), _) => kind,
            (None, Some(SignalEncoder::Lstm { .. })) => EncoderKind::Lstm,
            (None, Some(SignalEncoder::Transformer { .. })) => EncoderKind::Transformer,
            (None, None) => EncoderKind::None,
        };
        let foreign = |key: &'static str, given: bool, owner: &str| match given {
            true => Err(NetworkError::Invalid {
                key,
                reason: format!("only {owner} has this key"),
            }),
            false => Ok(()),
        };
        if kind != EncoderKind::Transformer {
            foreign("heads", self.heads.is_some(), "signal_encoder = \"transformer\"")?;
            foreign(
                "feed_forward",
                self.feed_forward.is_some(),
                "signal_encoder = \"transformer\"",
            )?;
        }
        Ok(match (kind, start) {
            (EncoderKind::None, _) => {
                foreign("layers", self.layers.is_some(), "a signal encoder")?;
                None
            }
            (EncoderKind::Lstm, start) => {
                let before = match start {
                    Some(SignalEncoder::Lstm { layers }) => layers,
                    _ => 2,
                };
                Some(SignalEncoder::Lstm {
                    layers: self.layers.unwrap_or(before),
                })
            }
            (EncoderKind::Transformer, start) => {
                let before = match start {
                    Some(SignalEncoder::Transformer {
                        heads,
                        feed_forward,
                        layers,
                    }) => (heads, feed_forward, layers),
                    _ => (8, 128, 2),
                };
                Some(SignalEncoder::Transformer {
                    heads: self.heads.unwrap_or(before.0),
                    feed_forward: self.feed_forward.unwrap_or(before.1),
                    layers: self.layers.unwrap_or(before.2),
                })
            }
        })
    }
}

/// Fails where a network has the name of a published one, or of one without an encoder, that it is not.
fn check_name(config: &NetworkConfig) -> Result<(), NetworkError> {
    let mut namesakes = variants().filter(|(_, variant)| variant.name == config.name);
    if namesakes.all(|(_, variant)| config.is_one(&variant)) {
        return Ok(());
    }
    Err(NetworkError::Invalid {
        key: "name",
        reason: format!(
            "{} is a published network, which this one is not; preset names the one to begin from, name another one that comes of it",
            config.name
        ),
    })
}

fn replace<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
