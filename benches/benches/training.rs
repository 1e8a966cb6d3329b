//! Training on this machine's CPU, beside the original PyTorch code: records per second, processor seconds per record and peak
//! memory of whole steps at batch 24, and the processor time of preparing an epoch of 7000 records.
//!
//! Each network is trained in a process of its own, through the trainer's own loop (loader, augmentation, step), so that the
//! process's peak memory is that of a run. `ECG_DATA_DIR` names the full training set; without it the fixture records are
//! taken again and again. `ECG_ORIGINAL_CODE` and `ECG_PEER_PYTHON` (see `peers/original_training.py`) add the original code,
//! measured in turn with ours. Arguments choose: `dualnet-s`, `dualnet-pp-s`, `preparation`.
//!
//! The original runs as where a user starts it, without the allocator settings that this program gives itself and its children
//! ([`environment::ALLOCATOR`]): with them it is faster and takes more memory. Idle OpenMP threads sleep in both.

use dualnet_benches::{processor, publish};
use dualnet_export::network::Network;
use dualnet_fixtures::{data_dir, median, records_dir};
use dualnet_trainer::data::{Classes, Dataset, Labels, Loader, LoaderOptions, Split, physionet};
use dualnet_trainer::environment;
use dualnet_trainer::train::{DropoutUnit, Records, Report, TrainOptions, Training};
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const BATCH: usize = 24;
/// Records of the published split's training part: one epoch.
const EPOCH: usize = 7000;
/// Steps before the clock starts: the first one allocates.
const WARM_UP: usize = 1;
const STEPS: usize = 4;
const REPEATS: usize = 3;
/// Set in the processes that train.
const CHILD: &str = "ECG_TRAINING_CHILD";

/// The original code as it was published, on two x86-64 cores with AVX-512, another machine than this: records per second
/// and peak memory in GB.
const PUBLISHED: [(&str, f64, f64); 2] = [("dualnet-s", 8.4, 3.5), ("dualnet-pp-s", 3.6, 5.9)];

fn main() {
    environment::settle();
    if let Ok(network) = env::var(CHILD) {
        println!("{}", train(&network));
        return;
    }
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let networks = PUBLISHED.into_iter().filter(|(network, ..)| is_wanted(network));
    let rows: Vec<_> = networks
        .flat_map(|(network, rate, gigabytes)| compare(network, rate, gigabytes))
        .collect();
    if !rows.is_empty() {
        let threads = threads();
        let notes = format!(
            "{}, {threads} threads. Batch {BATCH}, float32, dropout of channels as in the original's released code; median and range of {REPEATS} runs of {STEPS} steps, in turn.",
            processor()
        );
        let header = [
            "network",
            "who",
            "records/s",
            "processor ms/record",
            "GB at the peak",
            "ours is so many times as fast",
            "with this share of the memory",
        ];
        publish("Training", &notes, &header, &rows);
    }
    if is_wanted("preparation") {
        prepare();
    }
}

/// Runs ours and the original in turn: a row for each, and one for the original as it was published.
fn compare(network: &str, rate: f64, gigabytes: f64) -> Vec<Vec<String>> {
    let peer = env::var_os("ECG_ORIGINAL_CODE").zip(env::var_os("ECG_PEER_PYTHON"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let program = env::current_exe().expect("the path of this program");
        ours.push(answer(Command::new(program).env(CHILD, network)));
        if let Some((code, python)) = &peer {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/original_training.py");
            let mut command = Command::new(python);
            command.arg(script).arg("--code").arg(code).args(["--network", network]);
            let options = [("--threads", threads()), ("--steps", STEPS), ("--batch", BATCH)];
            command.args(
                options
                    .iter()
                    .flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]),
            );
            command.env("OMP_WAIT_POLICY", "passive");
            for (name, _) in environment::ALLOCATOR {
                command.env_remove(name);
            }
            theirs.push(answer(&mut command));
        }
    }
    let ours = FIGURES.map(|figure| spread(&ours, figure));
    let beside = |who: &str, cells: [String; 3], records: f64, bytes: f64| {
        let rate = format!("{:.2}", ours[0].0 / records);
        let memory = format!("{:.0} %", 100.0 * ours[2].0 / bytes);
        [
            vec![network.to_owned(), who.to_owned()],
            cells.to_vec(),
            vec![rate, memory],
        ]
        .concat()
    };
    let cells = |figures: &[(f64, String); 3]| figures.clone().map(|(_, text)| text);
    let mut rows = vec![beside("ours", cells(&ours), ours[0].0, ours[2].0)];
    if theirs.is_empty() {
        println!(
            "{network}: the original is not measured; set ECG_ORIGINAL_CODE and ECG_PEER_PYTHON (peers/original_training.py says how)"
        );
    } else {
        let theirs = FIGURES.map(|figure| spread(&theirs, figure));
        rows.push(beside("original, here", cells(&theirs), theirs[0].0, theirs[2].0));
    }
    let stated = [rate.to_string(), String::new(), gigabytes.to_string()];
    rows.push(beside("original, another machine", stated, rate, 1e9 * gigabytes));
    rows
}

