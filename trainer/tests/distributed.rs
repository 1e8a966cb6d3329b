//! Several processes train one network: they equal one process, and a lost one is named.
//!
//! Tolerances: 1e-5 between runs that add up the same float32 numbers in another order, over 6 to 15 steps that begin at the
//! published rate (seen: losses 3e-8, weights and statistics 3e-6). The same order gives the same bits. Site by site those of
//! `fused.rs`.

mod common;

use common::{Program, last_checkpoint, losses, of_steps, wait_for_steps};
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::Network;
use dualnet_fixtures::{NetworkInputs, golden_weight, largest};
use dualnet_trainer::distributed::{Group, Host, Place, Reducer};
use dualnet_trainer::loss::{CLASS_WEIGHTS, weighted_cross_entropy};
use dualnet_trainer::random::Rng;
use dualnet_trainer::torch::{Dropout, Mode, Parameters, Torch};
use dualnet_trainer::train::network_of;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tch::{Kind, Tensor};

/// How long survivors may take to end.
const SURVIVAL: Duration = Duration::from_secs(30);

/// Runs `work` as both of two processes, which are threads here, and returns what they return.
fn two<T: Send>(work: impl Fn(Group) -> T + Sync) -> [T; 2] {
    let host = Host::open().expect("a store");
    let place = |rank| Place {
        rank,
        local_rank: rank,
        size: 2,
        host: "127.0.0.1".to_owned(),
        port: host.port(),
        store_is_kept: true,
        attempt: 0,
    };
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|rank| {
            let (work, place) = (&work, place(rank));
            scope.spawn(move || work(Group::join(place).expect("a group")))
        });
        threads.map(|thread| thread.join().expect("a result"))
    })
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().view([-1])).expect("values")
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    largest(a.iter().zip(b).map(|(a, b)| (a - b).abs()))
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn what_processes_exchange() {
    let [first, second] = two(|group| {
        let mut sums = [group.rank() as f64, 0.25];
        group.sum(&mut sums).expect("sums");
        let value = Tensor::from_slice(&[group.rank() as i64 + 7, 3]);
        group.broadcast(&value, 1).expect("a value");
        let column = Tensor::zeros([3, 2], (Kind::Float, tch::Device::Cpu)).select(1, 0);
        let error = group.all_reduce_sum(&column).expect_err("not dense").to_string();
        assert!(error.contains("dense"), "{error}");
        (sums, flat(&value))
    });
    assert_eq!(first, ([1.0, 0.5], vec![8.0, 3.0]));
    assert_eq!(second, first);
}

#[test]
fn whoever_leaves_is_named() {
    let [error, _] = two(|group| {
        if group.rank() == 1 {
            return String::new();
        }
        let error = group.sum(&mut [1.0]).expect_err("nobody else").to_string();
        assert_eq!(group.sum(&mut [1.0]).expect_err("still nobody").to_string(), error);
        error
    });
    assert!(error.contains("rank 1") && error.contains("--resume"), "{error}");
}

/// The sum's gradient is the sum of the gradients: of Σ_ranks (rank + 1) · (Σ x)², 2 · 3 · Σ x.
#[test]
fn a_sum_over_processes_is_differentiable() {
    let gradients = two(|group| {
        let x = Tensor::from_slice(&[group.rank() as f64 + 1.0]).set_requires_grad(true);
        let sum = group.differentiable_sum(&x).expect("a sum");
        ((group.rank() as f64 + 1.0) * sum.square())
            .sum(Kind::Double)
            .backward();
        flat(&x.grad())
    });
    assert_eq!(gradients, [vec![18.0], vec![18.0]]);
}

