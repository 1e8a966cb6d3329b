//! A network that no preset describes goes all the way: TOML, weights, ONNX, the engine's CPU runtime.

mod common;

use common::golden_state;
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::{Network, NetworkConfig};
use dualnet_export::onnx::{Card, export};
use dualnet_fixtures::NetworkInputs;
use std::path::Path;

/// A network no preset describes: other channels, another Padé order, one axial block.
#[test]
fn a_network_from_toml_is_exported_and_run() {
    let toml = r#"
        [network]
        preset = "dualnet-s"
        name = "small"
        channels = [8, 16, 32, 32, 64]
        spans = [[35, 2]]
        latent = 64
        layers = 1
        pau = "pade_softplus"
    "#;
    let config = NetworkConfig::from_toml(toml).expect("a valid table");
    let weights = golden_state(&config, "toml");
    let network = Network::new(config).expect("a valid configuration");
    let bytes = export(&network, &weights, Path::new("weights"), &Card::default()).expect("an ONNX file");
    let model = Model::from_bytes("small", &bytes).expect("a valid model");
    assert_eq!(model.card().network, "small");
    let inputs = NetworkInputs::read();
    let probabilities = Runtime::new(model)
        .run(&inputs.ecg[..ECG_LEN], &inputs.spectrogram[..SPECTROGRAM_LEN], 1)
        .expect("probabilities");
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}
