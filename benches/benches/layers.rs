//! Where a network's time goes: every step of its plan for a record of 10, 30 and 60 s, on one thread. Prints a Markdown table for
//! `results/`: the least milliseconds over many runs, GFLOP/s of the graph as written and of the products as executed, and those as a share of
//! what a loop of multiply-adds in registers reaches in the same run. Below each network, what its convolution blocks take for a record of
//! 10 s as a share of one of 60 s.
//!
//! Padding that is skipped and Winograd's savings count in the first rate, filled-up extents in the second; transforms, activations and
//! softmax are time without work in both.

// Vectors must stay out of iterators, which lose the instruction set.
#![allow(clippy::needless_range_loop)]

mod common;

use common::{SECONDS, file, inputs, networks, processor};
use dualnet_engine::Model;
use dualnet_engine::cpu::{Runtime, StepTime};
use dualnet_engine::plan::{Block, Plan};
use dualnet_engine::simd::{Isa, Kernel, Simd};
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
    let mut peak = 0.0_f64;
    let mut tables = Vec::new();
    for name in networks() {
        let model = Model::from_bytes(&name, &file(&name)).expect("an exported file");
        let plan = Plan::of(&model).expect("a recognized network");
        let mut runtime = Runtime::new(model.clone());
        let first = usize::from(plan.signal.is_some());
        let convolutions = plan
            .blocks
            .iter()
            .take_while(|block| matches!(block, Block::Residual(_)))
            .count();
        let mut shares = Vec::new();
        for seconds in SECONDS {
            let inputs = inputs(RECORD, seconds * 300);
            let mut steps = vec![(f64::INFINITY, 0); plan.steps().len()];
            let mut whole = Vec::new();
            let start = Instant::now();
            while start.elapsed() < BUDGET {
                peak = peak.max(isa.run(Peak));
                let times = runtime
                    .measure(&inputs.ecg, &inputs.spectrogram)
                    .expect("finite inputs");
                for (step, time) in steps.iter_mut().zip(&times) {
                    *step = (step.0.min(milliseconds(time)), time.multiply_adds);
                }
                whole.push(times.iter().map(milliseconds).sum::<f64>());
            }
            whole.sort_by(f64::total_cmp);
            let (least, median) = (whole[0], whole[whole.len() / 2]);
            shares.push(
                steps[first..first + convolutions]
                    .iter()
                    .map(|step| step.0)
                    .sum::<f64>(),
            );
            tables.push((
                format!("{name}, {seconds} s: {least:.2} ms, median {median:.2}"),
                plan.steps().to_vec(),
                steps,
            ));
        }
        let share = 100.0 * shares[0] / shares[2];
        println!("{name}: the convolution blocks take {share:.0} % of a 60 s record's time for 10 s");
    }
    println!(
        "\n{}, {}, one thread; {peak:.0} GFLOP/s at most\n",
        processor(),
        isa.name()
    );
    println!("| step | ms | GFLOP/s of the graph | GFLOP/s executed | of the peak |\n|---|---|---|---|---|");
    for (title, steps, times) in &tables {
        println!("| **{title}** | | | | |");
        for (step, (ms, executed)) in steps.iter().zip(times) {
            let rate = |multiply_adds: u64| 2e-6 * multiply_adds as f64 / ms;
            println!(
                "| {} | {ms:.3} | {:.1} | {:.1} | {:.0} % |",
                step.what,
                rate(step.multiply_adds),
                rate(*executed),
                100.0 * rate(*executed) / peak
            );
        }
    }
}

fn milliseconds(time: &StepTime) -> f64 {
    1e3 * time.elapsed.as_secs_f64()
}

/// GFLOP/s of multiply-adds on registers alone.
struct Peak;

impl Kernel for Peak {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        /// Sums that hide each other's latency, as many as the smallest register file holds beside the factors.
        const SUMS: usize = 12;
        const ROUNDS: usize = 4000;
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
        let multiply_adds = (ROUNDS * SUMS * S::LANES) as f64;
        2e-9 * multiply_adds / start.elapsed().as_secs_f64()
    }
}