#[test]
fn gradients_are_summed_and_missing_ones_stay_missing() {
    let network = Network::preset("dualnet-s").expect("a preset");
    let names: Vec<String> = {
        let parameters = Parameters::initial(&network, 1).expect("initial values");
        parameters.weights().map(|(name, _)| name.to_owned()).collect()
    };
    // Every third weight has a gradient in both processes, every third in one, and every third in none.
    let gradients = two(|group| {
        let parameters = Parameters::initial(&network, 1).expect("initial values");
        let reducer = Reducer::new(&group, &parameters).expect("a reducer");
        let rank = group.rank() as f64;
        for step in 0..2 {
            for is_last in [false, true] {
                reducer.prepare(is_last).expect("prepared");
                let mut loss = Tensor::zeros([1], (Kind::Float, tch::Device::Cpu));
                for (index, (_, weight)) in parameters.weights().enumerate() {
                    let factor = index as f64 / 8.0;
                    match index % 3 {
                        0 => loss += weight.sum(Kind::Float) * (factor + rank),
                        // Only in the first part, which exchanges nothing.
                        1 if rank == 1.0 && !is_last => loss += weight.sum(Kind::Float) * factor,
                        _ => {}
                    }
                }
                loss.backward();
            }
            reducer.finish().expect("sums");
            if step == 0 {
                for (_, weight) in parameters.weights() {
                    let mut gradient = weight.grad();
                    if gradient.defined() {
                        let _ = gradient.zero_();
                    }
                }
            }
        }
        let gradients = parameters.weights().map(|(_, weight)| weight.grad());
        let gradients: Vec<Option<Vec<f64>>> = gradients
            .map(|gradient| gradient.defined().then(|| flat(&gradient)))
            .collect();
        gradients
    });
    for gradients in gradients {
        for (index, (gradient, name)) in gradients.iter().zip(&names).enumerate() {
            let factor = index as f64 / 8.0;
            let expected = match index % 3 {
                0 => Some(2.0 * (2.0 * factor + 1.0)),
                1 => Some(factor),
                _ => None,
            };
            match (gradient, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => {
                    assert!(
                        found.iter().all(|&value| value == expected),
                        "{name}: {found:?}, not {expected}"
                    );
                }
                (found, expected) => panic!("{name}: {found:?}, not {expected:?}"),
            }
        }
    }
}

/// Logits, gradients and running statistics of some of three records, whose loss is weighted by their share.
type Pass = (Vec<f64>, BTreeMap<String, Vec<f64>>, BTreeMap<String, Vec<f64>>);

fn pass(network: &Network, records: Range<usize>, group: Option<&Group>, fused: bool) -> Pass {
    let fresh = Parameters::initial(network, 7).expect("initial values");
    let parameters = Parameters::from_values(network, |parameter| {
        let values = fresh.values(&parameter.name)?;
        Ok(golden_weight("fused", &parameter.name, &parameter.shape, &values))
    })
    .expect("weights");
    let inputs = NetworkInputs::read();
    // The third record is the first one backwards: the golden inputs are two.
    let record = |values: &[f32], length: usize, record: usize| match record {
        2 => values[..length].iter().rev().copied().collect::<Vec<f32>>(),
        _ => values[record * length..(record + 1) * length].to_vec(),
    };
    let count = records.len() as i64;
    let ecg: Vec<f32> = records.clone().flat_map(|i| record(&inputs.ecg, ECG_LEN, i)).collect();
    let spectrogram: Vec<f32> = records
        .clone()
        .flat_map(|i| record(&inputs.spectrogram, SPECTROGRAM_LEN, i))
        .collect();
    let mut torch = Torch::new(&parameters, Mode::Training(Dropout::NONE)).synchronized(group);
    assert_eq!(torch.synchronizes(), group.is_some());
    if !fused {
        torch = torch.unfused();
    }
    let logits = network
        .forward(
            &mut torch,
            &Tensor::from_slice(&ecg).view([count, 80, 256]),
            &Tensor::from_slice(&spectrogram).view([count, 1, 563, 33]),
        )
        .expect("a forward pass")
        .logits;
    let labels: Vec<i64> = records.map(|record| record as i64).collect();
    let loss = weighted_cross_entropy(
        &logits,
        &Tensor::from_slice(&labels),
        &Tensor::from_slice(&CLASS_WEIGHTS),
    )
    .expect("a loss");
    (loss * (count as f64 / 3.0)).backward();
    let weights = parameters.weights();
    let gradients = weights.map(|(name, weight)| (name.to_owned(), flat(&weight.grad())));
    let statistics = parameters
        .iter()
        .filter(|(parameter, _)| parameter.name.contains("running_"));
    let statistics = statistics.map(|(parameter, tensor)| (parameter.name.clone(), flat(tensor)));
    (flat(&logits), gradients.collect(), statistics.collect())
}

