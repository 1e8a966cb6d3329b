//! Band pass: the filter of another recorder.

use super::AugmentationOptions;
use dualnet_engine::signal::SAMPLING_RATE_HZ;
use std::f64::consts::{FRAC_PI_2, PI};

/// Filters the lead to a band: Butterworth, order 10, at 300 Hz, causal.
///
/// There is nothing to draw; it has `draw` like the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPass {
    /// The edges of the band, in Hz.
    pub band_hz: [f64; 2],
}

/// One second-order section, `(b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

/// The published design, as second-order sections: five low-pass, the first carrying the gain, then five high-pass.
const PUBLISHED: [Section; 10] = [
    Section {
        b: [4.7844774600379815e-05, 9.568954920075963e-05, 4.7844774600379815e-05],
        a: [-0.660_746_703_768_275_2, 0.114_150_832_133_749_2],
    },
    Section {
        b: [1.0, 2.0, 1.0],
        a: [-0.689_709_333_351_903_7, 0.164_943_823_855_935_26],
    },
    Section {
        b: [1.0, 2.0, 1.0],
        a: [-0.752_984_379_016_073, 0.275_255_113_891_596_8],
    },
    Section {
        b: [1.0, 2.0, 1.0],
        a: [-0.863_128_891_081_416, 0.465_711_266_697_947_77],
    },
    Section {
        b: [1.0, 2.0, 1.0],
        a: [-1.044_687_913_997_531_6, 0.776_937_468_383_362_3],
    },
    Section {
        b: [1.0, -2.0, 1.0],
        a: [-1.991_677_038_503_651_3, 0.991_694_796_293_963_6],
    },
    Section {
        b: [1.0, -2.0, 1.0],
        a: [-1.992_509_800_624_377_5, 0.992_527_511_392_688_6],
    },
    Section {
        b: [1.0, -2.0, 1.0],
        a: [-1.994_076_431_806_351_7, 0.994_094_069_732_487_5],
    },
    Section {
        b: [1.0, -2.0, 1.0],
        a: [-1.996_204_778_429_187_6, 0.996_222_349_997_000_9],
    },
    Section {
        b: [1.0, -2.0, 1.0],
        a: [-1.998_682_981_938_180_8, 0.998_700_523_421_399_8],
    },
];

impl BandPass {
    /// The published band, 0.2 to 45 Hz.
    pub const PUBLISHED: Self = Self { band_hz: [0.2, 45.0] };

    /// The filter of the band `band_pass_hz`.
    pub fn draw(options: &AugmentationOptions) -> Self {
        Self {
            band_hz: options.band_pass_hz,
        }
    }

    /// Filters from rest, in float64.
    pub fn apply(&self, samples: &mut [f32]) {
        match *self == Self::PUBLISHED {
            true => filter(&PUBLISHED, samples),
            false => filter(&design(self.band_hz), samples),
        }
    }
}

fn filter(sections: &[Section; 10], samples: &mut [f32]) {
    let mut states = [[0.0_f64; 2]; 10];
    for sample in samples {
        let mut x = f64::from(*sample);
        for (Section { b, a }, state) in sections.iter().zip(&mut states) {
            let y = b[0] * x + state[0];
            state[0] = b[1] * x - a[0] * y + state[1];
            state[1] = b[2] * x - a[1] * y;
            x = y;
        }
        *sample = x as f32;
    }
}

/// The analog Butterworth filter between the warped edges, through the bilinear transform: of each of the prototype's five poles above the
/// real axis, which becomes two, first the outer ones as low-pass sections, then the inner ones as high-pass sections.
fn design(band_hz: [f64; 2]) -> [Section; 10] {
    let [low, high] = band_hz.map(|hz| (PI * hz / SAMPLING_RATE_HZ).tan());
    let (width, product) = (high - low, high * low);
    std::array::from_fn(|section| {
        // The roots of s² − width · e^(i·angle) · s + product: half ± root.
        let angle = FRAC_PI_2 + PI * (2 * (section % 5) + 1) as f64 / 20.0;
        let half = [angle.cos(), angle.sin()].map(|part| width / 2.0 * part);
        let square = [half[0] * half[0] - half[1] * half[1] - product, 2.0 * half[0] * half[1]];
        let length = square[0].hypot(square[1]).sqrt();
        let direction = square[1].atan2(square[0]) / 2.0;
        let root = [direction.cos(), direction.sin()].map(|part| length * part);
        let sign = (half[0] * root[0] + half[1] * root[1]).signum();
        let outer = [half[0] + sign * root[0], half[1] + sign * root[1]];
        // Their product is known: no small difference of large numbers.
        let shrink = product / (outer[0] * outer[0] + outer[1] * outer[1]);
        let (x, y, side) = match section < 5 {
            true => (outer[0], outer[1], 2.0),
            false => (shrink * outer[0], -shrink * outer[1], -2.0),
        };
        let distance = (1.0 - x) * (1.0 - x) + y * y;
        let gain = width / distance;
        Section {
            b: [gain, side * gain, gain],
            a: [
                -2.0 * (1.0 - x * x - y * y) / distance,
                ((1.0 + x) * (1.0 + x) + y * y) / distance,
            ],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_design_of_the_published_band_is_the_published_one() {
        let mut impulse = vec![0.0_f32; 6000];
        impulse[0] = 1e4;
        let mut step = vec![1e4_f32; 6000];
        for lead in [&mut impulse, &mut step] {
            let mut designed = lead.clone();
            filter(&design(BandPass::PUBLISHED.band_hz), &mut designed);
            BandPass::PUBLISHED.apply(lead);
            let difference = lead.iter().zip(&designed).map(|(a, b)| f64::from((a - b).abs()));
            assert!(dualnet_fixtures::largest(difference) < 0.01);
            assert!(lead.iter().any(|&sample| sample > 1000.0));
        }
    }

    /// 5 to 40 Hz: of a sine in the middle all remains, of one an octave below 4e-4, of one at 60 Hz 3e-3, at an edge 1/√2.
    #[test]
    fn another_band_passes_what_lies_in_it() {
        for (hz, expected) in [(2.5, 0.0), (14.0, 1.0), (40.0, 0.5_f64.sqrt()), (60.0, 0.0)] {
            let sine = |i: usize| (2.0 * PI * hz * i as f64 / SAMPLING_RATE_HZ).sin() as f32;
            let mut lead: Vec<f32> = (0..6000).map(sine).collect();
            BandPass { band_hz: [5.0, 40.0] }.apply(&mut lead);
            let largest = lead[3000..]
                .iter()
                .fold(0.0_f32, |largest, sample| largest.max(sample.abs()));
            assert!((f64::from(largest) - expected).abs() < 0.01, "{hz} Hz: {largest}");
        }
    }
}
