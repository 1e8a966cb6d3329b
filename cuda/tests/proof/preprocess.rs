//! The preprocessing kernel on the host, held to `dualnet_engine::signal` on real records.

use crate::elements::unit;
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::Element;
use dualnet_cuda::preprocess::{Batch, ECG_LEN, SPECTROGRAM_LEN, preprocess};
use dualnet_engine::signal::{BINS, Inputs, MAX_SAMPLES, Preprocessor, Spectrogram};
use dualnet_fixtures::records_dir;
use std::path::PathBuf;

/// The samples of a 2017 record: int16 from byte 24 of a MATLAB level-4 file.
fn record(name: &str) -> Vec<i16> {
    let path = records_dir().join(format!("{name}.mat"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes[24..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&pair| i16::from_le_bytes(pair))
        .collect()
}

/// Runs a batch.
pub fn run(records: &[Vec<i16>], element: Element, on: On<'_>) -> Result<Vec<Inputs>, Fault> {
    let stride = records.iter().map(Vec::len).max().expect("a record") + 3;
    let mut samples = vec![i16::MIN; records.len() * stride];
    for (row, record) in samples.chunks_exact_mut(stride).zip(records) {
        row[..record.len()].copy_from_slice(record);
    }
    let lengths: Vec<i32> = records.iter().map(|record| record.len() as i32).collect();
    let mut script = Script::default();
    let batch = Batch {
        samples: script.input("samples", &samples),
        lengths: script.input("lengths", &lengths),
        ecg: script.output("ecg", element.bytes(), records.len() * ECG_LEN),
        spectrogram: script.output("spectrogram", element.bytes(), records.len() * SPECTROGRAM_LEN),
    };
    script.launch(&preprocess(element, batch, stride, &lengths).expect("records that fit"));
    script.save(batch.ecg, records.len() * ECG_LEN);
    script.save(batch.spectrogram, records.len() * SPECTROGRAM_LEN);
    script.run(on)?;
    let [ecg, spectrogram] = ["ecg", "spectrogram"].map(|name| script.saved_floats(name, element));
    let pairs = ecg.chunks_exact(ECG_LEN).zip(spectrogram.chunks_exact(SPECTROGRAM_LEN));
    Ok(pairs
        .map(|(ecg, spectrogram)| Inputs {
            ecg: ecg.to_vec(),
            spectrogram: spectrogram.to_vec(),
        })
        .collect())
}

/// The lead within three roundings of f32 (the CPU's has one), the spectrogram's magnitudes within 1e-5 as the CPU's are held to their
/// definition; 16-bit outputs are rounded once more. Padding is exactly zero.
pub fn check(records: &[Vec<i16>], element: Element, got: &[Inputs]) -> Result<usize, String> {
    let unit = unit(element);
    let mut compared = 0;
    for (index, (record, got)) in records.iter().zip(got).enumerate() {
        let lead: Vec<f32> = record.iter().map(|&sample| f32::from(sample)).collect();
        let want = Preprocessor::new()
            .inputs(&lead)
            .expect("a record that can be processed");
        for (i, (&got, &want)) in got.ecg.iter().zip(&want.ecg).enumerate() {
            let (got, want) = (f64::from(got), f64::from(want));
            if (got - want).abs().is_nan() || (got - want).abs() > (4e-7 + unit) * want.abs() {
                return Err(format!("record {index} ecg[{i}]: {got}, expected {want}"));
            }
        }
        let padding = Spectrogram::frames(record.len().min(MAX_SAMPLES)) * BINS;
        for (i, (&got, &want)) in got.spectrogram.iter().zip(&want.spectrogram).enumerate() {
            let (got, want) = (f64::from(got), f64::from(want));
            let allowed = 1e-5 + want.exp() * unit * want.abs();
            let near = (got.exp() - want.exp()).abs() <= allowed;
            if !near || i >= padding && got != 0.0 {
                return Err(format!("record {index} spectrogram[{i}]: {got}, expected {want}"));
            }
        }
        compared += got.ecg.len() + got.spectrogram.len();
    }
    Ok(compared)
}

/// A real record of 2714 samples, the shortest there can be, and one that ends within a frame.
pub fn short() -> Vec<Vec<i16>> {
    let real = record("A05493");
    let shortest = real[..33].to_vec();
    let odd = real[1000..1095].to_vec();
    vec![real, shortest, odd]
}

fn program() -> PathBuf {
    build("preprocess", &family("preprocess"), Build::Sanitized)
}

fn passes(records: &[Vec<i16>], element: Element, seed: u64) -> Vec<Inputs> {
    let program = program();
    let on = On::host(&program, seed);
    let got = run(records, element, on).unwrap_or_else(|fault| panic!("{fault:?}"));
    check(records, element, &got).unwrap_or_else(|error| panic!("{}: {error}", element.name()));
    got
}

#[test]
fn real_records_give_the_inputs_that_the_cpu_makes() {
    // More than 60 s at full scale, where sums are largest.
    let long: Vec<i16> = (0..18_100)
        .map(|i| {
            if i % 37 < 20 {
                i16::MAX - (i % 7) as i16
            } else {
                i16::MIN
            }
        })
        .collect();
    passes(&[record("A00001"), vec![7; 400], long], Element::F32, 1);
}

#[test]
fn short_records_give_the_same_in_any_order_of_threads() {
    let records = short();
    let first = passes(&records, Element::F32, 1);
    for seed in [2, 1904] {
        assert!(passes(&records, Element::F32, seed) == first, "seed {seed}");
    }
}

#[test]
fn sixteen_bit_inputs_are_the_rounded_ones() {
    for element in [Element::F16, Element::Bf16] {
        passes(&short(), element, 3);
    }
}
