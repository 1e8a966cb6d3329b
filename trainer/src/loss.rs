//! The weighted cross entropy of the published system.

use crate::error::TrainerError;
use tch::{Kind, Tensor};

/// Class weights of the four-class problem (N, O, A, ~).
pub const CLASS_WEIGHTS: [f32; 4] = [0.4, 0.7, 0.9, 0.9];
/// Class weights of Icentia11k (noise, normal, AF, flutter).
pub const CLASS_WEIGHTS_ICENTIA: [f32; 4] = [0.1, 0.1, 1.0, 4.0];
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
    mean_over_classes(&weighted, logits)
}

/// As [`weighted_cross_entropy`], with the share `smoothing` of every label spread evenly over all classes
/// (Szegedy et al. 2016).
pub fn smoothed_cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    weights: &Tensor,
    smoothing: f64,
) -> Result<Tensor, TrainerError> {
    let hard = weighted_cross_entropy(logits, labels, weights)?;
    if smoothing == 0.0 {
        return Ok(hard);
    }
    let log_probabilities = logits.f_log_softmax(-1, Kind::Float)?;
    let everywhere = mean_over_classes(&log_probabilities.f_mul(weights)?, logits)?;
    let classes = logits.size().last().copied().unwrap_or(1) as f64;
    Ok(hard
        .f_mul_scalar(1.0 - smoothing)?
        .f_add(&everywhere.f_mul_scalar(smoothing / classes)?)?)
}

/// `−mean over batch and classes of w · targets · log_softmax(logits)`: the loss of labels that are probabilities.
///
/// `logits [N, classes]`, `targets [N, classes]`, `weights [classes]`.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor, TrainerError> {
    let log_probabilities = logits.f_log_softmax(-1, Kind::Float)?;
    mean_over_classes(&log_probabilities.f_mul(targets)?.f_mul(weights)?, logits)
}

fn mean_over_classes(terms: &Tensor, logits: &Tensor) -> Result<Tensor, TrainerError> {
    let count = logits.size().iter().product::<i64>() as f64;
    Ok(terms.f_sum(Kind::Float)?.f_mul_scalar(-1.0 / count)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_as_targets_are_a_blend_of_labels() {
        let logits = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.25, 1.0, 0.0, -3.0, 2.5]).view([2, 4]);
        let weights = Tensor::from_slice(&CLASS_WEIGHTS);
        let loss_of = |labels: [i64; 2]| {
            let loss = weighted_cross_entropy(&logits, &Tensor::from_slice(&labels), &weights);
            loss.expect("a loss").double_value(&[])
        };
        let targets = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0, 0.25, 0.0, 0.0, 0.75]).view([2, 4]);
        let found = soft_cross_entropy(&logits, &targets, &weights).expect("a loss");
        let expected = 0.25 * loss_of([2, 0]) + 0.75 * loss_of([2, 3]);
        assert!((found.double_value(&[]) - expected).abs() < 1e-7);
    }

    #[test]
    fn smoothing_is_the_loss_of_the_smoothed_label() {
        let logits = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.25]).view([1, 4]);
        let labels = Tensor::from_slice(&[2_i64]);
        let weights = Tensor::from_slice(&CLASS_WEIGHTS);
        let found = smoothed_cross_entropy(&logits, &labels, &weights, 0.1).expect("a loss");
        let logs: Vec<f64> = Vec::try_from(logits.log_softmax(-1, Kind::Double).view([-1])).expect("numbers");
        let expected: f64 = (0..4)
            .map(|class| {
                let target = if class == 2 { 0.9 + 0.025 } else { 0.025 };
                -f64::from(CLASS_WEIGHTS[class]) * target * logs[class] / 4.0
            })
            .sum();
        assert!((found.double_value(&[]) - expected).abs() < 1e-7);
        let plain = smoothed_cross_entropy(&logits, &labels, &weights, 0.0).expect("a loss");
        let published = weighted_cross_entropy(&logits, &labels, &weights).expect("a loss");
        assert_eq!(plain.double_value(&[]), published.double_value(&[]));
    }
}