/// One record in one process and two in the other against all three in one, computed by the default bodies of the composites.
#[test]
fn shared_statistics_equal_those_of_the_whole_batch() {
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let network = Network::preset(name).expect("a preset");
        let (logits, gradients, statistics) = pass(&network, 0..3, None, false);
        for fused in [true, false] {
            let [first, second] = two(|group| {
                let records = if group.rank() == 0 { 0..1 } else { 1..3 };
                pass(&network, records, Some(&group), fused)
            });
            let found = [first.0, second.0].concat();
            let difference = largest_difference(&found, &logits);
            assert!(
                difference <= 1e-5 * norm(&logits),
                "{name}, fused {fused}: logits {difference:e}"
            );
            for (key, whole) in &gradients {
                let sum: Vec<f64> = first.1[key].iter().zip(&second.1[key]).map(|(a, b)| a + b).collect();
                let differences: Vec<f64> = sum.iter().zip(whole).map(|(a, b)| a - b).collect();
                let difference = norm(&differences);
                let limit = 1e-3 * norm(whole) + 1e-6;
                assert!(
                    difference <= limit,
                    "{name}, fused {fused}: {key} {difference:e} of {:e}",
                    norm(whole)
                );
            }
            assert_eq!(first.2, second.2, "{name}, fused {fused}: the statistics of both");
            for (key, whole) in &statistics {
                for (a, b) in first.2[key].iter().zip(whole) {
                    assert!(
                        (a - b).abs() <= 1e-5 * b.abs() + 1e-6,
                        "{name}, fused {fused}: {key} {a}, not {b}"
                    );
                }
            }
        }
    }
}

const LAUNCH: [&str; 3] = ["launch", "--nproc", "2"];

/// The seed in [`PLAIN`].
const SEED: u64 = 3;

const PLAIN: [&str; 11] = [
    "train",
    "--seed",
    "3",
    "--dropout",
    "0",
    "--augmentation",
    "0",
    "--threads",
    "1",
    "--checkpoint-steps",
    "1",
];

/// Three epochs at 1, 0.75 and 0.26 of the published rate; of the step schedule, one epoch alone has a thousandth of it.
const LEARNING: [&str; 4] = ["--schedule", "cosine", "--epochs", "3"];

/// How far losses, weights and statistics of equal runs may be apart.
const TOLERANCE: f64 = 1e-5;

/// The program on some of the fixture records.
struct Few {
    program: Program,
    limit: String,
}

impl Few {
    /// Trains on these records; a split names them all, so that a limit leaves the others out.
    fn new(train: &[u32]) -> Self {
        let program = Program::new();
        let rest = (0..20).filter(|record| !train.contains(record));
        let list: Vec<String> = train
            .iter()
            .copied()
            .chain(rest)
            .map(|record| record.to_string())
            .collect();
        let split = format!("train {}\nvalidation 20 21\n", list.join(" "));
        std::fs::write(program.path("split.txt"), split).expect("a split");
        let limit = train.len().to_string();
        Self { program, limit }
    }

    /// A network without dropout and augmentation, once through the records unless `more` says otherwise, in one process or in
    /// two of `trainer launch`.
    fn arguments<'a>(&'a self, processes: usize, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let launch: &[&str] = if processes == 2 { &LAUNCH } else { &[] };
        let epochs: &[&str] = if more.contains(&"--epochs") {
            &[]
        } else {
            &["--epochs", "1"]
        };
        [launch, &PLAIN, &["--limit", &self.limit, "--run", run], epochs, more].concat()
    }

    fn train(&self, processes: usize, run: &str, more: &[&str]) {
        self.program.succeeds(&self.arguments(processes, run, more));
    }
}

