//! Where a network's time goes: every step of its plan for a record of 10, 30 and 60 s, float and int8, on one thread. A Markdown table for
//! `results/`: the least milliseconds over many runs, the rate of the graph as written and of the products as executed (in 10⁹ operations a
//! second, two for a multiply-add), and the latter as a share of what a loop of multiply-adds in registers reaches in the same run:
//! of floats, or of pairs of 16-bit integers for a step in int8.
//!
//! Below it, what the convolution blocks take for a record of 10 s as a share of one of 60 s. Padding that is skipped and Winograd's savings
//! count in the first rate, filled-up extents in the second; transforms, activations and softmax are time without work in both.

// Vectors must stay out of iterators, which lose the instruction set.
#![allow(clippy::needless_range_loop)]

use dualnet_benches::{NETWORKS, SECONDS, golden_file, inputs, int8, networks, publish, setting};
use dualnet_engine::Model;
use dualnet_engine::cpu::{Runtime, StepTime};
use dualnet_engine::plan::{Block, Plan, Step};
use dualnet_engine::simd::{Integer, Isa, Kernel};
use dualnet_fixtures::median;
use std::time::{Duration, Instant};

/// A record of 60 s.
const RECORD: &str = "A00005";
/// Time to spend on a network and a length.
const BUDGET: Duration = Duration::from_secs(3);

fn main() {
    // `cargo bench` passes `--bench`; anything else asks for other benchmarks by name.
    if std::env::args().skip(1).any(|argument| !argument.starts_with("--")) {
        return;
    }
    let isa = Isa::detect().expect("an instruction set");
    let mut peaks = Peaks::default();
    let (mut measured, mut shares) = (Vec::new(), Vec::new());
    for name in networks(NETWORKS) {
        let bytes = golden_file(&name);
        let float = Model::from_bytes(&name, &bytes).expect("an exported file");
        for (precision, model) in [("float", float), ("int8", int8(&name, &bytes))] {
            let network = format!("{name} {precision}");
            let lengths = SECONDS.map(|seconds| Measured::new(&network, &model, seconds, isa, &mut peaks));
            shares.push(vec![
                network,
                format!("{:.2}", lengths[0].convolutions),
                format!("{:.2}", lengths[2].convolutions),
                format!("{:.0} %", 100.0 * lengths[0].convolutions / lengths[2].convolutions),
            ]);
            measured.extend(lengths);
        }
    }
    let notes = format!(
        "{}; at most {:.0} GFLOP/s, in 16-bit integers {:.0} Gop/s",
        setting(),
        peaks.floats,
        peaks.integers
    );
    let rows: Vec<Vec<String>> = measured.iter().flat_map(|measured| measured.rows(&peaks)).collect();
    let header = ["step", "ms", "Gop/s of the graph", "Gop/s executed", "of the peak"];
    publish("Layers", &notes, &header, &rows);
    let header = ["network", "10 s, ms", "60 s, ms", "share"];
    publish("Convolution blocks, 10 s against 60 s", &setting(), &header, &shares);
}

/// 10⁹ operations a second that registers alone reach, at best.
#[derive(Default)]
struct Peaks {
    floats: f64,
    integers: f64,
}

/// A network on a record of one length.
struct Measured {
    title: String,
    steps: Vec<Step>,
    /// Least milliseconds and executed multiply-adds of every step.
    times: Vec<(f64, u64)>,
    /// Milliseconds of its residual blocks.
    convolutions: f64,
}

impl Measured {
    fn new(network: &str, model: &Model, seconds: usize, isa: Isa, peaks: &mut Peaks) -> Self {
        let plan = Plan::of(model).expect("a recognized network");
        let mut runtime = Runtime::new(model.clone());
        let inputs = inputs(RECORD, seconds * 300);
        let mut times = vec![(f64::INFINITY, 0); plan.steps().len()];
        let mut whole = Vec::new();
        let start = Instant::now();
        while start.elapsed() < BUDGET {
            peaks.floats = peaks.floats.max(isa.run(Floats));
            peaks.integers = peaks.integers.max(isa.run(Integers));
            let steps = runtime
                .measure(&inputs.ecg, &inputs.spectrogram)
                .expect("finite inputs");
            for (time, step) in times.iter_mut().zip(&steps) {
                *time = (time.0.min(milliseconds(step)), step.multiply_adds);
            }
            whole.push(steps.iter().map(milliseconds).sum::<f64>());
        }
        let first = usize::from(plan.signal.is_some());
        let residual = |block: &&Block<'_>| matches!(block, Block::Residual(_));
        let count = plan.blocks.iter().take_while(residual).count();
        let least = whole.iter().copied().fold(f64::INFINITY, f64::min);
        Self {
            title: format!("{network}, {seconds} s: {least:.2} ms, median {:.2}", median(whole)),
            steps: plan.steps().to_vec(),
            convolutions: times[first..first + count].iter().map(|time| time.0).sum(),
            times,
        }
    }

