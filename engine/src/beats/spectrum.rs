//! How the power of a lead is spread over frequencies, with its beats and between them.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use super::RATE_HZ;
use crate::statistics::{deviation, mean};

/// Samples of a frame: 3.4 s.
const FRAME: usize = 1024;
/// Samples from one frame to the next.
const HOP: usize = FRAME / 2;
/// Edges of the lead's bands, in Hz.
const BANDS_HZ: [f64; 9] = [0.0, 0.7, 3.0, 8.0, 15.0, 30.0, 45.0, 70.0, 150.0];
/// Edges of the bands between beats, in Hz: atrial fibrillation has its waves from 4 to 9 Hz.
const BETWEEN_HZ: [f64; 8] = [0.5, 2.0, 4.0, 6.0, 9.0, 12.0, 20.0, 40.0];
/// Samples that a beat takes before and after its largest deflection.
const BEAT: [usize; 2] = [25, 30];

/// What is measured, see [`Spectrum::measure`].
pub(super) const NAMES: [&str; 16] = [
    "power_below_0.7hz",
    "power_0.7_3hz",
    "power_3_8hz",
    "power_8_15hz",
    "power_15_30hz",
    "power_30_45hz",
    "power_45_70hz",
    "power_above_70hz",
    "between_beats_0.5_2hz",
    "between_beats_2_4hz",
    "between_beats_4_6hz",
    "between_beats_6_9hz",
    "between_beats_9_12hz",
    "between_beats_12_20hz",
    "between_beats_20_40hz",
    "between_beats_deviation",
];

/// Power spectra by Welch's method: frames of 1024 samples, half overlapping, Hann window, the mean of each taken off.
#[derive(Clone)]
pub(super) struct Spectrum {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
}

impl Spectrum {
    pub(super) fn new() -> Self {
        let phase = |i: usize| std::f64::consts::TAU * i as f64 / FRAME as f64;
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(FRAME),
            window: (0..FRAME).map(|i| 0.5 - 0.5 * phase(i).cos()).collect(),
        }
    }

    /// The logarithms of the bands' shares of the lead's power; then the bands' shares of what is left of `smooth`, the lead without
    /// baseline and noise, when straight lines stand for its beats, and that rest's deviation beside that of `smooth`.
    pub(super) fn measure(&self, lead: &[f64], smooth: &[f64], beats: &[usize]) -> [f64; 16] {
        let mut measured = [f64::NAN; 16];
        let (of_lead, between) = measured.split_at_mut(8);
        if let Some(power) = self.power(lead) {
            let all: f64 = power.iter().sum::<f64>() + f64::MIN_POSITIVE;
            for (value, band) in of_lead.iter_mut().zip(BANDS_HZ.windows(2)) {
                *value = (within(&power, band) / all + 1e-9).ln();
            }
        }
        let rest = without_beats(smooth, beats);
        if let Some(power) = self.power(&rest) {
            let all = within(&power, &[BETWEEN_HZ[0], BETWEEN_HZ[7]]) + f64::MIN_POSITIVE;
            for (value, band) in between.iter_mut().zip(BETWEEN_HZ.windows(2)) {
                *value = within(&power, band) / all;
            }
        }
        between[7] = deviation(&rest) / deviation(smooth);
        measured
    }

    /// Power by bin of `RATE_HZ / 1024`; `None` for a lead shorter than a frame.
    fn power(&self, samples: &[f64]) -> Option<Vec<f64>> {
        let mut power = vec![0.0; FRAME / 2 + 1];
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut start = 0;
        while let Some(samples) = samples.get(start..start + FRAME) {
            let mean = mean(samples);
            let windowed = samples.iter().zip(&self.window);
            let mut frame: Vec<f64> = windowed.map(|(sample, weight)| (sample - mean) * weight).collect();
            self.fft
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .ok()?;
            for (sum, bin) in power.iter_mut().zip(&spectrum) {
                *sum += bin.norm_sqr();
            }
            start += HOP;
        }
        (start > 0).then_some(power)
    }
}

impl std::fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spectrum").finish_non_exhaustive()
    }
}

/// The power from `band[0]` on and below `band[1]`, in Hz.
fn within(power: &[f64], band: &[f64]) -> f64 {
    let is_inside = |bin: usize| {
        let hz = bin as f64 * RATE_HZ / FRAME as f64;
        hz >= band[0] && hz < band[1]
    };
    let inside = power.iter().enumerate().filter(|&(bin, _)| is_inside(bin));
    inside.map(|(_, power)| power).sum()
}

/// The lead with a straight line in place of each beat.
fn without_beats(smooth: &[f64], beats: &[usize]) -> Vec<f64> {
    let mut rest = smooth.to_vec();
    let last = rest.len().saturating_sub(1);
    for &beat in beats {
        let (from, to) = (beat.saturating_sub(BEAT[0]), (beat + BEAT[1]).min(last));
        let (start, end) = (rest[from], rest[to]);
        let length = (to - from).max(1) as f64;
        for (step, sample) in rest[from..to].iter_mut().enumerate() {
            *sample = start + (end - start) * step as f64 / length;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_in_its_band_and_a_beat_is_not_between_beats() {
        let tone = |hz: f64, at: usize| (std::f64::consts::TAU * hz * at as f64 / RATE_HZ).sin();
        let lead: Vec<f64> = (0..4096).map(|at| tone(5.0, at)).collect();
        let measured = Spectrum::new().measure(&lead, &lead, &[]);
        assert!(measured[2] > -1e-3, "3 to 8 Hz: {measured:?}");
        assert!(measured[10] > 0.999 && measured[15] == 1.0, "4 to 6 Hz: {measured:?}");
        let mut beat = vec![0.0; 4096];
        beat[2000] = 1.0;
        let measured = Spectrum::new().measure(&beat, &beat, &[2000]);
        assert_eq!(measured[15], 0.0);
    }

    #[test]
    fn a_lead_shorter_than_a_frame_has_no_spectrum() {
        let measured = Spectrum::new().measure(&[1.0, 2.0], &[1.0, 2.0], &[0, 1]);
        assert!(measured[..15].iter().all(|value| value.is_nan()));
    }
}
