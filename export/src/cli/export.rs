//! `export WEIGHTS -o FILE`.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use dualnet_engine::Model;
use dualnet_engine::model::keys;
use dualnet_export::network::{ClassSet, Network, NetworkConfig, PRESETS, preset};
use dualnet_export::onnx::{Card, export, narrow, write};
use dualnet_export::weights::StateDict;
use std::path::{Path, PathBuf};

/// The last layer, whose rows are the classes.
const HEAD: &str = "linear_layer_2.weight";

/// How a file stores the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    F32,
    F16,
}

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// The weights: .safetensors, or a .pt with a state dict (the content decides, not the name); for --store f16 also an ONNX file
    /// that this program wrote
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

    /// How the file stores the weights: f32, or f16 (half the size; each is widened by a Cast, and computing stays in f32)
    #[arg(long, value_name = "FORM", default_value = "f32")]
    store: Store,

    /// An entry of the model card, such as seed=1 or metrics.accuracy=0.84; the value is JSON or else text (repeatable)
    #[arg(long = "card", value_name = "KEY=VALUE")]
    card: Vec<String>,
}

impl Export {
    /// Reads the weights, finds out which network they belong to, and writes the ONNX file.
    pub fn run(self) -> Result<()> {
        if same_file(&self.weights, &self.output) {
            bail!(
                "{}: is the weights' own file, which would be lost",
                self.output.display()
            );
        }
        let weights = match StateDict::open(&self.weights) {
            Ok(weights) => weights,
            Err(error) => return self.store_again().unwrap_or_else(|| Err(error.into())),
        };
        let mut card = Card::of_checkpoint(&weights)?;
        for entry in &self.card {
            card.set(entry)?;
        }
        let mut config = self.configuration(&weights)?;
        config.class_set = self.class_set(&weights, config.class_set)?;
        let network = Network::new(config)?;
        let mut bytes = export(&network, &weights, &self.weights, &card)?;
        if self.store == Store::F16 {
            bytes = narrow(&self.output, &bytes, &Card::default())?;
        }
        write(&self.output, &bytes)?;
        let config = network.config();
        self.say(&config.name, config.classes, &bytes);
        Ok(())
    }

    /// Says what was written.
    fn say(&self, network: &str, classes: usize, bytes: &[u8]) {
        let (file, bytes) = (self.output.display(), bytes.len());
        println!("{file}: {network}, {classes} classes, {bytes} bytes");
    }

    /// Where the weights are an ONNX file of this project: writes it with its weights in 16 bits. `None` where they are not.
    fn store_again(&self) -> Option<Result<()>> {
        let bytes = std::fs::read(&self.weights).ok()?;
        let model = Model::from_bytes("", &bytes).ok()?;
        let stored = || {
            if self.store != Store::F16 {
                bail!(
                    "{}: is an ONNX file already; only --store f16 makes another one of it",
                    self.weights.display()
                );
            }
            let mut card = Card::default();
            for entry in &self.card {
                card.set(entry)?;
            }
            let bytes = narrow(&self.weights, &bytes, &card)?;
            write(&self.output, &bytes)?;
            self.say(&model.card().network, model.classes().len(), &bytes);
            Ok(())
        };
        Some(stored())
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
