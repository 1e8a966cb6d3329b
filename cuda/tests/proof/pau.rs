//! The Padé kernels on the host, held to the `f64` reference and the golden numbers.

use crate::bound::{COEFFICIENT, DERIVATIVE, Scale, VALUE, narrow, wide};
use crate::elements::{self, rounded};
use crate::program::{Build, build, family};
use crate::script::{Fault, Memory, On, Script};
use dualnet_cuda::Element;
use dualnet_cuda::pau::{Coefficients, ORDERS, Pau};
use dualnet_engine::pau::reference::{Evaluation, evaluate};
use dualnet_fixtures::{GoldenPau, stream};
use std::path::{Path, PathBuf};

/// A unit and the data it runs on, as f32 values that the element type holds exactly.
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    element: Element,
    order: (usize, usize),
    numerator: Vec<f32>,
    denominator: Vec<f32>,
    x: Vec<f32>,
    grad_y: Vec<f32>,
    /// Elements that x, y and their gradients begin after a multiple of 256 bytes.
    offset: usize,
    /// Blocks of forward, where not as many as the launcher says.
    blocks: Option<u32>,
}

/// What the kernels gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    y: Vec<f32>,
    grad_x: Vec<f32>,
    numerator: Vec<f32>,
    denominator: Vec<f32>,
}

impl Case {
    /// On the smallest order that holds the unit; data are rounded to the element type.
    pub fn new(
        name: &str,
        element: Element,
        numerator: &[f64],
        denominator: &[f64],
        x: &[f64],
        grad_y: &[f64],
    ) -> Self {
        let order = Pau::new(element, numerator.len(), denominator.len())
            .expect("a compiled order")
            .order();
        Self {
            name: name.to_owned(),
            element,
            order,
            numerator: narrow(numerator),
            denominator: narrow(denominator),
            x: x.iter().map(|&x| rounded(element, x as f32)).collect(),
            grad_y: grad_y.iter().map(|&g| rounded(element, g as f32)).collect(),
            offset: 0,
            blocks: None,
        }
    }

    /// The same on another order.
    pub fn on_order(self, m: usize, n: usize) -> Self {
        Self { order: (m, n), ..self }
    }

