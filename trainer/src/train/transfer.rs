//! Starting from another run's weights (Rohr et al. 2022: fine-tuning from Icentia11k).

use super::checkpoint::integers;
use super::{Checkpoint, network_of};
use crate::error::TrainerError;
use crate::random::Rng;
use crate::torch::Parameters;
use dualnet_export::network::{Network, ParameterKind, SignalEncoder};
use dualnet_export::weights::{Data, StateDict};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

/// The layer that is drawn anew.
const LAST_LAYER: &str = "linear_layer_2";

/// What became of the tensors of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transferred {
    /// How many were taken.
    pub(super) taken: usize,
    /// Those that were not there, or had another shape.
    pub(super) left: Vec<String>,
    /// What the state dict says of its training; null when it says nothing.
    pub(super) training: Value,
}

/// Initial values of `network`, replaced by every tensor of the state dict at `path` whose name and shape match, buffers too;
/// then, unless `keep_last_layer` is set, the last linear layer anew, whether it matched or not: bias 0, weight N(0, 2/fan_in).
///
/// The state dict is one of the same network, whatever its classes. An encoder that only one of the two has is left out as a whole,
/// and with it what an ablation leaves out.
///
/// # Errors
/// An unreadable file; one of another network; values that are not finite; a last layer to keep that does not fit.
pub(super) fn transfer(
    network: &Network,
    seed: u64,
    path: &Path,
    keep_last_layer: bool,
) -> Result<(Parameters, Transferred), TrainerError> {
    let checkpoint = Checkpoint::open(path)?;
    let state = checkpoint.state();
    let fault = |reason: String| TrainerError::File {
        path: path.to_owned(),
        reason,
    };
    let stated = network_of(state).map_err(|error| fault(format!("its configuration is unusable: {error}")))?;
    if let Some(difference) = difference(state, stated.as_ref(), network) {
        return Err(fault(refusal(stated.as_ref(), network, &difference)));
    }
    let other_classes = stated.filter(|stated| stated.config().class_names() != network.config().class_names());
    if let Some(stated) = other_classes.filter(|_| keep_last_layer) {
        return Err(fault(format!(
            "its classes are {}, not {}: its last layer cannot be kept",
            stated.config().class_names().join(", "),
            network.config().class_names().join(", ")
        )));
    }
    let initial = Parameters::initial(network, seed)?;
    let mut report = Transferred {
        taken: 0,
        left: Vec::new(),
        training: checkpoint.training(),
    };
    let parameters = Parameters::from_values(network, |parameter| {
        let matching = state
            .get(&parameter.name)
            .filter(|tensor| tensor.shape() == parameter.shape);
        if matching.is_none() {
            report.left.push(parameter.name.clone());
        }
        match parameter.name.strip_prefix(LAST_LAYER) {
            Some(".bias") if !keep_last_layer => return Ok(vec![0.0; parameter.elements()]),
            Some(".weight") if !keep_last_layer => return Ok(last_weight(&parameter.shape, seed)),
            _ => {}
        }
        let Some(tensor) = matching else {
            return initial.values(&parameter.name);
        };
        report.taken += 1;
        match tensor.data() {
            Data::F32(values) if values.iter().all(|value| value.is_finite()) => Ok(values.clone()),
            Data::F32(_) => Err(fault(format!("{:?} has a value that is not finite", parameter.name))),
            Data::I64(values) => integers(parameter, values, path),
        }
    })?;
    if keep_last_layer && report.left.iter().any(|name| name.starts_with(LAST_LAYER)) {
        return Err(fault(format!(
            "its last layer is not one of {} classes and cannot be kept",
            network.config().classes
        )));
    }
    Ok((parameters, report))
}

fn last_weight(shape: &[usize], seed: u64) -> Vec<f32> {
    let fan_in = shape.get(1).copied().unwrap_or(1).max(1);
    let deviation = (2.0 / fan_in as f64).sqrt();
    let mut rng = Rng::for_name(seed, "linear_layer_2.weight after a transfer");
    (0..shape.iter().product())
        .map(|_| (deviation * rng.normal()) as f32)
        .collect()
}