/// How far the weight that moved most is from where it began.
fn moved(run: &str) -> f64 {
    let last = last_checkpoint(run);
    let network = network_of(&last).expect("a network").expect("it says which");
    let initial = Parameters::initial(&network, SEED).expect("initial values");
    let mut largest = 0.0_f64;
    for (name, _) in initial.weights() {
        let before = initial.values(name).expect("values");
        let after = last.get(name).and_then(|tensor| tensor.as_f32()).expect("a weight");
        for (before, after) in before.iter().zip(after) {
            largest = largest.max(f64::from((after - before).abs()));
        }
    }
    largest
}

/// The largest difference between the tensors of two runs whose names `counts` accepts; of numbers beyond 1, relative.
fn difference(a: &str, b: &str, counts: impl Fn(&str) -> bool) -> f64 {
    let [a, b] = [a, b].map(last_checkpoint);
    let mut apart = 0.0_f64;
    let mut compared = 0;
    for (name, tensor) in &a.tensors {
        let (Some(values), Some(others)) = (tensor.as_f32(), b.get(name).and_then(|tensor| tensor.as_f32())) else {
            continue;
        };
        if counts(name) && !name.starts_with("optimizer") {
            compared += 1;
            let differences = values.iter().zip(others).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
            apart = largest([apart, largest(differences.map(f64::from))]);
        }
    }
    assert!(compared > 10, "{compared} tensors compared");
    apart
}

/// How far the momenta of two runs are apart, in multiples of what is allowed: 1e-3 of the norm, as for gradients, and a slack for
/// those that are mathematically 0.
fn momenta_apart(a: &str, b: &str) -> f64 {
    let [a, b] = [a, b].map(last_checkpoint);
    let mut apart = 0.0_f64;
    let mut compared = 0;
    for (name, tensor) in a.tensors.iter().filter(|(name, _)| name.starts_with("optimizer.first")) {
        let values = |tensor: &dualnet_export::weights::Tensor| -> Vec<f64> {
            tensor
                .as_f32()
                .expect("float32")
                .iter()
                .map(|&value| f64::from(value))
                .collect()
        };
        let (values, others) = (values(tensor), values(b.get(name).expect("the same tensors")));
        let differences: Vec<f64> = values.iter().zip(&others).map(|(a, b)| a - b).collect();
        apart = largest([apart, norm(&differences) / (1e-3 * norm(&others) + 1e-9)]);
        compared += 1;
    }
    assert!(compared > 10, "{compared} tensors compared");
    apart
}

fn is_statistic(name: &str) -> bool {
    name.contains("running_")
}

/// The same losses, tensors and momenta after `steps` steps that did move the weights.
fn compare(a: &str, b: &str, steps: usize, counts: impl Fn(&str) -> bool) {
    let [curve, other] = [a, b].map(losses);
    assert_eq!(curve.len(), steps);
    let apart = largest_difference(&curve, &other);
    assert!(apart <= TOLERANCE, "losses {curve:?} and {other:?}");
    let apart = difference(a, b, counts);
    assert!(apart <= TOLERANCE, "tensors differ by {apart:e}");
    let apart = momenta_apart(a, b);
    assert!(apart <= 1.0, "momenta are {apart} times as far apart as they may be");
    let rate = of_steps(a, "learning_rate")[0];
    assert!((rate - 1e-3).abs() < 1e-12, "a rate of {rate:e}");
    let moved = moved(a);
    assert!(moved > 10.0 * TOLERANCE, "no weight moved by more than {moved:e}");
}

