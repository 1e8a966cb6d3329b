//! Checkpoints: a state dict with everything an exact resume needs.
//!
//! `best.safetensors` and `epoch-….safetensors` hold the network alone; `last.safetensors` adds the optimizer's moments
//! (`optimizer.first.<name>`, `optimizer.second.<name>`) and, where the weights are averaged, those that are trained
//! (`optimizer.trained.<name>`): the plain names are always the network to use. The text entries carry the network's
//! configuration, the training options and the progress.

use super::TrainOptions;
use crate::error::TrainerError;
use crate::optimizer::{Moments, RAdam};
use crate::torch::{Parameters, flattened, initial_values};
use dualnet_engine::model::keys;
use dualnet_export::network::{Initial, Network, NetworkConfig, Parameter, ParameterKind};
use dualnet_export::weights::{Data, OPTIMIZER_PREFIX, StateDict, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const TRAINED_PREFIX: &str = "optimizer.trained.";

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch that is under way, counted from 1.
    pub epoch: usize,
    /// Batches of that epoch that are done.
    pub batches: usize,
    /// Optimizer steps in all.
    pub steps: u64,
    /// Sum over the epoch's records so far of their batch's loss.
    pub loss_sum: f64,
    /// Records of the epoch so far.
    pub records: usize,
    /// The best validation accuracy, and its epoch.
    pub best: Option<(f64, usize)>,
}

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    state: StateDict,
}

impl Checkpoint {
    /// The metadata entry with the [`Progress`] of a checkpoint that a run can go on from.
    pub const PROGRESS: &str = "dualnet.progress";

    /// The network's tensors, with what they were trained by and what they reached.
    pub fn new(
        network: &Network,
        parameters: &Parameters,
        training: &serde_json::Value,
        metrics: &serde_json::Value,
    ) -> Result<Self, TrainerError> {
        let mut state = StateDict::default();
        for (parameter, tensor) in parameters.iter() {
            let stored = match parameter.kind {
                ParameterKind::Integer => Tensor::i64(&parameter.shape, Vec::<i64>::try_from(tensor.f_reshape([-1])?)?),
                _ => Tensor::f32(&parameter.shape, finite(tensor, &parameter.name)?),
            };
            insert(&mut state, parameter.name.clone(), stored)?;
        }
        state
            .metadata
            .insert(keys::CONFIGURATION.to_owned(), network.config().to_toml());
        state.metadata.insert(keys::TRAINING.to_owned(), training.to_string());
        state.metadata.insert(keys::METRICS.to_owned(), metrics.to_string());
        Ok(Self { state })
    }

    /// Adds what a resume needs; `trained` are the weights under training where the network's are their average.
    pub fn with_optimizer(
        mut self,
        optimizer: &RAdam,
        progress: &Progress,
        trained: Option<&Parameters>,
    ) -> Result<Self, TrainerError> {
        for (parameter, tensor) in trained.into_iter().flat_map(Parameters::iter) {
            if parameter.kind != ParameterKind::Integer {
                let key = format!("{TRAINED_PREFIX}{}", parameter.name);
                let stored = Tensor::f32(&parameter.shape, finite(tensor, &key)?);
                insert(&mut self.state, key, stored)?;
            }
        }
        for (name, moments) in optimizer.moments() {
            for (kind, tensor) in [("first", &moments.first), ("second", &moments.second)] {
                let shape: Vec<usize> = tensor.size().iter().map(|&extent| extent as usize).collect();
                let key = format!("{OPTIMIZER_PREFIX}{kind}.{name}");
                let stored = Tensor::f32(&shape, finite(tensor, &key)?);
                insert(&mut self.state, key, stored)?;
            }
        }
        let progress = serde_json::to_string(progress).map_err(|error| TrainerError::Internal(error.to_string()))?;
        self.state.metadata.insert(Self::PROGRESS.to_owned(), progress);
        Ok(self)
    }

    /// Writes beside `path`, then renames.
    pub fn save(&self, path: &Path) -> Result<(), TrainerError> {
        Ok(self.state.save(path)?)
    }

