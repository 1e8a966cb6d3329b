//! The hyper-parameters of a network.

use super::error::NetworkError;
use super::presets::variants;
use super::{AxialSite, ECG_SIZE, SPECTROGRAM_SIZE};
use clap::ValueEnum;
use dualnet_engine::pau::MAX_COEFFICIENTS;
use serde::{Deserialize, Serialize};

/// What is read from the waveform, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalEncoder {
    /// An LSTM whose hidden size is the latent (ECG-DualNet).
    Lstm {
        /// Stacked layers.
        layers: usize,
    },
    /// A post-norm Transformer encoder of width 256 (ECG-DualNet++).
    Transformer {
        /// Attention heads.
        heads: usize,
        /// Width of the hidden layer of the feed-forward part.
        feed_forward: usize,
        /// Stacked layers.
        layers: usize,
    },
}

/// The coefficients every Padé activation starts with; their number is its order.
#[derive(Clone, Debug, PartialEq)]
pub struct PauInitial {
    /// `a0 … am`.
    pub numerator: Vec<f64>,
    /// `b1 … bn`.
    pub denominator: Vec<f64>,
}

impl PauInitial {
    /// The published fit called `name`, such as `pade_optimized_leakyrelu`.
    pub fn named(name: &str) -> Result<Self, NetworkError> {
        match dualnet_engine::pau::initial::initial(name) {
            Some((numerator, denominator)) => Ok(Self {
                numerator: numerator.to_vec(),
                denominator: denominator.to_vec(),
            }),
            None => Err(NetworkError::UnknownPau {
                name: name.to_owned(),
                known: dualnet_engine::pau::initial::NAMES.join(", "),
            }),
        }
    }
}

/// What the outputs of a network stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClassSet {
    /// Those of the 2017 challenge: N, O, A, ~, or N (not AF) and A.
    #[default]
    Challenge,
    /// Those of Icentia11k: ~ (noise), N (normal), A (AF), F (atrial flutter).
    Icentia11k,
}

impl ClassSet {
    /// Names of so many classes in the order of the outputs.
    pub fn names(self, classes: usize) -> &'static [&'static str] {
        match (self, classes) {
            (Self::Challenge, 2) => &["N", "A"],
            (Self::Challenge, _) => &["N", "O", "A", "~"],
            (Self::Icentia11k, _) => &["~", "N", "A", "F"],
        }
    }

    /// The set whose classes have these names in this order.
    pub fn of_names<T: AsRef<str>>(names: &[T]) -> Option<Self> {
        let is_named = |set: &Self| {
            names
                .iter()
                .map(AsRef::as_ref)
                .eq(set.names(names.len()).iter().copied())
        };
        [Self::Challenge, Self::Icentia11k].into_iter().find(is_named)
    }
}

/// The hyper-parameters of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// What the network is called.
    pub name: String,
    /// Number of classes: 4, or 2 (A against the rest).
    pub classes: usize,
    /// What they are.
    pub class_set: ClassSet,
    /// The waveform's encoder; `None` ablates it.
    pub signal_encoder: Option<SignalEncoder>,
    /// Whether the spectrogram is read; `false` ablates it.
    pub spectrogram_encoder: bool,
    /// Output channels of the spectrogram encoder's blocks.
    pub channels: Vec<usize>,
    /// Extents `(time, frequency)` of the axial blocks, which are the last ones.
    pub spans: Vec<(usize, usize)>,
    /// Width of the latent.
    pub latent: usize,
    /// Probability of every dropout.
    pub dropout: f64,
    /// Order and initial values of the Padé activations.
    pub pau: PauInitial,
}

/// One block of the spectrogram encoder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) index: usize,
    pub(super) input: usize,
    pub(super) output: usize,
    /// Extents of an axial block; `None` for a residual one.
    pub(super) spans: Option<(usize, usize)>,
}

impl Block {
    pub(super) fn prefix(&self) -> String {
        format!("spectrogram_encoder.{}", self.index)
    }
}

impl NetworkConfig {
    /// Leaves the signal encoder out, and says so in the name.
    pub fn ablate_signal_encoder(&mut self) {
        if self.signal_encoder.take().is_some() {
            self.name.push_str("-no-signal-encoder");
        }
    }

    /// Leaves the spectrogram encoder out, and says so in the name.
    pub fn ablate_spectrogram_encoder(&mut self) {
        if std::mem::replace(&mut self.spectrogram_encoder, false) {
            self.name.push_str("-no-spectrogram-encoder");
        }
    }