/// 19 records in batches of 4: the last step has one record in one process and two in the other.
#[test]
fn with_synchronized_statistics_two_processes_equal_one() {
    let few = Few::new(&(0..19).collect::<Vec<_>>());
    let [one, two, still, apart] = ["one", "two", "still", "apart"].map(|name| few.program.run(name));
    let plain = [&["--network", "dualnet-s", "--batch-size", "4"][..], &LEARNING].concat();
    let arguments = [&plain[..], &["--batch-norm", "synchronized"]].concat();
    few.train(1, &one, &arguments);
    few.train(2, &two, &arguments);
    compare(&one, &two, 15, |_| true);
    // The losses do see the steps: in the last epoch each is lower than that of a network that stands still.
    few.train(1, &still, &[&arguments[..], &["--learning-rate", "1e-30"]].concat());
    let (learned, unlearned) = (losses(&one), losses(&still));
    for (learned, unlearned) in learned.iter().zip(&unlearned).skip(10) {
        assert!(learned + 10.0 * TOLERANCE < *unlearned, "{learned} after {unlearned}");
    }
    // And they see statistics that are not shared.
    few.train(2, &apart, &plain);
    assert!(largest_difference(&learned, &losses(&apart)) > 10.0 * TOLERANCE);
    assert!(difference(&one, &apart, is_statistic) > 1e-3);
    assert!(momenta_apart(&one, &apart) > 100.0);
}

/// Its axial attention normalizes too. Five records in batches of 3, in two parts: 1 + 1 parts, as many as the smaller share has records.
#[test]
fn so_do_those_of_dualnet_pp() {
    let few = Few::new(&[0, 1, 2, 3, 4]);
    let [one, two] = ["one", "two"].map(|name| few.program.run(name));
    let arguments = [
        "--network",
        "dualnet-pp-s",
        "--batch-size",
        "3",
        "--batch-norm",
        "synchronized",
    ];
    let arguments = [&arguments[..], &LEARNING].concat();
    few.train(1, &one, &arguments);
    few.train(2, &two, &[&arguments[..], &["--accumulate", "2"]].concat());
    compare(&one, &two, 6, |_| true);
}

/// The halves of each batch, which one process computes one after the other.
#[test]
fn with_statistics_apart_two_processes_equal_one_that_computes_the_halves_apart() {
    let records: Vec<u32> = (0..11).collect();
    let first = Few::new(&records);
    let [one, two, undivided] = ["one", "two", "undivided"].map(|name| first.program.run(name));
    let arguments = ["--network", "dualnet-s", "--batch-size", "4"];
    let learning = [&arguments[..], &LEARNING].concat();
    first.train(1, &one, &[&learning[..], &["--accumulate", "2"]].concat());
    first.train(2, &two, &learning);
    compare(&one, &two, 9, |name| !is_statistic(name));
    // The losses do see how a batch is divided.
    first.train(1, &undivided, &learning);
    assert!(largest_difference(&losses(&two), &losses(&undivided)) > TOLERANCE);

    // After one step the running statistics are those of the first half of the batch, with nothing of the second.
    let mut order = records[..4].to_vec();
    Rng::for_epoch(SEED, 1).shuffle(&mut order);
    let (half, whole) = (Few::new(&order[..2]), Few::new(&records[..4]));
    let [first_half, both] = [half.program.run("half"), whole.program.run("whole")];
    half.train(1, &first_half, &arguments);
    whole.train(2, &both, &arguments);
    let apart = difference(&first_half, &both, is_statistic);
    assert!(apart <= TOLERANCE, "statistics differ by {apart:e}");
}

/// What a process says until it ends, which must be soon.
fn ends(child: Child) -> Output {
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output().expect("an output");
        let _ = sender.send(());
        output
    });
    if receiver.recv_timeout(SURVIVAL).is_err() {
        signal("KILL", id);
        panic!("did not end: {:?}", waiter.join());
    }
    waiter.join().expect("an output")
}

fn signal(name: &str, id: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
    assert!(sent.expect("kill").success());
}

