//! The statistics of batch normalization, per channel, in float64.

use dualnet_export::network::{NORM_EPSILON, NORM_MOMENTUM};

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
