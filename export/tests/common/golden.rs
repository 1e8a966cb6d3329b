//! Golden weights, and files made of them.

use dualnet_export::network::{Initial, Network, NetworkConfig, ParameterKind, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::{GoldenNetwork, golden_weight};
use std::path::Path;

/// The state dict that the golden rule makes for `config`.
pub fn golden_state(config: &NetworkConfig, salt: &str) -> StateDict {
    let mut state = StateDict::default();
    for parameter in Network::new(config.clone())
        .expect("a valid configuration")
        .parameters()
    {
        if parameter.kind == ParameterKind::Integer {
            continue;
        }
        let initial: Vec<f32> = match &parameter.initial {
            Initial::Values(values) => values.iter().map(|&value| value as f32).collect(),
            _ => Vec::new(),
        };
        let values = golden_weight(salt, &parameter.name, &parameter.shape, &initial);
        let tensor = Tensor::f32(&parameter.shape, values).expect("the rule fills the shape");
        state.tensors.insert(parameter.name, tensor);
    }
    state
}

/// The float file that golden weights make of a preset.
pub fn golden_file(name: &str) -> Vec<u8> {
    let config = preset(name).expect("a preset");
    file_of(&config, &GoldenNetwork::read(name).salt)
}

/// The float file of a network whose weights the golden rule makes.
pub fn file_of(config: &NetworkConfig, salt: &str) -> Vec<u8> {
    let network = Network::new(config.clone()).expect("a valid configuration");
    let state = golden_state(config, salt);
    export(&network, &state, Path::new("golden weights"), &Card::default()).expect("an exportable network")
}