fn spawn(mut command: Command) -> Child {
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Variables of an environment and their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Two processes without a launcher, each with its arguments; `second` is what the second one's environment has besides, or otherwise.
fn by_hand(few: &Few, arguments: [&[&str]; 2], second: Variables<'_>) -> [Child; 2] {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    drop(listener);
    [(0, &[][..]), (1, second)].map(|(rank, otherwise)| {
        let mut command = few.program.command(arguments[rank]);
        command
            .env("RANK", rank.to_string())
            .env("LOCAL_RANK", rank.to_string())
            .env("WORLD_SIZE", "2")
            .env("MASTER_ADDR", "localhost")
            .env("MASTER_PORT", &port)
            .envs(otherwise.iter().copied());
        spawn(command)
    })
}

/// Two runs of two processes: one that is done, and another just like it with its launcher, after its second step.
fn whole_and_under_way(few: &Few) -> ([String; 2], Child) {
    let [whole, pieces] = ["whole", "pieces"].map(|name| few.program.run(name));
    let arguments = ["--network", "dualnet-s", "--batch-size", "2"];
    few.train(2, &whole, &arguments);
    let mut launcher = spawn(few.program.command(&few.arguments(2, &pieces, &arguments)));
    wait_for_steps(2, Path::new(&pieces), &mut launcher);
    ([whole, pieces], launcher)
}

/// Makes sure that two runs ended with the same weights and moments, after the same losses, bit for bit.
fn assert_same_run(a: &str, b: &str) {
    assert_eq!(last_checkpoint(a).tensors, last_checkpoint(b).tensors);
    assert_eq!(losses(a), losses(b));
}

/// The process that a launcher started as this rank.
fn child_of(launcher: u32, rank: usize) -> u32 {
    let path = format!("/proc/{launcher}/task/{launcher}/children");
    let children = std::fs::read_to_string(path).expect("the children");
    let is_it = |id: &&str| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let wanted = format!("RANK={rank}");
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    };
    let id = children.split_whitespace().find(is_it).expect("the rank");
    id.parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_process_is_named_and_the_run_goes_on_with_the_same_bits() {
    let few = Few::new(&(0..12).collect::<Vec<_>>());
    let ([whole, pieces], launcher) = whole_and_under_way(&few);
    signal("KILL", child_of(launcher.id(), 1));
    let output = ends(launcher);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{message}");
    // The survivor says it, and the launcher.
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 2, "{message}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("rank 1") && line.contains("--resume")),
        "{message}"
    );

    let resume = ["train", "--resume", "--threads", "1", "--run", &pieces];
    let message = few.program.refuses(&resume);
    assert!(
        message.contains("was trained by 2 processes; go on with trainer launch --nproc 2"),
        "{message}"
    );
    few.program.succeeds(&[&LAUNCH[..], &resume].concat());
    assert_same_run(&pieces, &whole);
}

#[cfg(target_os = "linux")]
#[test]
fn processes_whose_launcher_is_killed_stop_and_the_run_goes_on_with_the_same_bits() {
    let few = Few::new(&(0..12).collect::<Vec<_>>());
    let ([whole, pieces], launcher) = whole_and_under_way(&few);
    let ranks = [0, 1].map(|rank| child_of(launcher.id(), rank));
    signal("KILL", launcher.id());
    // Its output is theirs, too: it ends with the last of them.
    let message = String::from_utf8(ends(launcher).stderr).expect("text");
    for rank in ranks {
        assert!(!Path::new(&format!("/proc/{rank}/exe")).exists(), "{rank} goes on");
    }
    assert!(message.contains("--resume"), "{message}");
    assert!(!Path::new(&pieces).join("result.json").exists());
    few.program
        .succeeds(&[&LAUNCH[..], &["train", "--resume", "--threads", "1", "--run", &pieces]].concat());
    assert_same_run(&pieces, &whole);
}