/// The encoders that tensors belong to. What conditions the spectrogram encoder on the waveform belongs to both: neither ablation
/// has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Encoders {
    signal: bool,
    spectrogram: bool,
}

impl Encoders {
    /// Those of the tensor called `name`; `None` for the last layer and for what is no network's.
    fn of(name: &str) -> Option<Self> {
        let (signal, spectrogram) = match name.split('.').next() {
            Some("ecg_encoder" | "positional_embedding") => (true, false),
            Some("spectrogram_encoder") => (name.ends_with(".linear_mapping.weight"), true),
            Some("linear_layer_1") => (false, true),
            _ => return None,
        };
        Some(Self { signal, spectrogram })
    }

    /// Those of all the tensors with these names.
    fn of_all<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let each = names.filter_map(|name| Self::of(name));
        each.fold(Self::default(), |all, each| Self {
            signal: all.signal || each.signal,
            spectrogram: all.spectrogram || each.spectrogram,
        })
    }

    /// Whether a network that has these encoders has what belongs to `those`.
    fn include(self, those: Self) -> bool {
        (self.signal || !those.signal) && (self.spectrogram || !those.spectrogram)
    }
}

/// What shows that `state`, which says it is of `stated`, is of another network than `network`; `None` when nothing does.
///
/// Names and shapes of an encoder that both have must agree in both directions: between any two published networks they do not,
/// although some share all of their Padé coefficients or two layers of an LSTM.
fn difference(state: &StateDict, stated: Option<&Network>, network: &Network) -> Option<String> {
    let parameters = network.parameters();
    let there = Encoders::of_all(state.tensors.keys());
    let wanted = Encoders::of_all(parameters.iter().map(|parameter| &parameter.name));
    if !(there.signal && wanted.signal || there.spectrogram && wanted.spectrogram) {
        return Some("none of its tensors is of an encoder of that network".to_owned());
    }
    for parameter in &parameters {
        let Some(encoders) = Encoders::of(&parameter.name).filter(|_| parameter.kind == ParameterKind::Weight) else {
            continue;
        };
        match state.get(&parameter.name) {
            Some(tensor) if tensor.shape() != parameter.shape => {
                return Some(format!(
                    "{:?} is {:?}, not {:?}",
                    parameter.name,
                    tensor.shape(),
                    parameter.shape
                ));
            }
            None if there.include(encoders) => return Some(format!("{:?} is missing", parameter.name)),
            _ => {}
        }
    }
    let known: HashSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let is_foreign = |name: &str| !known.contains(name) && Encoders::of(name).is_some_and(|it| wanted.include(it));
    if let Some(name) = state.tensors.keys().find(|name| is_foreign(name)) {
        return Some(format!("{name:?} is not in that network"));
    }
    // The number of heads is in no shape.
    let [theirs, ours] = [stated?, network].map(|network| network.config().signal_encoder.as_ref());
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => Some(format!(
            "its signal encoder is {}, not {}",
            in_words(theirs),
            in_words(ours)
        )),
        _ => None,
    }
}

fn in_words(encoder: &SignalEncoder) -> String {
    match encoder {
        SignalEncoder::Lstm { layers } => format!("an LSTM of {layers} layers"),
        SignalEncoder::Transformer {
            heads,
            feed_forward,
            layers,
        } => format!("a Transformer of {layers} layers, {heads} heads and {feed_forward} hidden units"),
    }
}

fn refusal(stated: Option<&Network>, network: &Network, difference: &str) -> String {
    let name = network.config().name.as_str();
    let whose = match stated.map(|stated| stated.config().name.as_str()) {
        None => format!("does not say of which network it is, and is not of {name}"),
        Some(stated) if stated == name => format!("is of another network that is called {name} too"),
        Some(stated) => format!("is of {stated}, not of {name}"),
    };
    format!(
        "{whose}: {difference}; supported are weights of the same network, whatever its classes, also without one of its encoders"
    )
}

#[cfg(test)]
mod tests;
