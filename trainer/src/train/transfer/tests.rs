//! What is taken, what is drawn anew, and what is refused.

use super::*;
use crate::torch::initial_values;
use crate::train::Checkpoint;
use dualnet_export::network::{Initial, PRESETS, Parameter, SignalEncoder, preset};
use dualnet_export::weights::Tensor;
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use tempfile::TempDir;

const SEED: u64 = 3;

/// A published network, the same without its signal encoder, and without its spectrogram encoder.
fn variants(name: &str) -> [Network; 3] {
    let whole = preset(name).expect("a preset");
    let (mut no_signal, mut no_spectrogram) = (whole.clone(), whole.clone());
    no_signal.ablate_signal_encoder();
    no_spectrogram.ablate_spectrogram_encoder();
    [whole, no_signal, no_spectrogram].map(|config| Network::new(config).expect("a network"))
}

/// Values that no tensor starts with, running statistics and counters included; tables are what they are.
fn trained(network: &Network) -> Parameters {
    Parameters::from_values(network, |parameter| {
        if is_table(parameter) {
            return initial_values(parameter, SEED, &HashMap::new());
        }
        let mut rng = Rng::for_name(11, &parameter.name);
        let is_integer = parameter.kind == ParameterKind::Integer;
        let values = (0..parameter.elements()).map(|_| match is_integer {
            true => (1000 + rng.below(1000)) as f32,
            false => rng.uniform(2.0, 3.0) as f32,
        });
        Ok(values.collect())
    })
    .expect("values")
}

fn is_table(parameter: &Parameter) -> bool {
    matches!(parameter.initial, Initial::RelativeIndexes(_))
}

fn saved(network: &Network, parameters: &Parameters) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("source.safetensors");
    let checkpoint = Checkpoint::new(network, parameters, &json!({}), &json!({})).expect("a checkpoint");
    checkpoint.save(&path).expect("a file");
    (folder, path)
}

/// Compares every tensor of `network` but the last layer's, bit for bit, with `source`, or with the initial values where `is_left`.
fn compare(network: &Network, made: &Parameters, source: &Parameters, is_left: impl Fn(&str) -> bool) {
    let initial = Parameters::initial(network, SEED).expect("initial values");
    for parameter in network.parameters() {
        let name = parameter.name.as_str();
        if name.starts_with(LAST_LAYER) {
            continue;
        }
        let (start, values) = (
            initial.values(name).expect("a tensor"),
            made.values(name).expect("a tensor"),
        );
        if is_left(name) {
            assert_eq!(values, start, "{name}");
        } else {
            assert_eq!(values, source.values(name).expect("a tensor"), "{name}");
            assert!(is_table(&parameter) || values != start, "{name} proves nothing");
        }
    }
}

#[test]
fn all_but_the_last_layer_is_taken_whatever_the_classes() {
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let network = Network::preset(name).expect("a preset");
        let source = trained(&network);
        let (_folder, path) = saved(&network, &source);
        let mut config = network.config().clone();
        config.classes = 2;
        for (target, left) in [(network, 0), (Network::new(config).expect("a network"), 2)] {
            let (made, report) = transfer(&target, SEED, &path, false).expect("a transfer");
            let tensors = target.parameters().len();
            assert_eq!((report.taken, report.left.len()), (tensors - 2, left), "{name}");
            compare(&target, &made, &source, |_| false);
            let shape = [target.config().classes, target.config().latent];
            let values = |name: &str| made.values(name).expect("a tensor");
            assert_eq!(values("linear_layer_2.weight"), last_weight(&shape, SEED));
            assert!(values("linear_layer_2.bias").iter().all(|&value| value == 0.0));
        }
    }
}

