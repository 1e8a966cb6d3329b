//! The convolution and pooling kernels on the host, held to their definition in `f64`.

use crate::elements::{rounded, unit};
use crate::program::{Build, build, family};
use crate::script::{Fault, Memory, On, Script};
use dualnet_cuda::pau::Coefficients;
use dualnet_cuda::residual::{
    Conditions, Convolution, Extents, Filters, Operands, Shortcut, Single, SingleOperands, Tiling, Weights, pack,
    pack_single, pool,
};
use dualnet_cuda::{Element, Precision, Quantization};
use dualnet_engine::pau::reference::Point;
use dualnet_fixtures::stream;
use std::path::PathBuf;

const F32: Precision = Precision::Float(Element::F32);
const F16: Precision = Precision::Float(Element::F16);
const BF16: Precision = Precision::Float(Element::Bf16);
/// Of the published fit to a leaky ReLU, one coefficient moved away from 0.
const NUMERATOR: [f32; 6] = [0.034, 0.505, 1.653, 2.01, 0.932, 0.152];
const DENOMINATOR: [f32; 4] = [0.2, 3.98, -0.1, 0.302];

/// What a convolution adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    Nothing,
    Identity,
    Plain,
    /// Of so many channels.
    Projection(usize),
    Single,
}

/// A convolution; of a single channel where `inputs` is 1.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub precision: Precision,
    pub extents: Extents,
    pub side: usize,
    pub pooled: bool,
    pub added: Added,
    /// None for the launcher's own.
    pub tiling: Option<Tiling>,
    /// Whether the output of 8-bit products is rounded.
    pub rounded: bool,
    pub activation: bool,
    /// Added to the shifts of two channels.
    pub far: f32,
    /// What the activation's numerator is multiplied by.
    pub amplitude: f32,
}

/// A map or weights: its values, and its elements as bytes.
struct Tensor {
    values: Vec<f64>,
    bytes: Vec<u8>,
    element: usize,
}

impl Tensor {
    fn floats(label: &str, count: usize, size: f64, element: Element) -> Self {
        let values = stream(label, count).into_iter().map(|value| (size * value) as f32);
        let values: Vec<f32> = values.map(|value| rounded(element, value)).collect();
        Self {
            bytes: element.encode(values.iter().copied()),
            values: values.into_iter().map(f64::from).collect(),
            element: element.bytes(),
        }
    }

    fn integers(label: &str, count: usize, rounding: Quantization) -> Self {
        let bytes = bytes(label, count);
        let value = |&q: &i8| f64::from(rounding.scale) * f64::from(i32::from(q) - i32::from(rounding.zero_point));
        Self {
            values: bytes.iter().map(value).collect(),
            bytes: bytes.iter().map(|&q| q as u8).collect(),
            element: 1,
        }
    }

    fn new(label: &str, count: usize, precision: Precision, rounding: Quantization) -> Self {
        match precision {
            Precision::Float(element) => Self::floats(label, count, 1.0, element),
            Precision::Int8 => Self::integers(label, count, rounding),
        }
    }

    fn put(&self, script: &mut Script, name: &'static str) -> Memory {
        script.bytes(name, self.element, self.bytes.clone())
    }
}

/// From −128 to 127, both among them where there are many.
fn bytes(label: &str, count: usize) -> Vec<i8> {
    stream(label, count)
        .iter()
        .map(|value| (value * 140.0).round().clamp(-128.0, 127.0) as i8)
        .collect()
}

/// Weights as the reference and the packer want them.
struct Weighted {
    values: Vec<f64>,
    floats: Vec<f32>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
}

impl Weighted {
    fn new(label: &str, outputs: usize, each: usize, precision: Precision) -> Self {
        let size = 1.0 / (each as f64).sqrt();
        match precision {
            Precision::Float(element) => {
                let tensor = Tensor::floats(label, outputs * each, size, element);
                Self {
                    floats: tensor.values.iter().map(|&value| value as f32).collect(),
                    values: tensor.values,
                    bytes: Vec::new(),
                    scales: Vec::new(),
                }
            }
            Precision::Int8 => {
                let bytes = bytes(label, outputs * each);
                let scales: Vec<f32> = stream(label, outputs)
                    .iter()
                    .map(|s| ((1.2 + s) * size / 127.0) as f32)
                    .collect();
                let value = |(index, &byte): (usize, &i8)| f64::from(byte) * f64::from(scales[index / each]);
                Self {
                    values: bytes.iter().enumerate().map(value).collect(),
                    floats: Vec::new(),
                    bytes,
                    scales,
                }
            }
        }
    }

