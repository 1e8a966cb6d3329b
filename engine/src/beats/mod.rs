//! The beats of a lead, and a second reading of its rhythm from them.
//!
//! The network sees a lead as windows and as a spectrogram; when its beats come, and which of them are unlike the others, it has to learn from
//! few records. Here they are measured: QRS complexes are found by the energy of their slopes, and the [`MEASUREMENTS`] tell how
//! regular they are, what they look like, what lies between them, and how clean the lead is. A forest of boosted trees
//! ([`BeatForest`], Friedman 2001, *Annals of Statistics* 29(5)), fitted by `trainer beats`, reads a rhythm from these, and a
//! [`Classifier`](crate::Classifier) that has one averages its probabilities with the network's.
//!
//! No measurement depends on the unit of the samples. A lead in which no rhythm of beats is found, such as a flat one or hum, is left to the
//! network. Of a lead from another sampling rate the power above half of that rate is missing, which some measurements of noise see.

mod content;
mod detect;
mod error;
mod filter;
mod forest;
mod intervals;
mod measured;
mod quality;
mod reader;
mod shape;
mod spectrum;
mod tree;

pub use content::ClassForest;
pub use error::BeatsError;
pub use forest::BeatForest;
pub use measured::{COUNT, MEASUREMENTS, Measured};
pub use reader::BeatReader;
pub use tree::{Node, Tree};

use crate::signal::{MAX_SAMPLES, SAMPLING_RATE_HZ};
use crate::statistics;

const RATE_HZ: f64 = SAMPLING_RATE_HZ;

/// What is left of a lead without its baseline and noise, in Hz.
const SMOOTH_BAND_HZ: [f64; 2] = [0.5, 40.0];

/// Measures leads. It owns the planned transform, and threads may share it.
#[derive(Clone, Debug)]
pub struct BeatMeter {
    spectrum: spectrum::Spectrum,
}

impl BeatMeter {
    /// Plans the transform.
    pub fn new() -> Self {
        Self {
            spectrum: spectrum::Spectrum::new(),
        }
    }

    /// The [`MEASUREMENTS`] of the first 60 s of a lead at 300 Hz, in whatever unit.
    pub fn measure(&self, lead: &[f32]) -> Measured {
        let lead = &lead[..lead.len().min(MAX_SAMPLES)];
        let middle = statistics::median(lead.iter().map(|&sample| f64::from(sample)));
        let lead: Vec<f64> = lead.iter().map(|&sample| f64::from(sample) - middle).collect();
        let smooth = filter::band_pass(&lead, SMOOTH_BAND_HZ);
        let filtered = detect::qrs_band(&lead);
        let beats = detect::beats(&filtered);
        Measured::new(
            &intervals::measure(&beats),
            &shape::measure(&smooth, &beats),
            &self.spectrum.measure(&lead, &smooth, &beats),
            &quality::measure(&lead, &smooth, &filtered),
        )
    }
}

impl Default for BeatMeter {
    fn default() -> Self {
        Self::new()
    }
}
