//! Sampling rates, gaps, and what a recording warns of.
#![allow(missing_docs)]

mod record_files;

use dualnet_engine::record::{OpenOptions, Record, RecordError, Warning};
use record_files::{Folder, I16, Matrix, assert_error, checksum, doubles, encode, floats, invalid, triangle};

fn wfdb(format: u32, rate: &str, samples: &[i32], options: &OpenOptions) -> Result<Record, RecordError> {
    let folder = Folder::new();
    folder.write("r.dat", encode(format, samples));
    let sum = checksum(samples.iter().copied());
    let count = samples.len();
    let text = format!("r 1 {rate} {count}\nr.dat {format} 200 12 0 {} {sum} 0 I\n", samples[0]);
    Record::open_with(folder.write("r.hea", text), options)
}

fn bare(samples: &[f64], options: &OpenOptions) -> Result<Record, RecordError> {
    Record::from_bytes("r.mat", &Matrix::row(samples, I16).level4(), options)
}

#[test]
fn a_bare_mat_assumes_300_hz_with_a_warning_unless_the_caller_states_a_rate() {
    let values = doubles(&triangle(3000));
    let record = bare(&values, &OpenOptions::new()).unwrap();
    assert_eq!(record.sampling_rate_hz(), 300.0);
    assert!(matches!(
        record.warnings(),
        [Warning::AssumedSamplingRate { hz: 300.0, .. }]
    ));
    let record = bare(&values, &OpenOptions::new().sampling_rate_hz(128.5)).unwrap();
    assert_eq!((record.sampling_rate_hz(), record.warnings()), (128.5, &[] as &[_]));
}

#[test]
fn a_low_sampling_rate_is_worth_a_warning() {
    let samples = triangle(3000);
    let warnings = |rate: &str| {
        let record = wfdb(16, rate, &samples, &OpenOptions::new()).unwrap();
        record.warnings().to_vec()
    };
    assert_eq!(warnings("79.5"), [Warning::LowSamplingRate { hz: 79.5 }]);
    assert_eq!(warnings("80"), []);
    assert_eq!(
        Warning::LowSamplingRate { hz: 72.0 }.to_string(),
        "recorded at 72 Hz; below 80 Hz the networks are right less often"
    );
}

#[test]
fn a_header_rate_stands_and_another_one_is_a_contradiction() {
    let samples = triangle(3000);
    assert_eq!(
        wfdb(16, "257", &samples, &OpenOptions::new())
            .unwrap()
            .sampling_rate_hz(),
        257.0
    );
    let agreed = wfdb(16, "257", &samples, &OpenOptions::new().sampling_rate_hz(257.0)).unwrap();
    assert_eq!(agreed.warnings(), []);
    let result = wfdb(16, "257", &samples, &OpenOptions::new().sampling_rate_hz(300.0));
    assert_error(result, "r.hea", "257 Hz, the caller 300 Hz");
}

#[test]
fn a_header_without_a_rate_means_250_hz_with_a_warning() {
    let folder = Folder::new();
    folder.write("r.dat", encode(16, &triangle(3000)));
    let path = folder.write("r.hea", "r 1\nr.dat 16\n");
    let record = Record::open(&path).unwrap();
    assert_eq!(record.sampling_rate_hz(), 250.0);
    assert!(matches!(
        record.warnings(),
        [Warning::AssumedSamplingRate { hz: 250.0, .. }]
    ));
    let stated = Record::open_with(&path, &OpenOptions::new().sampling_rate_hz(200.0)).unwrap();
    assert_eq!((stated.sampling_rate_hz(), stated.warnings()), (200.0, &[] as &[_]));
}

#[test]
fn impossible_rates() {
    let samples = triangle(3000);
    for rate in ["0", "-300", "nan", "inf", "1e300", "49.9", "20001"] {
        assert_error(
            wfdb(16, rate, &samples, &OpenOptions::new()),
            "r.hea",
            "outside the supported 50 to 20000 Hz",
        );
    }
    for hz in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300] {
        let result = bare(&doubles(&samples), &OpenOptions::new().sampling_rate_hz(hz));
        assert!(matches!(result, Err(RecordError::SamplingRate { .. })), "{hz}");
    }
}

#[test]
fn gaps_of_every_format_are_interpolated_and_held_at_the_edges() {
    for format in [16, 24, 32, 61, 80, 212] {
        let mut samples = triangle(3000);
        samples[..3].fill(invalid(format));
        samples[1010..1014].fill(invalid(format));
        samples[2998..].fill(invalid(format));
        let record = wfdb(format, "300", &samples, &OpenOptions::new()).unwrap();
        let mut expected = floats(&triangle(3000));
        let (first, last) = (expected[3], expected[2997]);
        expected[..3].fill(first);
        expected[2998..].fill(last);
        // The triangle is straight between samples 1009 and 1014, so that interpolation restores it up to rounding.
        for (index, (found, expected)) in record.samples().iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() < 1e-4,
                "format {format}, sample {index}: {found} {expected}"
            );
        }
        assert_eq!(
            record.warnings(),
            [Warning::Interpolated {
                gaps: 3,
                samples: 9,
                longest_s: 4.0 / 300.0
            }]
        );
    }
}

