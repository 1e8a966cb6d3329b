//! The weighted cross entropy of the published system, and of labels that are smoothed or taught.

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

/// `−mean over batch and classes of r · targets · log_softmax(logits)`, where a record's `r = Σ w · targets`: of a target that is one label
/// this is [`weighted_cross_entropy`], of any it is least where the probabilities are the targets.
///
/// The classes' own weights would count twice: a network trained with them says w times the frequencies already.
///
/// `logits [N, classes]`, `targets [N, classes]`, `weights [classes]`.
pub fn taught_cross_entropy(logits: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor, TrainerError> {
    let of_records = targets.f_matmul(&weights.f_unsqueeze(1)?)?;
    let log_probabilities = logits.f_log_softmax(-1, Kind::Float)?;
    mean_over_classes(&log_probabilities.f_mul(targets)?.f_mul(&of_records)?, logits)
}

fn mean_over_classes(terms: &Tensor, logits: &Tensor) -> Result<Tensor, TrainerError> {
    let count = logits.size().iter().product::<i64>() as f64;
    Ok(terms.f_sum(Kind::Float)?.f_mul_scalar(-1.0 / count)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_fixtures::{json, stream};

    /// The golden numbers, like ours, were computed in float32: 1e-6.
    #[test]
    fn the_loss_is_the_golden_one() {
        let golden: serde_json::Value = json("metrics.json");
        let logits: Vec<f32> = stream("metric/logits", 1600).iter().map(|v| (3.0 * v) as f32).collect();
        let labels: Vec<i64> = stream("metric/label", 400)
            .iter()
            .map(|v| (2.0 * (v + 1.0)) as i64)
            .collect();
        let (logits, labels) = (Tensor::from_slice(&logits).view([400, 4]), Tensor::from_slice(&labels));
        for (weights, key) in [
            (CLASS_WEIGHTS, "cross_entropy_weighted"),
            ([1.0; 4], "cross_entropy_plain"),
        ] {
            let ours = weighted_cross_entropy(&logits, &labels, &Tensor::from_slice(&weights)).expect("a loss");
            let (ours, golden) = (ours.double_value(&[]), golden[key].as_f64().expect("a number"));
            assert!((ours - golden).abs() < 1e-6, "{key}: {ours} instead of {golden}");
        }
    }

    const LOGITS: [f32; 8] = [0.5, -1.0, 2.0, 0.25, 1.0, 0.0, -3.0, 2.5];

    #[test]
    fn what_is_taught_as_certain_is_a_label() {
        let logits = Tensor::from_slice(&LOGITS).view([2, 4]);
        let weights = Tensor::from_slice(&CLASS_WEIGHTS);
        let targets = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]).view([2, 4]);
        let taught = taught_cross_entropy(&logits, &targets, &weights).expect("a loss");
        let labelled = weighted_cross_entropy(&logits, &Tensor::from_slice(&[2_i64, 0]), &weights);
        let difference = taught.double_value(&[]) - labelled.expect("a loss").double_value(&[]);
        assert!(difference.abs() < 1e-7, "{difference}");
    }

    #[test]
    fn a_pupil_that_says_what_its_teacher_says_has_nothing_to_learn() {
        let weights = Tensor::from_slice(&CLASS_WEIGHTS);
        let gradient = |logits: &[f32; 8], targets: &[f32; 8]| {
            let logits = Tensor::from_slice(logits).view([2, 4]).set_requires_grad(true);
            let targets = Tensor::from_slice(targets).view([2, 4]).softmax(-1, Kind::Float);
            let loss = taught_cross_entropy(&logits, &targets, &weights).expect("a loss");
            loss.backward();
            Vec::<f32>::try_from(logits.grad().view([-1])).expect("numbers")
        };
        let settled = gradient(&LOGITS, &LOGITS);
        assert!(settled.iter().all(|slope| slope.abs() < 1e-7), "{settled:?}");
        // A teacher that says class 0 of the first record more often pulls there, with the record's weight.
        let mut other = LOGITS;
        other[0] += 3.0;
        let pulled = gradient(&LOGITS, &other);
        assert!(
            pulled[0] < -1e-3 && pulled[1..4].iter().all(|&slope| slope > 0.0),
            "{pulled:?}"
        );
        assert!(pulled[4..].iter().all(|slope| slope.abs() < 1e-7), "{pulled:?}");
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
