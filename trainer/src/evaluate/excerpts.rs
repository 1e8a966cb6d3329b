//! Evaluation on excerpts of the records.

use super::{Predictions, Predictor, Progress, evaluate};
use crate::data::{Dataset, Excerpts, Source};
use crate::error::TrainerError;
use dualnet_engine::classifier::mean_of_parts;
use dualnet_engine::signal::Excerpt;
use std::sync::Arc;

/// Predicts the recordings of `dataset` that `indices` name, in that order: of each the mean of what `predictor` says of these
/// excerpts, at least one, as the engine takes it. `progress` hears of as many records as there are excerpts.
pub fn evaluate_excerpts(
    predictor: &mut dyn Predictor,
    dataset: &Arc<Dataset>,
    excerpts: &[Excerpt],
    indices: &[u32],
    batch_size: usize,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Predictions, TrainerError> {
    let mut parts = Vec::new();
    for (before, &excerpt) in excerpts.iter().enumerate() {
        let dataset = Arc::clone(dataset);
        let source: Arc<dyn Source> = Arc::new(Excerpts { dataset, excerpt });
        let mut progress = |done| progress(before * indices.len() + done);
        parts.push(evaluate(
            predictor,
            &source,
            indices,
            batch_size,
            threads,
            &mut progress,
        )?);
    }
    let mut together = parts[0].clone();
    let classes = together.classes;
    for (record, mean) in together.probabilities.chunks_exact_mut(classes).enumerate() {
        let own = |part: &Predictions| part.probabilities[record * classes..][..classes].to_vec();
        let parts: Vec<f32> = parts.iter().flat_map(own).collect();
        mean.copy_from_slice(&mean_of_parts(&parts, classes));
    }
    Ok(together)
}
