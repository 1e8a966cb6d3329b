//! Every instruction set against libtorch's LSTM in float64, whose gradients are its own.

use super::callbacks::{backward, forward};
use super::{GATES, Layer, Shape};
use dualnet_engine::simd::Isa;
use dualnet_fixtures::stream;
use tch::{Kind, Tensor};

/// Sums in float32 over at most 512 terms and 7 steps, activations within 3e-7; of the norm of what is wanted.
const TOLERANCE: f64 = 5e-6;

const GRADIENTS: [&str; 5] = ["x", "input", "recurrent", "input bias", "recurrent bias"];

fn tensor(name: &str, size: &[i64], scale: f64) -> Tensor {
    let numbers = stream(&format!("lstm {name}"), size.iter().product::<i64>() as usize);
    Tensor::from_slice(&numbers).view(size) * scale
}

struct Case {
    /// `x`, the two weights, the two biases.
    tensors: [Tensor; 5],
    grad: Tensor,
    units: i64,
}

impl Case {
    fn new([records, steps, inputs, units]: [i64; 4]) -> Self {
        let (gates, scale) = (GATES as i64 * units, (units as f64).sqrt().recip());
        Self {
            tensors: [
                tensor("x", &[records, steps, inputs], 1.0),
                tensor("input", &[gates, inputs], scale),
                tensor("recurrent", &[gates, units], 2.0 * scale),
                tensor("input bias", &[gates], 1.0),
                tensor("recurrent bias", &[gates], 1.0),
            ],
            grad: tensor("grad", &[records, steps, units], 1.0),
            units,
        }
    }

    /// Outputs and gradients of `apply` in numbers of this kind.
    fn run(&self, kind: Kind, apply: impl Fn(&[Tensor; 5]) -> Tensor) -> Vec<Tensor> {
        let leaves = self
            .tensors
            .each_ref()
            .map(|tensor| tensor.to_kind(kind).set_requires_grad(true));
        let y = apply(&leaves);
        (&y * self.grad.to_kind(kind)).sum(kind).backward();
        let mut found = vec![y.detach()];
        found.extend(leaves.iter().map(Tensor::grad));
        found
    }

    fn expected(&self) -> Vec<Tensor> {
        self.run(Kind::Double, |[x, input, recurrent, a, b]| {
            let zeros = || Tensor::zeros([1, x.size()[0], self.units], (Kind::Double, tch::Device::Cpu));
            let (y, _, _) = x.lstm(
                &[zeros(), zeros()],
                &[input, recurrent, a, b].map(Tensor::shallow_clone),
                true,
                1,
                0.0,
                true,
                false,
                true,
            );
            y
        })
    }

    fn layer(&self) -> Vec<Tensor> {
        self.run(Kind::Float, |[x, input, recurrent, a, b]| {
            let layer = Layer {
                input,
                recurrent,
                biases: [a, b],
            };
            layer.apply(x).expect("a layer")
        })
    }
}

fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
    let norm = |tensor: &Tensor| tensor.to_kind(Kind::Double).norm().double_value(&[]);
    let (difference, norm) = (norm(&(found - expected)), norm(expected));
    assert!(difference <= TOLERANCE * norm, "{what}: {difference:e} of {norm:e}");
}

/// Of records all numbers of tiles, of units panels that are full and that are not; one step, too.
const CASES: [[i64; 4]; 6] = [
    [24, 7, 20, 128],
    [1, 1, 3, 16],
    [2, 5, 16, 48],
    [5, 3, 1, 80],
    [13, 4, 8, 64],
    [7, 2, 33, 16],
];

#[test]
fn outputs_and_gradients_are_libtorchs() {
    for sizes in CASES {
        let case = Case::new(sizes);
        let (found, expected) = (case.layer(), case.expected());
        for ((found, expected), what) in found.iter().zip(&expected).zip(["y"].iter().chain(&GRADIENTS)) {
            assert_close(found, expected, &format!("{sizes:?} {what}"));
        }
    }
}

fn threads(count: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .expect("threads")
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::<f32>::try_from(tensor.to_kind(Kind::Float).contiguous().view([-1])).expect("numbers")
}

/// A case as the kernels take it.
struct Numbers {
    shape: Shape,
    recurrent: Vec<f32>,
    /// What input and biases contribute.
    contributed: Vec<f32>,
    grad: Vec<f32>,
}

impl Numbers {
    fn of(case: &Case) -> Self {
        let [x, input, recurrent, a, b] = &case.tensors;
        let [records, steps, units] = [0, 1, 2].map(|axis| case.grad.size()[axis] as usize);
        Self {
            shape: Shape { records, steps, units },
            recurrent: numbers(recurrent),
            contributed: numbers(&(x.linear(input, Some(a)) + b)),
            grad: numbers(&case.grad),
        }
    }

    /// Only record `index`.
    fn record(&self, index: usize) -> Self {
        let of = |numbers: &[f32]| {
            let length = numbers.len() / self.shape.records;
            numbers[index * length..(index + 1) * length].to_vec()
        };
        Self {
            shape: Shape {
                records: 1,
                ..self.shape
            },
            recurrent: self.recurrent.clone(),
            contributed: of(&self.contributed),
            grad: of(&self.grad),
        }
    }

    /// Gates, cells, outputs, gradients by gates; on one thread, so that all records go together.
    fn together(&self, isa: Isa) -> [Vec<f32>; 4] {
        threads(1).install(|| self.steps(isa))
    }

