//! Preprocessing held to the golden numbers, to its definition, and to hostile leads.

use dualnet_engine::signal::{
    BINS, ECG_LEN, FFT_LEN, FRAMES, HOP, Inputs, MAX_SAMPLES, Preprocessor, SPECTROGRAM_LEN, SignalError, Spectrogram,
    WINDOW, WINDOW_STEP, WINDOWS, cut_windows, standardize,
};
use dualnet_fixtures::{Summary, data_dir, f32_tensor, golden_dir, json, records_dir, stream};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// The samples of a 2017 record: int16 from byte 24 of a MATLAB level-4 file.
///
/// Another set of golden numbers may name records that do not ship; these come from the full data set.
fn real_record(name: &str) -> Vec<f32> {
    let shipped = records_dir().join(format!("{name}.mat"));
    let path = if shipped.exists() {
        shipped
    } else {
        data_dir().join(format!("{name}.mat"))
    };
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes[24..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&pair| f32::from(i16::from_le_bytes(pair)))
        .collect()
}

fn golden() -> Map<String, Value> {
    json("preprocessing.json")
}

fn number(golden: &Value, key: &str) -> f64 {
    golden[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no number {key} in {golden}"))
}

fn inputs(samples: &[f32]) -> Inputs {
    Preprocessor::new()
        .inputs(samples)
        .expect("a lead that can be processed")
}

fn assert_close(what: &str, found: f64, golden: f64, tolerance: f64) {
    assert!(
        (found - golden).abs() <= tolerance,
        "{what}: {found}, golden {golden} ± {tolerance:e}"
    );
}

/// The golden tolerances: 1e-6 of the norm for the ecg (float32 rounding of the statistics); 1e-5 and, for the probe,
/// 5e-4 for the spectrogram, whose logarithm magnifies the rounding of tiny magnitudes.
#[test]
fn real_records_give_the_golden_norms_and_probes() {
    let mut preprocessor = Preprocessor::new();
    let mut compared = 0;
    for (name, golden) in golden().iter().filter(|(name, _)| !name.starts_with("synthetic:")) {
        let samples = real_record(name);
        assert_eq!(samples.len() as f64, number(golden, "samples"), "{name}");
        assert_eq!(
            samples.iter().map(|&x| f64::from(x)).sum::<f64>(),
            number(golden, "raw_sum"),
            "{name}"
        );

        let inputs = preprocessor.inputs(&samples).unwrap();
        for (tensor, values, norm_tolerance, probe_tolerance) in [
            ("ecg", &inputs.ecg, 1e-6, 1e-6),
            ("spectrogram", &inputs.spectrogram, 1e-5, 5e-4),
        ] {
            let found = Summary::of(tensor, values);
            let norm = number(golden, &format!("{tensor}_norm"));
            let probe = number(golden, &format!("{tensor}_probe"));
            assert_close(
                &format!("{name} {tensor} norm"),
                found.norm,
                norm,
                norm_tolerance * norm,
            );
            assert_close(
                &format!("{name} {tensor} probe"),
                found.probe,
                probe,
                probe_tolerance * norm,
            );
            compared += 2;
        }
    }
    assert!(compared >= 48, "only {compared} numbers compared");
}

/// 1e-5 absolute, on the magnitudes: float32 rounding of sums of 64 products of values up to about 10.
#[test]
fn real_records_give_the_golden_tensors() {
    let names = records_with_tensors();
    assert!(names.len() >= 3, "golden tensors of {names:?} only");
    for name in &names {
        let inputs = inputs(&real_record(name));
        for (tensor, values, map) in [
            ("ecg", &inputs.ecg, f64::from as fn(f32) -> f64),
            ("spectrogram", &inputs.spectrogram, |x| f64::from(x).exp()),
        ] {
            let golden = f32_tensor("preprocessing.safetensors", &format!("{name}.{tensor}"));
            assert_eq!(golden.len(), values.len(), "{name}.{tensor}");
            for (index, (&found, &golden)) in values.iter().zip(&golden).enumerate() {
                assert_close(&format!("{name}.{tensor}[{index}]"), map(found), map(golden), 1e-5);
            }
        }
    }
}

/// The records `NAME` of the tensors `NAME.ecg`, from the header of the safetensors file.
fn records_with_tensors() -> Vec<String> {
    let bytes = std::fs::read(golden_dir().join("preprocessing.safetensors")).expect("golden tensors");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).expect("a safetensors header");
    header
        .keys()
        .filter_map(|tensor| tensor.strip_suffix(".ecg").map(str::to_owned))
        .collect()
}

