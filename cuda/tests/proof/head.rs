//! The kernels of conditions and head on the host, held to their definition in `f64`.

use crate::elements::rounded;
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::head::{
    ConditionalNorm, Features, Head, Operands, conditions, fixed_conditions, pack_conditions, pack_linear,
};
use dualnet_cuda::pau::Coefficients;
use dualnet_cuda::{Precision, Quantization};
use dualnet_engine::pau::reference::Point;
use dualnet_fixtures::stream;
use std::path::PathBuf;

const NUMERATOR: [f32; 6] = [0.034, 0.505, 1.653, 2.01, 0.932, 0.152];
const DENOMINATOR: [f32; 4] = [0.2, 3.98, -0.1, 0.302];
const ROUNDING: Quantization = Quantization {
    scale: 0.013,
    zero_point: -21,
};

fn values(label: &str, count: usize, size: f64) -> Vec<f32> {
    stream(label, count).iter().map(|value| (size * value) as f32).collect()
}

/// Norms of these channels, whose scales are multiplied by factors where there are any.
pub fn conditions_pass(on: On<'_>, records: usize, latent: usize, channels: &[usize]) -> Result<usize, String> {
    let size = 1.0 / (latent as f64).sqrt();
    let x = values("latent", records * latent, 1.0);
    let weights: Vec<Vec<f32>> = channels
        .iter()
        .enumerate()
        .map(|(index, channels)| values(&format!("norm {index}"), 2 * channels * latent, size))
        .collect();
    let factors = values("factors", channels[0], 0.1);
    let norms: Vec<ConditionalNorm<'_>> = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| ConditionalNorm {
            weight,
            factors: if index == 0 { &factors } else { &[] },
        })
        .collect();
    let packed = pack_conditions(&norms, latent).map_err(|error| error.to_string())?;
    let total = 2 * channels.iter().sum::<usize>();
    let mut script = Script::default();
    let memory = [script.input("latent", &x), script.input("weights", &packed)];
    let out = script.output("conditions", 4, records * total);
    let launch = conditions(memory[0], memory[1], out, [records, latent, total]);
    script.launch(&launch.map_err(|error| error.to_string())?);
    script.save(out, records * total);
    script.run(on).map_err(|fault| format!("{fault:?}"))?;
    let got = script.saved::<f32>("conditions");
    for record in 0..records {
        let mut place = record * total;
        for (index, weight) in weights.iter().enumerate() {
            for (row, weights) in weight.chunks_exact(latent).enumerate() {
                let factor = match index {
                    0 => factors.get(row).copied().unwrap_or(1.0),
                    _ => 1.0,
                };
                let terms = weights.iter().zip(&x[record * latent..]);
                let (mut sum, mut size) = (0.0, 0.0);
                for (&weight, &x) in terms {
                    let term = f64::from(weight) * f64::from(x) * f64::from(factor);
                    sum += term;
                    size += term.abs();
                }
                // Roundings of at most some hundred f32 terms.
                let near = (f64::from(got[place]) - sum).abs() <= 2e-6 * (size + 1e-3);
                if !near {
                    return Err(format!(
                        "record {record}, condition {place}: {}, expected {sum}",
                        got[place]
                    ));
                }
                place += 1;
            }
        }
    }
    Ok(got.len())
}

/// A head.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub head: Head,
    /// Type, positions and channels of the features.
    pub features: Option<(Precision, usize, usize)>,
    pub latent: bool,
    /// Conditions of a record, and one that is not defined.
    pub conditions: Option<(usize, Option<usize>)>,
    /// Added to the first logit.
    pub apart: f32,
}

