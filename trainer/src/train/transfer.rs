//! Starting from another run's weights (Rohr et al. 2022: fine-tuning from Icentia11k).

use super::network_of;
use crate::error::TrainerError;
use crate::random::Rng;
use crate::torch::Parameters;
use dualnet_export::network::Network;
use dualnet_export::weights::{Data, StateDict};
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
}

/// Initial values of `network`, replaced by every tensor of the state dict at `path` whose name and shape match, buffers too;
/// then, unless `keep_last_layer` is set, the last linear layer anew: bias 0, weight N(0, 2/fan_in).
///
/// # Errors
/// An unreadable file; one of which no tensor matches; values that are not finite; a last layer to keep that does not fit.
pub(super) fn transfer(
    network: &Network,
    seed: u64,
    path: &Path,
    keep_last_layer: bool,
) -> Result<(Parameters, Transferred), TrainerError> {
    let state = StateDict::open(path)?;
    let initial = Parameters::initial(network, seed)?;
    let fault = |reason: String| TrainerError::File {
        path: path.to_owned(),
        reason,
    };
    let stated = match keep_last_layer {
        true => network_of(&state)?,
        false => None,
    };
    if let Some(stated) = stated.filter(|stated| stated.config().class_names() != network.config().class_names()) {
        return Err(fault(format!(
            "its classes are {}, not {}: its last layer cannot be kept",
            stated.config().class_names().join(", "),
            network.config().class_names().join(", ")
        )));
    }
    let mut report = Transferred {
        taken: 0,
        left: Vec::new(),
    };
    let parameters = Parameters::from_values(network, |parameter| {
        let matching = state
            .get(&parameter.name)
            .filter(|tensor| tensor.shape() == parameter.shape);
        let Some(tensor) = matching else {
            report.left.push(parameter.name.clone());
            return initial.values(&parameter.name);
        };
        report.taken += 1;
        match parameter.name.strip_prefix(LAST_LAYER) {
            Some(".bias") if !keep_last_layer => return Ok(vec![0.0; parameter.elements()]),
            Some(".weight") if !keep_last_layer => return Ok(last_weight(&parameter.shape, seed)),
            _ => {}
        }
        match tensor.data() {
            Data::F32(values) if values.iter().all(|value| value.is_finite()) => Ok(values.clone()),
            Data::F32(_) => Err(fault(format!("{:?} has a value that is not finite", parameter.name))),
            Data::I64(values) => Ok(values.iter().map(|&value| value as f32).collect()),
        }
    })?;
    if report.taken == 0 {
        return Err(fault(format!(
            "none of its tensors has the name and shape of one of {}; it belongs to another network",
            network.config().name
        )));
    }
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