/// The golden file states the norms alone; these leads are the ones that have them (a step's or an impulse's height is
/// immaterial after standardization). Where the lead is constant over whole frames its spectrogram is rounding noise.
#[test]
fn synthetic_leads_give_the_golden_norms() {
    let golden = golden();
    let step: Vec<f32> = (0..6000).map(|i| if i < 3000 { 0.0 } else { 1000.0 }).collect();
    let saturated: Vec<f32> = (0..9000)
        .map(|i| (1e9 * (f64::from(i) / 40.0).sin()).clamp(-32_767.0, 32_767.0) as f32)
        .collect();
    let impulse: Vec<f32> = (0..5000).map(|i| if i == 2500 { 1000.0 } else { 0.0 }).collect();
    for (name, lead, spectrogram_is_rounding_noise) in [
        ("constant", vec![7.0; 4000], false),
        ("step", step, true),
        ("impulse", impulse, false),
        ("saturated", saturated, true),
    ] {
        let golden = &golden[&format!("synthetic:{name}")];
        let inputs = inputs(&lead);
        let norm = number(golden, "ecg_norm");
        assert_close(name, Summary::of("ecg", &inputs.ecg).norm, norm, 1e-6 * norm);
        assert!(inputs.spectrogram.iter().all(|value| value.is_finite()), "{name}");
        if !spectrogram_is_rounding_noise {
            let norm = number(golden, "spectrogram_norm");
            assert_close(
                name,
                Summary::of("spectrogram", &inputs.spectrogram).norm,
                norm,
                1e-5 * norm,
            );
        }
    }
}

/// A plain float64 transform of 64 terms is the reference; 1e-5 on magnitudes up to about 10 is float32 rounding.
#[test]
fn the_spectrogram_is_its_definition() {
    for samples in [33, 63, 64, 65, 95, 96, 97, 1000] {
        let lead: Vec<f32> = stream("spectrogram", samples).iter().map(|&x| 3.0 * x as f32).collect();
        let frames = Spectrogram::frames(samples);
        let mut log = vec![f32::NAN; frames * BINS];
        Spectrogram::new().compute(&lead, &mut log).unwrap();
        for (frame, row) in log.chunks_exact(BINS).enumerate() {
            for (bin, &log) in row.iter().enumerate() {
                let expected = reference_magnitude(&lead, frame, bin);
                assert_close(
                    &format!("{samples} samples [{frame}, {bin}]"),
                    f64::from(log).exp(),
                    expected,
                    1e-5,
                );
            }
        }
    }
}

fn reference_magnitude(lead: &[f32], frame: usize, bin: usize) -> f64 {
    let last = lead.len() as isize - 1;
    let (mut re, mut im, mut squares) = (0.0, 0.0, 0.0);
    for i in 0..FFT_LEN {
        let turn = std::f64::consts::TAU * i as f64 / FFT_LEN as f64;
        let window = 0.5 * (1.0 - turn.cos());
        let position = ((frame * HOP + i) as isize - (FFT_LEN / 2) as isize).abs();
        let position = if position > last { 2 * last - position } else { position };
        let value = f64::from(lead[position as usize]) * window;
        re += value * (turn * bin as f64).cos();
        im -= value * (turn * bin as f64).sin();
        squares += window * window;
    }
    (re.hypot(im) / squares.sqrt()).max(1e-8)
}

#[test]
fn a_shorter_lead_ends_in_zeros() {
    let inputs = inputs(&real_record("A05493"));
    let frames = 1 + 2714 / 32;
    assert!(inputs.spectrogram[frames * BINS..].iter().all(|&value| value == 0.0));
    assert!(
        inputs.spectrogram[..frames * BINS]
            .chunks_exact(BINS)
            .all(|row| row.iter().any(|&value| value != 0.0))
    );
    assert!(
        inputs.ecg[(2714 / WINDOW_STEP + 1) * WINDOW..]
            .iter()
            .all(|&value| value == 0.0)
    );
}

#[test]
fn windows_are_slices_of_the_lead() {
    let lead: Vec<f32> = (0..MAX_SAMPLES).map(|i| i as f32 + 1.0).collect();
    let mut ecg = vec![f32::NAN; ECG_LEN];
    for samples in [0, 1, 223, 224, 225, 256, 9000, 17_952, MAX_SAMPLES] {
        cut_windows(&lead[..samples], &mut ecg).unwrap();
        for window in 0..WINDOWS {
            for i in 0..WINDOW {
                let expected = lead[..samples].get(window * WINDOW_STEP + i).copied().unwrap_or(0.0);
                assert_eq!(ecg[window * WINDOW + i], expected, "{samples} samples [{window}, {i}]");
            }
        }
    }
}

#[test]
fn only_the_first_60_seconds_count() {
    let mut lead: Vec<f32> = stream("long lead", 20_000).iter().map(|&x| x as f32).collect();
    let cut = inputs(&lead[..MAX_SAMPLES]);
    lead[MAX_SAMPLES..].fill(f32::NAN);
    assert_eq!(inputs(&lead), cut);
}

/// As the crops of Icentia11k are prepared: statistics and spectrogram of everything, then the cut.
#[test]
fn an_uncut_lead_is_standardized_as_a_whole() {
    let lead: Vec<f32> = (0..25_000).map(|i| (i as f32 * 0.37).sin() + i as f32 * 1e-4).collect();
    let mut standardized = vec![0.0; lead.len()];
    standardize(&lead, &mut standardized).unwrap();
    let mut spectrogram = vec![f32::NAN; Spectrogram::frames(lead.len()) * BINS];
    Spectrogram::new().compute(&standardized, &mut spectrogram).unwrap();

    let mut found = Inputs::zeros();
    Preprocessor::new()
        .prepare_uncut(&lead, &mut found.ecg, &mut found.spectrogram)
        .unwrap();
    assert_eq!(found.spectrogram, spectrogram[..SPECTROGRAM_LEN]);
    assert_eq!(
        found.ecg[ECG_LEN - WINDOW..],
        standardized[(WINDOWS - 1) * WINDOW_STEP..][..WINDOW]
    );
    assert_ne!(found, inputs(&lead));
}

