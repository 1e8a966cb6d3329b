//! Batch normalization per channel, as affine maps, in float64.

/// Weight, bias and running statistics of one batch normalization.
pub(super) struct Norm<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
}

/// Mean and reciprocal deviation of every channel.
pub(super) struct Statistics<'a> {
    pub(super) mean: &'a [f64],
    pub(super) reciprocal: &'a [f64],
}

impl Norm<'_> {
    /// `(scale, shift)` per channel: the normalized value is `scale · x + shift`.
    pub(super) fn lines(&self, statistics: &Statistics<'_>) -> (Vec<f32>, Vec<f32>) {
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
        statistics: &Statistics<'_>,
        batch_statistics: bool,
        count: usize,
        (sum, centred): (&[f64], &[f64]),
        (grad_gamma, grad_beta): (&mut [f32], &mut [f32]),
    ) -> Vec<[f32; 3]> {
        let channels = 0..self.gamma.len();
        channels
            .map(|c| {
                let (mean, reciprocal) = (statistics.mean[c], statistics.reciprocal[c]);
                grad_gamma[c] = (centred[c] * reciprocal) as f32;
                grad_beta[c] = sum[c] as f32;
                let alpha = f64::from(self.gamma[c]) * reciprocal;
                if !batch_statistics {
                    return [alpha as f32, 0.0, 0.0];
                }
                let beta = -alpha * reciprocal * reciprocal * centred[c] / count as f64;
                let delta = -alpha * sum[c] / count as f64 - beta * mean;
                [alpha as f32, beta as f32, delta as f32]
            })
            .collect()
    }
}
