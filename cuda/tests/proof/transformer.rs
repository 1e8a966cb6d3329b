//! The Transformer's kernels on the host, held to the definition in f64 whose operands are rounded as the kernels' are.

use crate::elements::{rounded, unit};
use crate::encoders::{Operand, Owned, compare, numbers, program, weights};
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::transformer::{AttentionRounding, Buffers, First, Layer, LayerWeights, Linear, Norm, Transformer};
use dualnet_cuda::{Element, Precision, Quantization};
use std::path::Path;

/// A layer, what it runs on, and the mean after it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub precision: Precision,
    pub steps: usize,
    pub width: usize,
    pub heads: usize,
    pub inner: usize,
    pub records: usize,
    /// Whether the layer is the first, which adds positions.
    pub first: bool,
}

/// What the kernels give: the stream and the latent.
pub type Outcome = [Vec<f32>; 2];

/// The layer's maps.
struct Maps {
    /// Projection, output, widen, narrow.
    weights: [Owned; 4],
    biases: [Vec<f32>; 4],
    /// Scale and shift of the layer's two norms and of the last one.
    norms: [[Vec<f32>; 2]; 3],
}

const NAMES: [&str; 4] = ["projection", "output", "widen", "narrow"];

/// How the four maps' inputs are rounded, then queries, keys, weights, values.
fn roundings(precision: Precision) -> [Option<Quantization>; 8] {
    let all = [
        (0.025, 3),
        (0.006, -7),
        (0.03, -4),
        (0.02, -90),
        (0.011, 5),
        (0.03, -6),
        (0.0038, -128),
        (0.025, 9),
    ];
    all.map(|(scale, zero_point)| (precision == Precision::Int8).then_some(Quantization { scale, zero_point }))
}

impl Case {
    fn maps(&self) -> Maps {
        let (w, inner) = (self.width, self.inner);
        let extents = [[3 * w, w], [w, w], [inner, w], [w, inner]];
        let mut weights = extents.into_iter().zip(NAMES);
        let mut biases = extents.into_iter().zip(NAMES);
        let norm = |name: &str| {
            let scale = numbers(&format!("{name} scale"), w, 0.3)
                .iter()
                .map(|x| 1.0 + x)
                .collect();
            [scale, numbers(&format!("{name} shift"), w, 0.2)]
        };
        let mut next = || {
            weights
                .next()
                .map(|([o, i], name)| Owned::new(name, self.precision, o, i))
                .expect("four")
        };
        let mut bias = || {
            biases
                .next()
                .map(|([o, _], name)| numbers(&format!("{name} b"), o, 0.3))
                .expect("four")
        };
        Maps {
            weights: [next(), next(), next(), next()],
            biases: [bias(), bias(), bias(), bias()],
            norms: ["one", "two", "last"].map(norm),
        }
    }

    fn input(&self) -> Vec<f32> {
        let element = if self.first {
            self.precision.plain()
        } else {
            Element::F32
        };
        let values = numbers("stream", self.records * self.steps * self.width, 2.0);
        values.iter().map(|&x| rounded(element, x)).collect()
    }

    fn positions(&self) -> Vec<f32> {
        numbers("positions", self.steps * self.width, 0.5)
    }

    fn layer(&self, maps: &Maps) -> Layer {
        let roundings = roundings(self.precision);
        let linear = |i: usize| Linear {
            weights: maps.weights[i].matrix(),
            bias: &maps.biases[i],
            input: roundings[i],
        };
        let norm = |i: usize| Norm {
            scale: &maps.norms[i][0],
            shift: &maps.norms[i][1],
        };
        let layer = LayerWeights {
            projection: linear(0),
            output: linear(1),
            attention_norm: norm(0),
            widen: linear(2),
            narrow: linear(3),
            norm: norm(1),
            rounding: match roundings[4..] {
                [Some(query), Some(key), Some(weight), Some(value)] => Some(AttentionRounding {
                    scores: [query, key],
                    mixed: [weight, value],
                }),
                _ => None,
            },
        };
        self.transformer()
            .layer(self.heads, self.inner, &layer)
            .expect("a layer with kernels")
    }