/// 4096 draws: their mean, their deviation and the share beyond two deviations lie within four standard errors of a normal
/// distribution's.
#[test]
fn the_last_layer_is_normal_with_deviation_sqrt_2_over_fan_in() {
    let fan_in = 128;
    let layers = (0..8).flat_map(|seed| last_weight(&[4, fan_in], seed));
    let drawn: Vec<f64> = layers.map(f64::from).collect();
    let (n, expected) = (drawn.len() as f64, (2.0 / fan_in as f64).sqrt());
    assert_eq!(n, 4096.0);
    let mean = drawn.iter().sum::<f64>() / n;
    assert!(mean.abs() < 4.0 * expected / n.sqrt(), "{mean}");
    let variance = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let ratio = variance.sqrt() / expected;
    assert!((ratio - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{ratio}");
    let beyond = drawn.iter().filter(|value| value.abs() > 2.0 * expected).count() as f64 / n;
    assert!((beyond - 0.0455).abs() < 4.0 * (0.0455 * 0.9545 / n).sqrt(), "{beyond}");
}

#[test]
fn a_kept_last_layer_is_taken_with_all_the_rest() {
    let network = Network::preset("dualnet-s").expect("a preset");
    let source = trained(&network);
    let (_folder, path) = saved(&network, &source);
    let (made, report) = transfer(&network, SEED, &path, true).expect("a transfer");
    assert_eq!((report.taken, report.left.len()), (network.parameters().len(), 0));
    for parameter in network.parameters() {
        let values = |of: &Parameters| of.values(&parameter.name).expect("a tensor");
        assert_eq!(values(&made), values(&source), "{}", parameter.name);
    }
}

#[test]
fn an_ablated_network_gives_and_takes_the_encoder_it_has() {
    let [whole, no_signal, no_spectrogram] = variants("dualnet-s");
    let source = trained(&whole);
    let (_folder, path) = saved(&whole, &source);
    for ablated in [&no_signal, &no_spectrogram] {
        let (made, report) = transfer(ablated, SEED, &path, false).expect("a transfer");
        assert!(report.left.is_empty(), "{:?}", report.left);
        compare(ablated, &made, &source, |_| false);

        let source = trained(ablated);
        let (_folder, path) = saved(ablated, &source);
        let (made, report) = transfer(&whole, SEED, &path, false).expect("a transfer");
        let tensors = ablated.parameters().len();
        assert_eq!(report.taken, tensors - 2);
        assert_eq!(report.left.len(), whole.parameters().len() - tensors);
        compare(&whole, &made, &source, |name| {
            report.left.iter().any(|left| left == name)
        });
    }
}

/// A state dict with the shapes of `network`, and an optimizer's moment as in last.safetensors.
fn zeros(network: &Network) -> StateDict {
    let mut state = StateDict::default();
    let moment = "optimizer.first.spectrogram_encoder.9.linear_mapping.weight";
    state
        .tensors
        .insert(moment.to_owned(), Tensor::f32(&[], vec![0.0]).expect("a tensor"));
    for parameter in network.parameters() {
        let tensor = Tensor::f32(&parameter.shape, vec![0.0; parameter.elements()]).expect("a tensor");
        state.tensors.insert(parameter.name, tensor);
    }
    state
}

/// Every published network but the two largest, whole and ablated, with every other; their files may say what they are or not.
#[test]
fn a_network_starts_from_itself_and_from_no_other() {
    let presets = PRESETS.into_iter().take(8);
    let networks: Vec<(&str, [Network; 3])> = presets.map(|name| (name, variants(name))).collect();
    let mut accepted = 0;
    for (source_name, sources) in &networks {
        for (i, source) in sources.iter().enumerate() {
            let state = zeros(source);
            for (name, targets) in &networks {
                for (j, target) in targets.iter().enumerate() {
                    // The two ablations have no encoder in common.
                    let is_same = source_name == name && !matches!((i, j), (1, 2) | (2, 1));
                    for stated in [None, Some(source)] {
                        let found = difference(&state, stated, target);
                        assert_eq!(found.is_none(), is_same, "{name} {j} from {source_name} {i}: {found:?}");
                        accepted += usize::from(is_same);
                    }
                }
            }
        }
    }
    assert_eq!(accepted, 8 * 7 * 2);
}

#[test]
fn another_number_of_heads_is_another_network_where_the_file_says_so() {
    let eight = Network::preset("dualnet-pp-s").expect("a preset");
    let mut config = eight.config().clone();
    if let Some(SignalEncoder::Transformer { heads, .. }) = &mut config.signal_encoder {
        *heads = 4;
    }
    let four = Network::new(config).expect("a network");
    let state = zeros(&eight);
    assert_eq!(difference(&state, None, &four), None);
    let found = difference(&state, Some(&eight), &four).expect("a difference");
    assert!(found.contains("8 heads") && found.contains("4 heads"), "{found}");
    let message = refusal(Some(&eight), &four, &found);
    assert!(
        message.starts_with("is of another network that is called dualnet-pp-s too"),
        "{message}"
    );
}
