//! Batch normalization per channel, as affine maps, in float64.

use crate::statistics::Statistics;

/// Weight and bias of one batch normalization.
pub(super) struct Norm<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
}

impl Norm<'_> {
    /// `(scale, shift)` per channel: the normalized value is `scale · x + shift`.
    pub(super) fn lines(&self, statistics: Statistics<'_>) -> (Vec<f32>, Vec<f32>) {
        let channels = 0..self.gamma.len();
        channels
            .map(|c| {
                let scale = f64::from(self.gamma[c]) * statistics.reciprocal[c];
                (
                    scale as f32,
                    (f64::from(self.beta[c]) - scale * statistics.mean[c]) as f32,
                )
            })
            .unzip()
    }

    /// From `Σ g` and `Σ g · (x − mean)` of the gradient `g` that arrives, per channel: writes the gradients of weight and
    /// bias, and returns `[alpha, beta, delta]` of the gradient that leaves, `alpha · g + beta · x + delta`.
    pub(super) fn backward(
        &self,
        statistics: Statistics<'_>,
        batch_statistics: bool,
        count: usize,
        (sum, centred): (&[f64], &[f64]),
        (grad_gamma, grad_beta): (&mut [f32], &mut [f32]),
    ) -> Vec<[f32; 3]> {
        let channels = 0..self.gamma.len();
        channels
            .map(|c| {
                let (gamma, reciprocal) = (f64::from(self.gamma[c]), statistics.reciprocal[c]);
                grad_gamma[c] = (centred[c] * reciprocal) as f32;
                grad_beta[c] = sum[c] as f32;
                let alpha = gamma * reciprocal;
                let towards = [-alpha * sum[c], gamma * centred[c]];
                let (beta, delta) = match batch_statistics {
                    true => statistics.input_coefficients(c, towards, count as f64),
                    false => (0.0, 0.0),
                };
                [alpha as f32, beta, delta]
            })
            .collect()
    }
}
