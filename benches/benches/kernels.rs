//! The fused kernels one by one, with criterion: every step of the plans (LSTM, Transformer, residual block, axial block, head), float and
//! int8, for a record of 10, 30 and 60 s, on one thread. What is timed is the step inside a run of the whole network, so that its inputs and the
//! cache are as they are in use; rates count the multiply-adds of the graph as written for 60 s.
//!
//! `ECG_BENCH_NETWORKS` chooses networks (S and ++ S when nothing does); a word on the command line filters by name.

use criterion::{BenchmarkId, Criterion, Throughput};
use dualnet_benches::{SECONDS, golden_file, inputs, int8, networks};
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use std::time::Duration;

/// A record of 60 s.
const RECORD: &str = "A00005";

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for name in &networks("dualnet-s,dualnet-pp-s") {
        let bytes = golden_file(name);
        let float = Model::from_bytes(name, &bytes).expect("an exported file");
        steps(&mut criterion, &format!("{name}/f32"), &float);
        steps(&mut criterion, &format!("{name}/int8"), &int8(name, &bytes));
    }
    criterion.final_summary();
}

fn steps(criterion: &mut Criterion, name: &str, model: &Model) {
    let plan = Plan::of(model).expect("a recognized network");
    let mut runtime = Runtime::new(model.clone());
    let mut group = criterion.benchmark_group(name);
    for (index, step) in plan.steps().iter().enumerate() {
        group.throughput(Throughput::Elements(step.multiply_adds));
        for seconds in SECONDS {
            let inputs = inputs(RECORD, seconds * 300);
            let name = BenchmarkId::new(format!("{index} {}", step.what), format!("{seconds} s"));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|runs| {
                    let run = |_| {
                        runtime
                            .measure(&inputs.ecg, &inputs.spectrogram)
                            .expect("finite inputs")[index]
                            .elapsed
                    };
                    (0..runs).map(run).sum()
                });
            });
        }
    }
    group.finish();
}
