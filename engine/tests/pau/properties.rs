//! What must not change a result: threads, cuts, alignment, place.

use dualnet_engine::pau::{Gradients, Pau};
use dualnet_engine::simd::Isa;
use dualnet_fixtures::stream;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

const A: [f32; 6] = [0.03, 0.5, -1.6, 2.0, 0.9, 0.15];
const B: [f32; 4] = [0.1, -3.9, 0.2, 0.3];

fn values(key: &str, n: usize) -> Vec<f32> {
    stream(key, n).into_iter().map(|v| (v * 5.0) as f32).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn gradient_bits(gradients: &Gradients) -> Vec<u32> {
    bits(&[&gradients.numerator[..], &gradients.denominator[..]].concat())
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    const N: usize = 500_001;
    let (x, grad_y) = (values("x", N), values("g", N));
    for isa in Isa::available() {
        let pau = Pau::with_isa(&A, &B, isa).expect("finite coefficients");
        let (mut y, mut grad_x) = (vec![0.0; N], vec![0.0; N]);
        pau.forward(&x, &mut y);
        let serial = (
            bits(&y),
            gradient_bits(&pau.backward(&x, &grad_y, &mut grad_x)),
            bits(&grad_x),
        );
        for threads in [1, 2, 3, 7] {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a thread pool");
            let parallel = pool.install(|| {
                let (mut y, mut grad_x) = (vec![0.0; N], vec![0.0; N]);
                pau.forward_parallel(&x, &mut y);
                let gradients = pau.backward_parallel(&x, &grad_y, &mut grad_x);
                (bits(&y), gradient_bits(&gradients), bits(&grad_x))
            });
            assert!(parallel == serial, "{isa:?} with {threads} threads");
        }
    }
}

#[test]
fn every_tail_length_at_every_alignment() {
    let (x, grad_y) = (values("x", 90), values("g", 90));
    for isa in Isa::available() {
        let pau = Pau::with_isa(&A, &B, isa).expect("finite coefficients");
        let (mut all, mut all_grad_x) = (vec![0.0; 90], vec![0.0; 90]);
        pau.forward(&x, &mut all);
        pau.backward(&x, &grad_y, &mut all_grad_x);
        for n in 0..=70 {
            for start in 0..4 {
                let part = start..start + n;
                let (mut y, mut grad_x) = (vec![f32::NAN; 90], vec![f32::NAN; 90]);
                pau.forward(&x[part.clone()], &mut y[part.clone()]);
                pau.backward(&x[part.clone()], &grad_y[part.clone()], &mut grad_x[part.clone()]);
                assert_eq!(y[part.clone()], all[part.clone()], "{isa:?} {part:?}");
                assert_eq!(grad_x[part.clone()], all_grad_x[part.clone()], "{isa:?} {part:?}");
                let outside = |v: &[f32]| v[..start].iter().chain(&v[start + n..]).all(|v| v.is_nan());
                assert!(
                    outside(&y) && outside(&grad_x),
                    "{isa:?} {part:?} wrote beyond its slice"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn in_place_equals_out_of_place(x in prop::collection::vec(-1e7f32..1e7, 0..300)) {
        for isa in Isa::available() {
            let pau = Pau::with_isa(&A, &B, isa).expect("finite coefficients");
            let (mut y, mut in_place) = (vec![0.0; x.len()], x.clone());
            pau.forward(&x, &mut y);
            pau.forward_in_place(&mut in_place);
            prop_assert_eq!(bits(&y), bits(&in_place));
        }
    }

    /// A step of 2⁻¹⁰ either way: the central difference of the `f64` reference approaches the gradient it claims.
    #[test]
    fn gradients_are_the_slopes_of_the_function(x in -6.0f64..6.0, index in 0usize..11) {
        use dualnet_engine::pau::reference::evaluate;
        prop_assume!(x.abs() > 0.01);
        let step = 1.0 / 1_048_576.0;
        let (a, b): (Vec<f64>, Vec<f64>) = (A.map(f64::from).to_vec(), B.map(f64::from).to_vec());
        let at = |delta: f64| {
            let (mut a, mut b, mut x) = (a.clone(), b.clone(), x);
            match index {
                0..6 => a[index] += delta,
                6..10 => b[index - 6] += delta,
                _ => x += delta,
            }
            evaluate(&a, &b, &[x], &[1.0]).y[0]
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let claimed = evaluate(&a, &b, &[x], &[1.0]);
        let claimed = match index {
            0..6 => claimed.numerator[index],
            6..10 => claimed.denominator[index - 6],
            _ => claimed.grad_x[0],
        };
        prop_assert!((slope - claimed).abs() <= 1e-7 * (1.0 + claimed.abs()), "{slope} is not {claimed}");
    }
}