    fn rows(&self, peaks: &Peaks) -> Vec<Vec<String>> {
        let mut rows = vec![vec![format!("**{}**", self.title)]];
        rows[0].resize(5, String::new());
        for (step, (ms, executed)) in self.steps.iter().zip(&self.times) {
            let rate = |multiply_adds: u64| 2e-6 * multiply_adds as f64 / ms;
            let peak = match step.precision() {
                "int8" => peaks.integers,
                _ => peaks.floats,
            };
            rows.push(vec![
                step.what.clone(),
                format!("{ms:.3}"),
                format!("{:.1}", rate(step.multiply_adds)),
                format!("{:.1}", rate(*executed)),
                format!("{:.0} %", 100.0 * rate(*executed) / peak),
            ]);
        }
        rows
    }
}

fn milliseconds(time: &StepTime) -> f64 {
    1e3 * time.elapsed.as_secs_f64()
}

/// Sums that hide each other's latency, as many as the smallest register file holds beside the factors.
const SUMS: usize = 12;
const ROUNDS: usize = 4000;

/// Multiply-adds of floats on registers alone.
struct Floats;

impl Kernel for Floats {
    type Output = f64;

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) -> f64 {
        let (factor, term) = (simd.splat(0.99), simd.splat(0.01));
        let mut sums = [simd.splat(0.5); SUMS];
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for sum in 0..SUMS {
                sums[sum] = simd.mul_add(sums[sum], factor, term);
            }
        }
        let mut total = sums[0];
        for sum in 1..SUMS {
            total = simd.add(total, sums[sum]);
        }
        std::hint::black_box(simd.sum(total));
        2e-9 * (ROUNDS * SUMS * S::LANES) as f64 / start.elapsed().as_secs_f64()
    }
}

/// Sums of products of 16-bit pairs, one factor of each in a register, the other read from the nearest cache. Were both in registers, the
/// optimizer would multiply them once for all rounds.
struct Integers;

impl Kernel for Integers {
    type Output = f64;

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) -> f64 {
        // As many sums as the register file holds beside the factors.
        match S::REGISTERS {
            32.. => self.sums::<S, 3>(simd),
            _ => self.sums::<S, 2>(simd),
        }
    }
}

impl Integers {
    #[inline(always)]
    fn sums<S: Integer, const READ: usize>(self, simd: S) -> f64 {
        const HELD: usize = 4;
        const PASSES: usize = 64;
        let values: Vec<i16> =
            std::hint::black_box((0..64 * S::SHORTS).map(|value| (value % 251) as i16 - 125).collect());
        let mut held = [simd.splat_pair([0; 2]); HELD];
        for index in 0..HELD {
            held[index] = simd.load_shorts(&values[3 * index..]);
        }
        let mut sums = [[simd.no_sums(); READ]; HELD];
        let mut products = 0;
        let start = Instant::now();
        for _ in 0..PASSES {
            for values in values.chunks_exact(READ * S::SHORTS) {
                let mut read = [simd.splat_pair([0; 2]); READ];
                for index in 0..READ {
                    read[index] = simd.load_shorts(&values[index * S::SHORTS..]);
                }
                for h in 0..HELD {
                    for r in 0..READ {
                        sums[h][r] = simd.dot(held[h], read[r], sums[h][r]);
                    }
                }
                products += HELD * READ * S::SHORTS;
            }
        }
        let mut total = simd.splat_ints(0);
        for h in 0..HELD {
            for r in 0..READ {
                total = simd.add_ints(total, simd.total(sums[h][r]));
            }
        }
        let mut lanes = [0; 16];
        simd.store_ints(total, &mut lanes);
        std::hint::black_box(lanes);
        2e-9 * products as f64 / start.elapsed().as_secs_f64()
    }
}
