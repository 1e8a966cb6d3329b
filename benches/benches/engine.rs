//! Whole networks: one record of 10, 30 and 60 s, one thread, batch 1, on the fused kernels, on tract, and in ONNX Runtime (a Python
//! process), all on the same exported file in the same run, and on the fused kernels for the int8 file made of it. Prints a Markdown table of medians and ratios, for `results/`.
//!
//! Weights are the golden ones; the record is a real one, cut.

mod common;

use common::{SECONDS, file, inputs, networks, processor};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{FRAMES, Inputs};
use dualnet_engine::simd::Isa;
use dualnet_export::onnx::Card;
use dualnet_export::quantize::{Recordings, quantize};
use dualnet_fixtures::{python, records_dir};
use serde_json::Value;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Two float32 runtimes on the same file.
const TOLERANCE: f64 = 1e-4;
/// The fused kernels and tract on the same int8 file: a value between two levels may go either way.
const INT8_TOLERANCE: f32 = 0.02;
/// Records that the int8 files' ranges are found on.
const CALIBRATION: usize = 4;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let records: Vec<Inputs> = SECONDS.iter().map(|seconds| inputs(seconds * 300)).collect();
    let mut rows = Vec::new();
    let mut version = String::new();
    for name in &networks() {
        let path = folder.path().join(format!("{name}.onnx"));
        let bytes = file(name);
        std::fs::write(&path, &bytes).expect("the temporary folder is writable");
        let model = Model::open(&path).expect("an exported file");
        let int8 = int8(name, &bytes);
        let work = Plan::of(&model).expect("a recognized network").multiply_adds();
        let (peer, answers) = onnx_runtime(
            &path,
            folder.path(),
            &records,
            if work > 1_000_000_000 { 5 } else { 20 },
        );
        peer["version"].as_str().unwrap_or("?").clone_into(&mut version);
        for (index, (seconds, inputs)) in SECONDS.iter().zip(&records).enumerate() {
            let mut medians = Vec::new();
            for (way, runtime) in [
                ("fused", Runtime::new(model.clone())),
                ("tract", Runtime::on_tract(model.clone())),
            ] {
                let (median, probabilities) = time(&mut criterion, (name, *seconds, way), runtime, inputs);
                for (ours, theirs) in probabilities.iter().zip(&answers[index]) {
                    assert!((f64::from(*ours) - theirs).abs() <= TOLERANCE, "{name} on {way}");
                }
                medians.push(median);
            }
            let (int8_fused, probabilities) = time(
                &mut criterion,
                (name, *seconds, "fused int8"),
                Runtime::new(int8.clone()),
                inputs,
            );
            let on_tract = Runtime::on_tract(int8.clone()).run(&inputs.ecg, &inputs.spectrogram, 1);
            for (ours, theirs) in probabilities.iter().zip(on_tract.expect("probabilities")) {
                assert!((ours - theirs).abs() <= INT8_TOLERANCE, "{name} in int8");
            }
            let (fused, tract, theirs) = (medians[0], medians[1], peer["ms"][index].as_f64().unwrap_or(f64::NAN));
            let padding = 100.0 * (1.0 - (1 + seconds * 300 / 32) as f64 / FRAMES as f64);
            rows.push(format!(
                "| {name} | {seconds} s | {padding:.0} % | {fused:.2} | {int8_fused:.2} | {tract:.1} | {theirs:.1} | {:.2} | {:.2} | {:.2} | {:.0} |",
                tract / fused,
                theirs / fused,
                theirs / int8_fused,
                2e-6 * work as f64 / fused,
            ));
        }
    }
    criterion.final_summary();
    let isa = Isa::detect().expect("an instruction set").name();
    println!(
        "\n{}, {isa}, one thread, batch 1; ONNX Runtime {version}, tract 0.23.9; medians in ms\n",
        processor()
    );
    println!(
        "| network | record | padding | fused | fused int8 | tract | ONNX Runtime | tract ÷ fused | ONNX Runtime ÷ fused | ONNX Runtime ÷ int8 | GFLOP/s* |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    println!("\n\\* of the graph as written, for 60 s: skipped padding and Winograd's savings count as done.");
}

/// The median of a run, in milliseconds, and its probabilities.
fn time(
    criterion: &mut Criterion,
    (name, seconds, way): (&str, usize, &str),
    mut runtime: Runtime,
    inputs: &Inputs,
) -> (f64, Vec<f32>) {
    let times = RefCell::new(Vec::new());
    let mut run = || runtime.run(&inputs.ecg, &inputs.spectrogram, 1).expect("probabilities");
    let probabilities = run();
    let mut group = criterion.benchmark_group(format!("engine/{name}"));
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(BenchmarkId::new(way, format!("{seconds} s")), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let start = Instant::now();
                std::hint::black_box(run());
                let elapsed = start.elapsed();
                times.borrow_mut().push(elapsed);
                total += elapsed;
            }
            total
        });
    });
    group.finish();
    let mut times = times.into_inner();
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    (1e3 * median.as_secs_f64(), probabilities)
}

/// The same network in 8 bits. It must run on the fused kernels.
fn int8(name: &str, float: &[u8]) -> Model {
    let recordings = Recordings::draw(&records_dir(), None, CALIBRATION, 0).expect("the fixture records");
    let file = quantize(Path::new(name), float, &recordings, &[], &Card::default(), |_| {});
    let model = Model::from_bytes(name, &file.expect("a file that can be quantized").bytes).expect("a model file");
    Plan::of(&model).expect("a recognized int8 network");
    model
}

/// What the Python process reports, and its probabilities.
fn onnx_runtime(model: &Path, folder: &Path, records: &[Inputs], rounds: usize) -> (Value, Vec<Vec<f64>>) {
    let raw = |name: String, values: &[f32]| -> PathBuf {
        let path = folder.join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).expect("the temporary folder is writable");
        path
    };
    let files = records.iter().enumerate().flat_map(|(index, inputs)| {
        [
            raw(format!("ecg{index}"), &inputs.ecg),
            raw(format!("spectrogram{index}"), &inputs.spectrogram),
        ]
    });
    let output = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/onnx_runtime.py"))
        .arg(model)
        .arg(rounds.to_string())
        .args(files)
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let probabilities = serde_json::from_value(answer["probabilities"].clone()).expect("rows");
    (answer, probabilities)
}