/// What a process says of itself, and by what it is multiplied in the table.
const FIGURES: [(&str, f64); 3] = [
    ("records_per_second", 1.0),
    ("cpu_seconds_per_record", 1e3),
    ("peak_bytes", 1e-9),
];

/// The median of a figure, and it with its range as a cell.
fn spread(runs: &[Value], (key, factor): (&str, f64)) -> (f64, String) {
    let values = || runs.iter().map(|run| run[key].as_f64().expect("a number"));
    let median = median(values());
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let cell = format!("{:.2} ({:.2} to {:.2})", factor * median, factor * least, factor * most);
    (median, cell)
}

/// The last line a process prints, which is JSON.
fn answer(command: &mut Command) -> Value {
    let output = command.output().expect("the process starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.trim_end().lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("{error}: {line}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Both compute with as many threads as there are cores.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Trains [`STEPS`] timed steps and says how fast, and what the whole process took.
fn train(network: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let options = TrainOptions {
        epochs: 1,
        batch_size: BATCH,
        // As in the original's released code.
        dropout_unit: Some(DropoutUnit::Channels),
        ..TrainOptions::default()
    };
    tch::set_num_threads(threads() as i32);
    let network = Network::preset(network).expect("a published network");
    let records = records(threads());
    let mut run = Training::start(network, options, &folder.path().join("run"), records).expect("a run");
    let mut clock = Clock::default();
    let result = run.run(&mut clock);
    assert!(clock.done == WARM_UP + STEPS, "stopped too early: {result:?}");
    json!({
        "records_per_second": (BATCH * STEPS) as f64 / clock.seconds,
        "cpu_seconds_per_record": clock.processor / (BATCH * STEPS) as f64,
        "peak_bytes": status("VmHWM:") * 1024.0,
    })
}

/// Times the batches after the first ones, and stops.
#[derive(Default)]
struct Clock {
    done: usize,
    started: Option<(Instant, f64)>,
    seconds: f64,
    processor: f64,
}

impl Report for Clock {
    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        assert!(loss.is_finite());
        self.done += 1;
        match self.started {
            None if self.done == WARM_UP => self.started = Some((Instant::now(), processor_seconds())),
            Some((started, processor)) if self.done == WARM_UP + STEPS => {
                self.seconds = started.elapsed().as_secs_f64();
                self.processor = processor_seconds() - processor;
                return ControlFlow::Break(());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Augments and prepares one epoch.
fn prepare() {
    let records = records(1);
    let options = LoaderOptions {
        augmentation: TrainOptions::default().augmentation(1),
        shuffle: true,
        ..LoaderOptions::validation(BATCH, Classes::Four, 1)
    };
    let (started, before) = (Instant::now(), processor_seconds());
    let mut loader = Loader::new(records.source, &records.split.train, options).expect("a loader");
    let mut prepared = 0;
    while let Some(batch) = loader.next() {
        let batch = batch.expect("a batch");
        prepared += batch.labels.len();
        loader.recycle(batch);
    }
    let seconds = [processor_seconds() - before, started.elapsed().as_secs_f64()];
    let notes = format!(
        "{}, one thread. Augmentation, standardization, windows, spectrograms.",
        processor()
    );
    let row = [prepared.to_string()]
        .into_iter()
        .chain(seconds.map(|seconds| format!("{seconds:.2}")));
    publish(
        "Preparation of an epoch",
        &notes,
        &["records", "processor seconds", "seconds"],
        &[row.collect()],
    );
}

/// The published split of the full set, or an epoch's worth of the fixture records.
fn records(threads: usize) -> Records {
    if env::var_os("ECG_DATA_DIR").is_some() {
        let options = TrainOptions::default();
        return Records::open(&options, &data_dir(), threads).expect("the full training set");
    }
    let fixtures = physionet::read(&records_dir(), Labels::Released).expect("the fixture records");
    let count = fixtures.recordings.len() as u32;
    let split = Split {
        name: "fixtures, repeated".to_owned(),
        train: (0..EPOCH as u32).map(|index| index % count).collect(),
        validation: vec![0],
    };
    Records::new(Arc::<Dataset>::new(fixtures), split, threads)
}

/// User and system time of this process so far, from the kernel's clock ticks.
fn processor_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux's /proc");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// A number of `/proc/self/status`.
fn status(key: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux's /proc");
    let line = text.lines().find(|line| line.starts_with(key)).expect("the key");
    let number = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    number.expect("a number")
}