#[test]
fn a_used_preprocessor_gives_what_a_new_one_gives() {
    let mut used = Preprocessor::new();
    for name in ["A05736", "A05493", "A00005", "A00001"] {
        let samples = real_record(name);
        assert_eq!(used.inputs(&samples).unwrap(), inputs(&samples), "{name}");
    }
}

#[test]
fn flat_leads_become_zeros_and_the_floor() {
    for value in [0.0, 0.1, -32_768.0, f32::MAX, f32::MIN_POSITIVE] {
        let inputs = inputs(&vec![value; 3000]);
        assert!(inputs.ecg.iter().all(|&x| x == 0.0), "{value}");
        let floor = 1e-8_f32.ln();
        assert!(
            inputs.spectrogram[..Spectrogram::frames(3000) * BINS]
                .iter()
                .all(|&x| x == floor),
            "{value}"
        );
    }
}

#[test]
fn the_largest_finite_samples_stay_finite() {
    let lead: Vec<f32> = (0..9000)
        .map(|i| if i % 3 == 0 { f32::MAX } else { f32::MIN })
        .collect();
    let inputs = inputs(&lead);
    assert!(
        inputs
            .ecg
            .iter()
            .chain(&inputs.spectrogram)
            .all(|value| value.is_finite())
    );
}

#[test]
fn what_cannot_be_processed_is_named() {
    let mut preprocessor = Preprocessor::new();
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; FRAMES * BINS]);
    assert_eq!(
        preprocessor.prepare(&[0.5; 32], &mut ecg, &mut spectrogram),
        Err(SignalError::TooShort {
            samples: 32,
            minimum: 33
        })
    );
    assert!(preprocessor.prepare(&[], &mut ecg, &mut spectrogram).is_err());
    assert_eq!(preprocessor.prepare(&[0.5; 33], &mut ecg, &mut spectrogram), Ok(()));

    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut lead = vec![1.0; 500];
        lead[123] = value;
        let error = preprocessor.prepare(&lead, &mut ecg, &mut spectrogram).unwrap_err();
        assert!(error.to_string().starts_with("sample 123 is "), "{error}");
        assert!(matches!(error, SignalError::NonFinite { index: 123, .. }));
    }

    let short = SignalError::BufferLength {
        buffer: "ecg",
        expected: ECG_LEN,
        found: 7,
    };
    assert_eq!(
        preprocessor.prepare(&[0.5; 64], &mut [0.0; 7], &mut spectrogram),
        Err(short)
    );
    let short = SignalError::BufferLength {
        buffer: "spectrogram",
        expected: SPECTROGRAM_LEN,
        found: BINS,
    };
    assert_eq!(preprocessor.prepare(&[0.5; 64], &mut ecg, &mut [0.0; BINS]), Err(short));
    let ragged = Spectrogram::new().compute(&[0.5; 64], &mut [0.0; BINS + 1]);
    assert!(matches!(ragged, Err(SignalError::BufferLength { .. })));
    assert!(matches!(
        standardize(&[1.0], &mut [0.0]),
        Err(SignalError::TooShort { .. })
    ));
    assert!(matches!(
        standardize(&[1.0; 3], &mut [0.0; 2]),
        Err(SignalError::BufferLength { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Mean 0 and variance 1 within float32 rounding of the values, whatever gain and offset the samples had.
    #[test]
    fn standardized_leads_have_zero_mean_and_unit_variance(
        lead in prop::collection::vec(-1.0_f32..1.0, 40..2000), gain in 1e-3_f32..1e4, offset in -1e3_f32..1e3,
    ) {
        prop_assume!(lead.iter().any(|&x| x > 0.25) && lead.iter().any(|&x| x < -0.25));
        let raw: Vec<f32> = lead.iter().map(|x| x * gain + offset * gain).collect();
        let mut out = vec![0.0; raw.len()];
        standardize(&raw, &mut out).unwrap();
        let count = out.len() as f64;
        let mean = out.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = out.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (count - 1.0);
        prop_assert!(mean.abs() < 1e-6, "mean {mean}");
        prop_assert!((variance - 1.0).abs() < 1e-4, "variance {variance}");
    }

    /// Any finite lead of any length gives finite inputs.
    #[test]
    fn any_finite_lead_gives_finite_inputs(
        lead in prop::collection::vec(any::<f32>().prop_filter("finite", |x| x.is_finite()), 33..700),
    ) {
        let inputs = inputs(&lead);
        prop_assert!(inputs.ecg.iter().chain(&inputs.spectrogram).all(|value| value.is_finite()));
    }
}
