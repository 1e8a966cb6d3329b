//! All coefficient sets and orders of `golden/pau.json`.

use crate::bound::{COEFFICIENT, DERIVATIVE, Scale, VALUE, narrow, wide, within};
use dualnet_engine::pau::{Pau, initial, reference};
use dualnet_engine::simd::Isa;
use dualnet_fixtures::GoldenPau;

/// Both sides are sums of at most six `f64` terms per element: a few ulp, 1e-14 of the terms' magnitudes.
#[test]
fn the_reference_gives_the_golden_numbers() {
    let golden = GoldenPau::read();
    let mut compared = 0;
    for (name, case) in &golden.cases {
        let got = reference::evaluate(&case.numerator, &case.denominator, &golden.x, &golden.grad_output);
        let scale = Scale::new(&case.numerator, &case.denominator, &golden.x, &golden.grad_output);
        compared += within(&format!("{name} y"), 1e-14, &got.y, &case.y, &scale.y);
        compared += within(
            &format!("{name} grad_x"),
            1e-14,
            &got.grad_x,
            &case.grad_x,
            &scale.grad_x,
        );
        compared += within(
            &format!("{name} a"),
            1e-14,
            &got.numerator,
            &case.grad_numerator,
            &scale.numerator,
        );
        compared += within(
            &format!("{name} b"),
            1e-14,
            &got.denominator,
            &case.grad_denominator,
            &scale.denominator,
        );
    }
    assert!(
        golden.cases.len() >= 8 && compared >= 8 * 2 * 500,
        "{} cases, {compared} numbers",
        golden.cases.len()
    );
}

/// The documented tolerances of the `f32` kernels, and once more as much for the rounding of inputs and coefficients to `f32`.
#[test]
fn every_instruction_set_gives_the_golden_numbers() {
    let golden = GoldenPau::read();
    let (x, grad_y) = (narrow(&golden.x), narrow(&golden.grad_output));
    for isa in Isa::available() {
        for (name, case) in &golden.cases {
            let pau =
                Pau::with_isa(&narrow(&case.numerator), &narrow(&case.denominator), isa).expect("golden coefficients");
            let scale = Scale::new(&case.numerator, &case.denominator, &golden.x, &golden.grad_output);
            let (mut y, mut grad_x) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            pau.forward(&x, &mut y);
            let gradients = pau.backward(&x, &grad_y, &mut grad_x);
            let of = |what| format!("{name} {what} on {}", isa.name());
            within(&of("y"), 2.0 * VALUE, &wide(&y), &case.y, &scale.y);
            within(
                &of("grad_x"),
                2.0 * DERIVATIVE,
                &wide(&grad_x),
                &case.grad_x,
                &scale.grad_x,
            );
            within(
                &of("a"),
                2.0 * COEFFICIENT,
                &wide(&gradients.numerator),
                &case.grad_numerator,
                &scale.numerator,
            );
            within(
                &of("b"),
                2.0 * COEFFICIENT,
                &wide(&gradients.denominator),
                &case.grad_denominator,
                &scale.denominator,
            );
        }
    }
}

/// Equal up to the last digit, which reading JSON may round the other way.
#[test]
fn the_published_fits_are_the_golden_ones() {
    let golden = GoldenPau::read();
    for name in initial::NAMES {
        let case = golden
            .cases
            .get(name)
            .unwrap_or_else(|| panic!("golden/pau.json has no case {name}"));
        let (numerator, denominator) = initial::initial(name).expect("a listed name");
        within(name, 4e-16, numerator, &case.numerator, &magnitudes(numerator));
        within(name, 4e-16, denominator, &case.denominator, &magnitudes(denominator));
    }
    assert!(initial::NAMES.contains(&initial::DEFAULT));
    assert_eq!(initial::initial("tanh"), None);
}

fn magnitudes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}
