//! The tensors of a network's state dict.

use super::layout::channels_last;
use crate::error::TrainerError;
use crate::random::Rng;
use dualnet_export::network::{Initial, Network, Parameter, ParameterKind};
use std::collections::HashMap;
use tch::{Device, Kind, Tensor};

/// How libtorch calls an LSTM among cuDNN's recurrent networks.
const CUDNN_LSTM: i64 = 2;

/// Every tensor of one network: weights (leaves that require gradients), running statistics, integers.
#[derive(Debug)]
pub struct Parameters {
    list: Vec<Parameter>,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl Parameters {
    /// Draws the initial values of `network`; every tensor is a function of `(seed, name)`.
    pub fn initial(network: &Network, seed: u64) -> Result<Self, TrainerError> {
        let mut drawn: HashMap<String, Vec<f32>> = HashMap::new();
        Self::from_values(network, |parameter| {
            let values = initial_values(parameter, seed, &drawn)?;
            drawn.insert(parameter.name.clone(), values.clone());
            Ok(values)
        })
    }

    /// Takes the values of every tensor, integers included, from `values`.
    pub fn from_values(
        network: &Network,
        mut values: impl FnMut(&Parameter) -> Result<Vec<f32>, TrainerError>,
    ) -> Result<Self, TrainerError> {
        let list = network.parameters();
        let mut tensors = Vec::with_capacity(list.len());
        for parameter in &list {
            let values = values(parameter)?;
            if values.len() != parameter.elements() {
                return Err(TrainerError::TensorLength {
                    name: parameter.name.clone(),
                    expected: parameter.elements(),
                    found: values.len(),
                });
            }
            tensors.push(tensor(parameter, &values)?);
        }
        let index = list
            .iter()
            .enumerate()
            .map(|(i, parameter)| (parameter.name.clone(), i))
            .collect();
        Ok(Self { list, tensors, index })
    }

    /// The same values on `device`, as leaves of their own.
    pub fn on(self, device: Device) -> Result<Self, TrainerError> {
        if self.device() == device {
            return Ok(self);
        }
        let mut tensors = Vec::with_capacity(self.tensors.len());
        for (parameter, tensor) in self.iter() {
            let moved = tensor.f_detach()?.f_to_device(device)?;
            let is_weight = parameter.kind == ParameterKind::Weight;
            tensors.push(moved.f_set_requires_grad(is_weight)?);
        }
        let parameters = Self { tensors, ..self };
        if device.is_cuda() {
            parameters.compact_lstm()?;
        }
        Ok(parameters)
    }

    /// Moves the weights of each LSTM layer into one stretch of memory, in the order in which cuDNN reads them; it would otherwise copy
    /// them at every call.
    fn compact_lstm(&self) -> Result<(), TrainerError> {
        for (parameter, weight) in self.iter() {
            let Some((prefix, layer)) = parameter.name.split_once(".weight_ih_l") else {
                continue;
            };
            let of = |kind: &str| self.get(&format!("{prefix}.{kind}_l{layer}"));
            let weights = [of("weight_ih")?, of("weight_hh")?, of("bias_ih")?, of("bias_hh")?];
            let (inputs, hidden) = (weight.size()[1], weights[1].size()[1]);
            // The one stretch, which the weights hold from now on.
            let _ = tch::no_grad(|| {
                Tensor::f_internal_cudnn_rnn_flatten_weight(&weights, 4, inputs, CUDNN_LSTM, hidden, 0, 1, true, false)
            })?;
        }
        Ok(())
    }

    /// Where the tensors are.
    pub fn device(&self) -> Device {
        self.tensors.first().map_or(Device::Cpu, Tensor::device)
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Result<&Tensor, TrainerError> {
        match self.index.get(name) {
            Some(&i) => Ok(&self.tensors[i]),
            None => Err(TrainerError::NoTensor { name: name.to_owned() }),
        }
    }

    /// Descriptions and tensors, in the state dict's order.
    pub fn iter(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.list.iter().zip(&self.tensors)
    }

    /// The learnable tensors with their names.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.iter()
            .filter(|(parameter, _)| parameter.kind == ParameterKind::Weight)
            .map(|(parameter, tensor)| (parameter.name.as_str(), tensor))
    }

    /// The values of one tensor, row-major.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, TrainerError> {
        flattened(self.get(name)?)
    }
}

/// The values of a tensor, row-major, as float32.
pub(crate) fn flattened(tensor: &Tensor) -> Result<Vec<f32>, TrainerError> {
    let flat = tensor
        .f_detach()?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?
        .f_view([-1])?;
    let mut values = vec![0.0; flat.numel()];
    flat.f_copy_data(&mut values, flat.numel())?;
    Ok(values)
}

fn tensor(parameter: &Parameter, values: &[f32]) -> Result<Tensor, TrainerError> {
    let shape: Vec<i64> = parameter.shape.iter().map(|&extent| extent as i64).collect();
    let tensor = Tensor::f_from_slice(values)?.f_view(shape.as_slice())?;
    Ok(match parameter.kind {
        ParameterKind::Integer => tensor.f_to_kind(Kind::Int64)?,
        ParameterKind::Buffer => tensor,
        ParameterKind::Weight if shape.len() == 4 => channels_last(&tensor)?.f_set_requires_grad(true)?,
        ParameterKind::Weight => tensor.f_set_requires_grad(true)?,
    })
}

/// The initial values of a tensor, a function of `(seed, name)`; `drawn` are those that it may copy.
pub(crate) fn initial_values(
    parameter: &Parameter,
    seed: u64,
    drawn: &HashMap<String, Vec<f32>>,
) -> Result<Vec<f32>, TrainerError> {
    let n = parameter.elements();
    let mut rng = Rng::for_name(seed, &parameter.name);
    Ok(match &parameter.initial {
        Initial::Constant(value) => vec![*value as f32; n],
        Initial::Uniform(bound) => (0..n).map(|_| rng.uniform(-bound, *bound) as f32).collect(),
        Initial::Normal(deviation) => (0..n).map(|_| (deviation * rng.normal()) as f32).collect(),
        Initial::Values(values) => values.iter().map(|&value| value as f32).collect(),
        Initial::CopyOf(name) => match drawn.get(name) {
            Some(values) => values.clone(),
            None => return Err(TrainerError::NoTensor { name: name.clone() }),
        },
        Initial::RelativeIndexes(span) => {
            let index = |k: usize| (k / span + span - 1 - k % span) as f32;
            (0..n).map(index).collect()
        }
    })
}