    /// The same at odd addresses.
    pub fn at_offset(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// The same on fewer blocks of forward, each of which takes several turns.
    pub fn on_blocks(self, blocks: u32) -> Self {
        Self {
            blocks: Some(blocks),
            ..self
        }
    }

    /// Runs forward and backward through the launchers on a host program.
    pub fn run(&self, program: &Path, seed: u64, mutation: Option<usize>) -> Result<Outcome, Fault> {
        self.run_on(On::Host {
            program,
            seed,
            mutation,
        })
    }

    /// The same anywhere.
    pub fn run_on(&self, on: On<'_>) -> Result<Outcome, Fault> {
        let count = self.x.len();
        let pau = Pau::new(self.element, self.numerator.len(), self.denominator.len())
            .and_then(|pau| pau.with_order(self.order.0, self.order.1))
            .expect("a compiled order");
        let mut script = Script::default();
        let x = self.data(&mut script, "x", &self.x);
        let grad_y = self.data(&mut script, "grad_y", &self.grad_y);
        let [y, grad_x] = ["y", "grad_x"].map(|name| {
            let whole = script.output(name, self.element.bytes(), self.offset + count);
            Memory(whole.0, self.offset)
        });
        let unit = Coefficients {
            numerator: script.input("numerator", &self.numerator),
            denominator: script.input("denominator", &self.denominator),
        };
        let partials = script.output("partials", 4, pau.partials(count as u64) as usize);
        let gradients = Coefficients {
            numerator: script.output("grad_numerator", 4, self.numerator.len()),
            denominator: script.output("grad_denominator", 4, self.denominator.len()),
        };
        let mut launches = pau.forward(x, y, unit, count as u64).expect("few elements");
        let memory = [x, grad_y, grad_x];
        if let Some(blocks) = self.blocks {
            launches[0].blocks = blocks;
        }
        launches.extend(
            pau.backward(memory, partials, unit, gradients, count as u64)
                .expect("few elements"),
        );
        for launch in &launches {
            script.launch(launch);
        }
        for memory in [y, grad_x] {
            script.unwritten(Memory(memory.0, 0), self.offset);
            script.save(memory, count);
        }
        script.save(gradients.numerator, self.numerator.len());
        script.save(gradients.denominator, self.denominator.len());
        script.run(on)?;
        Ok(Outcome {
            y: script.saved_floats("y", self.element),
            grad_x: script.saved_floats("grad_x", self.element),
            numerator: script.saved("grad_numerator"),
            denominator: script.saved("grad_denominator"),
        })
    }

    fn data(&self, script: &mut Script, name: &'static str, values: &[f32]) -> Memory {
        let values: Vec<f32> = std::iter::repeat_n(f32::NAN, self.offset)
            .chain(values.iter().copied())
            .collect();
        Memory(script.floats(name, self.element, &values).0, self.offset)
    }

    /// The documented tolerances of the CPU kernels; outputs of 16 bits are rounded once more, by half a unit in the last place.
    pub fn check(&self, got: &Outcome) -> Result<usize, String> {
        let (a, b, x, g) = (
            wide(&self.numerator),
            wide(&self.denominator),
            wide(&self.x),
            wide(&self.grad_y),
        );
        let want = evaluate(&a, &b, &x, &g);
        self.check_against(got, &want, &Scale::new(&a, &b, &x, &g), 1.0)
    }

    fn check_against(&self, got: &Outcome, want: &Evaluation, scale: &Scale, times: f64) -> Result<usize, String> {
        let unit = elements::unit(self.element);
        let smallest = match self.element {
            Element::F16 => 2f64.powi(-24),
            Element::F32 | Element::Bf16 => f64::from(f32::MIN_POSITIVE),
        };
        // Orders above the published ones have up to twice the terms.
        let times = if self.order.0 > 5 { 2.0 * times } else { times };
        let near = |what: &str, tolerance: f64, unit: f64, got: &[f32], want: &[f64], scale: &[f64]| {
            if got.len() != want.len() {
                return Err(format!("{} {what}: {} values", self.name, got.len()));
            }
            for (i, ((&got, &want), &scale)) in got.iter().zip(want).zip(scale).enumerate() {
                let allowed = times * tolerance * scale + unit * want.abs() + smallest;
                let error = (f64::from(got) - want).abs();
                // Not a number is wrong unless it is expected.
                if !(error <= allowed || got.is_nan() && want.is_nan()) {
                    return Err(format!(
                        "{} {what}[{i}]: {got:e}, expected {want:e} ± {allowed:e}",
                        self.name
                    ));
                }
            }
            Ok(got.len())
        };
        Ok(near("y", VALUE, unit, &got.y, &want.y, &scale.y)?
            + near("grad_x", DERIVATIVE, unit, &got.grad_x, &want.grad_x, &scale.grad_x)?
            + near("a", COEFFICIENT, 0.0, &got.numerator, &want.numerator, &scale.numerator)?
            + near(
                "b",
                COEFFICIENT,
                0.0,
                &got.denominator,
                &want.denominator,
                &scale.denominator,
            )?)
    }
}

/// Coefficients of any order, moderate and of both signs, and one zero where there is room.
pub fn unit(m: usize, n: usize) -> (Vec<f64>, Vec<f64>) {
    let numerator = stream(&format!("numerator {m}/{n}"), m + 1).to_vec();
    let mut denominator = stream(&format!("denominator {m}/{n}"), n).to_vec();
    denominator[1] = 0.0;
    (numerator, denominator)
}

/// `count` values in ±`size`, a zero among them.
fn values(label: &str, count: usize, size: f64) -> Vec<f64> {
    let mut values: Vec<f64> = stream(label, count).iter().map(|value| size * value).collect();
    if let Some(first) = values.first_mut() {
        *first = 0.0;
    }
    values
}

/// Few elements, and yet every path: several blocks, a tail, odd addresses, units below the order, values beyond the limit.
pub fn thorough() -> Vec<Case> {
    let (numerator, denominator) = unit(5, 4);
    // Beyond the limit, and yet with gradients of at most x³ that f32 holds.
    let mut far = values("far", 41, 3.0);
    far[5] = 3e11;
    far[11] = -7e8;
    far[12] = 1e12;
    far[40] = -2e7;
    let mut farthest = far.clone();
    farthest[12] = 1e36;
    let mut g = values("gradients", 8192 + 2051, 1.0);
    // A gradient of 0 for a value beyond the limit.
    g[11] = 0.0;
    let case = |name: &str, element, x: &[f64]| Case::new(name, element, &numerator, &denominator, x, &g[..x.len()]);
    let wide = values("x", 8192 + 2051, 4.0);
    // Values beyond the limit for the first thread of each block of forward and of backward.
    let mut blocks = wide.clone();
    (blocks[1], blocks[2049], blocks[8194]) = (3e11, 3e11, -7e8);
    let low = unit(3, 2);
    let shallow = unit(2, 4);
    vec![
        case("far", Element::F32, &farthest),
        case("odd", Element::F32, &wide[..37]).at_offset(1),
        case("odd", Element::F16, &wide[..37]).at_offset(3),
        case("tail", Element::F16, &wide[..2043]),
        case("turns", Element::F32, &wide[..5000]).on_blocks(2),
        Case::new("low", Element::F32, &low.0, &low.1, &far, &g[..41]).on_order(5, 4),
        Case::new("shallow", Element::F32, &shallow.0, &shallow.1, &far, &g[..41]).on_order(5, 4),
        case("blocks", Element::F32, &blocks),
    ]
}

fn program() -> PathBuf {
    build("pau", &family("pau"), Build::Sanitized)
}

fn passes(case: &Case, program: &Path, seed: u64) -> (Outcome, usize) {
    let outcome = case
        .run(program, seed, None)
        .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
    let compared = case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    (outcome, compared)
}

#[test]
fn the_kernels_give_the_golden_numbers() {
    let golden = GoldenPau::read();
    let program = program();
    let mut compared = 0;
    for (name, golden_case) in &golden.cases {
        let (numerator, denominator) = (&golden_case.numerator, &golden_case.denominator);
        let case = Case::new(
            name,
            Element::F32,
            numerator,
            denominator,
            &golden.x,
            &golden.grad_output,
        );
        let outcome = case
            .run(&program, 1, None)
            .unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let want = Evaluation {
            y: golden_case.y.clone(),
            grad_x: golden_case.grad_x.clone(),
            numerator: golden_case.grad_numerator.clone(),
            denominator: golden_case.grad_denominator.clone(),
        };
        let scale = Scale::new(numerator, denominator, &golden.x, &golden.grad_output);
        // Once more for the rounding of inputs and coefficients to f32, as for the CPU kernels.
        compared += case
            .check_against(&outcome, &want, &scale, 2.0)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    dualnet_fixtures::report(format_args!(
        "{compared} golden numbers compared with the CUDA PAU kernels on the host"
    ));
    assert!(compared >= 8 * 2 * 500, "{compared} numbers");
}

#[test]
fn every_path_gives_the_references_numbers() {
    let program = program();
    for case in thorough() {
        passes(&case, &program, 2);
    }
}

#[test]
fn results_do_not_depend_on_the_order_of_threads() {
    let program = program();
    for case in thorough() {
        let first = passes(&case, &program, 1).0;
        for seed in [7, 1904] {
            let other = passes(&case, &program, seed).0;
            assert_eq!(bits(&first), bits(&other), "{}, seed {seed}", case.name);
        }
    }
}

#[test]
fn what_is_not_finite_gives_not_a_number_and_harms_no_other_element() {
    let (numerator, denominator) = unit(5, 4);
    let mut x = values("x", 20, 3.0);
    (x[3], x[9], x[17]) = (f64::INFINITY, f64::NEG_INFINITY, f64::NAN);
    let g = values("gradients", 20, 1.0);
    let case = Case::new("not finite", Element::F32, &numerator, &denominator, &x, &g);
    let outcome = case.run(&program(), 5, None).expect("no fault");
    for index in 0..20 {
        let expected = [3, 9, 17].contains(&index);
        assert_eq!(outcome.y[index].is_nan(), expected, "y[{index}]");
        assert_eq!(outcome.grad_x[index].is_nan(), expected, "grad_x[{index}]");
    }
    assert!(outcome.numerator.iter().all(|sum| sum.is_nan()));
}

#[test]
fn no_elements_give_zero_gradients() {
    let (numerator, denominator) = unit(3, 3);
    let case = Case::new("empty", Element::Bf16, &numerator, &denominator, &[], &[]);
    let outcome = case.run(&program(), 1, None).expect("no fault");
    assert_eq!((outcome.numerator, outcome.denominator), (vec![0.0; 4], vec![0.0; 3]));
}

/// Every order on f32, and the order of every published fit on every type.
#[test]
fn every_order_and_type_gives_the_references_numbers() {
    let program = program();
    let mut compared = 0;
    for (m, n) in ORDERS {
        for element in Element::ALL {
            if element == Element::F32 || (m, n) == (5, 4) {
                compared += matrix_case(m, n, element, 300, &program);
            }
        }
    }
    assert!(compared > 9 * 600, "{compared}");
}

#[test]
#[ignore = "the whole matrix: `make cuda-matrix`"]
fn matrix_of_orders_types_and_sizes() {
    let program = program();
    let mut compared = 0;
    for (m, n) in ORDERS {
        for element in Element::ALL {
            for count in [1, 7, 8, 255, 2048, 2049, 8192, 20_000] {
                compared += matrix_case(m, n, element, count, &program);
            }
        }
    }
    dualnet_fixtures::report(format_args!(
        "{compared} numbers of the CUDA PAU kernels compared with the reference"
    ));
}

/// A case of any order, type and size, one element beyond the limit where the type has it.
pub fn case_of(m: usize, n: usize, element: Element, count: usize) -> Case {
    let (numerator, denominator) = unit(m, n);
    let mut x = values(&format!("x {m}/{n}"), count, 4.0);
    if element != Element::F16 && count > 100 {
        x[100] = 1e9;
    }
    let g = values("gradients", count, 1.0);
    let name = format!("{m}/{n} {} × {count}", element.name());
    Case::new(&name, element, &numerator, &denominator, &x, &g)
}

fn matrix_case(m: usize, n: usize, element: Element, count: usize, program: &Path) -> usize {
    let case = case_of(m, n, element, count);
    passes(&case, program, count as u64).1 + passes(&case.at_offset(1), program, 3).1
}

fn bits(outcome: &Outcome) -> Vec<u32> {
    let parts = [&outcome.y, &outcome.grad_x, &outcome.numerator, &outcome.denominator];
    parts.into_iter().flatten().map(|value| value.to_bits()).collect()
}
