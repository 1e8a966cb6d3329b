//! Whole networks, one record at a time on one thread: our kernels and their peers on the same exported file, taking turns, so that
//! whatever else the machine does meets all of them alike. Prints a table of times and ratios for `results/`.
//!
//! A turn is two runs. The first finds the caches as the peers left them, like a record that comes alone; the second as it left them itself,
//! like one of many records.
//!
//! Ours: the fused kernels on the float file and on the int8 file that `export quantize` makes of it. Peers: tract; ONNX Runtime on the file, on its own int8 quantization of it, and on the file with Relu for every Padé activation. Weights are
//! the golden ones; the records are three real ones of a minute, cut and rotated. `ECG_BENCH_NETWORKS` chooses networks, `ECG_BENCH_ROUNDS` how
//! often each peer has its turn.

use dualnet_benches::{
    NETWORKS, OnnxRuntime, SECONDS, golden_file, inputs, int8, networks, publish, setting, spread, write_inputs,
};
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{FRAMES, Inputs};
use std::time::Instant;

const RECORDS: [&str; 3] = ["A00005", "A00051", "A05736"];
/// Two float32 runtimes on the same file.
const TOLERANCE: f32 = 1e-4;
/// The fused kernels and tract on the same int8 file: a value between two levels may go either way.
const INT8_TOLERANCE: f32 = 0.02;

fn main() {
    let rounds: usize = std::env::var("ECG_BENCH_ROUNDS")
        .unwrap_or_else(|_| "15".to_owned())
        .parse()
        .expect("a number of rounds");
    let mut rows = Vec::new();
    let mut version = String::new();
    for name in &networks(NETWORKS) {
        rows.extend(network(name, rounds, &mut version));
    }
    let notes = format!(
        "{}; ONNX Runtime {version}, tract 0.23.9. Least milliseconds of {rounds} turns over {} records, one record after the other; a ratio \
         is the median over the turns of ONNX Runtime's float time to this one, in brackets its quartiles, \"alone\" for the first run after the peers' turns. Padding is the share of the spectrogram's frames behind the record. GFLOP/s count the graph as \
         written for 60 s: skipped padding and Winograd's savings count as done. The last column is how far probabilities of ONNX Runtime's own int8 are from its \
         float's at most.",
        setting(),
        RECORDS.len()
    );
    let header = [
        "network",
        "record",
        "padding",
        "fused",
        "fused int8",
        "tract",
        "ORT float",
        "ORT int8",
        "ORT ReLU",
        "fused ×",
        "fused int8 ×",
        "tract ×",
        "ORT int8 ×",
        "ORT ReLU ×",
        "fused alone ×",
        "fused int8 alone ×",
        "GFLOP/s",
        "ORT int8 off by",
    ];
    publish("Whole networks", &notes, &header, &rows);
}

