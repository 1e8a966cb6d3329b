//! The published losses in float64, the reference that the trainer's tensors are held to.

use super::ScoreError;

/// `−mean over records and classes of weight · onehot · log_softmax(logits)`, which divides by records × classes.
///
/// `logits` is `[records, classes]`, row-major, `classes` being `weights.len()`.
///
/// # Errors
/// Sizes that do not fit together, a label outside the classes.
pub fn weighted_cross_entropy(logits: &[f32], labels: &[i64], weights: &[f64]) -> Result<f64, ScoreError> {
    let sum = sum_over_records(logits, labels, weights.len(), |log_probability, class| {
        -weights[class] * log_probability
    })?;
    Ok(sum / logits.len().max(1) as f64)
}

/// Mean over records of `−½ · p · ln p`, `p` being the softmax probability of the true class plus 1e-8.
///
/// `logits` is `[records, classes]`, row-major.
///
/// # Errors
/// Sizes that do not fit together, a label outside the classes.
pub fn focal(logits: &[f32], labels: &[i64], classes: usize) -> Result<f64, ScoreError> {
    let sum = sum_over_records(logits, labels, classes, |log_probability, _| {
        let p = log_probability.exp() + 1e-8;
        -0.5 * p * p.ln()
    })?;
    Ok(sum / labels.len().max(1) as f64)
}

/// Sums `term(ln p, class)` over the true class of every record, in order.
fn sum_over_records(
    logits: &[f32],
    labels: &[i64],
    classes: usize,
    term: impl Fn(f64, usize) -> f64,
) -> Result<f64, ScoreError> {
    if classes == 0 || !logits.len().is_multiple_of(classes) || logits.len() / classes != labels.len() {
        return Err(ScoreError::Shape {
            probabilities: logits.len(),
            classes,
            labels: labels.len(),
        });
    }
    let mut sum = 0.0;
    for (record, (row, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let class = usize::try_from(label).ok().filter(|&class| class < classes);
        let class = class.ok_or(ScoreError::Label { record, label, classes })?;
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |logit: f32| f64::from(logit) - f64::from(largest);
        let normalizer = row.iter().map(|&logit| shifted(logit).exp()).sum::<f64>().ln();
        sum += term(shifted(row[class]) - normalizer, class);
    }
    Ok(sum)
}
