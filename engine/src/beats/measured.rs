//! What is measured of a lead, by name.

use super::{intervals, quality, shape, spectrum};

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

/// Heart rates that beats have; what is found at another rate is no rhythm.
const RATES_BPM: std::ops::Range<f32> = 20.0..230.0;

/// A lead with more than this share of its power from 45 to 70 Hz is hum.
const HUM: f32 = 0.9;

/// The [`MEASUREMENTS`] of a lead. NaN stands for what cannot be measured: of few beats, of a short lead, of samples that are not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    values: [f32; COUNT],
}

impl Measured {
    /// From the four groups, in their order.
    pub(super) fn new(intervals: &[f64], shape: &[f64], spectrum: &[f64], quality: &[f64]) -> Self {
        let mut values = [f32::NAN; COUNT];
        let groups = [intervals, shape, spectrum, quality];
        for (place, &value) in values.iter_mut().zip(groups.into_iter().flatten()) {
            let rounded = value as f32;
            if rounded.is_finite() {
                *place = rounded;
            }
        }
        Self { values }
    }

    /// The numbers, in the order of [`MEASUREMENTS`].
    pub fn values(&self) -> &[f32; COUNT] {
        &self.values
    }

    /// The measurement of this name.
    pub fn get(&self, name: &str) -> Option<f32> {
        let place = MEASUREMENTS.iter().position(|known| *known == name)?;
        Some(self.values[place])
    }

    /// Whether there are beats enough for a rhythm and a shape, at a rate that hearts have, in more than hum of the mains.
    pub fn has_rhythm(&self) -> bool {
        let known = |name: &str| self.get(name).filter(|value| !value.is_nan());
        let is_hum = known("power_45_70hz").is_some_and(|power| power > HUM.ln());
        let is_heart = known("heart_rate_bpm").is_some_and(|rate| RATES_BPM.contains(&rate));
        is_heart && known("like_beat_median").is_some() && !is_hum
    }
}

impl From<[f32; COUNT]> for Measured {
    fn from(values: [f32; COUNT]) -> Self {
        Self { values }
    }
}
