//! What is in an exported file, apart from the numbers it computes.

mod common;

use common::{golden_state, run_python};
use dualnet_engine::model::digest::{file_digest_position, file_sha256};
use dualnet_engine::model::keys;
use dualnet_export::network::{Network, NetworkConfig, preset};
use dualnet_export::onnx::{Card, ExportError, Inspection, export, write};
use dualnet_export::weights::{StateDict, Tensor};
use std::path::Path;

const SALT: &str = "golden-1";

fn bytes_of(config: &NetworkConfig, card: &Card) -> Vec<u8> {
    let network = Network::new(config.clone()).expect("a valid configuration");
    export(&network, &golden_state(config, SALT), Path::new("golden weights"), card).expect("it exports")
}

fn inspect(bytes: &[u8]) -> Inspection {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.onnx");
    write(&path, bytes).expect("the temporary folder is writable");
    Inspection::open(&path).expect("an ONNX file")
}

/// The smallest networks with all kinds of blocks.
fn small(name: &str) -> NetworkConfig {
    preset(name).expect("a preset")
}

#[test]
fn no_batch_norm_is_left_and_only_the_activation_is_ours() {
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let mut configs = vec![small(name), small(name), small(name)];
        configs[1].signal_encoder = None;
        configs[2].spectrogram_encoder = false;
        for config in configs {
            let inspection = inspect(&bytes_of(&config, &Card::default()));
            assert!(
                inspection
                    .operators
                    .keys()
                    .all(|operator| operator.name != "BatchNormalization")
            );
            let ours: usize = inspection
                .operators
                .iter()
                .filter(|(o, _)| !o.domain.is_empty())
                .map(|(_, n)| n)
                .sum();
            assert_eq!(ours, if config.spectrogram_encoder { 11 } else { 0 }, "{name}");
            assert_eq!(
                inspection.functions.len(),
                usize::from(config.spectrogram_encoder),
                "{name}"
            );
            assert_eq!(inspection.inputs, ["ecg [N, 80, 256]", "spectrogram [N, 1, 563, 33]"]);
            assert_eq!(inspection.outputs, ["probabilities [N, 4]"]);
        }
    }
}

