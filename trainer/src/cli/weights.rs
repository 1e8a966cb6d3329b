//! What `WEIGHTS` names: a checkpoint, an exported network or a run, ready to predict.

use super::class_names;
use crate::device::{device, said_of_auto};
use crate::evaluate::{OnnxPredictor, Predictor, TorchPredictor};
use crate::train::{Checkpoint, RunFolder, network_of, parameters_of};
use anyhow::bail;
use clap::Args;
use dualnet_export::network::{ClassSet, Network, NetworkConfig, PRESETS, preset};
use dualnet_export::weights::StateDict;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The file that a path means: a run's folder stands for its best epoch.
pub(super) fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        RunFolder::new(path).best()
    } else {
        path.to_owned()
    }
}

/// A network with its weights, on the command line.
#[derive(Debug, Args)]
pub(super) struct Weights {
    /// Checkpoint (.safetensors, .pt), exported network (.onnx), or folder of a run (its best.safetensors).
    #[arg(value_name = "WEIGHTS")]
    weights: PathBuf,
    /// Published network that the weights must be of, whole or without an encoder; they say it, or are recognized.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    network: Option<String>,
    /// Number of classes that they must have.
    #[arg(long)]
    classes: Option<usize>,
    /// What the classes are of weights that do not say it: N, O, A, ~ (or N, A) of the 2017 challenge, or ~, N, A, F of Icentia11k.
    #[arg(long, value_name = "SET")]
    class_set: Option<ClassSet>,
    /// Where a checkpoint is computed: cpu, cuda, cuda:1, auto. An exported network is computed on the CPU.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

/// A network, ready to predict.
pub(super) struct Opened {
    pub(super) predictor: Box<dyn Predictor>,
    /// The names of its classes.
    pub(super) classes: Vec<String>,
    /// What it says of its training; null when it says nothing.
    pub(super) training: Value,
}

impl Weights {
    /// The file that is read.
    pub(super) fn file(&self) -> PathBuf {
        file_of(&self.weights)
    }

    /// The network, ready to predict.
    pub(super) fn open(&self) -> anyhow::Result<Opened> {
        let path = self.file();
        if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
        {
            if !["cpu", "auto"].contains(&self.device.as_str()) {
                bail!(
                    "{}: an exported network is computed on the CPU here; `engine classify --device cuda` computes it on a GPU",
                    path.display()
                );
            }
            if self.network.is_some() || self.classes.is_some() || self.class_set.is_some() {
                bail!(
                    "{}: an exported network says which it is; leave out --network, --classes and --class-set",
                    path.display()
                );
            }
            let predictor = OnnxPredictor::open(&path)?;
            return Ok(Opened {
                classes: predictor.class_names(),
                training: predictor.training(),
                predictor: Box::new(predictor),
            });
        }
        let checkpoint = Checkpoint::open(&path)?;
        let state = checkpoint.state();
        let network = match network_of(state)? {
            Some(network) => network,
            None => self.recognized(state, &path)?,
        };
        if let Some(flag) = self.contradiction(network.config()) {
            bail!(
                "{} is {} with classes {}; {flag} says otherwise",
                path.display(),
                network.config().name,
                network.config().class_names().join(", ")
            );
        }
        if let Some(device) = said_of_auto(&self.device) {
            eprintln!("{device}");
        }
        let parameters = parameters_of(&network, state, &path)?.on(device(&self.device, 0)?)?;
        let classes = class_names(network.config());
        Ok(Opened {
            predictor: Box::new(TorchPredictor { network, parameters }),
            classes,
            training: checkpoint.training(),
        })
    }

    /// The published network whose tensors these are, which is said: what the classes are does not show in them.
    fn recognized(&self, state: &StateDict, path: &Path) -> anyhow::Result<Network> {
        let Some(mut config) = state.recognize() else {
            // What is asked for says what is missing or of another shape.
            if let Some(name) = &self.network {
                let mut asked = preset(name)?;
                asked.classes = self.classes.or(state.classes()).unwrap_or(asked.classes);
                parameters_of(&Network::new(asked)?, state, path)?;
            }
            bail!(
                "{}: does not say which network it is, and is none of {}, whole or without an encoder; --network says what one of them has otherwise",
                path.display(),
                PRESETS.join(", ")
            );
        };
        config.class_set = self.class_set.unwrap_or_default();
        if self.class_set.is_none() {
            eprintln!(
                "{}: recognized as {}; its classes are taken for {} (--class-set names others)",
                path.display(),
                config.name,
                config.class_names().join(", ")
            );
        }
        Ok(Network::new(config)?)
    }

    /// The flag that says that it is another network, if one does.
    fn contradiction(&self, config: &NetworkConfig) -> Option<&'static str> {
        let is_other = |name: &String| name != config.published().unwrap_or(&config.name);
        [
            ("--network", self.network.as_ref().is_some_and(is_other)),
            (
                "--classes",
                self.classes.is_some_and(|classes| classes != config.classes),
            ),
            ("--class-set", self.class_set.is_some_and(|set| set != config.class_set)),
        ]
        .into_iter()
        .find_map(|(flag, contradicts)| contradicts.then_some(flag))
    }
}
