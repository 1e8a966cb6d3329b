//! Axial attention on the host, held to its definition in `f64`, rounded where the kernels round.

use crate::elements::{rounded, unit};
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::axial::{self, Arithmetic, Axial, Axis, Parameters, Rounding, Shape};
use dualnet_cuda::{Element, Quantization};
use dualnet_fixtures::stream;
use std::path::{Path, PathBuf};

/// An attention, and the map it runs on.
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    arithmetic: Arithmetic,
    shape: Shape,
    records: usize,
    /// `[records, height, width, groups · 2gc]`, values that the element type holds.
    projected: Vec<f32>,
    embeddings: Vec<f32>,
    similarity: [Vec<f32>; 3],
    position: Vec<f32>,
}

/// What is expected, and how far from it a result may be.
struct Expected {
    value: f64,
    allowed: f64,
}

const fn by(scale: f32, zero_point: i8) -> Quantization {
    Quantization { scale, zero_point }
}

/// Every rounding different; that of the softmax as a calibrated file has it.
const ROUNDING: Rounding = Rounding {
    queries: [by(0.0081, 3), by(0.0093, 0)],
    keys: [by(0.0077, -7), by(0.0089, 2)],
    maps: [by(0.0131, 5), by(0.0127, -4)],
    values: [by(1.0 / 255.0, -128), by(0.0084, 9)],
    positions: [by(1.0 / 255.0, -128), by(0.0091, -1)],
};

impl Case {
    /// With numbers drawn by its name.
    pub fn new(name: &str, arithmetic: Arithmetic, shape: Shape, records: usize) -> Self {
        let draw = |what: &str, count: usize| -> Vec<f32> {
            let values = stream(&format!("{name}/{what}"), count);
            values.into_iter().map(|value| value as f32).collect()
        };
        let (groups, gc, span) = (shape.groups, shape.group_channels, shape.span());
        let near = |what: &str, count: usize, middle: f32| draw(what, count).iter().map(|v| middle + 0.4 * v).collect();
        let projected = draw("projected", records * shape.height * shape.width * groups * 2 * gc);
        let element = match arithmetic {
            Arithmetic::Float(element) => element,
            Arithmetic::Integer { .. } => Element::F32,
        };
        Self {
            name: name.to_owned(),
            arithmetic,
            shape,
            records,
            projected: projected.iter().map(|&x| rounded(element, x)).collect(),
            embeddings: draw("embeddings", 2 * gc * (2 * span - 1)),
            similarity: [
                // Terms of about the same size.
                near("α", groups, 1.5 / (1.0 + (span * gc) as f32).sqrt()),
                near("β", groups, 1.0),
                near("γ", groups, -0.9),
            ],
            position: near("position", groups * gc, 1.1),
        }
    }

    /// With scores so far apart that a softmax overflows unless it begins with the largest.
    fn sharper(mut self) -> Self {
        self.similarity[1].iter_mut().for_each(|factor| *factor *= 200.0);
        self
    }