#[test]
fn a_gap_of_half_a_second_is_the_longest() {
    let mut samples = triangle(3000);
    samples[1000..1150].fill(-32768);
    assert!(wfdb(16, "300", &samples, &OpenOptions::new()).is_ok());
    samples[1150] = -32768;
    assert_error(
        wfdb(16, "300", &samples, &OpenOptions::new()),
        "r.hea",
        "151 invalid samples from sample 1000 on",
    );
}

#[test]
fn gaps_of_a_tenth_of_the_recording_are_the_most() {
    let mut samples = triangle(3000);
    for start in [100, 500, 900] {
        samples[start..start + 100].fill(-32768);
    }
    assert!(wfdb(16, "300", &samples, &OpenOptions::new()).is_ok());
    samples[2000] = -32768;
    assert_error(wfdb(16, "300", &samples, &OpenOptions::new()), "r.hea", "at most 10 %");
    assert_error(
        wfdb(16, "300", &[-32768; 3000], &OpenOptions::new()),
        "r.hea",
        "invalid samples",
    );
}

#[test]
fn gaps_beyond_what_is_classified_are_not_counted() {
    let mut samples = triangle(70 * 300);
    samples[61 * 300..].fill(-32768);
    let record = wfdb(16, "300", &samples, &OpenOptions::new()).unwrap();
    assert!(
        matches!(record.warnings(), [Warning::Long { .. }]),
        "{:?}",
        record.warnings()
    );
    assert!(record.samples().iter().all(|sample| sample.is_finite()));

    let mut samples = triangle(70 * 300);
    samples[60 * 300 - 100..65 * 300].fill(-32768);
    let record = wfdb(16, "300", &samples, &OpenOptions::new()).unwrap();
    assert!(matches!(
        record.warnings()[0],
        Warning::Interpolated {
            gaps: 1,
            samples: 100,
            ..
        }
    ));

    let mut samples = triangle(300 * 300);
    for second in 0..60 {
        samples[second * 300..][..60].fill(-32768);
    }
    assert_error(
        wfdb(16, "300", &samples, &OpenOptions::new()),
        "r.hea",
        "20.0 % of the samples",
    );
}

#[test]
fn the_invalid_code_is_a_gap_beside_a_header_and_a_sample_without_one() {
    let mut samples = triangle(3000);
    samples[1000] = -32768;
    let values = doubles(&samples);
    for file in [
        Matrix::row(&values, I16).level4(),
        Matrix::row(&values, I16).level5(true),
    ] {
        let folder = Folder::new();
        let path = folder.write("r.mat", &file);
        let record = Record::open(&path).unwrap();
        assert_eq!(record.samples()[1000], -32768.0);
        let said: Vec<String> = record.warnings().iter().map(ToString::to_string).collect();
        assert!(
            said.iter().any(|text| text.starts_with("1 sample holds -32768")),
            "{said:?}"
        );
        folder.write("r.hea", "r 1 300 3000\nr.mat 16+24\n");
        let record = Record::open(&path).unwrap();
        assert!(record.samples()[1000].abs() <= 80.0);
        assert!(matches!(
            record.warnings(),
            [Warning::Interpolated {
                gaps: 1,
                samples: 1,
                ..
            }]
        ));
    }
}

#[test]
fn durations() {
    let of = |samples: usize| Record::from_samples("r", floats(&triangle(samples)), 300.0);
    assert_error(of(599), "r", "at least 2 s");
    assert_error(of(0), "r", "at least 2 s");
    assert_eq!(of(600).unwrap().warnings(), [Warning::Short { seconds: 2.0 }]);
    assert_eq!(of(2700).unwrap().warnings(), []);
    assert_eq!(of(18_000).unwrap().warnings(), []);
    assert_eq!(of(18_300).unwrap().warnings(), [Warning::Long { seconds: 61.0 }]);
}

#[test]
fn a_flat_line_is_a_recording_with_a_warning() {
    let record = Record::from_samples("r", vec![12.0; 9000], 300.0).unwrap();
    assert_eq!(record.warnings(), [Warning::Flat { fraction: 1.0 }]);
    assert_eq!(
        serde_json::to_string(record.warnings()).unwrap(),
        r#"["the lead is flat for 100 % of its length"]"#
    );
}

#[test]
fn a_mostly_flat_lead() {
    let mut samples = floats(&triangle(9000));
    samples[..300 * 15].iter_mut().for_each(|sample| *sample /= 101.0);
    assert_eq!(
        Record::from_samples("r", samples.clone(), 300.0).unwrap().warnings(),
        []
    );
    samples[300 * 15..300 * 16].fill(0.0);
    let record = Record::from_samples("r", samples, 300.0).unwrap();
    assert_eq!(record.warnings(), [Warning::Flat { fraction: 16.0 / 30.0 }]);
}

