//! The statistics of batch normalization, per channel, in float64.

use dualnet_export::network::{NORM_EPSILON, NORM_MOMENTUM};

/// Mean and reciprocal deviation of every channel.
#[derive(Clone, Copy)]
pub(crate) struct Statistics<'a> {
    pub(crate) mean: &'a [f64],
    pub(crate) reciprocal: &'a [f64],
}

impl Statistics<'_> {
    /// The factor of `x` and the constant that statistics of the batch add to the gradient by `x` in a channel, from the gradients towards
    /// their mean and their reciprocal deviation; `count` numbers were averaged.
    pub(crate) fn input_coefficients(
        &self,
        channel: usize,
        [grad_mean, grad_reciprocal]: [f64; 2],
        count: f64,
    ) -> (f32, f32) {
        let (mean, reciprocal) = (self.mean[channel], self.reciprocal[channel]);
        let grad_variance = -0.5 * reciprocal.powi(3) * grad_reciprocal;
        let factor = 2.0 * grad_variance / count;
        let constant = (grad_mean - 2.0 * grad_variance * mean) / count;
        (factor as f32, constant as f32)
    }
}

/// Fills mean and reciprocal deviation from the batch's moments (`count` numbers per channel), and moves the running ones.
pub(crate) fn from_batch(
    (mean, variance): (&[f64], &[f64]),
    count: f64,
    statistics: (&mut [f64], &mut [f64]),
    running: (&mut [f32], &mut [f32]),
) {
    let move_towards = |running: &mut f32, value: f64| {
        *running = (f64::from(*running) * (1.0 - NORM_MOMENTUM) + value * NORM_MOMENTUM) as f32;
    };
    for channel in 0..mean.len() {
        statistics.0[channel] = mean[channel];
        statistics.1[channel] = 1.0 / (variance[channel] + NORM_EPSILON).sqrt();
        move_towards(&mut running.0[channel], mean[channel]);
        move_towards(
            &mut running.1[channel],
            variance[channel] * count / (count - 1.0).max(1.0),
        );
    }
}

/// Fills mean and reciprocal deviation from the running ones.
pub(crate) fn from_running(running: (&[f32], &[f32]), statistics: (&mut [f64], &mut [f64])) {
    for channel in 0..running.0.len() {
        statistics.0[channel] = f64::from(running.0[channel]);
        statistics.1[channel] = 1.0 / (f64::from(running.1[channel]) + NORM_EPSILON).sqrt();
    }
}