    fn transformer(&self) -> Transformer {
        Transformer::new(self.precision, self.steps, self.width).expect("kernels of this size")
    }

    pub fn run(&self, on: On<'_>) -> Result<Outcome, Fault> {
        let maps = self.maps();
        let layer = self.layer(&maps);
        let mut script = Script::default();
        let count = self.records * self.steps * self.width;
        let weights = weights(&mut script, "layer", self.precision, &layer.packed);
        let (stream, first) = if self.first {
            let ecg = script.floats("ecg", self.precision.plain(), &self.input());
            let positions = script.input("positions", &self.positions());
            (script.output("stream", 4, count), Some(First { ecg, positions }))
        } else {
            (script.input("stream", &self.input()), None)
        };
        let mixed = script.output("mixed", self.precision.bytes(), count);
        let buffers = Buffers {
            weights,
            stream,
            mixed,
            first,
        };
        for launch in layer.launches(self.records, buffers).expect("work to do") {
            script.launch(&launch);
        }
        let norm = script.input("norm", &maps.norms[2].concat());
        let latent = script.output("latent", 4, self.records * self.width);
        script.launch(
            &self
                .transformer()
                .mean(self.records, stream, norm, latent)
                .expect("work to do"),
        );
        script.save(stream, count);
        script.save(latent, self.records * self.width);
        script.run(on)?;
        Ok(["stream", "latent"].map(|name| script.saved_floats(name, Element::F32)))
    }

    fn reference(&self) -> [Vec<f64>; 2] {
        let maps = self.maps();
        let (width, heads) = (self.width, self.heads);
        let per_head = width / heads;
        let operand = roundings(self.precision).map(|rounding| Operand::new(self.precision, rounding));
        let map = |i: usize, x: &[f64]| -> Vec<f64> {
            let x: Vec<f64> = x.iter().map(|&x| operand[i].of(x)).collect();
            let bias = maps.biases[i].iter().enumerate();
            bias.map(|(row, &bias)| maps.weights[i].times(row, &x) + f64::from(bias))
                .collect()
        };
        let norm = |i: usize, x: &mut [f64]| {
            let mean = x.iter().sum::<f64>() / width as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            for (c, x) in x.iter_mut().enumerate() {
                let normal = (*x - mean) / (variance + 1e-5).sqrt();
                *x = normal * f64::from(maps.norms[i][0][c]) + f64::from(maps.norms[i][1][c]);
            }
        };
        let positions = self.positions();
        let root = 1.0 / (per_head as f64).sqrt();
        // In 8 bits queries are divided before they are rounded.
        let (before, behind) = if self.precision == Precision::Int8 {
            (root, 1.0)
        } else {
            (1.0, root)
        };
        let (mut stream, mut latent) = (Vec::new(), Vec::new());
        for record in self.input().chunks(self.steps * width) {
            let mut x: Vec<f64> = record.iter().map(|&x| f64::from(x)).collect();
            if self.first {
                x.iter_mut()
                    .zip(&positions)
                    .for_each(|(x, &p)| *x = f64::from((*x as f32) + p));
            }
            let projected: Vec<Vec<f64>> = x.chunks(width).map(|x| map(0, x)).collect();
            let part = |step: usize, part: usize, c: usize| {
                let value = projected[step][part * width + c] * if part == 0 { before } else { 1.0 };
                operand[[4, 5, 7][part]].of(value)
            };
            let mut mixed = vec![0.0; self.steps * width];
            for head in 0..heads {
                let channels = head * per_head..(head + 1) * per_head;
                for query in 0..self.steps {
                    let score = |key| {
                        channels
                            .clone()
                            .map(|c| part(query, 0, c) * part(key, 1, c))
                            .sum::<f64>()
                            * behind
                    };
                    let scores: Vec<f64> = (0..self.steps).map(score).collect();
                    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
                    for c in channels.clone() {
                        let terms = scores
                            .iter()
                            .enumerate()
                            .map(|(key, score)| operand[6].of((score - most).exp() / total) * part(key, 2, c));
                        mixed[query * width + c] = terms.sum();
                    }
                }
            }
            let mut mean = vec![0.0; width];
            for (x, mixed) in x.chunks_mut(width).zip(mixed.chunks(width)) {
                x.iter_mut().zip(map(1, mixed)).for_each(|(x, y)| *x += y);
                norm(0, x);
                let gelu = |x: f64| x / 2.0 * (1.0 + erf(x / 2f64.sqrt()));
                let wide: Vec<f64> = map(2, x).into_iter().map(gelu).collect();
                x.iter_mut().zip(map(3, &wide)).for_each(|(x, y)| *x += y);
                norm(1, x);
                let mut last = x.to_vec();
                norm(2, &mut last);
                mean.iter_mut()
                    .zip(last)
                    .for_each(|(mean, last)| *mean += last / self.steps as f64);
            }
            stream.extend(x);
            latent.extend(mean);
        }
        [stream, latent]
    }