#[test]
fn a_clipped_lead() {
    let clip = |limit: f32| {
        floats(&triangle(9000))
            .iter()
            .map(|sample| sample.min(limit))
            .collect::<Vec<_>>()
    };
    // Per second one stay of 2·(80 − limit) + 1 samples at the limit: none lasts 6 samples (20 ms) at 78, all do at 77.
    assert_eq!(Record::from_samples("r", clip(78.0), 300.0).unwrap().warnings(), []);
    assert!(matches!(
        Record::from_samples("r", clip(77.0), 300.0).unwrap().warnings(),
        [Warning::Clipped { .. }]
    ));
    let mut once = floats(&triangle(9000));
    once[1000..1029].fill(500.0);
    assert_eq!(Record::from_samples("r", once.clone(), 300.0).unwrap().warnings(), []);
    once[1029] = 500.0;
    assert_eq!(
        Record::from_samples("r", once, 300.0).unwrap().warnings(),
        [Warning::Clipped { seconds: 0.1 }]
    );
}

#[test]
fn bytes_behind_the_announced_samples_are_worth_a_warning() {
    let folder = Folder::new();
    folder.write("r.dat", encode(16, &triangle(3001)));
    let record = Record::open(folder.write("r.hea", "r 1 300 3000\nr.dat 16\n")).unwrap();
    assert_eq!(
        (record.samples().len(), record.warnings()),
        (3000, &[Warning::Surplus { bytes: 2 }] as &[_])
    );
}

#[test]
fn a_lead_too_far_from_zero_for_float32_has_a_warning() {
    let warnings = |offset: i32, kind: u32| {
        let samples: Vec<i32> = triangle(3000).iter().map(|sample| sample + offset).collect();
        let record = wfdb(kind, "300", &samples, &OpenOptions::new()).unwrap();
        record.warnings().to_vec()
    };
    let is_rounded = |warnings: &[Warning]| {
        warnings
            .iter()
            .any(|warning| matches!(warning, Warning::Rounded { .. }))
    };
    assert!(is_rounded(&warnings(1 << 30, 32)) && is_rounded(&warnings(-(1 << 30), 32)));
    assert_eq!(warnings((1 << 23) - 200, 24), [], "whole numbers that float32 keeps");
    let volts = |offset: f64| {
        let samples: Vec<f32> = triangle(3000)
            .iter()
            .map(|sample| (f64::from(*sample) * 1e-6 + offset) as f32)
            .collect();
        Record::from_samples("r", samples, 300.0).unwrap().warnings().to_vec()
    };
    assert_eq!(volts(0.3), []);
    assert!(is_rounded(&volts(1000.0)));
}

#[test]
fn durations_are_rounded_so_that_a_warning_makes_sense() {
    let said = |warning: Warning| warning.to_string();
    assert!(said(Warning::Short { seconds: 8.99 }).starts_with("8.9 s is shorter than the 9 s"));
    assert!(said(Warning::Long { seconds: 60.01 }).starts_with("60.1 s is longer than 60 s"));
    assert!(said(Warning::Long { seconds: 61.0 }).starts_with("61.0 s"));
}

#[test]
fn a_lead_that_is_no_voltage_has_a_warning() {
    let folder = Folder::new();
    folder.write("r.dat", encode(16, &triangle(3000)));
    let record = Record::open(folder.write("r.hea", "r 1 300 3000\nr.dat 16 100/mmHg\n")).unwrap();
    let unit = "mmHg".to_owned();
    assert_eq!(
        (record.gain(), record.warnings()),
        (None, &[Warning::NoVoltage { unit }] as &[_])
    );
    assert_eq!(
        record.warnings()[0].to_string(),
        "the lead is measured in mmHg, which is no voltage"
    );
    let record = Record::open(folder.write("r.hea", "r 1 300 3000\nr.dat 16 100/\u{1b}[31m\n")).unwrap();
    assert!(!record.warnings()[0].to_string().contains('\u{1b}'));
}

#[test]
fn samples_that_standardization_would_not_bring_to_one_have_a_warning() {
    let warnings = |unit: f32| {
        let samples = floats(&triangle(3000)).iter().map(|sample| sample * unit).collect();
        Record::from_samples("r", samples, 300.0).unwrap().warnings().to_vec()
    };
    // A triangle of 150 has a standard deviation of 150 / √12 = 43.3; 100 times 1e-8 is the least.
    assert_eq!(warnings(2.4e-8), []);
    for unit in [2.2e-8, 1e-30, 1e-44] {
        assert!(
            matches!(warnings(unit)[..], [Warning::Tiny { .. }]),
            "{unit}: {:?}",
            warnings(unit)
        );
    }
    assert_eq!(
        warnings(1e-30)[0].to_string(),
        "the samples have a standard deviation of only 4.3e-29, beside which the 1e-8 that standardization adds is felt; give them in a smaller unit"
    );
    assert_eq!(warnings(1e-50), [Warning::Flat { fraction: 1.0 }], "a constant lead");
}