    /// Reads a checkpoint or any state dict.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        Ok(Self {
            state: StateDict::open(path)?,
        })
    }

    /// A state dict that has been read already.
    pub(super) fn from_state(state: StateDict) -> Self {
        Self { state }
    }

    /// The state dict.
    pub fn state(&self) -> &StateDict {
        &self.state
    }

    /// The optimizer and the progress, of a checkpoint that has them.
    pub fn resume(&self, path: &Path, parameters: &Parameters) -> Result<(RAdam, Progress), TrainerError> {
        let fault = |reason: &str| TrainerError::File {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let progress = self
            .state
            .metadata
            .get(Self::PROGRESS)
            .ok_or_else(|| fault("has no progress to resume from"))?;
        let progress: Progress =
            serde_json::from_str(progress).map_err(|error| fault(&format!("its progress is unreadable: {error}")))?;
        if progress.epoch == 0 {
            return Err(fault("its progress is in epoch 0; epochs count from 1"));
        }
        let mut moments = BTreeMap::new();
        for (name, weight) in parameters.weights() {
            let moment = |kind: &str| -> Result<Option<tch::Tensor>, TrainerError> {
                let Some(stored) = self.state.get(&format!("{OPTIMIZER_PREFIX}{kind}.{name}")) else {
                    return Ok(None);
                };
                let Some(values) = stored.as_f32() else {
                    return Err(fault(&format!("the moments of {name:?} are not float32")));
                };
                let shape: Vec<i64> = stored.shape().iter().map(|&extent| extent as i64).collect();
                if shape != weight.size() {
                    return Err(fault(&format!(
                        "the moments of {name:?} have another shape than the tensor"
                    )));
                }
                let mut tensor = tch::no_grad(|| weight.f_zeros_like())?;
                tensor.f_copy_(&tch::Tensor::f_from_slice(values)?.f_view(shape.as_slice())?)?;
                Ok(Some(tensor))
            };
            match (moment("first")?, moment("second")?) {
                (Some(first), Some(second)) => {
                    moments.insert(name.to_owned(), Moments { first, second });
                }
                (None, None) => {}
                _ => return Err(fault(&format!("has only one of the two moments of {name:?}"))),
            }
        }
        Ok((RAdam::resume(progress.steps, moments), progress))
    }

    /// The weights under training, of a checkpoint whose network is their average.
    pub fn trained(&self, network: &Network, path: &Path) -> Result<Option<Parameters>, TrainerError> {
        let mut plain = StateDict::default();
        for (name, tensor) in &self.state.tensors {
            if let Some(name) = name.strip_prefix(TRAINED_PREFIX) {
                plain.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        if plain.tensors.is_empty() {
            return Ok(None);
        }
        for parameter in network.parameters() {
            if let (ParameterKind::Integer, Some(tensor)) = (parameter.kind, self.state.get(&parameter.name)) {
                plain.tensors.insert(parameter.name, tensor.clone());
            }
        }
        parameters_of(network, &plain, path).map(Some)
    }

    /// What the checkpoint says about its training; null when it says nothing.
    pub fn training(&self) -> serde_json::Value {
        let text = self.state.metadata.get(keys::TRAINING).map_or("null", String::as_str);
        serde_json::from_str(text).unwrap_or_default()
    }

    /// What was measured of it; null when it says nothing.
    pub(super) fn metrics(&self) -> serde_json::Value {
        let text = self.state.metadata.get(keys::METRICS).map_or("null", String::as_str);
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The options the run was started with.
    pub fn options(&self, path: &Path) -> Result<Option<TrainOptions>, TrainerError> {
        let Some(text) = self.state.metadata.get(keys::TRAINING) else {
            return Ok(None);
        };
        let fault = |error| TrainerError::File {
            path: path.to_owned(),
            reason: format!("training options: {error}"),
        };
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(fault)?;
        let options: TrainOptions = serde_json::from_value(value["options"].take()).map_err(fault)?;
        Ok(Some(options.of_run()))
    }
}

/// The values of a tensor, none of which may have diverged: nobody could go on from them.
fn finite(tensor: &tch::Tensor, name: &str) -> Result<Vec<f32>, TrainerError> {
    let values = flattened(tensor)?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(TrainerError::NotFinite { name: name.to_owned() }),
    }
}

fn insert(state: &mut StateDict, name: String, tensor: Option<Tensor>) -> Result<(), TrainerError> {
    match tensor {
        Some(tensor) => {
            state.tensors.insert(name, tensor);
            Ok(())
        }
        None => Err(TrainerError::NoTensor { name }),
    }
}

/// The network a state dict says it belongs to; `None` when it does not say.
pub fn network_of(state: &StateDict) -> Result<Option<Network>, TrainerError> {
    match state.metadata.get(keys::CONFIGURATION) {
        Some(toml) => Ok(Some(Network::new(NetworkConfig::from_toml(toml)?)?)),
        None => Ok(None),
    }
}

/// The parameters of `network` with the values of `state`, which must have every one of them and nothing else.
pub fn parameters_of(network: &Network, state: &StateDict, path: &Path) -> Result<Parameters, TrainerError> {
    state.check(path, &network.parameters())?;
    Parameters::from_values(network, |parameter: &Parameter| {
        match state.get(&parameter.name).map(Tensor::data) {
            Some(Data::F32(values)) => Ok(values.clone()),
            Some(Data::I64(values)) => integers(parameter, values, path),
            // Integers only: nothing else may be missing.
            None => initial_values(parameter, 0, &HashMap::new()),
        }
    })
}

/// The integers of a file for `parameter`. A table of relative positions is what it is by definition: not every way to compute reads it, and one that
/// was changed would get another answer from each.
pub(super) fn integers(parameter: &Parameter, values: &[i64], path: &Path) -> Result<Vec<f32>, TrainerError> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let is_table = matches!(parameter.initial, Initial::RelativeIndexes(_));
    match is_table && values != initial_values(parameter, 0, &HashMap::new())? {
        true => Err(TrainerError::File {
            path: path.to_owned(),
            reason: format!("{:?} is not the table of relative positions", parameter.name),
        }),
        false => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The CPU's axial attention computes the table, a GPU's reads it: with another one each would answer for itself.
    #[test]
    fn another_table_of_relative_positions_is_refused() {
        let config = dualnet_export::network::preset("dualnet-pp-s").expect("a network");
        let network = Network::new(config).expect("a network");
        let list = network.parameters();
        let table = list
            .iter()
            .find(|parameter| matches!(parameter.initial, Initial::RelativeIndexes(_)))
            .expect("a table");
        let path = Path::new("x.safetensors");
        let values = |values: Vec<f32>| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
        let mut indexes = values(initial_values(table, 0, &HashMap::new()).expect("values"));
        assert!(integers(table, &indexes, path).is_ok());
        indexes.swap(0, 1);
        let refused = integers(table, &indexes, path).expect_err("refused").to_string();
        assert!(refused.contains("is not the table of relative positions"), "{refused}");
    }

    fn refused(result: Result<Checkpoint, TrainerError>) -> String {
        match result {
            Err(TrainerError::NotFinite { name }) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_that_is_not_finite_is_kept() {
        let network = Network::preset("dualnet-s").expect("a preset");
        let good = Parameters::initial(&network, 0).expect("parameters");
        let name = "linear_layer_2.bias";
        let checkpoint = |parameters: &Parameters| Checkpoint::new(&network, parameters, &json!({}), &json!({}));
        let progress = Progress::default();
        for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bad = Parameters::from_values(&network, |parameter| {
                let mut values = good.values(&parameter.name)?;
                if parameter.name == name {
                    values[1] = fault;
                }
                Ok(values)
            });
            let bad = bad.expect("parameters");
            assert_eq!(refused(checkpoint(&bad)), name);

            let whole = || checkpoint(&good).expect("a checkpoint");
            let trained = whole().with_optimizer(&RAdam::new(), &progress, Some(&bad));
            assert_eq!(refused(trained), format!("optimizer.trained.{name}"));
            let moment = |value: f32| tch::Tensor::from_slice(&[0.0, value, 0.0, 0.0]);
            let moments = Moments {
                first: moment(0.0),
                second: moment(fault),
            };
            let optimizer = RAdam::resume(1, [(name.to_owned(), moments)].into());
            let kept = whole().with_optimizer(&optimizer, &progress, None);
            assert_eq!(refused(kept), format!("optimizer.second.{name}"));
        }
    }
}
