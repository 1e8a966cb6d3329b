//! The Padé activation as an autograd operation, against the published values and gradients of every coefficient set.

use dualnet_fixtures::{GoldenPau, report};
use dualnet_trainer::pau::pau;
use tch::{Kind, Tensor};

/// Relative to the largest value: float32 inputs and coefficients against float64 ones, and sums whose terms cancel.
const VALUE: f64 = 5e-6;
const GRADIENT: f64 = 5e-5;

fn check(what: &str, found: &Tensor, golden: &[f64], tolerance: f64) -> usize {
    let found = Vec::<f64>::try_from(found.detach().to_kind(Kind::Double).contiguous().view([-1])).expect("values");
    assert_eq!(found.len(), golden.len(), "{what}");
    let largest = golden.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (i, (found, golden)) in found.iter().zip(golden).enumerate() {
        assert!(
            (found - golden).abs() <= tolerance * largest,
            "{what}[{i}]: {found} is not {golden}"
        );
    }
    found.len()
}

#[test]
fn golden_pau_values_and_gradients() {
    let golden = GoldenPau::read();
    let mut compared = 0;
    for (name, case) in &golden.cases {
        // The first derivative of |b| at 0 and steep fits make float32 coefficients matter: compare on the fits float32 can hold.
        let leaf = |values: &[f64]| Tensor::from_slice(values).to_kind(Kind::Float).set_requires_grad(true);
        let (x, numerator, denominator) = (leaf(&golden.x), leaf(&case.numerator), leaf(&case.denominator));
        let y = pau(&x, &numerator, &denominator).expect("the unit");
        let grad_y = Tensor::from_slice(&golden.grad_output).to_kind(Kind::Float);
        (&y * &grad_y).sum(Kind::Float).backward();
        compared += check(&format!("{name} y"), &y, &case.y, VALUE);
        compared += check(&format!("{name} grad_x"), &x.grad(), &case.grad_x, GRADIENT);
        compared += check(
            &format!("{name} grad_numerator"),
            &numerator.grad(),
            &case.grad_numerator,
            GRADIENT,
        );
        compared += check(
            &format!("{name} grad_denominator"),
            &denominator.grad(),
            &case.grad_denominator,
            GRADIENT,
        );
    }
    report(format_args!(
        "golden pau on libtorch: {compared} numbers compared in {} sets",
        golden.cases.len()
    ));
    assert!(golden.cases.len() >= 8 && compared >= 8 * 2 * golden.x.len());
}

#[test]
fn any_memory_order_gives_the_same_numbers() {
    tch::manual_seed(3);
    let x = Tensor::randn([2, 5, 7, 3], (Kind::Float, tch::Device::Cpu));
    let numerator = Tensor::from_slice(&[0.1_f32, 0.5, 0.3]);
    let denominator = Tensor::from_slice(&[0.2_f32, 0.4]);
    let apply = |x: &Tensor| pau(x, &numerator, &denominator).expect("the unit");
    let plain = apply(&x);
    let last = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    assert!(apply(&last).equal(&plain));
    let strided = Tensor::cat(&[&x, &x], 3).narrow(3, 1, 3);
    assert!(apply(&strided).equal(&apply(&strided.contiguous())));
}

/// libtorch's empty tensors have a null pointer, which is no valid start of a slice.
#[test]
fn no_elements_are_possible() {
    let x = Tensor::zeros([0, 4], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
    let numerator = Tensor::from_slice(&[0.1_f32, 0.5]).set_requires_grad(true);
    let denominator = Tensor::from_slice(&[0.2_f32]);
    let y = pau(&x, &numerator, &denominator).expect("the unit");
    assert_eq!(y.size(), [0, 4]);
    y.sum(Kind::Float).backward();
    assert_eq!(numerator.grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
    assert!(pau(&y, &numerator, &Tensor::zeros([0], (Kind::Float, tch::Device::Cpu))).is_err());
}
