//! Every instruction set against the `f64` reference: orders, magnitudes, non-finite values, refused coefficients.

use crate::bound::{COEFFICIENT, DERIVATIVE, VALUE, expected, wide, within};
use dualnet_engine::pau::{MAX_COEFFICIENTS, Pau, PauError, initial};
use dualnet_engine::simd::{Isa, IsaError};
use dualnet_fixtures::stream;

fn values(key: &str, n: usize, scale: f64) -> Vec<f32> {
    stream(key, n).into_iter().map(|v| (v * scale) as f32).collect()
}

fn leaky_relu(isa: Isa) -> Pau {
    let (numerator, denominator) = initial::initial(initial::DEFAULT).expect("the default");
    let narrow = |values: &[f64]| -> Vec<f32> { values.iter().map(|&v| v as f32).collect() };
    Pau::with_isa(&narrow(numerator), &narrow(denominator), isa).expect("finite coefficients")
}

#[track_caller]
fn agrees_with_reference(pau: &Pau, x: &[f32], grad_y: &[f32]) {
    let (want, scale) = expected(pau.numerator(), pau.denominator(), x, grad_y);
    let (mut y, mut grad_x) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    pau.forward(x, &mut y);
    let gradients = pau.backward(x, grad_y, &mut grad_x);
    let of = |what| {
        format!(
            "{what} on {:?} of order {}/{}",
            pau.isa(),
            pau.numerator().len() - 1,
            pau.denominator().len()
        )
    };
    within(&of("y"), VALUE, &wide(&y), &want.y, &scale.y);
    within(&of("grad_x"), DERIVATIVE, &wide(&grad_x), &want.grad_x, &scale.grad_x);
    within(
        &of("a"),
        COEFFICIENT,
        &wide(&gradients.numerator),
        &want.numerator,
        &scale.numerator,
    );
    within(
        &of("b"),
        COEFFICIENT,
        &wide(&gradients.denominator),
        &want.denominator,
        &scale.denominator,
    );
}

#[test]
fn every_order() {
    let (x, grad_y) = (values("pau/x", 1000, 4.0), values("pau/g", 1000, 1.0));
    for isa in Isa::available() {
        for m in 1..=MAX_COEFFICIENTS {
            for n in 1..=MAX_COEFFICIENTS {
                let (a, b) = (values(&format!("a{m}"), m, 1.0), values(&format!("b{n}"), n, 1.0));
                agrees_with_reference(&Pau::with_isa(&a, &b, isa).expect("finite coefficients"), &x, &grad_y);
            }
        }
    }
}

/// Accurate beyond 10⁶ too: the slower path takes over before `f32` overflows.
#[test]
fn every_magnitude() {
    for isa in Isa::available() {
        for exponent in -20..=20 {
            let x = values("pau/x", 100, 10f64.powi(exponent));
            agrees_with_reference(&leaky_relu(isa), &x, &values("pau/g", 100, 1.0));
        }
    }
}

#[test]
fn finite_for_every_finite_input() {
    let x = [
        f32::MAX,
        f32::MIN,
        1e30,
        -1e30,
        f32::MIN_POSITIVE,
        1e-45,
        0.0,
        -0.0,
        1.0,
        4_194_304.0,
        4_194_305.0,
    ];
    for isa in Isa::available() {
        let pau = leaky_relu(isa);
        let (mut y, mut grad_x) = ([0.0; 11], [0.0; 11]);
        pau.forward(&x, &mut y);
        let gradients = pau.backward(&x, &[1e-3; 11], &mut grad_x);
        assert!(
            y.iter().chain(&grad_x).all(|v| v.is_finite()),
            "{isa:?}: {y:?} {grad_x:?}"
        );
        assert!(
            gradients
                .numerator
                .iter()
                .chain(&gradients.denominator)
                .all(|v| v.is_finite()),
            "{isa:?}: {gradients:?}"
        );
    }
}

#[test]
fn non_finite_inputs_give_nan_and_spare_their_neighbours() {
    for isa in Isa::available() {
        let pau = leaky_relu(isa);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = values("pau/x", 40, 3.0);
            let mut clean = vec![0.0; 40];
            pau.forward(&x, &mut clean);
            x[20] = bad;
            let (mut y, mut grad_x) = (vec![0.0; 40], vec![0.0; 40]);
            pau.forward(&x, &mut y);
            let gradients = pau.backward(&x, &[1.0; 40], &mut grad_x);
            assert!(y[20].is_nan() && grad_x[20].is_nan(), "{isa:?}");
            assert!(
                gradients.numerator[1].is_nan() && gradients.denominator[1].is_nan(),
                "{isa:?}"
            );
            for i in (0..40).filter(|&i| i != 20) {
                assert!(
                    (y[i] - clean[i]).abs() <= 1e-6 * (1.0 + clean[i].abs()) && grad_x[i].is_finite(),
                    "{isa:?} {i}"
                );
            }
        }
    }
}

