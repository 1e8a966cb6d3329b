//! Resampling held to its frequency response, its timing, its lengths, and to hostile leads.

use std::f64::consts::{PI, TAU};

use dualnet_engine::classifier::prepare_record;
use dualnet_engine::record::Record;
use dualnet_engine::signal::{
    BINS, ECG_LEN, FFT_LEN, MAX_RATE_HZ, MIN_RATE_HZ, Preprocessor, SAMPLING_RATE_HZ, SPECTROGRAM_LEN, SignalError,
    resample, resample_to,
};
use dualnet_fixtures::stream;
use proptest::prelude::*;

/// Rates of recorders in use, and two that divide nothing.
const RATES_HZ: [f64; 13] = [
    50.0, 100.0, 125.0, 128.5, 200.0, 250.0, 257.0, 333.3, 360.0, 500.0, 512.0, 1000.0, 20_000.0,
];

fn sine(hz: f64, rate_hz: f64, seconds: f64) -> Vec<f32> {
    (0..(seconds * rate_hz) as usize)
        .map(|i| (TAU * hz * i as f64 / rate_hz + 0.4).sin() as f32)
        .collect()
}

/// What is left when a second at either end, where the kernel reads the lead's continuation, is left out.
fn middle(samples: &[f32], rate_hz: f64) -> &[f32] {
    let edge = rate_hz as usize;
    &samples[edge..samples.len() - edge]
}

/// Amplitude and phase of the component at `hz`, and the root mean square of the rest.
fn component(samples: &[f32], start: usize, hz: f64, rate_hz: f64) -> (f64, f64, f64) {
    let angle = |i: usize| TAU * hz * (start + i) as f64 / rate_hz;
    let (mut ss, mut cc, mut sc, mut sx, mut cx) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, &x) in samples.iter().enumerate() {
        let (s, c) = angle(i).sin_cos();
        ss += s * s;
        cc += c * c;
        sc += s * c;
        sx += s * f64::from(x);
        cx += c * f64::from(x);
    }
    let determinant = ss * cc - sc * sc;
    let (a, b) = ((sx * cc - cx * sc) / determinant, (cx * ss - sx * sc) / determinant);
    let rest = samples.iter().enumerate().map(|(i, &x)| {
        let (s, c) = angle(i).sin_cos();
        (f64::from(x) - a * s - b * c).powi(2)
    });
    (
        a.hypot(b),
        b.atan2(a),
        (rest.sum::<f64>() / samples.len() as f64).sqrt(),
    )
}

