//! Time per record, on one thread, of what happens to a lead before the network sees it, and beside it. Throughput counts its samples.

use criterion::{Criterion, Throughput};
use dualnet_engine::beats::{BeatForest, BeatReader};
use dualnet_engine::record::Record;
use dualnet_engine::signal::{Inputs, Preprocessor, SAMPLING_RATE_HZ, resample, resample_to};
use dualnet_fixtures::records_dir;
use std::hint::black_box;

/// Recordings of exactly 30 s and 60 s at 300 Hz.
const RECORDS: [(&str, &str); 2] = [("30 s", "A00001"), ("60 s", "A00005")];

const FROM_HZ: f64 = 500.0;

fn main() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    prepare(&mut criterion);
    to_300_hz(&mut criterion);
    beats(&mut criterion);
    criterion.final_summary();
}

/// Standardization, windows and spectrogram into buffers that are kept, as for every record but a program's first.
fn prepare(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signal/prepare");
    let mut preprocessor = Preprocessor::new();
    let mut inputs = Inputs::zeros();
    for (duration, name) in RECORDS {
        let samples = lead(name);
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function(duration, |bencher| {
            bencher.iter(|| {
                let Inputs { ecg, spectrogram } = black_box(&mut inputs);
                preprocessor
                    .prepare(black_box(&samples), ecg, spectrogram)
                    .expect("a lead of finite samples");
            });
        });
    }
    group.finish();
}

/// The same recordings, brought to 500 Hz beforehand.
fn to_300_hz(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signal/resample 500 to 300 Hz");
    for (duration, name) in RECORDS {
        let samples = resample_to(&lead(name), SAMPLING_RATE_HZ, FROM_HZ).expect("rates within the limits");
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function(duration, |bencher| {
            bencher.iter(|| resample(black_box(&samples), FROM_HZ).expect("a rate within the limits"));
        });
    }
    group.finish();
}

/// The beats of the same recordings, found, measured and read by the embedded forest.
fn beats(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signal/beats");
    let reader = BeatReader::new(BeatForest::embedded().expect("the embedded forest"));
    for (duration, name) in RECORDS {
        let samples = lead(name);
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function(duration, |bencher| {
            let mut probabilities = [0.25; 4];
            bencher.iter(|| reader.average_with(black_box(&samples), &mut probabilities));
        });
    }
    group.finish();
}

fn lead(name: &str) -> Vec<f32> {
    let path = records_dir().join(name).with_extension("mat");
    Record::open(path).expect("a fixture record").into_samples()
}