impl Case {
    /// Runs it: the probabilities and what they should be.
    pub fn run(&self, on: On<'_>) -> Result<(Vec<f32>, Vec<f64>), Fault> {
        let Head {
            records,
            joined,
            classes,
        } = self.head;
        let mut script = Script::default();
        let mut sums = vec![0.0_f64; records * joined];
        let features = self.features.map(|(precision, positions, channels)| {
            let count = records * positions * channels;
            let raw = values("features", count, 1.0);
            let (map, decoded): (_, Vec<f64>) = match precision {
                Precision::Float(element) => (
                    script.floats("features", element, &raw),
                    raw.iter().map(|&value| rounded(element, value).into()).collect(),
                ),
                Precision::Int8 => {
                    let bytes: Vec<i8> = raw.iter().map(|v| (v * 127.0) as i8).collect();
                    let value =
                        |&q: &i8| f64::from(ROUNDING.scale) * f64::from(i32::from(q) - i32::from(ROUNDING.zero_point));
                    (script.input("features", &bytes), bytes.iter().map(value).collect())
                }
            };
            let weight = values("linear", joined * channels, 1.0 / (channels as f64).sqrt());
            let bias = values("bias", joined, 0.5);
            for (index, sum) in sums.iter_mut().enumerate() {
                let (record, output) = (index / joined, index % joined);
                let mut h = f64::from(bias[output]);
                for channel in 0..channels {
                    let at = |position: usize| decoded[(record * positions + position) * channels + channel];
                    let mean = (0..positions).map(at).sum::<f64>() / positions as f64;
                    h += f64::from(weight[output * channels + channel]) * mean;
                }
                *sum = Point::new(&NUMERATOR, &DENOMINATOR, h).value;
            }
            let packed = pack_linear(&weight, joined, channels).expect("weights");
            Features {
                map,
                precision,
                rounding: (precision == Precision::Int8).then_some(ROUNDING),
                positions,
                channels,
                linear: script.input("linear", &packed),
                bias: script.input("linear_bias", &bias),
                activation: Coefficients {
                    numerator: script.input("numerator", &NUMERATOR),
                    denominator: script.input("denominator", &DENOMINATOR),
                },
            }
        });
        let latent = self.latent.then(|| {
            let latent = values("latent", records * joined, 1.0);
            for (sum, &latent) in sums.iter_mut().zip(&latent) {
                *sum += f64::from(latent);
            }
            script.input("latent", &latent)
        });
        let classifier = values("classifier", classes * joined, 2.0 / (joined as f64).sqrt());
        let mut bias = values("classifier bias", classes, 1.0);
        bias[0] += self.apart;
        let checked = self.conditions.map(|(count, undefined)| {
            let mut conditions = values("conditions", records * count, 1e27);
            if let Some(index) = undefined {
                conditions[index] = f32::NAN;
            }
            (script.input("conditions", &conditions), count)
        });
        let probabilities = script.output("probabilities", 4, records * classes);
        let operands = Operands {
            features,
            latent,
            classifier: script.input("classifier", &classifier),
            bias: script.input("classifier_bias", &bias),
            conditions: checked,
            probabilities,
        };
        script.launch(&self.head.launch(&operands).unwrap_or_else(|error| panic!("{error}")));
        script.save(probabilities, records * classes);
        script.run(on)?;
        let mut want = Vec::new();
        for record in 0..records {
            let logit = |class: usize| {
                let row = classifier[class * joined..][..joined]
                    .iter()
                    .zip(&sums[record * joined..]);
                f64::from(bias[class]) + row.map(|(&weight, sum)| f64::from(weight) * sum).sum::<f64>()
            };
            let powers: Vec<f64> = (0..classes).map(|class| logit(class).exp()).collect();
            let undefined = self
                .conditions
                .and_then(|(count, index)| index.map(|index| index / count));
            let total = if undefined == Some(record) {
                f64::NAN
            } else {
                powers.iter().sum()
            };
            want.extend(powers.iter().map(|power| power / total));
        }
        Ok((script.saved("probabilities"), want))
    }

    /// Within 3e-6: logits of magnitudes below 10 from f32 sums, whose differences are the probabilities' relative errors.
    pub fn check(&self, (got, want): &(Vec<f32>, Vec<f64>)) -> Result<usize, String> {
        for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
            let near = (f64::from(got) - want).abs() <= 3e-6;
            if !(near || got.is_nan() && want.is_nan()) {
                return Err(format!("{self:?}, probability {index}: {got}, expected {want}"));
            }
        }
        Ok(got.len())
    }
}

/// Few values, and yet every path; the first of them of the mutated program's types.
pub fn thorough() -> Vec<Case> {
    let base = Case {
        head: Head {
            records: 2,
            joined: 22,
            classes: 3,
        },
        features: Some((Precision::Int8, 3, 112)),
        latent: true,
        conditions: Some((50, Some(53))),
        apart: 0.0,
    };
    let head = |joined: usize, classes: usize| Head {
        records: 1,
        joined,
        classes,
    };
    vec![
        base,
        Case {
            head: head(128, 19),
            conditions: None,
            latent: false,
            ..base
        },
        Case {
            head: head(40, 4),
            features: None,
            conditions: Some((600, None)),
            // Beyond where exp overflows f32.
            apart: 120.0,
            ..base
        },
    ]
}

/// The other types, and a long latent.
pub fn others() -> Vec<Case> {
    let of = |precision| Case {
        head: Head {
            records: 1,
            joined: 8,
            classes: 4,
        },
        features: Some((precision, 17, 16)),
        latent: true,
        conditions: None,
        apart: 0.0,
    };
    let long = Head {
        records: 1,
        joined: 512,
        classes: 2,
    };
    let mut cases: Vec<Case> = Precision::ALL.map(of).to_vec();
    cases.push(Case { head: long, ..cases[0] });
    cases
}

/// Records, latent and channels of norms: tails of each, more than a slice of the latent, more records than a block makes.
pub const CONDITIONS: [(usize, usize, &[usize]); 2] = [(2, 300, &[8, 12]), (9, 5, &[32])];

fn program() -> PathBuf {
    build("head", &family("head"), Build::Sanitized)
}

#[test]
fn the_head_and_the_conditions_follow_their_definition() {
    let program = program();
    let mut compared = 0;
    for (records, latent, channels) in CONDITIONS {
        compared +=
            conditions_pass(On::host(&program, 2), records, latent, channels).unwrap_or_else(|error| panic!("{error}"));
    }
    for case in thorough().into_iter().chain(others()) {
        let outcome = case
            .run(On::host(&program, 2))
            .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
        compared += case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn the_head_does_not_depend_on_the_order_of_threads() {
    let program = program();
    for case in thorough() {
        let bits = |seed| {
            let outcome = case
                .run(On::host(&program, seed))
                .unwrap_or_else(|fault| panic!("{fault:?}"));
            outcome.0.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert_eq!(bits(5), bits(77), "{case:?}");
    }
}

#[test]
fn a_norm_without_a_latent_has_its_factors_and_shifts() {
    assert_eq!(fixed_conditions(&[0.5, -2.0], &[]), [1.0, 1.0, 0.5, -2.0]);
    assert_eq!(fixed_conditions(&[0.5, -2.0], &[3.0, 4.0]), [3.0, 4.0, 0.5, -2.0]);
}
