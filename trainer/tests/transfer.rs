//! Whose weights `trainer train --load` takes, through the program.

mod common;

use common::{Program, SMALL_RUN};
use dualnet_export::network::Network;
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_trainer::torch::Parameters;
use dualnet_trainer::train::Checkpoint;
use serde_json::json;
use std::path::Path;

/// A checkpoint of a published network with its initial values.
fn checkpoint(name: &str) -> Checkpoint {
    let network = Network::preset(name).expect("a preset");
    let parameters = Parameters::initial(&network, 0).expect("initial values");
    Checkpoint::new(&network, &parameters, &json!({}), &json!({})).expect("a checkpoint")
}

/// What the program says to weights that it does not start ECG-DualNet S from; it begins no run.
fn refusal(program: &Program, file: &str) -> String {
    let (weights, run) = (program.run(file), program.run("run"));
    let message = program.refuses(&[&SMALL_RUN[..], &["--load", &weights, "--run", &run]].concat());
    assert!(!Path::new(&run).exists(), "{message}");
    assert!(message.contains(&weights), "{message}");
    assert!(
        message.contains("supported are weights of the same network"),
        "{message}"
    );
    message
}

#[test]
fn weights_of_another_network_are_refused_with_both_names() {
    let program = Program::new();
    let medium = checkpoint("dualnet-m");
    medium.save(&program.path("m.safetensors")).expect("written");
    let message = refusal(&program, "m.safetensors");
    assert!(message.contains("is of dualnet-m, not of dualnet-s: "), "{message}");

    // A .pt says nothing; its tensors do.
    medium.state().save_pt(program.path("m.pt")).expect("written");
    let message = refusal(&program, "m.pt");
    let shapes = "is not of dualnet-s: \"ecg_encoder.weight_ih_l0\" is [1024, 256], not [512, 256]";
    assert!(message.contains(shapes), "{message}");

    let mut other = StateDict::default();
    let tensor = Tensor::f32(&[2], vec![1.0, 2.0]).expect("a tensor");
    other.tensors.insert("encoder.weight".to_owned(), tensor);
    other.save(program.path("other.safetensors")).expect("written");
    let message = refusal(&program, "other.safetensors");
    assert!(message.contains("none of its tensors is of an encoder"), "{message}");
}

#[test]
fn an_ablated_network_starts_from_the_whole_one() {
    let program = Program::new();
    // A run's folder stands for its best epoch.
    let source = program.path("source");
    std::fs::create_dir(&source).expect("a folder");
    checkpoint("dualnet-s")
        .save(&source.join("best.safetensors"))
        .expect("written");
    let (weights, run) = (program.run("source"), program.run("run"));
    let mut one_epoch = SMALL_RUN;
    one_epoch[4] = "1";
    let flags = ["--no-spectrogram-encoder", "--load", &weights, "--run", &run];
    let printed = program.succeeds(&[&one_epoch[..], &flags].concat());
    // Two layers of an LSTM, and nothing is missing.
    assert!(
        printed.contains("best.safetensors: 8 tensors taken; the last layer is drawn anew\n"),
        "{printed}"
    );
}