    fn filters(&self, rounding: Quantization) -> Filters<'_> {
        match self.floats.is_empty() {
            true => Filters::Int8(&self.bytes, &self.scales, rounding),
            false => Filters::Float(&self.floats),
        }
    }
}

const INPUT: Quantization = Quantization {
    scale: 0.011,
    zero_point: -9,
};
const SHORTCUT: Quantization = Quantization {
    scale: 0.007,
    zero_point: 23,
};
const OUTPUT: Quantization = Quantization {
    scale: 0.031,
    zero_point: -101,
};

/// What the definition gives: values, and a magnitude of the terms of each.
pub struct Expected {
    values: Vec<f64>,
    sizes: Vec<f64>,
}

impl Case {
    fn rounding(&self, rounding: Quantization) -> Option<Quantization> {
        (self.precision == Precision::Int8).then_some(rounding)
    }

    fn output_extents(&self) -> [usize; 2] {
        let Extents { height, width, .. } = self.extents;
        match self.pooled {
            true => [height / 2, width / 2],
            false => [height, width],
        }
    }

    /// Runs it; the outputs, as f64 values or 8-bit ones, with what they should be.
    pub fn run(&self, on: On<'_>) -> Result<(Vec<f64>, Expected), Fault> {
        let Extents {
            records,
            height,
            width,
            inputs,
            outputs,
        } = self.extents;
        let pixels = records * height * width;
        let taps = self.side * self.side;
        let label = |what: &str| format!("{what} of {}", self.name);
        let single = inputs == 1;
        let mut script = Script::default();
        let input = match single {
            true => self.single_map(&label("map"), pixels, INPUT),
            false => Tensor::new(&label("map"), pixels * inputs, self.precision, INPUT),
        };
        // The weights of a single channel are f32 for every type.
        let weight_type = match (single, self.precision) {
            (true, Precision::Float(_)) => F32,
            (_, precision) => precision,
        };
        let weights = Weighted::new(&label("weights"), outputs, inputs * taps, weight_type);
        let (factors, packed) = match single {
            true => {
                let packed = pack_single(weights.filters(INPUT), outputs, taps).expect("weights");
                let values = script.input("weights", &packed.values);
                (
                    packed.factors,
                    Weights {
                        values,
                        sums: values,
                        factors: values,
                    },
                )
            }
            false => {
                let packed = pack(self.precision, weights.filters(INPUT), outputs, inputs, taps).expect("weights");
                let values = script.bytes("weights", self.precision.bytes(), packed.values);
                let sums = match packed.sums.is_empty() {
                    true => values,
                    false => script.input("sums", &packed.sums),
                };
                (
                    packed.factors,
                    Weights {
                        values,
                        sums,
                        factors: values,
                    },
                )
            }
        };

        // Conditions of a network with more norms than this one, a few values in front; one record has none of its own.
        let stride = if records > 1 { 2 * outputs + 12 } else { 0 };
        let mut conditions: Vec<f32> = stream(&label("conditions"), 8 + records * (2 * outputs + 12))
            .iter()
            .map(|&value| (0.3 + value) as f32)
            .collect();
        for record in 0..records {
            let shifts = 8 + record * stride + outputs;
            conditions[shifts + 1] = 0.3 + self.far;
            conditions[shifts + outputs - 1] = 0.2 - 17.0 * self.far;
        }
        let condition = |record: usize, index: usize| f64::from(conditions[8 + record * stride + index]);
        let mut folded = conditions.clone();
        for (output, factor) in factors.iter().enumerate() {
            for record in 0..if stride == 0 { 1 } else { records } {
                folded[8 + record * stride + output] *= factor;
            }
        }
        folded.truncate(8 + (records - 1) * stride + 2 * outputs);

        let mut expected = self.convolved(&input.values, &weights.values, inputs, self.side);
        for (index, (value, size)) in expected.values.iter_mut().zip(&mut expected.sizes).enumerate() {
            let (record, output) = (index / outputs / (height * width), index % outputs);
            let (scale, shift) = (condition(record, output), condition(record, outputs + output));
            *value = scale * *value + shift;
            *size = scale.abs() * *size + shift.abs();
        }
        let add = |expected: &mut Expected, terms: &[f64], sizes: &[f64]| {
            for (index, value) in expected.values.iter_mut().enumerate() {
                *value += terms[index];
                expected.sizes[index] += sizes[index].abs();
            }
        };
        let shortcut = match self.added {
            Added::Nothing => Shortcut::None,
            Added::Identity | Added::Plain => {
                let (map, rounding) = match self.added {
                    Added::Plain => (
                        Tensor::floats(&label("plain"), pixels * outputs, 1.0, self.precision.plain()),
                        None,
                    ),
                    _ => (
                        Tensor::new(&label("identity"), pixels * outputs, self.precision, SHORTCUT),
                        self.rounding(SHORTCUT),
                    ),
                };
                add(&mut expected, &map.values, &map.values);
                let memory = map.put(&mut script, "shortcut");
                match self.added {
                    Added::Plain => Shortcut::Plain(memory),
                    _ => Shortcut::Identity(memory, rounding),
                }
            }
            Added::Projection(channels) => {
                let map = Tensor::new(&label("shortcut"), pixels * channels, self.precision, SHORTCUT);
                let weights = Weighted::new(&label("projection"), outputs, channels, self.precision);
                let packed = pack(self.precision, weights.filters(SHORTCUT), outputs, channels, 1).expect("weights");
                let values = script.bytes("projection", self.precision.bytes(), packed.values);
                let [mut sums, mut factors] = [values; 2];
                if self.precision == Precision::Int8 {
                    sums = script.input("projection_sums", &packed.sums);
                    factors = script.input("projection_factors", &packed.factors);
                }
                let terms = self.convolved(&map.values, &weights.values, channels, 1);
                add(&mut expected, &terms.values, &terms.sizes);
                let weights = Weights { values, sums, factors };
                Shortcut::Projection(
                    map.put(&mut script, "shortcut"),
                    channels,
                    weights,
                    self.rounding(SHORTCUT),
                )
            }
            Added::Single => {
                let map = self.single_map(&label("shortcut"), pixels, SHORTCUT);
                let weight_type = if self.precision == Precision::Int8 {
                    self.precision
                } else {
                    F32
                };
                let weights = Weighted::new(&label("projection"), outputs, 1, weight_type);
                let packed = pack_single(weights.filters(SHORTCUT), outputs, 1).expect("weights");
                let terms = self.convolved(&map.values, &weights.values, 1, 1);
                add(&mut expected, &terms.values, &terms.sizes);
                let values = script.input("projection", &packed.values);
                Shortcut::Single(map.put(&mut script, "shortcut"), values, self.rounding(SHORTCUT))
            }
        };
        let numerator = NUMERATOR.map(|a| self.amplitude * a);
        if self.activation {
            for value in &mut expected.values {
                *value = Point::new(&numerator, &DENOMINATOR, *value).value;
            }
        }
        if self.pooled {
            expected = self.pooled(&expected);
        }

        let activation = self.activation.then(|| Coefficients {
            numerator: script.input("numerator", &numerator),
            denominator: script.input("denominator", &DENOMINATOR),
        });
        let conditions = Conditions {
            values: Memory(script.input("conditions", &folded).0, 8),
            stride,
        };
        let [rows, columns] = self.output_extents();
        let count = records * rows * columns * outputs;
        let output_rounding = self.rounding(OUTPUT).filter(|_| self.rounded);
        let element = if output_rounding.is_some() {
            1
        } else {
            self.precision.plain().bytes()
        };
        let output = script.output("output", element, count);
        let input_rounding = self.rounding(INPUT);
        let input = input.put(&mut script, "input");
        let launch = match single {
            true => Single::new(self.precision, self.extents).and_then(|kernel| {
                kernel.launch(&SingleOperands {
                    input,
                    input_rounding,
                    weights: packed.values,
                    conditions,
                    activation,
                    output,
                    output_rounding,
                })
            }),
            false => Convolution::new(self.precision, self.extents, self.side, self.pooled, 1)
                .and_then(|kernel| match self.tiling {
                    Some(tiling) => kernel.with_tiling(tiling),
                    None => Ok(kernel),
                })
                .and_then(|kernel| {
                    kernel.launch(&Operands {
                        input,
                        input_rounding,
                        weights: packed,
                        conditions,
                        shortcut,
                        activation,
                        output,
                        output_rounding,
                    })
                }),
        };
        script.launch(&launch.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
        script.save(output, count);
        script.run(on)?;
        let got = match output_rounding {
            Some(_) => script.saved::<i8>("output").into_iter().map(f64::from).collect(),
            None => script
                .saved_floats("output", self.precision.plain())
                .into_iter()
                .map(f64::from)
                .collect(),
        };
        Ok((got, expected))
    }

    /// Values of one channel that are f32 for 8 bits, with what rounding makes of them.
    fn single_map(&self, label: &str, pixels: usize, rounding: Quantization) -> Tensor {
        let mut map = Tensor::floats(label, pixels, 1.5, self.precision.plain());
        if self.precision == Precision::Int8 {
            for value in &mut map.values {
                let q = (*value / f64::from(rounding.scale)).round_ties_even();
                let zero = f64::from(rounding.zero_point);
                *value = f64::from(rounding.scale) * (q.clamp(-128.0 - zero, 127.0 - zero));
            }
        }
        map
    }

    /// Sums over the taps and channels around every pixel, and those of their magnitudes.
    fn convolved(&self, map: &[f64], weights: &[f64], inputs: usize, side: usize) -> Expected {
        let Extents {
            records,
            height,
            width,
            outputs,
            ..
        } = self.extents;
        let taps = side * side;
        let mut expected = Expected {
            values: Vec::new(),
            sizes: Vec::new(),
        };
        let places = (0..records * height * width).flat_map(|pixel| (0..outputs).map(move |output| (pixel, output)));
        for (pixel, output) in places {
            let (record, y, x) = (pixel / width / height, pixel / width % height, pixel % width);
            let (mut value, mut size) = (0.0, 0.0);
            for tap in 0..taps {
                let (row, column) = (y + tap / side, x + tap % side);
                let inside = |place: usize, extent: usize| (side / 2..extent + side / 2).contains(&place);
                if !inside(row, height) || !inside(column, width) {
                    continue;
                }
                let from = ((record * height + row - side / 2) * width + column - side / 2) * inputs;
                for input in 0..inputs {
                    let term = map[from + input] * weights[(output * inputs + input) * taps + tap];
                    value += term;
                    size += term.abs();
                }
            }
            expected.values.push(value);
            expected.sizes.push(size);
        }
        expected
    }

    fn pooled(&self, full: &Expected) -> Expected {
        let Extents {
            records,
            height,
            width,
            outputs,
            ..
        } = self.extents;
        let pool = |values: &[f64]| means(values, [records, height, width, outputs], 2);
        Expected {
            values: pool(&full.values),
            sizes: pool(&full.sizes),
        }
    }

    /// Sums in f32 of at most some hundred products and the activation's few roundings: 4e-6 of their magnitudes, where the activation's slope is
    /// at most 2. Results of 16 bits are rounded once more, those of 8 bits by half a step.
    pub fn check(&self, (got, expected): &(Vec<f64>, Expected)) -> Result<usize, String> {
        if got.len() != expected.values.len() {
            return Err(format!("{}: {} values", self.name, got.len()));
        }
        let unit = match self.precision {
            Precision::Float(element) => unit(element),
            Precision::Int8 => 0.0,
        };
        for (index, &got) in got.iter().enumerate() {
            let (want, size) = (expected.values[index], expected.sizes[index]);
            let allowed = 4e-6 * (1.0 + size) * f64::from(self.amplitude);
            let close = if self.precision == Precision::Int8 && self.rounded {
                let (scale, zero) = (f64::from(OUTPUT.scale), f64::from(OUTPUT.zero_point));
                let exact = (want / scale + zero).clamp(-128.0, 127.0);
                (got - exact).abs() <= 0.5 + allowed / scale
            } else {
                (got - want).abs() <= allowed + unit * want.abs()
            };
            if !close {
                return Err(format!(
                    "{}, output {index}: {got:e}, expected {want:e} ± {allowed:e}",
                    self.name
                ));
            }
        }
        Ok(got.len())
    }
}

/// Means of `side`×`side` pixels.
fn means(values: &[f64], [records, height, width, channels]: [usize; 4], side: usize) -> Vec<f64> {
    let mut means = Vec::new();
    for index in 0..records * (height / side) * (width / side) * channels {
        let (pixel, channel) = (index / channels, index % channels);
        let (row, x) = (pixel / (width / side), pixel % (width / side));
        let (record, y) = (row / (height / side), row % (height / side));
        let corner = |dy: usize, dx: usize| (record * height + side * y + dy) * width + side * x + dx;
        let window = (0..side * side).map(|i| values[corner(i / side, i % side) * channels + channel]);
        means.push(window.sum::<f64>() / (side * side) as f64);
    }
    means
}

/// A pooling.
#[derive(Clone, Copy, Debug)]
pub struct Pooling {
    pub from: Precision,
    pub to: Precision,
    pub extents: [usize; 4],
    pub side: usize,
}

impl Pooling {
    /// Runs and checks it.
    pub fn passes(&self, on: On<'_>) -> Result<usize, String> {
        let [records, height, width, channels] = self.extents;
        let mut script = Script::default();
        let map = Tensor::new("pooling", records * height * width * channels, self.from, SHORTCUT);
        let want = means(&map.values, self.extents, self.side);
        let of = |precision, rounding| (precision == Precision::Int8).then_some(rounding);
        let from = map.put(&mut script, "from");
        let to = script.output("to", self.to.bytes(), want.len());
        let launch = pool(
            (from, self.from, of(self.from, SHORTCUT)),
            (to, self.to, of(self.to, OUTPUT)),
            self.extents,
            self.side,
        );
        script.launch(&launch.map_err(|error| error.to_string())?);
        script.save(to, want.len());
        script.run(on).map_err(|fault| format!("{self:?}: {fault:?}"))?;
        let (got, unit): (Vec<f64>, f64) = match self.to {
            Precision::Int8 => (script.saved::<i8>("to").into_iter().map(f64::from).collect(), 0.0),
            Precision::Float(element) => (
                script.saved_floats("to", element).into_iter().map(f64::from).collect(),
                unit(element),
            ),
        };
        for (index, (&got, &want)) in got.iter().zip(&want).enumerate() {
            let close = match self.to {
                Precision::Int8 => {
                    let exact = want / f64::from(OUTPUT.scale) + f64::from(OUTPUT.zero_point);
                    (got - exact.clamp(-128.0, 127.0)).abs() <= 0.5 + 1e-4
                }
                Precision::Float(_) => (got - want).abs() <= (1e-6 + unit) * (1.0 + want.abs()),
            };
            if !close {
                return Err(format!("{self:?}, output {index}: {got:e}, expected {want:e}"));
            }
        }
        Ok(want.len())
    }
}

const fn extents(records: usize, height: usize, width: usize, inputs: usize, outputs: usize) -> Extents {
    Extents {
        records,
        height,
        width,
        inputs,
        outputs,
    }
}

const fn tiling(columns: usize, warps: [usize; 2], depth: usize) -> Option<Tiling> {
    Some(Tiling { columns, warps, depth })
}

/// Few pixels, and yet every path: patches of one record and several, every kind of shortcut, more channels than a patch holds, shared
/// channels and whole ones, windows cut off by an odd edge, activations beyond their limit. The types of the mutated program.
pub fn thorough() -> Vec<Case> {
    let base = Case {
        name: "",
        precision: F32,
        extents: extents(1, 2, 2, 16, 16),
        side: 3,
        pooled: false,
        added: Added::Nothing,
        tiling: None,
        rounded: true,
        activation: true,
        far: 0.0,
        amplitude: 1.0,
    };
    vec![
        Case {
            name: "8 bits, shared channels, projection, pooled",
            precision: Precision::Int8,
            extents: extents(2, 5, 5, 64, 16),
            pooled: true,
            added: Added::Projection(16),
            tiling: tiling(4, [1, 1], 64),
            ..base
        },
        Case {
            name: "floats, two patches, projection",
            extents: extents(2, 3, 9, 32, 32),
            added: Added::Projection(16),
            tiling: tiling(8, [1, 2], 16),
            ..base
        },
        Case {
            name: "8 bits, odd depth, identity",
            precision: Precision::Int8,
            extents: extents(1, 3, 2, 16, 64),
            added: Added::Identity,
            tiling: tiling(2, [1, 4], 32),
            ..base
        },
        Case {
            name: "floats, single shortcut, far, pooled",
            extents: extents(1, 4, 7, 16, 16),
            pooled: true,
            added: Added::Single,
            tiling: tiling(4, [4, 1], 8),
            // Beyond the limit, where every coefficient still counts.
            far: 4.5,
            amplitude: 1e29,
            ..base
        },
        Case {
            name: "8 bits, 1 by 1, plain shortcut",
            precision: Precision::Int8,
            extents: extents(2, 3, 1, 32, 32),
            side: 1,
            added: Added::Plain,
            tiling: tiling(2, [2, 2], 32),
            ..base
        },
        Case {
            name: "8 bits, single shortcut",
            precision: Precision::Int8,
            extents: extents(1, 3, 3, 16, 16),
            added: Added::Single,
            activation: false,
            ..base
        },
        Case {
            name: "floats, single channel",
            extents: extents(2, 6, 3, 1, 16),
            far: -2e6,
            ..base
        },
        Case {
            name: "8 bits, single channel",
            precision: Precision::Int8,
            extents: extents(1, 5, 4, 1, 32),
            ..base
        },
    ]
}

/// The other types and tilings.
fn others() -> Vec<Case> {
    let [first, second, third, fourth, fifth, sixth, ..] = thorough()[..] else {
        unreachable!("there are eight");
    };
    let single = thorough()[6];
    let named = |case: Case, name| Case { name, ..case };
    let mut cases = vec![
        Case {
            rounded: false,
            ..named(first, "8 bits to floats, pooled")
        },
        Case {
            rounded: false,
            ..named(fifth, "8 bits to floats, 1 by 1")
        },
        Case {
            tiling: None,
            added: Added::Identity,
            ..named(second, "floats, own tiling, identity")
        },
        Case {
            added: Added::Plain,
            ..named(fourth, "floats, plain shortcut")
        },
        Case {
            activation: false,
            ..named(third, "8 bits, linear")
        },
        Case {
            tiling: tiling(2, [2, 1], 32),
            ..named(sixth, "8 bits, two shares over two warps")
        },
        Case {
            precision: F32,
            added: Added::Projection(32),
            tiling: tiling(4, [1, 1], 32),
            ..named(first, "floats, shared channels, projection")
        },
    ];
    for (precision, names) in [
        (
            F16,
            [
                "f16, shared",
                "f16, whole",
                "f16, single shortcut",
                "f16, single channel",
            ],
        ),
        (
            BF16,
            [
                "bf16, shared",
                "bf16, whole",
                "bf16, single shortcut",
                "bf16, single channel",
            ],
        ),
    ] {
        cases.push(Case {
            precision,
            added: Added::Projection(48),
            ..named(first, names[0])
        });
        cases.push(Case {
            precision,
            ..named(second, names[1])
        });
        cases.push(Case {
            precision,
            far: 0.0,
            amplitude: 1.0,
            tiling: None,
            ..named(fourth, names[2])
        });
        cases.push(Case {
            precision,
            far: 0.0,
            ..named(single, names[3])
        });
    }
    cases
}

/// Maps of real extents, for a GPU: of one record and of some, in every precision.
pub fn real() -> Vec<Case> {
    let base = thorough()[0];
    let mut cases = Vec::new();
    for precision in Precision::ALL {
        let case = |name, extents, pooled, added| Case {
            name,
            precision,
            extents,
            side: 3,
            pooled,
            added,
            tiling: None,
            rounded: true,
            ..base
        };
        cases.extend([
            case("first block", extents(1, 563, 33, 1, 16), false, Added::Nothing),
            case("first block, pooled", extents(1, 563, 33, 16, 16), true, Added::Single),
            case("third block", extents(3, 140, 8, 32, 64), false, Added::Nothing),
            case(
                "third block, pooled",
                extents(1, 140, 8, 64, 64),
                true,
                Added::Projection(32),
            ),
            case("last block, pooled", extents(5, 35, 2, 256, 256), true, Added::Identity),
        ]);
        cases.push(Case {
            side: 1,
            ..case(
                "query, key and value",
                extents(2, 70, 4, 256, 512),
                false,
                Added::Nothing,
            )
        });
    }
    cases
}

/// Of the mutated program.
pub const POOLINGS: [Pooling; 2] = [
    Pooling {
        from: F32,
        to: Precision::Int8,
        extents: [2, 5, 3, 16],
        side: 2,
    },
    Pooling {
        from: F32,
        to: Precision::Int8,
        extents: [1, 3, 3, 4],
        side: 1,
    },
];

/// Every pair of types that is compiled.
pub fn poolings() -> Vec<Pooling> {
    let mut poolings = POOLINGS.to_vec();
    for from in Precision::ALL {
        for to in [from, Precision::Int8, F32] {
            if to != F32 || [F32, Precision::Int8].contains(&from) {
                poolings.push(Pooling {
                    from,
                    to,
                    extents: [2, 3, 5, 20],
                    side: 2,
                });
            }
        }
    }
    poolings
}

/// Every case of few pixels.
pub fn all() -> Vec<Case> {
    thorough().into_iter().chain(others()).collect()
}

fn program() -> PathBuf {
    build("residual", &family("residual"), Build::Sanitized)
}

#[test]
fn every_path_of_the_convolutions_gives_the_references_numbers() {
    let program = program();
    let mut compared = 0;
    for case in all() {
        let outcome = case
            .run(On::host(&program, 3))
            .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
        compared += case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    }
    for pooling in poolings() {
        compared += pooling
            .passes(On::host(&program, 3))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    dualnet_fixtures::report(format_args!(
        "{compared} numbers of the convolution kernels compared on the host"
    ));
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn convolutions_do_not_depend_on_the_order_of_threads() {
    let program = program();
    for case in thorough() {
        let [first, second] = [1, 1904].map(|seed| {
            let outcome = case.run(On::host(&program, seed));
            outcome.unwrap_or_else(|fault| panic!("{case:?}: {fault:?}")).0
        });
        assert!(first == second, "{}", case.name);
    }
}

/// Sums of 8-bit products are exact, so that it does not matter how warps share them.
#[test]
fn eight_bit_results_are_the_same_for_every_tiling() {
    let program = program();
    let case = Case {
        added: Added::Projection(32),
        extents: extents(2, 5, 5, 64, 64),
        rounded: false,
        ..thorough()[0]
    };
    let run = |tiling| {
        let case = Case { tiling, ..case };
        case.run(On::host(&program, 1))
            .unwrap_or_else(|fault| panic!("{fault:?}"))
            .0
    };
    let first = run(tiling(4, [1, 4], 64));
    for other in [tiling(4, [1, 1], 64), tiling(2, [1, 2], 32)] {
        assert!(run(other) == first, "{other:?}");
    }
}

#[test]
fn what_is_not_finite_gives_not_a_number() {
    let case = Case {
        far: f32::INFINITY,
        ..thorough()[6]
    };
    let (got, _) = case
        .run(On::host(&program(), 1))
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    for (index, value) in got.iter().enumerate() {
        assert_eq!(value.is_nan(), [1, 15].contains(&(index % 16)), "output {index}");
    }
}
