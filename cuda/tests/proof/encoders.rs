//! What the tests of the waveform's encoders share: numbers of every precision, and products of them as the CPU has them.

use crate::elements::rounded;
use crate::mutations::with_instances;
use crate::program::{Build, build, family};
use crate::script::{Memory, Script};
use dualnet_cuda::{Element, Matrix, Packed, Precision, Quantization, Weights};
use dualnet_fixtures::stream;
use std::path::PathBuf;

/// Numbers up to `scale`, the same for the same name.
pub fn numbers(name: &str, count: usize, scale: f64) -> Vec<f32> {
    stream(name, count).iter().map(|x| (x * scale) as f32).collect()
}

/// What parts of a layer's weights are called in a script, by the layer's name.
const PARTS: [[&str; 4]; 4] = [
    ["layer", "fragments", "terms", "sums"],
    ["first", "first_fragments", "first_terms", "first_sums"],
    ["second", "second_fragments", "second_terms", "second_sums"],
    ["third", "third_fragments", "third_terms", "third_sums"],
];

/// A layer's packed weights.
pub fn weights(script: &mut Script, layer: &str, precision: Precision, packed: &Packed) -> Weights<Memory> {
    let found = PARTS.into_iter().find(|[name, ..]| *name == layer);
    let [_, fragments, terms, sums] = found.expect("a layer with a name");
    let fragments = script.bytes(fragments, precision.bytes(), packed.fragments.clone());
    let terms = script.input(terms, &packed.terms);
    let sums = match precision {
        Precision::Int8 => script.input(sums, &packed.sums),
        Precision::Float(_) => terms,
    };
    Weights { fragments, terms, sums }
}

/// Of a matrix `[outputs, inputs]`: floats, or 8-bit values and their scales.
#[derive(Clone, Debug)]
pub struct Owned {
    floats: Vec<f32>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
    inputs: usize,
}

impl Owned {
    /// Random, about 1 by 2/√inputs; floats are numbers of the precision's type.
    pub fn new(name: &str, precision: Precision, outputs: usize, inputs: usize) -> Self {
        let size = 2.0 / (inputs as f64).sqrt();
        let values = stream(name, outputs * inputs);
        let (mut floats, mut bytes, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        match precision {
            Precision::Float(element) => {
                floats = values.iter().map(|x| rounded(element, (x * size) as f32)).collect();
            }
            Precision::Int8 => {
                bytes = values.iter().map(|x| (x * 127.0).round() as i8).collect();
                let scale = |x: f64| ((0.75 + 0.25 * x) * size / 127.0) as f32;
                scales = stream(&format!("{name} scales"), outputs)
                    .into_iter()
                    .map(scale)
                    .collect();
            }
        }
        Self {
            floats,
            bytes,
            scales,
            inputs,
        }
    }

    pub fn matrix(&self) -> Matrix<'_> {
        if self.scales.is_empty() {
            Matrix::Floats(&self.floats)
        } else {
            Matrix::Bytes {
                values: &self.bytes,
                scales: &self.scales,
            }
        }
    }

    /// `Σ W[output, i]·x[i]`; x is what [`Operand::of`] makes.
    pub fn times(&self, output: usize, x: &[f64]) -> f64 {
        let range = output * self.inputs..(output + 1) * self.inputs;
        if self.scales.is_empty() {
            self.floats[range].iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum()
        } else {
            let sum: f64 = self.bytes[range].iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum();
            sum * f64::from(self.scales[output])
        }
    }
}

/// How values become an operand of a product: rounded to a float type, or to 8 bits and back.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    Float(Element),
    Bytes(Quantization),
}

impl Operand {
    pub fn new(precision: Precision, rounding: Option<Quantization>) -> Self {
        match (precision, rounding) {
            (Precision::Float(element), None) => Self::Float(element),
            (Precision::Int8, Some(rounding)) => Self::Bytes(rounding),
            _ => panic!("a rounding for 8 bits, and only there"),
        }
    }

    /// The value that the kernels multiply.
    pub fn of(self, value: f64) -> f64 {
        match self {
            Self::Float(element) => rounded(element, value as f32).into(),
            Self::Bytes(Quantization { scale, zero_point }) => {
                let zero_point = f32::from(zero_point);
                let q = (value as f32 * (1.0 / scale)).clamp(-128.0 - zero_point, 127.0 - zero_point);
                f64::from(q.round_ties_even()) * f64::from(scale)
            }
        }
    }
}

/// How many values are near enough, or which is not.
pub fn compare(what: &str, got: &[f32], want: &[f64], tolerance: f64, unit: f64) -> Result<usize, String> {
    if got.len() != want.len() {
        return Err(format!("{what}: {} values, expected {}", got.len(), want.len()));
    }
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let distance = (f64::from(got) - want).abs();
        if distance.is_nan() || distance > tolerance + unit * want.abs() {
            return Err(format!("{what}[{i}]: {got}, expected {want}"));
        }
    }
    Ok(got.len())
}

/// What instantiates kernels.
pub const MACROS: [&str; 4] = ["LSTM_PROJECT(", "LSTM_STEPS", "TRANSFORMER", "CHAIN"];
/// The instances of the sizes for tests, which stand for all.
pub const SMALL: [&str; 16] = [
    "LSTM_PROJECT(f32)",
    "LSTM_PROJECT(f16)",
    "LSTM_PROJECT(bf16)",
    "LSTM_STEPS(f32, 64, 4, false)",
    "LSTM_STEPS(f16, 64, 4, true)",
    "LSTM_STEPS(bf16, 64, 4, false)",
    "LSTM_STEPS_I8(64, 4, false)",
    "TRANSFORMER(f32, 16, 64)",
    "TRANSFORMER(f16, 16, 64)",
    "TRANSFORMER(bf16, 16, 64)",
    "TRANSFORMER_I8(16, 64)",
    "TRANSFORMER_MEAN(16, 64)",
    "CHAIN(f32, 64, 2, 0)",
    "CHAIN(f16, 64, 2, 2)",
    "CHAIN(bf16, 64, 1, 4)",
    "CHAIN_I8(64, 1, 2)",
];

/// A program for the small sizes. Under the sanitizers, whose build takes long, only f16 and 8 bits: bf16 is f16's code, f32 runs without.
pub fn program(name: &str, precision: Precision) -> PathBuf {
    match precision {
        Precision::Int8 | Precision::Float(Element::F16) => {
            let sanitized = SMALL
                .iter()
                .copied()
                .filter(|line| !line.contains("f32") && !line.contains("bf16"));
            let source = with_instances(&family(name), &MACROS, &sanitized.collect::<Vec<_>>());
            build(name, &source, Build::Sanitized)
        }
        Precision::Float(_) => build(name, &family(name), Build::Plain),
    }
}