fn root_mean_square(samples: &[f32]) -> f64 {
    (samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

/// Every rate to 300 Hz, and 300 Hz to every rate.
fn pairs() -> impl Iterator<Item = (f64, f64)> {
    RATES_HZ.iter().flat_map(|&rate| [(rate, 300.0), (300.0, rate)])
}

/// Below 0.8 of the lower Nyquist frequency: gain within 0.1 dB, phase (so delay) within 1e-3 rad, images below −60 dB.
#[test]
fn sines_in_the_pass_band_pass_unchanged() {
    for (from_hz, to_hz) in pairs() {
        for step in 1..=16 {
            let hz = 0.05 * f64::from(step) * from_hz.min(to_hz) / 2.0;
            let out = resample_to(&sine(hz, from_hz, 4.0), from_hz, to_hz).unwrap();
            let start = to_hz as usize;
            let (amplitude, phase, rest) = component(middle(&out, to_hz), start, hz, to_hz);
            let what = format!("{hz} Hz, {from_hz} Hz to {to_hz} Hz");
            assert!(
                decibels(amplitude).abs() < 0.1,
                "{what}: gain {} dB",
                decibels(amplitude)
            );
            assert!((phase - 0.4).abs() < 1e-3, "{what}: phase {phase}");
            assert!(
                decibels(rest * 2.0_f64.sqrt()) < -60.0,
                "{what}: images at {} dB",
                decibels(rest)
            );
        }
    }
}

/// From the lower Nyquist frequency up to the higher: nothing above −60 dB folds back.
#[test]
fn sines_in_the_stop_band_are_removed() {
    for (from_hz, to_hz) in pairs().filter(|(from_hz, to_hz)| from_hz > to_hz) {
        for step in 0..=40 {
            let hz = (to_hz + f64::from(step) / 40.0 * (from_hz - to_hz)) / 2.0;
            let samples = sine(hz, from_hz, 4.0);
            let out = resample_to(&samples, from_hz, to_hz).unwrap();
            let level = decibels(root_mean_square(middle(&out, to_hz)) * 2.0_f64.sqrt());
            assert!(level < -60.0, "{hz} Hz, {from_hz} Hz to {to_hz} Hz: {level} dB");
        }
    }
}

/// A Gaussian pulse about as wide as a QRS complex is its own shape at the same time. Its spectrum at the lowest pass
/// band edge (0.85 · 25 Hz) is 3e-4 of that at 0, hence the tolerance.
#[test]
fn a_pulse_keeps_its_time_and_shape() {
    let pulse = |seconds: f64| (-((seconds - 1.2345) / 0.03).powi(2) / 2.0).exp();
    for (from_hz, to_hz) in pairs() {
        let samples: Vec<f32> = (0..(3.0 * from_hz) as usize)
            .map(|i| pulse(i as f64 / from_hz) as f32)
            .collect();
        for (i, &x) in resample_to(&samples, from_hz, to_hz).unwrap().iter().enumerate() {
            let expected = pulse(i as f64 / to_hz);
            assert!(
                (f64::from(x) - expected).abs() < 1e-3,
                "{from_hz} Hz to {to_hz} Hz [{i}]: {x}, not {expected}"
            );
        }
    }
}

/// An electrode's offset and a drifting baseline go through to the very ends. Of an
/// offset of 12 345 units and a drift to 2000 units, 0.02 units are float32 rounding of sums of some 70 products.
#[test]
fn offset_and_drift_reach_the_ends_unbent() {
    for (from_hz, to_hz) in pairs() {
        let count = (2.0 * from_hz) as usize;
        for x in resample_to(&vec![12_345.0; count], from_hz, to_hz).unwrap() {
            assert!((x - 12_345.0).abs() < 0.02, "{from_hz} Hz to {to_hz} Hz: {x}");
        }
        let drift: Vec<f32> = (0..count).map(|i| (1000.0 * i as f64 / from_hz) as f32).collect();
        for (i, &x) in resample_to(&drift, from_hz, to_hz).unwrap().iter().enumerate() {
            let expected = 1000.0 * i as f64 / to_hz;
            assert!(
                (f64::from(x) - expected).abs() < 0.02,
                "{from_hz} Hz to {to_hz} Hz [{i}]: {x}, not {expected}"
            );
        }
    }
}

/// There and back: what lies below 0.8 of the lower Nyquist frequency returns within 0.2 dB (2.3 %).
#[test]
fn there_and_back_is_the_same_lead() {
    for rate_hz in [500.0, 360.0, 250.0, 200.0] {
        let edge_hz = 0.8 * f64::min(rate_hz, 300.0) / 2.0;
        let tones = stream("tones", 24);
        let lead: Vec<f32> = (0..3000)
            .map(|i| {
                let tone = |(k, &phase): (usize, &f64)| {
                    (TAU * edge_hz * (k + 1) as f64 / 24.0 * i as f64 / 300.0 + PI * phase).sin()
                };
                tones.iter().enumerate().map(tone).sum::<f64>() as f32
            })
            .collect();
        let there = resample_to(&lead, 300.0, rate_hz).unwrap();
        let back = resample(&there, rate_hz).unwrap();
        assert_eq!(back.len(), lead.len());
        let difference: Vec<f32> = lead.iter().zip(&back).map(|(a, b)| a - b).collect();
        let level = root_mean_square(middle(&difference, 300.0)) / root_mean_square(&lead);
        assert!(level < 0.023, "{rate_hz} Hz: {level}");
    }
}

/// Nothing stands in for what is not there, which lies at least 35 dB (4 in natural logarithms) below what is.
#[test]
fn bands_that_a_slow_recording_cannot_hold_stay_empty() {
    let noise: Vec<f32> = stream("noise", 6000).iter().map(|&x| x as f32 - 0.5).collect();
    for rate_hz in [72.0, 90.0, 100.0, 128.0, 200.0] {
        let record = Record::from_samples("noise", noise.clone(), rate_hz).unwrap();
        let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
        prepare_record(&mut Preprocessor::new(), &record, &mut ecg, &mut spectrogram).unwrap();
        let frames = spectrogram.chunks(BINS).take(200).skip(10);
        let bin = |hz: f64| (hz / SAMPLING_RATE_HZ * FFT_LEN as f64) as usize;
        let level = |from: usize, to: usize| {
            let values: Vec<f32> = frames.clone().flat_map(|frame| frame[from..to].to_vec()).collect();
            values.iter().sum::<f32>() / values.len() as f32
        };
        let held = level(1, bin(0.4 * rate_hz));
        let empty = level(bin(0.5 * rate_hz) + 3, BINS);
        assert!(empty < held - 4.0, "{rate_hz} Hz: {empty} beside {held}");
    }
}

#[test]
fn the_same_rate_is_an_exact_copy() {
    let lead: Vec<f32> = stream("copy", 1000).iter().map(|&x| x as f32).collect();
    assert_eq!(resample(&lead, 300.0).unwrap(), lead);
    assert_eq!(resample_to(&lead, 257.25, 257.25).unwrap(), lead);
}

#[test]
fn what_cannot_be_resampled_is_named() {
    for rate_hz in [0.0, -300.0, 49.9, 20_001.0, f64::NAN, f64::INFINITY] {
        let error = resample(&[1.0; 100], rate_hz).unwrap_err();
        assert!(matches!(error, SignalError::SamplingRate { .. }), "{rate_hz}: {error}");
        assert!(error.to_string().ends_with("50 Hz to 20000 Hz are"), "{error}");
        assert!(resample_to(&[1.0; 100], 300.0, rate_hz).is_err(), "{rate_hz}");
    }
    let error = resample(&[0.0, f32::NAN, 0.0], 250.0).unwrap_err();
    assert!(matches!(error, SignalError::NonFinite { index: 1, .. }), "{error}");
}

/// The largest numbers there are, within 1e-5 of the same lead in other units: reflected in an end, they would be infinite. What the kernel's overshoot
/// takes beyond them is the largest number.
#[test]
fn numbers_of_any_size_are_resampled() {
    let lead: Vec<f32> = stream("size", 600).iter().map(|&x| x as f32).collect();
    let expected = resample(&lead, 250.0).unwrap();
    for factor in [1e38_f32, f32::MAX] {
        let large: Vec<f32> = lead.iter().map(|x| x * factor).collect();
        for (found, expected) in resample(&large, 250.0).unwrap().iter().zip(&expected) {
            let expected = (expected * factor).clamp(f32::MIN, f32::MAX);
            assert!(
                (found / factor - expected / factor).abs() < 1e-5,
                "{found} instead of {expected}"
            );
        }
    }
}

#[test]
fn the_shortest_leads_are_no_trouble() {
    assert!(resample(&[], 250.0).unwrap().is_empty());
    for (from_hz, to_hz) in pairs() {
        for count in 1..40 {
            let out = resample_to(&vec![3.0; count], from_hz, to_hz).unwrap();
            assert_eq!(out.len(), (count as f64 * to_hz / from_hz).round() as usize);
            assert!(
                out.iter().all(|x| (x - 3.0).abs() < 1e-4),
                "{count} samples, {from_hz} Hz to {to_hz} Hz"
            );
        }
    }
}

/// Bitwise: a lead's inputs do not depend on the run.
#[test]
fn two_runs_agree_bit_for_bit() {
    let lead: Vec<f32> = stream("twice", 5000).iter().map(|&x| x as f32).collect();
    for rate_hz in RATES_HZ {
        let bits = || {
            resample(&lead, rate_hz)
                .unwrap()
                .into_iter()
                .map(f32::to_bits)
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(), bits(), "{rate_hz} Hz");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Rates in hundredths of a hertz, so that the expected length is exact integer arithmetic (half rounds up).
    #[test]
    fn the_length_is_exact(count in 0_usize..3000, centihertz in 5_000_u64..2_000_000) {
        let rate_hz = centihertz as f64 / 100.0;
        let doubled = 2 * count as u64 * 30_000;
        let expected = (doubled + centihertz) / (2 * centihertz);
        prop_assert_eq!(resample(&vec![1.0; count], rate_hz).unwrap().len() as u64, expected);
    }

    /// 1e-4 on values up to about 15 is float32 rounding of sums of some 70 products.
    #[test]
    fn resampling_is_linear(
        pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 1..600), gain in -5.0_f32..5.0,
        rate_hz in MIN_RATE_HZ..2_000.0,
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let mixed: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + gain * b).collect();
        let [a, b, mixed] = [a, b, mixed].map(|lead| resample(&lead, rate_hz).unwrap());
        for ((a, b), mixed) in a.iter().zip(&b).zip(&mixed) {
            prop_assert!((a + gain * b - mixed).abs() < 1e-4);
        }
    }

    /// Interpolation overshoots a bounded lead by a bounded factor; nothing panics.
    #[test]
    fn the_result_stays_bounded(
        lead in prop::collection::vec(-1.0_f32..1.0, 0..500), from_hz in MIN_RATE_HZ..MAX_RATE_HZ, to_hz in MIN_RATE_HZ..2_000.0,
    ) {
        let out = resample_to(&lead, from_hz, to_hz).unwrap();
        prop_assert!(out.iter().all(|x| x.abs() < 10.0));
    }
}
