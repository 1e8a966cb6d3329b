//! Sine: a baseline that wanders.

use dualnet_engine::signal::SAMPLING_RATE_HZ;
use std::f64::consts::TAU;

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
    /// Magnitude uniform in [0, 0.3), frequency in [0.2, 1) Hz, phase in [0, 1) rad, whatever the number of samples.
    pub fn draw(rng: &mut Rng, _n: usize) -> Self {
        Self {
            magnitude: rng.uniform(0.0, 0.3),
            frequency_hz: rng.uniform(0.2, 1.0),
            phase_rad: rng.unit_f64(),
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
