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

use dualnet_export::network::Network;
use dualnet_fixtures::{data_dir, records_dir};
use dualnet_trainer::data::{Dataset, Labels, Loader, LoaderOptions, Split, physionet};
use dualnet_trainer::environment;
use dualnet_trainer::train::{DropoutUnit, EpochRecord, Records, Report, TrainOptions, Training};
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
    for (network, rate, gigabytes) in PUBLISHED {
        if is_wanted(network) {
            compare(network, rate, gigabytes);
        }
    }
    if is_wanted("preparation") {
        prepare();
    }
}

/// Runs ours and the original in turn and prints medians, spreads and ratios.
fn compare(network: &str, rate: f64, gigabytes: f64) {
    let peer = env::var_os("ECG_ORIGINAL_CODE").zip(env::var_os("ECG_PEER_PYTHON"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let program = env::current_exe().expect("the path of this program");
        ours.push(answer(Command::new(program).env(CHILD, network)));
        if let Some((code, python)) = &peer {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/original_training.py");
            let mut command = Command::new(python);
            command.arg(script).arg("--code").arg(code).args(["--network", network]);
            command.env("OMP_WAIT_POLICY", "passive");
            for (name, _) in environment::ALLOCATOR {
                command.env_remove(name);
            }
            theirs.push(answer(&mut command));
        }
    }
    println!("{network}, batch {BATCH}, {REPEATS} runs of {STEPS} steps:");
    let [records, cpu, memory] = print("ours", &ours);
    if theirs.is_empty() {
        println!(
            "  original: not measured; set ECG_ORIGINAL_CODE and ECG_PEER_PYTHON (peers/original_training.py says how)"
        );
    } else {
        let [their_records, their_cpu, their_memory] = print("original", &theirs);
        println!(
            "  ours against the original here: {:.2} times the rate, {:.2} times the records per processor second, {:.0} % of the memory",
            records / their_records,
            their_cpu / cpu,
            100.0 * memory / their_memory
        );
    }
    println!(
        "  ours against the original on two AVX-512 cores, another machine ({rate} records/s, {gigabytes} GB): {:.2} times the rate, {:.0} % of the memory",
        records / rate,
        100.0 * memory / (1e9 * gigabytes)
    );
}

/// The last line a process prints, which is JSON.
fn answer(command: &mut Command) -> Value {
    let output = command.output().expect("the process starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.trim_end().lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("{error}: {line}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Prints median and range of each figure, and returns the medians.
fn print(who: &str, runs: &[Value]) -> [f64; 3] {
    let figures = [
        ("records_per_second", "records/s", 1.0),
        ("cpu_seconds_per_record", "processor ms/record", 1e3),
        ("peak_bytes", "GB peak", 1e-9),
    ];
    let mut line = format!("  {who}:");
    let medians = figures.map(|(key, unit, factor)| {
        let mut values: Vec<f64> = runs.iter().map(|run| run[key].as_f64().expect("a number")).collect();
        values.sort_by(f64::total_cmp);
        let median = values[values.len() / 2];
        let (least, most) = (values[0], values[values.len() - 1]);
        line += &format!(
            " {:.2} ({:.2} to {:.2}) {unit};",
            factor * median,
            factor * least,
            factor * most
        );
        median
    });
    println!("{}", line.trim_end_matches(';'));
    medians
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
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let network = Network::preset(network).expect("a published network");
    let records = records(threads);
    let mut run = Training::start(network, options, &folder.path().join("run"), records).expect("a run");
    let mut clock = Clock::default();
    let result = run.run(&mut clock);
    assert!(clock.done > WARM_UP + STEPS, "stopped too early: {result:?}");
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
    fn epoch(&mut self, _: usize, _: usize, _: usize, _: usize) {}

    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        assert!(loss.is_finite());
        self.done += 1;
        match self.started {
            None if self.done > WARM_UP => self.started = Some((Instant::now(), processor_seconds())),
            Some((started, processor)) if self.done > WARM_UP + STEPS => {
                self.seconds = started.elapsed().as_secs_f64();
                self.processor = processor_seconds() - processor;
                return ControlFlow::Break(());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn validating(&mut self, _: usize, _: usize) {}

    fn finished(&mut self, _: &EpochRecord, _: Option<(f64, usize)>) {}
}

/// Augments and prepares one epoch.
fn prepare() {
    let records = records(1);
    let options = LoaderOptions {
        augmentation: TrainOptions::default().augmentation(1),
        shuffle: true,
        ..LoaderOptions::validation(BATCH, Default::default(), 1)
    };
    let (started, processor) = (Instant::now(), processor_seconds());
    let mut loader = Loader::new(records.source, &records.split.train, options).expect("a loader");
    let mut prepared = 0;
    while let Some(batch) = loader.next() {
        let batch = batch.expect("a batch");
        prepared += batch.labels.len();
        loader.recycle(batch);
    }
    println!(
        "preparation (augmentation, standardization, windows, spectrogram) of {prepared} records on one thread: {:.2} processor seconds, {:.2} s",
        processor_seconds() - processor,
        started.elapsed().as_secs_f64()
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