/// At 0 both signs are 0: `F'(0) = a_1`, and a zero coefficient of the denominator gets no gradient.
#[test]
fn the_sign_of_zero_is_zero() {
    for isa in Isa::available() {
        let pau = Pau::with_isa(&[1.0, 0.5, 0.0, 0.0], &[3.0, 0.0, -2.0], isa).expect("finite coefficients");
        let mut grad_x = [0.0; 3];
        let gradients = pau.backward(&[0.0, -0.0, 1.0], &[1.0; 3], &mut grad_x);
        assert_eq!(grad_x[..2], [0.5, 0.5], "{isa:?}");
        assert_eq!(gradients.denominator[1], 0.0, "{isa:?}");
        assert!(gradients.denominator[2] > 0.0, "{isa:?}");
    }
}

/// 2·10⁷ equal terms: an `f32` sum would stop growing at 2²⁴.
#[test]
fn long_sums_stay_accurate() {
    const N: usize = 20_000_000;
    let (x, grad_y, mut grad_x) = (vec![1.5; N], vec![1.0; N], vec![0.0; N]);
    for isa in Isa::available() {
        let pau = leaky_relu(isa);
        let (one, _) = expected(pau.numerator(), pau.denominator(), &x[..1], &grad_y[..1]);
        let gradients = pau.backward_parallel(&x, &grad_y, &mut grad_x);
        let sums = |terms: &[f64]| terms.iter().map(|term| term * N as f64).collect::<Vec<_>>();
        let magnitudes = |terms: &[f64]| sums(terms).iter().map(|sum| sum.abs()).collect::<Vec<_>>();
        let (a, b) = (&one.numerator, &one.denominator);
        within("a", COEFFICIENT, &wide(&gradients.numerator), &sums(a), &magnitudes(a));
        within(
            "b",
            COEFFICIENT,
            &wide(&gradients.denominator),
            &sums(b),
            &magnitudes(b),
        );
    }
}

#[test]
fn refused_coefficients() {
    let count = |polynomial, count| Err(PauError::Count { polynomial, count });
    assert_eq!(Pau::new(&[], &[1.0]), count("numerator", 0));
    assert_eq!(Pau::new(&[1.0; 17], &[1.0]), count("numerator", 17));
    assert_eq!(Pau::new(&[1.0], &[]), count("denominator", 0));
    let error = Pau::new(&[1.0], &[1.0, f32::INFINITY]).expect_err("an infinite coefficient");
    assert_eq!(
        error.to_string(),
        "PAU denominator coefficient 1 is inf; coefficients must be finite"
    );
    let error = Pau::new(&[f32::NAN], &[1.0]).expect_err("a NaN coefficient");
    assert!(matches!(
        error,
        PauError::NotFinite {
            polynomial: "numerator",
            index: 0,
            ..
        }
    ));
}

#[test]
fn an_unknown_instruction_set_is_an_error_that_names_the_available_ones() {
    let Err(IsaError::Unavailable { name, available }) = Isa::named("avx1024") else {
        panic!("avx1024 is not a thing")
    };
    assert_eq!(name, "avx1024");
    assert!(available.ends_with("portable"), "{available}");
    assert_eq!(Isa::named("portable").map(Isa::name), Ok("portable"));
}

/// The choice is made once per process, so each value is tried in a child that runs this very test.
#[test]
fn the_environment_variable_forces_an_instruction_set() {
    const CHILD: &str = "PAU_TEST_PRINTS_ISA";
    if std::env::var_os(CHILD).is_some() {
        match Isa::detect() {
            Ok(isa) => println!("chosen: {}", isa.name()),
            Err(error) => println!("refused: {error}"),
        }
        return;
    }
    let chosen = |value: &str| {
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "kernels::the_environment_variable_forces_an_instruction_set",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env(Isa::VARIABLE, value)
            .output()
            .expect("this program runs");
        String::from_utf8(output.stdout).expect("text")
    };
    for isa in Isa::available() {
        assert!(
            chosen(isa.name()).contains(&format!("chosen: {}\n", isa.name())),
            "{isa:?}"
        );
    }
    assert!(chosen("").contains(&format!("chosen: {}\n", Isa::available()[0].name())));
    let refused = chosen("sse9");
    assert!(
        refused.contains("refused: instruction set `sse9` is not available here; this machine has"),
        "{refused}"
    );
}