    /// The published network that this one is, whole or without one of its encoders; `None` of any other.
    pub fn published(&self) -> Option<&'static str> {
        variants().find_map(|(name, variant)| self.is_one(&variant).then_some(name))
    }

    /// Whether this network is another one but for its classes and its dropout, with which any network may be trained.
    pub(super) fn is_one(&self, other: &Self) -> bool {
        let alike = Self {
            classes: self.classes,
            class_set: self.class_set,
            dropout: self.dropout,
            ..other.clone()
        };
        alike == *self
    }

    /// Channels of the pooled spectrogram features.
    pub(super) fn features(&self) -> usize {
        self.channels.last().copied().unwrap_or(1)
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let residual = self.channels.len() - self.spans.len();
        self.channels.iter().enumerate().map(move |(index, &output)| Block {
            index,
            input: if index == 0 { 1 } else { self.channels[index - 1] },
            output,
            spans: (index >= residual).then(|| self.spans[index - residual]),
        })
    }

    /// Names of the classes in the order of the outputs.
    pub fn class_names(&self) -> &'static [&'static str] {
        self.class_set.names(self.classes)
    }

    /// Extents of the feature map that enters block `index`.
    fn extents(index: usize) -> (usize, usize) {
        (SPECTROGRAM_SIZE.0 >> index, SPECTROGRAM_SIZE.1 >> index)
    }

    pub(super) fn check(&self) -> Result<(), NetworkError> {
        let invalid = |key, reason: String| Err(NetworkError::Invalid { key, reason });
        if !matches!(self.classes, 2 | 4) {
            return invalid("classes", format!("{} is neither 2 nor 4", self.classes));
        }
        if self.class_set == ClassSet::Icentia11k && self.classes != 4 {
            return invalid("class_set", format!("icentia11k has 4 classes, not {}", self.classes));
        }
        if self.signal_encoder.is_none() && !self.spectrogram_encoder {
            return invalid("signal_encoder", "one of the two encoders must stay".to_owned());
        }
        if !(1..=MAX_WIDTH).contains(&self.latent) {
            return invalid("latent", format!("{} is not in 1 to {MAX_WIDTH}", self.latent));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return invalid("dropout", format!("{} is not in [0, 1)", self.dropout));
        }
        self.check_signal_encoder()?;
        self.check_spectrogram_encoder()?;
        let PauInitial { numerator, denominator } = &self.pau;
        for coefficients in [numerator, denominator] {
            if !(1..=MAX_COEFFICIENTS).contains(&coefficients.len()) {
                return invalid("pau", format!("1 to {MAX_COEFFICIENTS} coefficients on either side"));
            }
            if coefficients.iter().any(|c| !c.is_finite()) {
                return invalid("pau", "every coefficient must be finite".to_owned());
            }
        }
        Ok(())
    }

    fn check_signal_encoder(&self) -> Result<(), NetworkError> {
        let invalid = |key, reason: String| Err(NetworkError::Invalid { key, reason });
        let layers = match self.signal_encoder {
            None => return Ok(()),
            Some(SignalEncoder::Lstm { layers }) => layers,
            Some(SignalEncoder::Transformer {
                heads,
                feed_forward,
                layers,
            }) => {
                let width = ECG_SIZE.1;
                if self.latent != width {
                    return invalid("latent", format!("a Transformer's latent is its width, {width}"));
                }
                if heads == 0 || !width.is_multiple_of(heads) {
                    return invalid("heads", format!("{heads} does not divide the width {width}"));
                }
                if !(1..=MAX_FEED_FORWARD).contains(&feed_forward) {
                    return invalid(
                        "feed_forward",
                        format!("{feed_forward} is not in 1 to {MAX_FEED_FORWARD}"),
                    );
                }
                layers
            }
        };
        if !(1..=MAX_LAYERS).contains(&layers) {
            return invalid("layers", format!("{layers} is not in 1 to {MAX_LAYERS}"));
        }
        Ok(())
    }

    fn check_spectrogram_encoder(&self) -> Result<(), NetworkError> {
        let invalid = |key, reason: String| Err(NetworkError::Invalid { key, reason });
        let blocks = self.channels.len();
        if !(1..=MAX_BLOCKS).contains(&blocks) {
            return invalid(
                "channels",
                format!("1 to {MAX_BLOCKS} blocks fit the spectrogram, not {blocks}"),
            );
        }
        if self.channels.iter().any(|channels| !(1..=MAX_WIDTH).contains(channels)) {
            return invalid("channels", format!("every block has 1 to {MAX_WIDTH} channels"));
        }
        if self.spans.len() > blocks {
            return invalid(
                "spans",
                format!("{} axial blocks, but only {blocks} blocks", self.spans.len()),
            );
        }
        for block in self.blocks() {
            let Some(spans) = block.spans else { continue };
            let extents = Self::extents(block.index);
            if spans != extents {
                let reason = format!(
                    "block {} sees {extents:?}, not {spans:?} (time, frequency)",
                    block.index
                );
                return invalid("spans", reason);
            }
            if !block.output.is_multiple_of(2 * AxialSite::GROUPS) {
                let reason = format!("an axial block's channels are a multiple of 32, not {}", block.output);
                return invalid("channels", reason);
            }
        }
        Ok(())
    }
}

const MAX_WIDTH: usize = 8192;
const MAX_FEED_FORWARD: usize = 65_536;
const MAX_LAYERS: usize = 64;
/// Five halvings leave one bin.
const MAX_BLOCKS: usize = 5;