/// The rows of one network.
fn network(name: &str, rounds: usize, version: &mut String) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.onnx");
    let bytes = golden_file(name);
    std::fs::write(&path, &bytes).expect("the temporary folder is writable");
    let model = Model::open(&path).expect("an exported file");
    let int8 = int8(name, &bytes);
    let work = Plan::of(&model).expect("a recognized network").multiply_adds();
    let cuts: Vec<Inputs> = SECONDS
        .iter()
        .flat_map(|seconds| RECORDS.map(|record| inputs(record, seconds * 300)))
        .collect();
    write_inputs(folder.path(), &cuts);
    let mut peer = OnnxRuntime::start(&path, folder.path(), cuts.len());
    peer.version.clone_into(version);
    for inputs in &cuts {
        agree(name, &int8, inputs);
    }
    let mut ours = [
        Runtime::new(model.clone()),
        Runtime::new(int8),
        Runtime::on_tract(model),
    ];
    SECONDS
        .iter()
        .enumerate()
        .map(|(length, seconds)| {
            let first = length * RECORDS.len();
            let records = &cuts[first..][..RECORDS.len()];
            let times = take_turns(name, records, rounds, &mut ours, &mut peer);
            let padding = 100.0 * (1.0 - (1 + seconds * 300 / 32).min(FRAMES) as f64 / FRAMES as f64);
            let least = |times: &Vec<f64>| times.iter().copied().fold(f64::INFINITY, f64::min);
            let ratio = |times: &Vec<f64>, float: &Vec<f64>| {
                spread(
                    &float
                        .iter()
                        .zip(times)
                        .map(|(float, time)| float / time)
                        .collect::<Vec<_>>(),
                )
            };
            let Times {
                alone,
                many,
                int8_apart,
            } = &times;
            let [fused, integer, tract, float, int8, relu] = many;
            let mut row = vec![name.to_owned(), format!("{seconds} s"), format!("{padding:.0} %")];
            row.extend(many.iter().map(|times| format!("{:.2}", least(times))));
            row.extend([fused, integer, tract, int8, relu].map(|times| ratio(times, float)));
            row.extend([&alone[0], &alone[1]].map(|times| ratio(times, &alone[FLOAT])));
            row.extend([
                format!("{:.0}", 2e-6 * work as f64 / least(fused)),
                format!("{int8_apart:.2}"),
            ]);
            println!("{}", row.join("  "));
            row
        })
        .collect()
}

/// Where [`Times`] has ONNX Runtime on the float file, behind our runtimes.
const FLOAT: usize = 3;

/// Milliseconds of every turn, of our runtimes and of the peer's sessions.
#[derive(Default)]
struct Times {
    /// Of the first runs.
    alone: [Vec<f64>; 6],
    /// Of the second ones.
    many: [Vec<f64>; 6],
    /// How far ONNX Runtime's own int8 was from its float at most, in probability.
    int8_apart: f32,
}

/// Turns after one that is not counted. The answers to the float file are held to each other; ours in int8 are held to tract's before ([`agree`]).
fn take_turns(
    name: &str,
    records: &[Inputs],
    rounds: usize,
    ours: &mut [Runtime; FLOAT],
    peer: &mut OnnxRuntime,
) -> Times {
    let mut times = Times::default();
    for round in 0..=rounds {
        let inputs = &records[round % records.len()];
        let Inputs { ecg, spectrogram } = inputs;
        let mut answers = Vec::new();
        for slot in 0..FLOAT + OnnxRuntime::SESSIONS.len() {
            let mut run = || match ours.get_mut(slot) {
                Some(runtime) => {
                    let start = Instant::now();
                    let row = std::hint::black_box(runtime.run(ecg, spectrogram, 1).expect("probabilities"));
                    (1e3 * start.elapsed().as_secs_f64(), row)
                }
                None => peer.run(slot - FLOAT, inputs),
            };
            let (alone, (many, row)) = (run().0, run());
            if round > 0 {
                times.alone[slot].push(alone);
                times.many[slot].push(many);
            }
            answers.push(row);
        }
        let float = &answers[FLOAT];
        for row in [&answers[0], &answers[2]] {
            let close = row.iter().zip(float).all(|(a, b)| (a - b).abs() <= TOLERANCE);
            assert!(close, "{name}: {row:?}, ONNX Runtime {float:?}");
        }
        let apart = float.iter().zip(&answers[FLOAT + 1]).map(|(a, b)| (a - b).abs());
        times.int8_apart = apart.fold(times.int8_apart, f32::max);
    }
    times
}

/// Holds the fused kernels to tract on the int8 file.
fn agree(name: &str, int8: &Model, inputs: &Inputs) {
    let run = |mut runtime: Runtime| {
        let row = runtime.run(&inputs.ecg, &inputs.spectrogram, 1);
        row.expect("probabilities")
    };
    let (ours, tract) = (run(Runtime::new(int8.clone())), run(Runtime::on_tract(int8.clone())));
    let close = ours.iter().zip(&tract).all(|(a, b)| (a - b).abs() <= INT8_TOLERANCE);
    assert!(close, "{name} in int8: {ours:?}, tract {tract:?}");
}