    /// Sums of f32 are within 1e-5 of values up to 5. An operand that falls to the other side of a tie is off by a unit of its type, or by a
    /// step of 8 bits (0.03 at most, times a weight of 0.2 at most); few do, and a norm makes at most twice of it.
    pub fn check(&self, got: &Outcome) -> Result<usize, String> {
        let tolerance = match self.precision {
            Precision::Float(element) => 2e-5 + 8.0 * unit(element),
            Precision::Int8 => 1.2e-2,
        };
        let [stream, latent] = self.reference();
        let stream = compare(&format!("{self:?} stream"), &got[0], &stream, tolerance, 0.0)?;
        Ok(stream + compare(&format!("{self:?} latent"), &got[1], &latent, tolerance, 0.0)?)
    }
}

/// Within 1e-14: the series, which alternates too much beyond 4, where 1 is within 2e-8 … and the continued fraction from 3 on.
fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let mut term = x;
        let mut sum = x;
        for n in 1..80 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let size = x.abs();
    let fraction = (1..60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (size + tail));
    let rest = (-size * size).exp() / (size + fraction) / std::f64::consts::PI.sqrt();
    (1.0 - rest).copysign(x)
}

#[test]
fn the_error_function_is_known() {
    for (x, expected) in [
        (0.5, 0.520_499_877_813_046_5),
        (2.9, 0.999_958_902_121_900_5),
        (-3.1, -0.999_988_351_342_632_8),
    ] {
        assert!((erf(x) - expected).abs() < 1e-13, "{x}: {}", erf(x));
    }
}

/// Few values that take every path: the first layer and a later one, one head in a slice and several, an inner part and two.
pub fn small(precision: Precision) -> [Case; 2] {
    let case = Case {
        precision,
        steps: 16,
        width: 64,
        heads: 8,
        inner: 128,
        records: 2,
        first: true,
    };
    [
        case,
        Case {
            heads: 2,
            inner: 256,
            records: 1,
            first: false,
            ..case
        },
    ]
}

fn passes(case: Case, program: &Path, seed: u64) -> Outcome {
    let got = case
        .run(On::host(program, seed))
        .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
    case.check(&got).unwrap_or_else(|error| panic!("{error}"));
    got
}

#[test]
fn transformer_layers_follow_their_definition_in_any_order_of_threads() {
    for case in Precision::ALL.into_iter().flat_map(small) {
        let program = program("transformer", case.precision);
        let first = passes(case, &program, 1);
        assert!(
            passes(case, &program, 1904) == first,
            "{case:?}: another order, other bits"
        );
    }
}

#[test]
fn transformer_layers_of_the_networks_size_follow_their_definition() {
    let program = build("transformer", &family("transformer"), Build::Plain);
    for (precision, heads, inner) in [(Precision::Float(Element::F16), 8, 128), (Precision::Int8, 32, 256)] {
        passes(
            Case {
                precision,
                steps: 80,
                width: 256,
                heads,
                inner,
                records: 1,
                first: true,
            },
            &program,
            3,
        );
    }
}
