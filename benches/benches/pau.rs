//! Throughput of the Padé activation unit on one thread: order 5/4, every instruction set, in cache and from memory.

use criterion::{BenchmarkId, Criterion, Throughput};
use dualnet_engine::pau::{Pau, initial};
use dualnet_engine::simd::Isa;
use dualnet_fixtures::stream;
use std::hint::black_box;

/// 64 KiB per array, which a core's own caches hold, and 16 MiB, which they do not.
const ELEMENTS: [usize; 2] = [1 << 14, 1 << 22];

fn main() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    forward(&mut criterion);
    backward(&mut criterion);
    criterion.final_summary();
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pau/forward");
    for elements in ELEMENTS {
        let x = values("x", elements);
        let mut y = vec![0.0; elements];
        group.throughput(Throughput::Elements(elements as u64));
        for isa in Isa::available() {
            let pau = unit(isa);
            group.bench_function(BenchmarkId::new(isa.name(), elements), |bencher| {
                bencher.iter(|| pau.forward(black_box(&x), black_box(&mut y)));
            });
        }
    }
    group.finish();
}

fn backward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pau/backward");
    for elements in ELEMENTS {
        let (x, grad_y) = (values("x", elements), values("grad_y", elements));
        let mut grad_x = vec![0.0; elements];
        group.throughput(Throughput::Elements(elements as u64));
        for isa in Isa::available() {
            let pau = unit(isa);
            group.bench_function(BenchmarkId::new(isa.name(), elements), |bencher| {
                bencher.iter(|| pau.backward(black_box(&x), black_box(&grad_y), black_box(&mut grad_x)));
            });
        }
    }
    group.finish();
}

/// The fit the published networks start from.
fn unit(isa: Isa) -> Pau {
    let (numerator, denominator) = initial::initial(initial::DEFAULT).expect("a published fit");
    let single = |coefficients: &[f64]| coefficients.iter().map(|&value| value as f32).collect::<Vec<_>>();
    Pau::with_isa(&single(numerator), &single(denominator), isa).expect("finite coefficients")
}

/// Values in [−4, 4), about those of standardized activations.
fn values(key: &str, elements: usize) -> Vec<f32> {
    let unscaled = stream(key, elements).into_iter();
    unscaled.map(|value| (4.0 * value) as f32).collect()
}
