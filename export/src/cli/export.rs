//! `export WEIGHTS -o FILE`.

use super::{card_of, output, say, text_of};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use dualnet_engine::model::{ModelFault, keys};
use dualnet_engine::pending::check_lost;
use dualnet_engine::{Model, Precision};
use dualnet_export::network::{ClassSet, Network, NetworkConfig, PRESETS, preset};
use dualnet_export::onnx::{Card, export, store_f16, write};
use dualnet_export::weights::{StateDict, WeightsError};
use std::path::{Path, PathBuf};

/// How a file stores the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    F32,
    F16,
}

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// The weights: .safetensors, or a .pt with a state dict (the content decides, not the name), or the folder of a run of `trainer` (its
    /// best.safetensors); for --store f16 also an ONNX file that this program wrote
    weights: PathBuf,

    /// The ONNX file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_parser = output())]
    output: PathBuf,

    /// The network: one of dualnet-s, -m, -l, -xl, dualnet-pp-s, -m, -l, -xl, -xxl, -130m
    ///
    /// Weights say it (checkpoints of `trainer` do) or are recognized; with this, what they have otherwise is named.
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
    pub fn run(mut self) -> Result<()> {
        if self.weights.is_dir() {
            self.weights.push("best.safetensors");
        }
        keep(&self.weights, &self.output, "the weights' own file")?;
        if let Some(config) = &self.config {
            keep(config, &self.output, "the configuration's own file")?;
        }
        let weights = match StateDict::open(&self.weights) {
            Ok(weights) => weights,
            Err(error) => return self.store_again(error),
        };
        let card = Card::of_checkpoint(&weights)?;
        let given = card_of(&self.card)?;
        let stated = self.stated(&weights)?;
        let mut config = self.configuration(&weights, stated.as_ref())?;
        config.class_set = self.class_set(stated.as_ref(), config.class_set)?;
        if let Some(stated) = &stated {
            self.check_stated(stated, &config)?;
        }
        let network = Network::new(config)?;
        let bytes = match self.store {
            Store::F32 => export(&network, &weights, &self.weights, &card.with(given))?,
            Store::F16 => {
                let whole = export(&network, &weights, &self.weights, &card)?;
                store_f16(&self.output, &whole, &given)?
            }
        };
        write(&self.output, &bytes)?;
        let config = network.config();
        self.say(&config.name, config.classes, &bytes);
        Ok(())
    }

    /// Says what was written.
    fn say(&self, network: &str, classes: usize, bytes: &[u8]) {
        let said = format!(
            "{}: {network}, {classes} classes, {} bytes",
            self.output.display(),
            bytes.len()
        );
        say(&self.output, &said);
    }

    /// Where the weights, which cannot be read for this reason, are an ONNX file of this project: writes it with its weights in 16 bits.
    fn store_again(&self, reason: WeightsError) -> Result<()> {
        if !self.weights.is_file() {
            return Err(reason.into());
        }
        let bytes = Model::bytes_of(&self.weights)?;
        let path = self.weights.display();
        let model = match Model::from_bytes(&path.to_string(), &bytes) {
            Ok(model) => model,
            Err(error) if self.is_onnx(error.fault()) => return Err(error.into()),
            Err(_) => return Err(reason.into()),
        };
        if self.store != Store::F16 {
            bail!("{path}: is an ONNX file already; only --store f16 makes another one of it");
        }
        if model.card().precision != Precision::F32 {
            bail!(
                "{path}: is an {} file already; --store f16 is for float files",
                model.card().precision
            );
        }
        let of_weights = [
            ("--network", self.network.is_some()),
            ("--config", self.config.is_some()),
            ("--classes", self.classes.is_some()),
            ("--class-set", self.class_set.is_some()),
            ("--no-signal-encoder", self.no_signal_encoder),
            ("--no-spectrogram-encoder", self.no_spectrogram_encoder),
        ];
        if let Some((flag, _)) = of_weights.iter().find(|(_, given)| *given) {
            bail!(
                "{path}: is an ONNX file, which says itself what its network is: {flag} is for weights, --card and --store f16 for both"
            );
        }
        let bytes = store_f16(&self.weights, &bytes, &card_of(&self.card)?)?;
        write(&self.output, &bytes)?;
        self.say(&model.card().network, model.classes().len(), &bytes);
        Ok(())
    }

    /// Whether a file that was refused for this fault is ONNX, by its content or at least by its name.
    fn is_onnx(&self, fault: &ModelFault) -> bool {
        let named = self.weights.extension().is_some_and(|extension| extension == "onnx");
        named || !matches!(fault, ModelFault::NotOnnx { .. } | ModelFault::TooLarge { .. })
    }

    /// The network that the weights say they belong to.
    fn stated(&self, weights: &StateDict) -> Result<Option<NetworkConfig>> {
        let Some(text) = weights.metadata.get(keys::CONFIGURATION) else {
            return Ok(None);
        };
        let place = || format!("{}: {}", self.weights.display(), keys::CONFIGURATION);
        Ok(Some(NetworkConfig::from_toml(text).with_context(place)?))
    }

    /// Fails where the weights are those of another network than is asked for: not all of it shows in the shapes of tensors, and the answers
    /// would be others.
    fn check_stated(&self, stated: &NetworkConfig, asked: &NetworkConfig) -> Result<()> {
        // What an exported network does not compute with.
        let computed = NetworkConfig {
            name: asked.name.clone(),
            dropout: asked.dropout,
            pau: asked.pau.clone(),
            ..stated.clone()
        };
        if computed == *asked {
            return Ok(());
        }
        let [computed, asked] = [&computed, asked].map(NetworkConfig::to_toml);
        let differs = computed
            .lines()
            .zip(asked.lines())
            .find(|(stated, asked)| stated != asked);
        let (stated, asked) = differs.unwrap_or(("another network", "this one"));
        bail!(
            "{}: the weights say of themselves {stated}, the command line {asked}; leave out --network, --config and the flags beside them",
            self.weights.display()
        )
    }

    /// What the outputs stand for: what the weights say, whatever configuration is given beside them.
    fn class_set(&self, stated: Option<&NetworkConfig>, given: ClassSet) -> Result<ClassSet> {
        match (stated.map(|stated| stated.class_set), self.class_set) {
            (Some(stated), Some(asked)) if stated != asked => bail!(
                "{}: says that its classes are those of {stated:?}; --class-set says otherwise",
                self.weights.display()
            ),
            (stated, asked) => Ok(stated.or(asked).unwrap_or(given)),
        }
    }

    fn configuration(&self, weights: &StateDict, stated: Option<&NetworkConfig>) -> Result<NetworkConfig> {
        if let Some(name) = &self.network {
            return Ok(self.vary(preset(name)?, weights));
        }
        if let Some(path) = &self.config {
            let text = text_of(path)?;
            let config = NetworkConfig::from_toml(&text).with_context(|| path.display().to_string())?;
            return Ok(self.vary_stated(config));
        }
        match stated {
            Some(stated) => Ok(self.vary_stated(stated.clone())),
            None => self.recognize(weights),
        }
    }

    /// The published network that the tensors are those of, unless the flags say that it is another.
    fn recognize(&self, weights: &StateDict) -> Result<NetworkConfig> {
        let Some(found) = weights.recognize() else {
            bail!(
                "{}: the tensors are those of no network known by name ({}), whole or without an encoder; --network says what is missing or wrong \
                 for one of them, --config describes another",
                self.weights.display(),
                PRESETS.join(", ")
            )
        };
        let contradicted = [
            (
                self.classes.is_some_and(|classes| classes != found.classes),
                "--classes",
            ),
            (
                self.no_signal_encoder && found.signal_encoder.is_some(),
                "--no-signal-encoder",
            ),
            (
                self.no_spectrogram_encoder && found.spectrogram_encoder,
                "--no-spectrogram-encoder",
            ),
        ];
        match contradicted.iter().find(|(is_contradicted, _)| *is_contradicted) {
            Some((_, flag)) => bail!(
                "{}: the tensors are those of {} with {} classes; {flag} says otherwise",
                self.weights.display(),
                found.name,
                found.classes
            ),
            None => Ok(found),
        }
    }

    /// A preset with the flags applied; the number of classes is that of the weights unless stated.
    fn vary(&self, config: NetworkConfig, weights: &StateDict) -> NetworkConfig {
        let mut config = self.vary_stated(config);
        if let (None, Some(rows @ (2 | 4))) = (self.classes, weights.classes()) {
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

/// Fails where writing `output` would overwrite `input`, which is `what`, or any recording.
pub(super) fn keep(input: &Path, output: &Path, what: &str) -> Result<()> {
    check_lost(output, [(input, what)]).map_err(anyhow::Error::msg)
}