    /// Gates, cells, outputs, gradients by gates.
    fn steps(&self, isa: Isa) -> [Vec<f32>; 4] {
        let unwritten = || vec![f32::NAN; self.shape.states()];
        let (mut gates, mut cells, mut hidden) = (self.contributed.clone(), unwritten(), unwritten());
        forward(isa, self.shape, &self.recurrent, &mut gates, &mut cells, &mut hidden);
        let mut grad_gates = vec![f32::NAN; gates.len()];
        backward(
            isa,
            self.shape,
            &self.recurrent,
            (&gates, &cells),
            &self.grad,
            &mut grad_gates,
        );
        [gates, cells, hidden, grad_gates]
    }
}

#[test]
fn every_instruction_set_steps_alike() {
    for sizes in CASES {
        let case = Numbers::of(&Case::new(sizes));
        let expected = case.together(Isa::named("portable").expect("the portable one"));
        for isa in Isa::available() {
            for (found, expected) in case.together(isa).iter().zip(&expected) {
                let what = format!("{isa:?} {sizes:?}");
                assert_close(&Tensor::from_slice(found), &Tensor::from_slice(expected), &what);
            }
        }
    }
}

#[test]
fn threads_and_neighbours_change_no_bit() {
    let case = Numbers::of(&Case::new(CASES[0]));
    for isa in Isa::available() {
        let expected = case.together(isa);
        for count in [2, 3, 5, 7, 13, 24] {
            let found = threads(count).install(|| case.steps(isa));
            assert!(found == expected, "{isa:?}, {count} threads");
        }
        for (alone, among) in case.record(10).steps(isa).iter().zip(&expected) {
            assert!(alone[..] == among[10 * alone.len()..11 * alone.len()], "{isa:?}");
        }
    }
}

/// What no number is stays so to the end, and in its record.
#[test]
fn nan_spreads_over_later_steps_only() {
    let mut case = Numbers::of(&Case::new(CASES[0]));
    let Shape { steps, units, .. } = case.shape;
    for isa in Isa::available() {
        let [_, _, expected, _] = case.together(isa);
        let (record, step) = (10, 3);
        let at = (record * steps + step) * GATES * units;
        let kept = std::mem::replace(&mut case.contributed[at], f32::NAN);
        let [_, _, found, _] = case.together(isa);
        case.contributed[at] = kept;
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let (row, unit) = (index / units, index % units);
            let struck = row / steps == record && (row % steps > step || row % steps == step && unit == 0);
            assert!(
                if struck { found.is_nan() } else { found == expected },
                "{isa:?} row {row}, unit {unit}: {found}"
            );
        }
    }
}

/// As `lstm_stack` and the gradient of a sum hand them on: views with strides, a gradient of the last step, an expanded one.
#[test]
fn views_are_as_good_as_copies() {
    let case = Case::new([3, 4, 5, 32]);
    let turned = |tensor: &Tensor| tensor.tr().contiguous().tr();
    let plain = case.tensors.each_ref().map(|tensor| tensor.to_kind(Kind::Float));
    let [x, input, recurrent, a, b] = &plain;
    let views = [
        x.transpose(0, 1).contiguous().transpose(0, 1),
        turned(input),
        turned(recurrent),
        Tensor::stack(&[a, a], 1).select(1, 0),
        Tensor::stack(&[b, b], 1).select(1, 1),
    ];
    let run = |tensors: &[Tensor; 5], last: bool| {
        let leaves = tensors.each_ref().map(|tensor| tensor.detach().set_requires_grad(true));
        let [x, input, recurrent, a, b] = &leaves;
        let layer = Layer {
            input,
            recurrent,
            biases: [a, b],
        };
        let y = layer.apply(x).expect("a layer");
        let part = if last { y.narrow(1, 3, 1) } else { y.shallow_clone() };
        part.sum(Kind::Float).backward();
        let mut found = vec![y.detach()];
        found.extend(leaves.iter().map(Tensor::grad));
        found
    };
    for last in [false, true] {
        for (found, expected) in run(&views, last).iter().zip(&run(&plain, last)) {
            assert_close(found, expected, "a view");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case::new([2, 2, 3, 16]);
    let [x, input, recurrent, a, b] = case.tensors.each_ref().map(|tensor| tensor.to_kind(Kind::Float));
    let layer = Layer {
        input: &input,
        recurrent: &recurrent,
        biases: [&a, &b],
    };
    assert!(layer.covers(&x));
    let odd = tensor("odd", &[4 * 8, 3], 1.0).to_kind(Kind::Float);
    for refused in [
        x.to_kind(Kind::Double),
        x.view([4, 3]),
        x.narrow(0, 0, 0),
        x.narrow(2, 0, 2),
    ] {
        assert!(!layer.covers(&refused) && layer.apply(&refused).is_err(), "{refused:?}");
    }
    let scalar = odd.sum(Kind::Float);
    assert!(
        !Layer {
            input: &scalar,
            ..layer
        }
        .covers(&x)
    );
    assert!(!Layer { input: &odd, ..layer }.covers(&x));
    assert!(
        !Layer {
            recurrent: &input,
            ..layer
        }
        .covers(&x)
    );
    assert!(
        !Layer {
            biases: [&a, &odd],
            ..layer
        }
        .covers(&x)
    );
}