/// With synchronized statistics their number changes nothing, so that a run may go on with more of them.
#[test]
fn what_one_process_began_two_finish() {
    let few = Few::new(&(0..10).collect::<Vec<_>>());
    let [whole, pieces] = ["whole", "pieces"].map(|name| few.program.run(name));
    let plain = [
        "--network",
        "dualnet-s",
        "--batch-size",
        "4",
        "--batch-norm",
        "synchronized",
    ];
    let arguments = [&plain[..], &LEARNING].concat();
    few.train(1, &whole, &arguments);
    few.program
        .killed_at(4, &pieces, &few.arguments(1, &pieces, &arguments));
    let resume = ["train", "--resume", "--threads", "1", "--run", &pieces];
    few.program.succeeds(&[&LAUNCH[..], &resume].concat());
    compare(&whole, &pieces, 9, |_| true);
}

/// As torchrun without a store of its own starts them: rank 0 keeps it.
#[test]
fn without_a_launcher_the_store_is_lost_with_rank_0() {
    let few = Few::new(&(0..12).collect::<Vec<_>>());
    let run = few.program.run("run");
    let arguments = few.arguments(1, &run, &["--network", "dualnet-s", "--batch-size", "2"]);
    let [mut first, second] = by_hand(&few, [&arguments; 2], &[]);
    wait_for_steps(2, Path::new(&run), &mut first);
    first.kill().expect("killed");
    first.wait().expect("gone");
    let output = ends(second);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("rank 0") && message.contains("--resume"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

/// Both end, the one that differs with what differs and the first with whom it misses.
#[test]
fn processes_that_would_train_otherwise_are_refused_by_what_differs() {
    let few = Few::new(&(0..12).collect::<Vec<_>>());
    let cases: [(&[&str], Variables<'_>, &str); 4] = [
        (&["--clean-epochs", "1"], &[], "clean_epochs is 1 here and 0 there"),
        (
            &["--learning-rate", "0.1"],
            &[],
            "learning_rate is 0.1 here and 0.001 there",
        ),
        (&["--batch-size", "2"], &[], "batch_size is 2 here and 24 there"),
        (&[], &[("WORLD_SIZE", "3")], "WORLD_SIZE is 3 here and 2 in rank 0"),
    ];
    for (case, (change, environment, expected)) in cases.into_iter().enumerate() {
        let run = few.program.run(&format!("run-{case}"));
        let first = few.arguments(1, &run, &["--network", "dualnet-s"]);
        let second = [&first, change].concat();
        let processes = by_hand(&few, [&first, &second], environment);
        let messages = processes.map(|process| {
            let output = ends(process);
            let message = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
            message
        });
        assert!(
            messages[1].contains("rank 1") && messages[1].contains(expected),
            "{messages:?}"
        );
        assert!(messages[0].contains("rank 1 ended before the others"), "{messages:?}");
        assert!(!Path::new(&run).join("last.safetensors").exists());
    }
}

/// It says that it leaves, before any connection could close.
#[test]
fn whoever_fails_while_meeting_is_named() {
    let few = Few::new(&[0, 1]);
    let run = few.program.run("run");
    let arguments = few.arguments(1, &run, &["--network", "dualnet-s"]);
    let processes = by_hand(&few, [&arguments; 2], &[("GLOO_SOCKET_IFNAME", "nosuch0")]);
    let [first, second] = processes.map(|process| String::from_utf8(ends(process).stderr).expect("text"));
    assert!(first.contains("rank 1 ended before the others"), "{first}");
    assert!(second.contains("nosuch0"), "{second}");
}

#[test]
fn ctrl_c_stops_all_processes_after_a_step() {
    let few = Few::new(&(0..12).collect::<Vec<_>>());
    let run = few.program.run("run");
    let arguments = ["--network", "dualnet-s", "--batch-size", "2"];
    let mut launcher = spawn(few.program.at_a_terminal(&few.arguments(2, &run, &arguments)));
    wait_for_steps(1, Path::new(&run), &mut launcher);
    signal("INT", launcher.id());
    let output = ends(launcher);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(130), "{message}");
    // That it stops, and that it has stopped; each once.
    assert_eq!(message.lines().count(), 2, "{message}");
    assert!(message.contains("--resume"), "{message}");
    assert!(Path::new(&run).join("last.safetensors").exists());
    assert!(!Path::new(&run).join("result.json").exists());
}

/// A signal to one of them, as a job's manager may send it, is a stop of all and no failure.
#[cfg(target_os = "linux")]
#[test]
fn one_process_that_is_asked_to_stop_stops_all() {
    let few = Few::new(&(0..12).collect::<Vec<_>>());
    let run = few.program.run("run");
    let arguments = ["--network", "dualnet-s", "--batch-size", "2"];
    let mut launcher = spawn(few.program.command(&few.arguments(2, &run, &arguments)));
    wait_for_steps(1, Path::new(&run), &mut launcher);
    signal("TERM", child_of(launcher.id(), 1));
    let output = ends(launcher);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(
        message.contains("--resume") && !message.contains("ended first"),
        "{message}"
    );
}

#[test]
fn variables_that_do_not_fit_are_named() {
    let few = Few::new(&[0, 1]);
    let run = few.program.run("run");
    let arguments = few.arguments(1, &run, &["--network", "dualnet-s"]);
    let whole = [
        ("RANK", "0"),
        ("LOCAL_RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", "29500"),
    ];
    let refusal = |left_out: &str, changed: (&str, &str)| {
        let mut command = few.program.command(&arguments);
        command.envs(whole.iter().copied().filter(|&(name, _)| name != left_out));
        if !changed.0.is_empty() {
            command.env(changed.0, changed.1);
        }
        let output = command.output().expect("the program starts");
        let message = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    };
    for (name, _) in whole {
        let message = refusal(name, ("", ""));
        assert!(message.starts_with(&format!("trainer: {name} is not set")), "{message}");
    }
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for changed in [
        ("RANK", "2"),
        ("WORLD_SIZE", "two"),
        ("MASTER_PORT", "70000"),
        ("MASTER_PORT", &port),
    ] {
        let message = refusal("", changed);
        assert!(message.contains(changed.0) && message.contains(changed.1), "{message}");
    }
}

#[test]
fn data_parallel_starts_a_process_for_each_device() {
    let few = Few::new(&[0, 1]);
    let run = few.program.run("run");
    let several = ["--network", "dualnet-s", "--data-parallel", "--devices", "cpu,cpu"];
    few.train(1, &run, &several);
    let training = &last_checkpoint(&run).metadata["dualnet.training"];
    assert!(training.contains("\"processes\":2"), "{training}");
}

#[test]
fn what_cannot_be_launched_is_refused() {
    let few = Few::new(&[0, 1]);
    let message = few
        .program
        .refuses(&["launch", "--nproc", "2", "evaluate", "x.safetensors"]);
    assert!(message.contains("train"), "{message}");
    let run = few.program.run("run");
    let several = ["--network", "dualnet-s", "--data-parallel", "--devices", "cpu,cuda:1"];
    let arguments = few.arguments(1, &run, &several);
    let message = few.program.refuses(&arguments);
    assert!(message.contains("--devices"), "{message}");
    // Started already, by a launcher that knows nothing of the devices: ours, or any other.
    let several = ["--network", "dualnet-s", "--data-parallel", "--devices", "cpu,cpu"];
    let arguments = few.arguments(1, &run, &several);
    let message = few
        .program
        .refuses(&[&["launch", "--nproc", "3"], &arguments[..]].concat());
    assert!(message.contains("leave it out"), "{message}");
    let mut command = few.program.command(&arguments);
    command.envs([
        ("RANK", "0"),
        ("LOCAL_RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("LOCAL_WORLD_SIZE", "2"),
    ]);
    command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")]);
    let message = String::from_utf8(command.output().expect("the program starts").stderr).expect("text");
    assert!(message.contains("leave it out"), "{message}");
    let output = few
        .program
        .output(&["launch", "--nproc", "2", "train", "--no-such-flag"]);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(message.matches("--no-such-flag").count(), 1, "{message}");
    assert_eq!(output.status.code(), Some(2));
}
