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
    /// Published network, for weights that neither say which they belong to nor can be recognized.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    network: Option<String>,
    /// Number of classes of such weights.
    #[arg(long)]
    classes: Option<usize>,
    /// What the classes of such weights are: N, O, A, ~ (or N, A) of the 2017 challenge, or ~, N, A, F of Icentia11k.
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
            None => self.unstated(state, &path)?,
        };
        self.check(&network, &path)?;
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

    /// The network of weights that do not say it: the one that they are recognized as, or else the one that is asked for, of which they will be found to
    /// lack something.
    fn unstated(&self, state: &StateDict, path: &Path) -> anyhow::Result<Network> {
        let asked = |found: &NetworkConfig| {
            let name = self.network.as_deref().unwrap_or(&found.name);
            found
                .name
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("-no-"))
        };
        let mut config = match (state.recognize().filter(asked), &self.network) {
            (Some(found), _) => found,
            (None, Some(name)) => preset(name)?,
            (None, None) => bail!(
                "{}: does not say which network it is, and is none of {}, whole or without an encoder; `export --config` makes a model file of others",
                path.display(),
                PRESETS.join(", ")
            ),
        };
        config.class_set = self.class_set.unwrap_or_default();
        Ok(Network::new(config)?)
    }

    /// Fails where a flag says that it is another network.
    fn check(&self, network: &Network, path: &Path) -> anyhow::Result<()> {
        let config = network.config();
        let is_other = |name: &String| *name != config.name && !config.name.starts_with(&format!("{name}-no-"));
        if self.network.as_ref().is_some_and(is_other)
            || self.classes.is_some_and(|classes| classes != config.classes)
            || self.class_set.is_some_and(|set| set != config.class_set)
        {
            bail!(
                "{} is {} with classes {}; --network, --classes and --class-set say otherwise",
                path.display(),
                config.name,
                config.class_names().join(", ")
            )
        }
        Ok(())
    }
}
