//! Gradients of bounded length (Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", algorithm 1).

use super::foreach;
use crate::error::TrainerError;
use crate::torch::Parameters;

/// Shortens the gradient, over all weights, to the Euclidean norm `greatest` where it is longer; its direction stays. Weights without a
/// gradient are skipped. A gradient that is not finite has no direction, and does not get one.
pub(crate) fn clip_gradients(parameters: &Parameters, greatest: f64) -> Result<(), TrainerError> {
    let mut weights = Vec::new();
    for (_, weight) in parameters.weights() {
        if weight.f_grad()?.defined() {
            weights.push(weight.shallow_clone());
        }
    }
    Ok(foreach::clip(&weights, greatest)?)
}
