//! Sine: a baseline that wanders.

use dualnet_engine::signal::SAMPLING_RATE_HZ;
use std::f64::consts::TAU;

use super::AugmentationOptions;
use crate::random::Rng;

/// Adds a slow sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sine {
    /// The amplitude, in raw units.
    pub magnitude: f64,
    /// The frequency, in Hz.
    pub frequency_hz: f64,
    /// The phase, in radians.
    pub phase_rad: f64,
}

impl Sine {
    /// Magnitude uniform in [0, `sine_max_magnitude`), frequency in `sine_frequencies_hz`, phase in [0, `sine_max_phase_rad`).
    pub fn draw(rng: &mut Rng, options: &AugmentationOptions) -> Self {
        let [least_hz, greatest_hz] = options.sine_frequencies_hz;
        Self {
            magnitude: rng.uniform(0.0, options.sine_max_magnitude),
            frequency_hz: rng.uniform(least_hz, greatest_hz),
            phase_rad: rng.uniform(0.0, options.sine_max_phase_rad),
        }
    }

    /// Adds the sine.
    pub fn apply(&self, samples: &mut [f32]) {
        let step = TAU * self.frequency_hz / SAMPLING_RATE_HZ;
        for (i, sample) in samples.iter_mut().enumerate() {
            *sample += (self.magnitude * (step * i as f64 + self.phase_rad).sin()) as f32;
        }
    }
}
