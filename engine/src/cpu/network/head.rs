//! From the feature map and the latent to probabilities.

use super::Scratch;
use super::dense::DenseVector;
use super::fused_order;
use super::map::{Map, Stretch};
use crate::pau::ForwardInPlace;
use crate::pau::rational::Rational;
use crate::plan;
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Head {
    features: Option<(DenseVector, Rational<6, 4>)>,
    classifier: DenseVector,
}

impl Head {
    pub(super) fn new(head: &plan::Head<'_>) -> Self {
        Self {
            features: head
                .features
                .as_ref()
                .map(|features| (DenseVector::new(&features.linear), fused_order(&features.activation))),
            classifier: DenseVector::new(&head.classifier),
        }
    }

    /// Fills `probabilities`; `map` is what the last block gave, if there are blocks.
    pub(super) fn run(&self, isa: Isa, latent: &[f32], map: &Map, probabilities: &mut [f32], scratch: &mut Scratch) {
        let [mean, joined, logits, ..] = &mut scratch.floats;
        let joined = joined.resize(self.classifier.inputs());
        match &self.features {
            Some((dense, rational)) => {
                let mean = mean.resize(dense.inputs());
                mean_over_positions(map, mean);
                dense.run(isa, mean, joined);
                isa.run(ForwardInPlace { rational, x: joined });
                for (sum, latent) in joined.iter_mut().zip(latent) {
                    *sum += latent;
                }
            }
            None => joined.copy_from_slice(latent),
        }
        let logits = logits.resize(self.classifier.outputs());
        self.classifier.run(isa, joined, logits);
        softmax(&logits[..probabilities.len()], probabilities);
    }
}

/// The mean over all positions that the map stands for, in `f64`.
fn mean_over_positions(map: &Map, mean: &mut [f32]) {
    let Stretch { start, stored, real } = map.stretch;
    let hidden = real - stored;
    let positions = ((map.rows() + hidden) * map.width) as f64;
    let mut sums = vec![0.0_f64; mean.len()];
    for row in 0..map.rows() {
        let weight = if row == start && stored > 0 {
            1.0 + hidden as f64
        } else {
            1.0
        };
        for pixel in map.row(row).chunks_exact(map.channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += weight * f64::from(value);
            }
        }
    }
    for (mean, sum) in mean.iter_mut().zip(sums) {
        *mean = (sum / positions) as f32;
    }
}

/// In `f64`, rounded once.
fn softmax(logits: &[f32], probabilities: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |logit: &f32| f64::from(logit - largest).exp();
    let total: f64 = logits.iter().map(power).sum();
    for (probability, logit) in probabilities.iter_mut().zip(logits) {
        *probability = (power(logit) / total) as f32;
    }
}
