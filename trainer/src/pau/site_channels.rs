//! The arithmetic per channel of a fused site, in float64: its normalization as one affine map, and the gradients of
//! everything that is not a feature map.

use crate::statistics::Statistics;
use dualnet_engine::pau::affine::{Affine, ChannelsLast, Gain, Moments};

/// The operands as slices.
pub(super) struct Site<'a> {
    pub(super) shape: ChannelsLast,
    pub(super) x: &'a [f32],
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) modulation: Option<&'a [f32]>,
    pub(super) shortcut: Option<&'a [f32]>,
    pub(super) gain: Option<Gain<'a>>,
}

impl Site<'_> {
    /// `(scale, bias)` of one sample and channel, as the latent says.
    fn condition(&self, sample: usize, channel: usize) -> (f64, f64) {
        let channels = self.shape.channels;
        self.modulation.map_or((1.0, 0.0), |modulation| {
            let row = &modulation[sample * 2 * channels..(sample + 1) * 2 * channels];
            (f64::from(row[channel]), f64::from(row[channels + channel]))
        })
    }

    /// The whole normalization as one affine map per sample and channel: `(scale, shift)`.
    pub(super) fn lines(&self, statistics: Statistics<'_>) -> (Vec<f32>, Vec<f32>) {
        let lines = self.shape.lines();
        let (mut scales, mut shifts) = (Vec::with_capacity(lines), Vec::with_capacity(lines));
        for sample in 0..self.shape.samples {
            for channel in 0..self.shape.channels {
                let (scale, bias) = self.condition(sample, channel);
                let (gamma, beta) = (f64::from(self.gamma[channel]), f64::from(self.beta[channel]));
                let slope = gamma * statistics.reciprocal[channel];
                scales.push((scale * slope) as f32);
                shifts.push((bias + scale * (beta - slope * statistics.mean[channel])) as f32);
            }
        }
        (scales, shifts)
    }

    pub(super) fn affine<'a>(&'a self, scale: &'a [f32], shift: &'a [f32]) -> Affine<'a> {
        Affine {
            x: self.x,
            scale,
            shift,
            shortcut: self.shortcut,
            gain: self.gain,
        }
    }
}

/// Replaces the moments of `count` values by those of every process's values, whose number it returns; `sum` adds up over the
/// processes.
pub(super) fn join_moments<E>(
    moments: &mut Moments,
    count: f64,
    sum: impl FnOnce(&mut [f64]) -> Result<(), E>,
) -> Result<f64, E> {
    let Moments { mean, variance } = moments;
    // In float64 the squares keep what the moments have of float32's digits, however far the mean is from 0.
    let squares = mean
        .iter()
        .zip(&*variance)
        .map(|(mean, variance)| count * (variance + mean * mean));
    let mut sums: Vec<f64> = mean.iter().map(|mean| count * mean).chain(squares).collect();
    sums.push(count);
    sum(&mut sums)?;
    let channels = mean.len();
    let count = sums[2 * channels];
    for channel in 0..channels {
        mean[channel] = sums[channel] / count;
        variance[channel] = (sums[channels + channel] / count - mean[channel] * mean[channel]).max(0.0);
    }
    Ok(count)
}

/// The gradients per channel, and per sample and channel.
pub(super) struct Small<'a> {
    pub(super) gamma: &'a mut [f32],
    pub(super) beta: &'a mut [f32],
    pub(super) modulation: Option<&'a mut [f32]>,
}

/// Fills `out` from the sums over pixels, and returns the gradients towards the mean and towards the reciprocal deviation of
/// each channel, then the number of values they were taken over: `[2·channels + 1]`, to be added up over the processes.
pub(super) fn small_gradients(
    site: &Site<'_>,
    statistics: Statistics<'_>,
    sum_u: &[f64],
    sum_ux: &[f64],
    mut out: Small<'_>,
) -> Vec<f64> {
    let ChannelsLast {
        samples,
        pixels,
        channels,
    } = site.shape;
    let mut towards = vec![0.0; 2 * channels + 1];
    towards[2 * channels] = (samples * pixels) as f64;
    for channel in 0..channels {
        let (mean, reciprocal) = (statistics.mean[channel], statistics.reciprocal[channel]);
        let (gamma, beta) = (f64::from(site.gamma[channel]), f64::from(site.beta[channel]));
        let (mut grad_gamma, mut grad_beta, mut grad_mean, mut grad_reciprocal) = (0.0, 0.0, 0.0, 0.0);
        for sample in 0..samples {
            let line = sample * channels + channel;
            let (scale, _) = site.condition(sample, channel);
            let (u, centred) = (sum_u[line], sum_ux[line] - mean * sum_u[line]);
            grad_gamma += scale * reciprocal * centred;
            grad_beta += scale * u;
            grad_mean -= scale * gamma * reciprocal * u;
            grad_reciprocal += scale * gamma * centred;
            if let Some(modulation) = &mut out.modulation {
                let row = &mut modulation[sample * 2 * channels..(sample + 1) * 2 * channels];
                row[channel] = (gamma * reciprocal * centred + beta * u) as f32;
                row[channels + channel] = u as f32;
            }
        }
        out.gamma[channel] = grad_gamma as f32;
        out.beta[channel] = grad_beta as f32;
        towards[channel] = grad_mean;
        towards[channels + channel] = grad_reciprocal;
    }
    towards
}

/// The factor of `x` and the constant of the input's gradient per channel, from what [`small_gradients`] returned, added up over the
/// processes.
pub(super) fn input_coefficients(statistics: Statistics<'_>, towards: &[f64]) -> (Vec<f32>, Vec<f32>) {
    let channels = statistics.mean.len();
    let count = towards[2 * channels];
    let coefficients = |channel: usize| {
        let towards = [towards[channel], towards[channels + channel]];
        statistics.input_coefficients(channel, towards, count)
    };
    (0..channels).map(coefficients).unzip()
}
