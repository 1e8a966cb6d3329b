//! Band pass: the filter of another recorder.

use crate::random::Rng;

/// Filters the lead to 0.2 to 45 Hz: Butterworth, order 10, at 300 Hz, causal.
///
/// There is nothing to draw; it has `draw` like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandPass;

/// One second-order section, `(b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

/// The design, as second-order sections: five low-pass, the first carrying the gain, then five high-pass.
const SECTIONS: [Section; 10] = [
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
    /// The filter, whatever the number of samples.
    pub fn draw(_rng: &mut Rng, _n: usize) -> Self {
        Self
    }

    /// Filters from rest, in float64.
    pub fn apply(&self, samples: &mut [f32]) {
        let mut states = [[0.0_f64; 2]; SECTIONS.len()];
        for sample in samples {
            let mut x = f64::from(*sample);
            for (Section { b, a }, state) in SECTIONS.iter().zip(&mut states) {
                let y = b[0] * x + state[0];
                state[0] = b[1] * x - a[0] * y + state[1];
                state[1] = b[2] * x - a[1] * y;
                x = y;
            }
            *sample = x as f32;
        }
    }
}
