//! Zero-phase Butterworth filters of second order (bilinear transform), for measuring where the phase matters.

use std::f64::consts::{PI, SQRT_2};

use super::RATE_HZ;

/// Samples that each end is prolonged by, point-symmetrically, so that filters start near their steady state.
const MARGIN: usize = 300;

/// One second-order section, `(b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Clone, Copy, Debug)]
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

impl Section {
    /// Butterworth, −3 dB at the edge.
    fn new(edge_hz: f64, is_high_pass: bool) -> Self {
        let tan = (PI * edge_hz / RATE_HZ).tan();
        let norm = 1.0 + SQRT_2 * tan + tan * tan;
        let a = [2.0 * (tan * tan - 1.0) / norm, (1.0 - SQRT_2 * tan + tan * tan) / norm];
        let (gain, sign) = match is_high_pass {
            true => (1.0 / norm, -2.0),
            false => (tan * tan / norm, 2.0),
        };
        Self {
            b: [gain, sign * gain, gain],
            a,
        }
    }

    /// Filters in place, as if the first sample had always been there.
    fn run<'a>(self, samples: impl Iterator<Item = &'a mut f64>) {
        let mut samples = samples.peekable();
        let before = samples.peek().map_or(0.0, |sample| **sample);
        let settled = before * self.b.iter().sum::<f64>() / (1.0 + self.a.iter().sum::<f64>());
        let mut second = self.b[2] * before - self.a[1] * settled;
        let mut first = self.b[1] * before - self.a[0] * settled + second;
        for sample in samples {
            let out = self.b[0] * *sample + first;
            first = self.b[1] * *sample - self.a[0] * out + second;
            second = self.b[2] * *sample - self.a[1] * out;
            *sample = out;
        }
    }
}

/// `samples` within the band, in Hz: high pass and low pass, each forwards and backwards, −6 dB at both edges.
pub(super) fn band_pass(samples: &[f64], [low_hz, high_hz]: [f64; 2]) -> Vec<f64> {
    let (Some(&first), Some(&last)) = (samples.first(), samples.last()) else {
        return Vec::new();
    };
    let margin = MARGIN.min(samples.len() - 1);
    let before = samples[1..=margin].iter().rev().map(|sample| 2.0 * first - sample);
    let after = samples[samples.len() - 1 - margin..samples.len() - 1].iter().rev();
    let after = after.map(|sample| 2.0 * last - sample);
    let mut padded: Vec<f64> = before.chain(samples.iter().copied()).chain(after).collect();
    for section in [Section::new(low_hz, true), Section::new(high_hz, false)] {
        section.run(padded.iter_mut());
        section.run(padded.iter_mut().rev());
    }
    padded.drain(..margin);
    padded.truncate(samples.len());
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::deviation;

    fn tone(hz: f64) -> Vec<f64> {
        (0..3000)
            .map(|i| (2.0 * PI * hz * f64::from(i) / RATE_HZ).sin())
            .collect()
    }

    /// The gain of two passes is that of one, squared: ½ at an edge. 1 % is what the other edge and the ends add.
    #[test]
    fn the_band_passes_and_its_edges_have_half_the_amplitude() {
        let gain = |hz| deviation(&band_pass(&tone(hz), [5.0, 25.0])[600..2400]) / deviation(&tone(hz)[600..2400]);
        assert!((gain(5.0) - 0.5).abs() < 0.01, "{}", gain(5.0));
        assert!((gain(25.0) - 0.5).abs() < 0.01, "{}", gain(25.0));
        assert!(gain(11.0) > 0.9, "{}", gain(11.0));
        assert!(gain(0.5) < 0.01 && gain(100.0) < 0.01);
    }

    #[test]
    fn peaks_stay_where_they_are_and_short_leads_are_no_problem() {
        let mut samples = vec![0.0; 600];
        samples[300] = 1.0;
        let filtered = band_pass(&samples, [0.5, 40.0]);
        let highest = (0..600).max_by(|&a, &b| filtered[a].total_cmp(&filtered[b]));
        assert_eq!(highest, Some(300));
        assert_eq!(band_pass(&[], [0.5, 40.0]).len(), 0);
        assert_eq!(band_pass(&[1.0], [0.5, 40.0]).len(), 1);
        assert_eq!(band_pass(&[1.0, 2.0], [0.5, 40.0]).len(), 2);
    }
}
