//! The weighted cross entropy of the published system.

use crate::error::TrainerError;
use tch::{Kind, Tensor};

/// Class weights of the four-class problem (N, O, A, ~).
pub const CLASS_WEIGHTS: [f32; 4] = [0.4, 0.7, 0.9, 0.9];
/// Class weights of the two-class problem (not AF, AF).
pub const CLASS_WEIGHTS_TWO: [f32; 2] = [1.0, 1.0];

/// `−mean over batch and classes of w · onehot · log_softmax(logits)`: divided by batch × classes.
///
/// `logits [N, classes]`, `labels [N]` (int64), `weights [classes]`.
pub fn weighted_cross_entropy(logits: &Tensor, labels: &Tensor, weights: &Tensor) -> Result<Tensor, TrainerError> {
    let log_probabilities = logits.f_log_softmax(-1, Kind::Float)?;
    let picked = log_probabilities
        .f_gather(1, &labels.f_unsqueeze(1)?, false)?
        .f_squeeze_dim(1)?;
    let weighted = picked.f_mul(&weights.f_index_select(0, labels)?)?;
    let count = logits.size().iter().product::<i64>() as f64;
    Ok(weighted.f_sum(Kind::Float)?.f_mul_scalar(-1.0 / count)?)
}
