//! The beats of a lead, and a second reading of its rhythm from them.
//!
//! The network sees a lead as windows and as a spectrogram; when its beats come, and which of them are unlike the others, it has to learn from
//! few records. Here they are measured: QRS complexes are found by the energy of their slopes, and 146 numbers tell how regular they
//! are ([`MEASUREMENTS`]: intervals, shapes, what lies between beats, how clean the lead is). A forest of boosted trees
//! ([`BeatForest`], Friedman 2001, *Annals of Statistics* 29(5)), fitted by `trainer beats`, reads a rhythm from these, and a
//! [`Classifier`](crate::Classifier) that has one averages its probabilities with the network's.
//!
//! No measurement depends on the unit of the samples.

mod detect;
mod error;
mod filter;
mod forest;
mod intervals;
mod quality;
mod reader;
mod shape;
mod spectrum;
mod statistics;
mod tree;

pub use error::BeatsError;
pub use forest::{BeatForest, ClassForest};
pub use reader::BeatReader;
pub use tree::{Node, Tree};

use crate::signal::{MAX_SAMPLES, SAMPLING_RATE_HZ};

const RATE_HZ: f64 = SAMPLING_RATE_HZ;

/// What is left of a lead without its baseline and noise, in Hz.
const SMOOTH_BAND_HZ: [f64; 2] = [0.5, 40.0];

/// How many numbers are measured.
pub const COUNT: usize = intervals::NAMES.len() + shape::NAMES.len() + spectrum::NAMES.len() + quality::NAMES.len();

/// The names of what is measured, in order.
pub const MEASUREMENTS: [&str; COUNT] = {
    let groups: [&[&str]; 4] = [&intervals::NAMES, &shape::NAMES, &spectrum::NAMES, &quality::NAMES];
    let mut names = [""; COUNT];
    let (mut group, mut place) = (0, 0);
    while group < groups.len() {
        let mut index = 0;
        while index < groups[group].len() {
            names[place] = groups[group][index];
            index += 1;
            place += 1;
        }
        group += 1;
    }
    names
};

/// Measures leads. It owns the planned transform; cheap to keep, one per thread.
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

    /// The [`MEASUREMENTS`] of the first 60 s of a lead at 300 Hz, in whatever unit. NaN stands for what cannot be measured: of few beats, of a
    /// short lead, of samples that are not finite.
    pub fn measure(&self, lead: &[f32]) -> [f32; COUNT] {
        let lead = &lead[..lead.len().min(MAX_SAMPLES)];
        let middle = statistics::median(lead.iter().map(|&sample| f64::from(sample)));
        let lead: Vec<f64> = lead.iter().map(|&sample| f64::from(sample) - middle).collect();
        let smooth = filter::band_pass(&lead, SMOOTH_BAND_HZ);
        let filtered = detect::qrs_band(&lead);
        let beats = detect::beats(&filtered);
        let groups = [
            intervals::measure(&beats).as_slice(),
            &shape::measure(&smooth, &beats),
            &self.spectrum.measure(&lead, &smooth, &beats),
            &quality::measure(&lead, &smooth, &filtered),
        ]
        .concat();
        let mut measured = [f32::NAN; COUNT];
        for (place, value) in measured.iter_mut().zip(groups) {
            *place = match value.is_finite() {
                true => value as f32,
                false => f32::NAN,
            };
        }
        measured
    }
}

impl Default for BeatMeter {
    fn default() -> Self {
        Self::new()
    }
}
