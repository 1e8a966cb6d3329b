//! `export WEIGHTS -o FILE`.

use anyhow::{Context, Result, bail};
use clap::Args;
use dualnet_engine::model::keys;
use dualnet_export::network::{ClassSet, Network, NetworkConfig, PRESETS, preset};
use dualnet_export::onnx::{Card, export, write};
use dualnet_export::weights::StateDict;
use std::path::{Path, PathBuf};

/// The last layer, whose rows are the classes.
const HEAD: &str = "linear_layer_2.weight";

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// The weights: .safetensors, or a .pt with a state dict (the content decides, not the name)
    weights: PathBuf,

    /// The ONNX file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The network: one of dualnet-s, -m, -l, -xl, dualnet-pp-s, -m, -l, -xl, -xxl, -130m
    ///
    /// Needed only when the weights neither say it (checkpoints of `trainer` do) nor can be recognized.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    network: Option<String>,

    /// A TOML file whose table `network` describes the network
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Number of classes: 4 (N, O, A, ~), or 2 (N: not AF, A) [default: as many as the weights have]
    #[arg(long, value_name = "COUNT")]
    classes: Option<usize>,

    /// What the classes are, for weights that do not say it: N, O, A, ~ (or N, A) of the 2017 challenge, or ~, N, A, F of
    /// Icentia11k [default: what the weights say, or else challenge]
    #[arg(long, value_name = "SET")]
    class_set: Option<ClassSet>,

    /// The network was trained without the signal encoder
    #[arg(long, conflicts_with = "no_spectrogram_encoder")]
    no_signal_encoder: bool,

    /// The network was trained without the spectrogram encoder
    #[arg(long)]
    no_spectrogram_encoder: bool,

    /// An entry of the model card, such as seed=1 or metrics.accuracy=0.84; the value is JSON or else text (repeatable)
    #[arg(long = "card", value_name = "KEY=VALUE")]
    card: Vec<String>,
}

impl Export {
    /// Reads the weights, finds out which network they belong to, and writes the ONNX file.
    pub fn run(self) -> Result<()> {
        let weights = StateDict::open(&self.weights)?;
        if same_file(&self.weights, &self.output) {
            bail!(
                "{}: is the weights' own file, which would be lost",
                self.output.display()
            );
        }
        let mut card = Card::of_checkpoint(&weights)?;
        for entry in &self.card {
            card.set(entry)?;
        }
        let mut config = self.configuration(&weights)?;
        config.class_set = self.class_set(&weights, config.class_set)?;
        let network = Network::new(config)?;
        let bytes = export(&network, &weights, &self.weights, &card)?;
        write(&self.output, &bytes)?;
        let config = network.config();
        println!(
            "{}: {}, {} classes, {} bytes",
            self.output.display(),
            config.name,
            config.classes,
            bytes.len()
        );
        Ok(())
    }

    /// What the outputs stand for: what the weights say, whatever configuration is given beside them.
    fn class_set(&self, weights: &StateDict, given: ClassSet) -> Result<ClassSet> {
        let stated = match weights.metadata.get(keys::CONFIGURATION) {
            Some(text) => Some(NetworkConfig::from_toml(text)?.class_set),
            None => None,
        };
        match (stated, self.class_set) {
            (Some(stated), Some(asked)) if stated != asked => bail!(
                "{}: says that its classes are those of {stated:?}; --class-set says otherwise",
                self.weights.display()
            ),
            (stated, asked) => Ok(stated.or(asked).unwrap_or(given)),
        }
    }

    fn configuration(&self, weights: &StateDict) -> Result<NetworkConfig> {
        if let Some(name) = &self.network {
            return Ok(self.vary(preset(name)?, weights));
        }
        if let Some(path) = &self.config {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let config = NetworkConfig::from_toml(&text).with_context(|| path.display().to_string())?;
            return Ok(self.vary_stated(config));
        }
        if let Some(text) = weights.metadata.get(keys::CONFIGURATION) {
            let place = || format!("{}: {}", self.weights.display(), keys::CONFIGURATION);
            return Ok(self.vary_stated(NetworkConfig::from_toml(text).with_context(place)?));
        }
        self.recognize(weights)
    }

    /// The preset, in the stated variant, whose parameters have the names and shapes of the weights.
    fn recognize(&self, weights: &StateDict) -> Result<NetworkConfig> {
        for name in PRESETS {
            let config = self.vary(preset(name)?, weights);
            if Network::new(config.clone()).is_ok_and(|network| weights.fits(&network.parameters())) {
                return Ok(config);
            }
        }
        bail!(
            "{}: the tensors are those of no network known by name ({}); --network says what is missing or wrong for one of \
             them, --config describes another, --no-signal-encoder and --no-spectrogram-encoder are for ablations",
            self.weights.display(),
            PRESETS.join(", ")
        )
    }

    /// A preset with the flags applied; the number of classes is that of the weights unless stated.
    fn vary(&self, config: NetworkConfig, weights: &StateDict) -> NetworkConfig {
        let rows = weights.get(HEAD).and_then(|head| head.shape().first().copied());
        let mut config = self.vary_stated(config);
        if let (None, Some(rows @ (2 | 4))) = (self.classes, rows) {
            config.classes = rows;
        }
        config
    }

    fn vary_stated(&self, mut config: NetworkConfig) -> NetworkConfig {
        if let Some(classes) = self.classes {
            config.classes = classes;
        }
        if self.no_signal_encoder {
            config.ablate_signal_encoder();
        }
        if self.no_spectrogram_encoder {
            config.ablate_spectrogram_encoder();
        }
        config
    }
}

pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