    fn kernels(&self) -> Axial {
        Axial::new(self.arithmetic, self.shape).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The output, as f32: of bytes their numbers.
    pub fn run(&self, on: On<'_>) -> Result<Vec<f32>, Fault> {
        let kernels = self.kernels();
        let packed = kernels
            .pack(Parameters {
                embeddings: &self.embeddings,
                similarity: [&self.similarity[0], &self.similarity[1], &self.similarity[2]],
                position: &self.position,
            })
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut script = Script::default();
        let (element, output_bytes) = match self.arithmetic {
            Arithmetic::Float(element) => (element, element.bytes()),
            Arithmetic::Integer { output: None, .. } => (Element::F32, 4),
            Arithmetic::Integer { .. } => (Element::F32, 1),
        };
        let memory = axial::Memory {
            projected: script.floats("projected", element, &self.projected),
            embeddings: script.bytes("embeddings", kernels.operand().bytes(), packed.embeddings),
            factors: script.input("factors", &packed.factors),
            output: script.output("output", output_bytes, self.projected.len() / 2),
        };
        script.launch(&kernels.launch(memory, self.records).expect("few records"));
        script.save(memory.output, self.projected.len() / 2);
        script.run(on)?;
        Ok(match output_bytes {
            1 => script.saved::<i8>("output").into_iter().map(f32::from).collect(),
            _ => script.saved_floats("output", element),
        })
    }

    /// Compares every value.
    pub fn check(&self, got: &[f32]) -> Result<usize, String> {
        let output = match self.arithmetic {
            Arithmetic::Integer { output, .. } => output,
            Arithmetic::Float(_) => None,
        };
        let expected = self.expected();
        if got.len() != expected.len() {
            return Err(format!("{}: {} values", self.name, got.len()));
        }
        for (i, (&got, Expected { value, allowed })) in got.iter().zip(&expected).enumerate() {
            let (low, high) = match output {
                None => (value - allowed, value + allowed),
                Some(by) => (
                    quantized(by, value - allowed) + f64::from(by.zero_point),
                    quantized(by, value + allowed) + f64::from(by.zero_point),
                ),
            };
            // Not a number is wrong.
            if !(low..=high).contains(&f64::from(got)) {
                return Err(format!(
                    "{} [{i}]: {got:e}, expected {value:e} ± {allowed:e}",
                    self.name
                ));
            }
        }
        Ok(expected.len())
    }

    fn expected(&self) -> Vec<Expected> {
        let Shape {
            axis,
            height,
            width,
            groups,
            group_channels: gc,
        } = self.shape;
        let mut out: Vec<Expected> = (0..self.projected.len() / 2)
            .map(|_| Expected {
                value: f64::NAN,
                allowed: 0.0,
            })
            .collect();
        for record in 0..self.records {
            for line in 0..self.shape.across() {
                for group in 0..groups {
                    let pixel = |position: usize| match axis {
                        Axis::Time => (record * height + position) * width + line,
                        Axis::Frequency => (record * height + line) * width + position,
                    };
                    let projected = |c: usize, i: usize| self.projected[(pixel(i) * groups + group) * 2 * gc + c];
                    for (index, expected) in self.line(group, &projected).into_iter().enumerate() {
                        let (i, c) = (index / gc, index % gc);
                        out[(pixel(i) * groups + group) * gc + c] = expected;
                    }
                }
            }
        }
        out
    }

    /// `[position, channel]` of one line and group; `projected(c, i)` are its `2gc` channels.
    fn line(&self, group: usize, projected: &dyn Fn(usize, usize) -> f32) -> Vec<Expected> {
        let (gc, span) = (self.shape.group_channels, self.shape.span());
        let half = gc / 2;
        let relative = |c: usize, i: usize, j: usize| self.embeddings[c * (2 * span - 1) + i + span - 1 - j];
        let by = match self.arithmetic {
            Arithmetic::Integer { rounding, .. } => Some(rounding),
            Arithmetic::Float(_) => None,
        };
        let element = self.kernels().operand();
        let operand = |x: f64| rounded(element, x as f32);
        // Operands, in units of their scale where they are rounded to 8 bits, and those scales.
        let part = |c: usize| usize::from(c >= half) + usize::from(c >= gc);
        let scales = by.map_or([[1.0; 2]; 3], |by| {
            [by.queries, by.keys, [by.values[1], by.positions[1]]].map(|pair| pair.map(|q| q.scale))
        });
        let x = |c: usize, i: usize| match by {
            None => f64::from(projected(c, i)),
            Some(by) => multiplied([by.queries[0], by.keys[0], by.values[1]][part(c)], projected(c, i)),
        };
        let e = |c: usize, i: usize, j: usize| match by {
            None => f64::from(rounded(element, relative(c, i, j))),
            Some(by) => quantized(
                [by.queries[1], by.keys[1], by.positions[1]][part(c)],
                f64::from(relative(c, i, j)),
            ),
        };
        let map = |from: usize, i: usize, j: usize| -> f64 { (from..from + half).map(|c| x(c, i) * e(c, i, j)).sum() };
        let maps: [Vec<f64>; 2] =
            [0, half].map(|from| (0..span * span).map(|at| map(from, at / span, at % span)).collect());
        // Exact sums times their scales in f32, as the kernels multiply them.
        let factors = [scales[0][0] * scales[0][1], scales[1][0] * scales[1][1]];
        let rounded_maps: [Vec<f64>; 2] = [0, 1].map(|which| {
            maps[which]
                .iter()
                .map(|&sum| match by {
                    None => f64::from(operand(sum)),
                    Some(by) => multiplied(by.maps[which], sum as f32 * factors[which]),
                })
                .collect()
        });
        let product_factor = by.map_or(1.0, |by| f64::from(by.maps[0].scale * by.maps[1].scale));
        let [alpha, beta, gamma] = [0, 1, 2].map(|term| f64::from(self.similarity[term][group]));
        let (beta, gamma) = (beta * f64::from(factors[0]), gamma * f64::from(factors[1]));
        let alpha = alpha * product_factor;
        // Of f32 sums, and of roundings that fall the other way when a sum does.
        let sum_unit = 4.0 * f64::from(f32::EPSILON) / 2.0;
        let flip = if by.is_some() { 0.0 } else { unit(element) };
        let of_output = match self.arithmetic {
            Arithmetic::Float(element) => unit(element),
            Arithmetic::Integer { .. } => 0.0,
        };
        // f16 has fewer digits below 2⁻¹⁴.
        let smallest = match self.arithmetic {
            Arithmetic::Float(Element::F16) => 2f64.powi(-24),
            _ => 0.0,
        };
        let mut out = Vec::new();
        for i in 0..span {
            let mut scores = vec![0.0; span];
            let mut doubt: f64 = 0.0;
            for (j, score) in scores.iter_mut().enumerate() {
                let terms = (0..span).map(|r| rounded_maps[0][r * span + i] * rounded_maps[1][r * span + j]);
                let (sum, size, most) = terms.fold((0.0, 0.0, 0.0_f64), |(sum, size, most), term| {
                    (sum + term, size + term.abs(), most.max(term.abs()))
                });
                let at = i * span + j;
                let (query, key) = (beta * maps[0][at], gamma * maps[1][at]);
                *score = alpha * sum + query + key;
                let sizes = alpha.abs() * size + query.abs() + key.abs();
                doubt = doubt.max(sum_unit * sizes + flip * alpha.abs() * most);
            }
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = powers.iter().sum();
            // Each weight, its doubt, and the scale it is in.
            let weight_scale = by.map_or(1.0, |by| f64::from(by.values[0].scale));
            let weights: Vec<(f64, f64)> = powers
                .iter()
                .map(|power| {
                    let weight = power / total;
                    let error = weight * (2.0 * doubt + sum_unit);
                    match by {
                        None => (f64::from(operand(weight)), error + flip * weight + smallest),
                        Some(by) => {
                            let [low, high] = [-error, error].map(|error| quantized(by.values[0], weight + error));
                            (quantized(by.values[0], weight), high - low)
                        }
                    }
                })
                .collect();
            for c in 0..gc {
                let position = f64::from(self.position[group * gc + c]) * weight_scale * f64::from(scales[2][1]);
                let value_factor = weight_scale * f64::from(scales[2][0]);
                let (mut sum, mut size, mut error) = (0.0, 0.0, 0.0);
                for (j, (weight, doubt)) in weights.iter().enumerate() {
                    let term = value_factor * x(gc + c, j) + position * e(gc + c, i, j);
                    let bound = (value_factor * x(gc + c, j)).abs() + (position * e(gc + c, i, j)).abs();
                    sum += weight * term;
                    size += weight.abs() * bound;
                    error += doubt * bound;
                }
                out.push(Expected {
                    value: sum,
                    allowed: error + sum_unit * size + of_output * sum.abs() + smallest,
                });
            }
        }
        out
    }
}

/// `x/scale` to 8 bits, minus the zero point; ties to even.
fn quantized(by: Quantization, x: f64) -> f64 {
    let zero_point = f64::from(by.zero_point);
    (x / f64::from(by.scale))
        .round_ties_even()
        .clamp(-128.0 - zero_point, 127.0 - zero_point)
}

/// The same with the inverse of the scale in f32, as the CPU and the kernels do it.
fn multiplied(by: Quantization, x: f32) -> f64 {
    let zero_point = f32::from(by.zero_point);
    let scaled = x * by.scale.recip();
    f64::from(scaled.round_ties_even().clamp(-128.0 - zero_point, 127.0 - zero_point))
}

fn shape(axis: Axis, [height, width]: [usize; 2], groups: usize, group_channels: usize) -> Shape {
    Shape {
        axis,
        height,
        width,
        groups,
        group_channels,
    }
}

fn float(element: Element) -> Arithmetic {
    Arithmetic::Float(element)
}

fn integer(output: Option<Quantization>) -> Arithmetic {
    Arithmetic::Integer {
        rounding: ROUNDING,
        output,
    }
}

/// Few elements that take every path of the kernels for 48 positions and for 4: two blocks of values of which the second is not
/// full, channels and positions that end within a tile, more lines and groups than one, a last block of short lines that is not full.
pub fn thorough() -> Vec<Case> {
    let long = shape(Axis::Time, [19, 2], 2, 36);
    let short = shape(Axis::Frequency, [11, 4], 3, 12);
    let output = Some(by(0.011, 12));
    vec![
        Case::new("short f32", float(Element::F32), short, 2),
        Case::new("short bytes", integer(output), short, 1),
        Case::new("long f16", float(Element::F16), long, 2),
        Case::new("long bytes", integer(output), shape(Axis::Frequency, [1, 19], 1, 4), 1),
        Case::new("long f32", float(Element::F32), shape(Axis::Time, [35, 1], 1, 8), 1).sharper(),
    ]
}

/// One line and one group of every kernel, at the spans that networks have, and the shortest and longest there can be.
pub fn published() -> Vec<Case> {
    let mut cases = Vec::new();
    let all = Element::ALL.into_iter().map(float).chain([integer(None)]);
    for (index, arithmetic) in all.enumerate() {
        for (span, gc) in [(140, 16), (70, 8), (35, 4), (8, 16), (4, 32), (2, 4)] {
            // The emulator is slow, and bf16 differs from f16 in its products alone.
            if span == 140 && arithmetic == float(Element::Bf16) {
                continue;
            }
            let name = format!("{span} positions, arithmetic {index}");
            let shape = match span > 8 {
                true => shape(Axis::Time, [span, 1], 1, gc),
                false => shape(Axis::Frequency, [3, span], 2, gc),
            };
            cases.push(Case::new(&name, arithmetic, shape, 1));
        }
    }
    for (span, gc) in [(1, 4), (5, 128), (144, 4)] {
        let shape = shape(Axis::Frequency, [1, span], 1, gc);
        cases.push(Case::new(&format!("{span} positions"), float(Element::F16), shape, 1));
    }
    cases
}

fn program() -> PathBuf {
    build("axial", &family("axial"), Build::Sanitized)
}

fn passes(program: &Path, case: &Case, seed: u64) -> Vec<f32> {
    let on = On::host(program, seed);
    let got = case.run(on).unwrap_or_else(|fault| panic!("{}: {fault:?}", case.name));
    case.check(&got).unwrap_or_else(|error| panic!("{error}"));
    got
}

#[test]
fn axial_attention_is_its_definition() {
    let program = program();
    for case in published() {
        passes(&program, &case, 1);
    }
}

#[test]
fn axial_attention_is_the_same_in_any_order_of_threads() {
    let program = program();
    for case in thorough() {
        let first = passes(&program, &case, 1);
        for seed in [2, 1904] {
            assert!(passes(&program, &case, seed) == first, "{}: seed {seed}", case.name);
        }
    }
}

/// The reference can fail: another number in any part of an attention is noticed.
#[test]
fn the_reference_of_axial_attention_sees_every_operand() {
    let program = program();
    let case = Case::new("operands", float(Element::F32), shape(Axis::Time, [5, 1], 1, 4), 1);
    let got = passes(&program, &case, 1);
    let changes: [fn(&mut Case); 6] = [
        |case| case.projected[0] += 0.01,
        |case| case.embeddings[4] += 0.01,
        |case| case.similarity[0][0] += 0.01,
        |case| case.similarity[1][0] += 0.01,
        |case| case.similarity[2][0] += 0.01,
        |case| case.position[3] += 0.01,
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = case.clone();
        change(&mut other);
        assert!(other.check(&got).is_err(), "change {index}");
    }
}