#[test]
fn the_card_travels_with_the_file() {
    let mut card = Card::default();
    for entry in [
        "data=PhysioNet/CinC 2017",
        "training.seed=7",
        "metrics.accuracy=0.84",
        "epochs=[20, 40]",
    ] {
        card.set(entry).unwrap();
    }
    assert!(card.set("no value").is_err());
    assert!(card.set("=1").is_err());
    assert!(card.set("metrics.=1").is_err());
    let mut config = small("dualnet-s");
    config.classes = 2;
    let inspection = inspect(&bytes_of(&config, &card));
    let value = |key: &str| {
        inspection
            .metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(value(keys::NETWORK), Some("dualnet-s"));
    assert_eq!(value(keys::CLASSES), Some(r#"["N","A"]"#));
    assert_eq!(
        value(keys::TRAINING),
        Some(r#"{"data":"PhysioNet/CinC 2017","seed":7,"epochs":[20,40]}"#)
    );
    assert_eq!(value(keys::METRICS), Some(r#"{"accuracy":0.84}"#));
    assert_eq!(
        NetworkConfig::from_toml(value(keys::CONFIGURATION).unwrap()).unwrap(),
        config
    );
    let text = inspection.to_string();
    for part in [
        "dualnet.network: dualnet-s",
        "ecg.dualnet PadeActivation",
        "ai.onnx LSTM",
        "probabilities [N, 2]",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_checkpoint_brings_its_card() {
    let mut state = StateDict::default();
    state
        .metadata
        .insert(keys::TRAINING.to_owned(), r#"{"seed": 1}"#.to_owned());
    assert_eq!(Card::of_checkpoint(&state).unwrap().training["seed"], 1);
    state.metadata.insert(keys::METRICS.to_owned(), "[1]".to_owned());
    assert!(
        Card::of_checkpoint(&state)
            .unwrap_err()
            .to_string()
            .contains(keys::METRICS)
    );
}

#[test]
fn the_same_arguments_give_the_same_bytes_and_any_flipped_byte_is_noticed() {
    let config = small("dualnet-s");
    let bytes = bytes_of(&config, &Card::default());
    assert_eq!(bytes, bytes_of(&config, &Card::default()));
    let digits = file_digest_position(&bytes).expect("the file carries its digest");
    let stated = std::str::from_utf8(&bytes[digits.clone()]).unwrap().to_owned();
    assert_eq!(file_sha256(&bytes, digits.clone()).unwrap(), stated);
    for position in [0, bytes.len() / 3, digits.start - 1, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        let found = file_digest_position(&flipped).and_then(|digits| file_sha256(&flipped, digits));
        assert_ne!(found.as_ref(), Some(&stated), "byte {position}");
    }
}

#[test]
fn wrong_weights_stop_the_export() {
    let config = small("dualnet-s");
    let network = Network::new(config.clone()).unwrap();
    let refuse = |change: &dyn Fn(&mut StateDict)| {
        let mut weights = golden_state(&config, SALT);
        change(&mut weights);
        let error = export(&network, &weights, Path::new("weights.pt"), &Card::default()).expect_err("wrong weights");
        assert!(matches!(error, ExportError::Weights(_)), "{error}");
        error.to_string()
    };
    let name = "linear_layer_2.bias";
    let nan = |state: &mut StateDict| {
        drop(
            state
                .tensors
                .insert(name.to_owned(), Tensor::f32(&[4], vec![f32::NAN; 4]).unwrap()),
        )
    };
    assert!(refuse(&nan).contains(name));
    assert!(refuse(&|state| drop(state.tensors.remove(name))).contains(name));
}

/// Of weights that are finite each: γ/√(σ² + ε) is beyond the numbers of 32 bits.
#[test]
fn a_fold_that_overflows_is_no_file() {
    let config = small("dualnet-s");
    let network = Network::new(config.clone()).unwrap();
    let mut weights = golden_state(&config, SALT);
    let norms: Vec<String> = weights
        .tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".running_var").map(str::to_owned))
        .collect();
    assert!(!norms.is_empty());
    for norm in norms {
        for (part, value) in [("weight", 3e38), ("running_var", 0.0)] {
            let tensor = weights
                .tensors
                .get_mut(&format!("{norm}.{part}"))
                .expect("a part of a norm");
            let shape = tensor.shape().to_vec();
            *tensor = Tensor::f32(&shape, vec![value; shape.iter().product()]).unwrap();
        }
        let error = export(&network, &weights, Path::new("weights.pt"), &Card::default()).expect_err("an overflow");
        assert!(matches!(error, ExportError::Check(_)), "{error}");
        assert!(error.to_string().contains("is not a finite number"), "{error}");
        weights = golden_state(&config, SALT);
    }
}

#[test]
fn the_function_body_computes_any_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (numerator, denominator) in [(6, 4), (8, 6), (4, 3), (2, 1), (1, 1), (1, 4), (16, 16)] {
        let mut config = small("dualnet-s");
        config.signal_encoder = None;
        config.channels = vec![2];
        config.latent = 2;
        let coefficients = |count: usize| (0..count).map(|k| 0.7 / (1.0 + k as f64)).collect::<Vec<f64>>();
        config.pau.numerator = coefficients(numerator);
        config.pau.denominator = coefficients(denominator);
        let path = folder.path().join(format!("{numerator}-{denominator}.onnx"));
        write(&path, &bytes_of(&config, &Card::default())).unwrap();
        let printed = run_python("pau.py", &[path.into_os_string()]);
        let difference: f64 = printed.trim().parse().expect("a number");
        // Horner's rule in float32 over at most 16 terms.
        assert!(difference <= 2e-6, "order {numerator}/{denominator}: {difference:e}");
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.onnx");
    for bytes in [&b""[..], b"hello", &[0xff; 100]] {
        std::fs::write(&path, bytes).unwrap();
        let message = Inspection::open(&path).expect_err("no ONNX model").to_string();
        assert!(message.contains("model.onnx: is not an ONNX file"), "{message}");
    }
    let whole = bytes_of(&small("dualnet-s"), &Card::default());
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(Inspection::open(&path).is_err());
    assert!(Inspection::open(&folder.path().join("none.onnx")).is_err());
}
