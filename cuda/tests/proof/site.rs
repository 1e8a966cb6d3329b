//! What lies between two convolutions in training, forward and backward, on the host, held to its definition in `f64`.

mod reference;

use crate::pau::unit;
use crate::program::{Build, build, family};
use crate::script::{Fault, On, Script};
use dualnet_cuda::pau::Coefficients;
use dualnet_cuda::site::{Backward, Extents, Forward, Gain, Kept, Operands, Site};
use dualnet_engine::pau::affine::ElementDropout;
use dualnet_engine::simd::Isa;
use dualnet_fixtures::stream;
use reference::{Expected, expected, is_left_out};
use std::path::Path;

/// Key of dropout of elements; among the elements that [`Special`] changes it leaves out some, not all.
const KEY: u64 = 0x1234_5678_90ab_cdef;
/// Probability of an element to be left out.
const SHARE: f64 = 0.3;

/// A place in a network, which of its operands there are, and what is special about their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    extents: Extents,
    pool: bool,
    modulated: bool,
    shortcut: bool,
    dropout: Dropout,
    batch_statistics: bool,
    /// Coefficients of the unit above and below.
    unit: (usize, usize),
    /// About where every channel's values lie, beside deviations of about 1.
    center: f64,
    special: Special,
}

/// What is left out of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dropout {
    Nothing,
    Channels,
    /// As [`KEY`] and [`SHARE`] say.
    Elements,
}

/// What is special about a case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Special {
    Nothing,
    /// Channel 1 is normalized to 0, where the unit's slope is one of its own.
    Zero,
    /// A few summands of the shortcut are beyond what the unit computes in f32.
    Far,
    /// A few summands of the shortcut are not finite.
    NotFinite,
    /// A coefficient so large that f32 arithmetic holds for no value.
    Unlimited,
}

/// A case's numbers.
struct Data {
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    modulation: Option<Vec<f32>>,
    shortcut: Option<Vec<f32>>,
    gain: Option<Vec<f32>>,
    numerator: Vec<f32>,
    denominator: Vec<f32>,
    running_mean: Vec<f32>,
    running_variance: Vec<f32>,
    grad_y: Vec<f32>,
}

/// What the kernels gave, by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome(Vec<(&'static str, Vec<f64>)>);

impl Outcome {
    fn bits(&self) -> Vec<u64> {
        let numbers = self.0.iter().flat_map(|(_, numbers)| numbers);
        numbers.map(|number| number.to_bits()).collect()
    }
}

impl Case {
    /// A place where nothing is optional.
    fn new(records: usize, height: usize, width: usize, channels: usize, pool: bool) -> Self {
        Self {
            extents: Extents {
                records,
                height,
                width,
                channels,
            },
            pool,
            modulated: true,
            shortcut: true,
            dropout: Dropout::Channels,
            batch_statistics: true,
            unit: (6, 4),
            center: 0.0,
            special: Special::Nothing,
        }
    }

    fn site(&self) -> Site {
        Site::new(self.extents, self.pool, self.unit.0, self.unit.1).expect("kernels for the case")
    }

    fn data(&self) -> Data {
        let Extents {
            records,
            height,
            width,
            channels,
        } = self.extents;
        let elements = records * height * width * channels;
        // Around a center, in f32.
        let around = |name: &str, count: usize, center: f64, size: f64| -> Vec<f32> {
            let values = stream(&format!("site {name}"), count);
            values.iter().map(|value| (center + size * value) as f32).collect()
        };
        let centers = around("centers", channels, self.center, 1.5);
        let mut x = around("x", elements, 0.0, 1.8);
        for (value, center) in x.iter_mut().zip(centers.iter().cycle()) {
            *value += center;
        }
        let mut gamma = around("gamma", channels, 1.0, 0.6);
        let mut beta = around("beta", channels, 0.0, 0.5);
        if self.special == Special::Zero {
            (gamma[1], beta[1]) = (0.0, 0.0);
        }
        let mut shortcut = around("shortcut", elements, 0.0, 1.0);
        // Of the first pixel, of the last, which pooling may leave out, and one between, in several channels.
        let few = [0, channels + 2, elements / 2 + 1, elements - 2];
        let strange = match self.special {
            Special::Far => [1e9, -3e7, 1e12, 2e9],
            Special::NotFinite => [f32::NAN, f32::INFINITY, 0.5, 0.25],
            _ => few.map(|index| shortcut[index]),
        };
        for (index, value) in few.into_iter().zip(strange) {
            shortcut[index] = value;
        }
        let (numerator, denominator) = unit(self.unit.0 - 1, self.unit.1);
        let mut numerator: Vec<f32> = numerator.iter().map(|&a| a as f32).collect();
        if self.special == Special::Unlimited {
            numerator[0] = 1.5e32;
        }
        Data {
            x,
            gamma,
            beta,
            modulation: self.modulated.then(|| {
                let factors = around("factors", records * channels, 1.0, 0.5);
                let summands = around("summands", records * channels, 0.0, 0.7);
                let rows = factors.chunks(channels).zip(summands.chunks(channels));
                rows.flat_map(|(factors, summands)| [factors, summands].concat())
                    .collect()
            }),
            shortcut: self.shortcut.then_some(shortcut),
            // Dropped channels, and those that are kept.
            gain: (self.dropout == Dropout::Channels).then(|| {
                let drawn = stream("site gain", records * channels);
                drawn.iter().map(|&v| if v < -0.5 { 0.0 } else { 1.25 }).collect()
            }),
            numerator,
            denominator: denominator.iter().map(|&b| b as f32).collect(),
            running_mean: centers
                .iter()
                .zip(stream("site running mean", channels))
                .map(|(center, moved)| center + moved as f32)
                .collect(),
            running_variance: around("running variance", channels, 1.2, 0.8),
            grad_y: around("grad_y", self.site().result(), 0.0, 1.0),
        }
    }

    /// Runs forward and backward through the launchers.
    pub fn run(&self, on: On<'_>) -> Result<Outcome, Fault> {
        let (site, data) = (self.site(), self.data());
        let Extents { records, channels, .. } = self.extents;
        let elements = data.x.len();
        let mut script = Script::default();
        let mut optional =
            |name, values: &Option<Vec<f32>>| values.as_ref().map(|values| script.input(name, values.as_slice()));
        let modulation = optional("modulation", &data.modulation);
        let shortcut = optional("shortcut", &data.shortcut);
        let gain = optional("gain", &data.gain).map(Gain::Channels);
        let gain = match self.dropout {
            Dropout::Elements => Some(Gain::Elements {
                key: script.input("key", &[KEY as u32, (KEY >> 32) as u32]),
                share: SHARE,
            }),
            _ => gain,
        };
        let operands = Operands {
            x: script.input("x", &data.x),
            gamma: script.input("gamma", &data.gamma),
            beta: script.input("beta", &data.beta),
            modulation,
            shortcut,
            gain,
            unit: Coefficients {
                numerator: script.input("numerator", &data.numerator),
                denominator: script.input("denominator", &data.denominator),
            },
        };
        let kept = Kept {
            statistics: script.output("statistics", 8, site.statistics()),
            lines: script.output("lines", 4, site.lines()),
        };
        let forward = Forward {
            running_mean: script.input("running_mean", &data.running_mean),
            running_variance: script.input("running_variance", &data.running_variance),
            partials: script.output("partials", 4, site.partials()),
            y: script.output("y", 4, site.result()),
        };
        let backward = Backward {
            grad_y: script.input("grad_y", &data.grad_y),
            grad_u: script.output("grad_u", 4, elements),
            grad_x: script.output("grad_x", 4, elements),
            grad_gamma: script.output("grad_gamma", 4, channels),
            grad_beta: script.output("grad_beta", 4, channels),
            grad_modulation: self
                .modulated
                .then(|| script.output("grad_modulation", 4, records * 2 * channels)),
            grad_unit: Coefficients {
                numerator: script.output("grad_numerator", 4, self.unit.0),
                denominator: script.output("grad_denominator", 4, self.unit.1),
            },
            sums: script.output("sums", 4, site.partials()),
            unit_partials: script.output("unit_partials", 4, site.unit_partials()),
            towards: script.output("towards", 4, 2 * channels),
        };
        let launches = site.forward(operands, kept, forward, self.batch_statistics);
        let then = site.backward(operands, kept, backward, self.batch_statistics);
        for launch in launches.iter().chain(&then) {
            script.launch(launch);
        }
        let mut saved = vec![
            (forward.y, site.result()),
            (forward.running_mean, channels),
            (forward.running_variance, channels),
            (backward.grad_u, elements),
            (backward.grad_x, elements),
            (backward.grad_gamma, channels),
            (backward.grad_beta, channels),
            (backward.grad_unit.numerator, self.unit.0),
            (backward.grad_unit.denominator, self.unit.1),
        ];
        saved.extend(backward.grad_modulation.map(|memory| (memory, records * 2 * channels)));
        script.save(kept.statistics, site.statistics());
        for &(memory, count) in &saved {
            script.save(memory, count);
        }
        script.run(on)?;
        let of_f32 = |name: &str| script.saved::<f32>(name).into_iter().map(f64::from).collect();
        let mut outcome = vec![("statistics", script.saved::<f64>("statistics"))];
        outcome.extend(saved.iter().map(|(memory, _)| (memory.0, of_f32(memory.0))));
        Ok(Outcome(outcome))
    }

    /// What [`reference`] has for the case.
    pub fn expected(&self) -> Expected {
        expected(self, &self.data())
    }

    /// Within what [`reference`] allows each number; returns how many there were.
    pub fn check(&self, got: &Outcome) -> Result<usize, String> {
        self.compare(got, &self.expected())
    }

    /// The same with what is known already.
    pub fn compare(&self, got: &Outcome, want: &Expected) -> Result<usize, String> {
        if got.0.len() != want.len() {
            return Err(format!("{self:?}: {} results, expected {}", got.0.len(), want.len()));
        }
        let mut compared = 0;
        for (name, got) in &got.0 {
            let want = want.iter().find(|(of, _)| of == name).map(|(_, want)| want);
            let want = want.ok_or_else(|| format!("{self:?}: nothing is expected of {name}"))?;
            if got.len() != want.len() {
                return Err(format!("{self:?} {name}: {} numbers", got.len()));
            }
            for (index, (&got, want)) in got.iter().zip(want).enumerate() {
                if !want.holds(got) {
                    return Err(format!("{self:?} {name}[{index}]: {got:e}, expected {want}"));
                }
            }
            compared += got.len();
        }
        Ok(compared)
    }
}

/// Few elements and blocks, and yet every path of every thread: tails of chunks, blocks that lose lanes, pooling that leaves a row
/// and a column out, every operand there and absent.
pub fn thorough() -> Vec<Case> {
    let small = Case::new(2, 3, 5, 4, false);
    let pooled = Case::new(2, 5, 7, 8, true);
    vec![
        pooled,
        Case {
            modulated: false,
            shortcut: false,
            dropout: Dropout::Nothing,
            special: Special::Zero,
            ..small
        },
        Case {
            batch_statistics: false,
            shortcut: false,
            unit: (3, 2),
            ..small
        },
        Case {
            dropout: Dropout::Nothing,
            modulated: false,
            batch_statistics: false,
            special: Special::Far,
            ..pooled
        },
        Case {
            special: Special::Far,
            ..small
        },
        Case {
            special: Special::NotFinite,
            ..small
        },
        Case {
            center: 1000.0,
            ..small
        },
        Case {
            special: Special::Unlimited,
            unit: (1, 2),
            ..small
        },
        Case {
            dropout: Dropout::Elements,
            ..pooled
        },
        Case {
            dropout: Dropout::Elements,
            special: Special::NotFinite,
            ..pooled
        },
        Case {
            dropout: Dropout::Elements,
            special: Special::Far,
            ..small
        },
        // A second chunk of one pixel, and of one mean over pixels.
        Case::new(2, 5, 205, 16, false),
        Case::new(1, 2, 8195, 4, true),
    ]
}

/// Many blocks, which take long on the host: more records than a block has threads, and several slices of several chunks.
pub fn wide() -> Vec<Case> {
    vec![Case::new(259, 1, 2, 4, false), Case::new(1, 1, 17, 2048, false)]
}

/// Places in the published networks.
pub fn published() -> Vec<Case> {
    let first = Case::new(24, 563, 33, 16, true);
    vec![
        first,
        Case {
            dropout: Dropout::Elements,
            ..first
        },
        Case::new(24, 70, 4, 128, false),
    ]
}

fn passes(case: &Case, program: &Path, seed: u64) -> (Outcome, usize) {
    let outcome = case
        .run(On::host(program, seed))
        .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
    let compared = case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    (outcome, compared)
}

#[test]
fn sites_follow_their_definition() {
    let program = build("site", &family("site"), Build::Sanitized);
    let compared: usize = thorough().iter().map(|case| passes(case, &program, 2).1).sum();
    dualnet_fixtures::report(format_args!(
        "{compared} numbers of the site kernels compared on the host"
    ));
    assert!(compared > 100_000, "{compared}");
}

/// The reference's draws, to which the kernels are held, are those of the CPU's kernels.
#[test]
fn elements_left_out_are_those_of_the_cpu() {
    let isa = Isa::detect().expect("an instruction set");
    for key in [0, 1, 1 << 32, KEY, u64::MAX] {
        for share in [0.05, SHARE] {
            let mut factors = vec![f32::NAN; 4096];
            ElementDropout::new(key, share).factors(isa, &mut factors);
            for (element, factor) in factors.into_iter().enumerate() {
                let left_out = is_left_out(key, share, element as u64);
                assert_eq!(factor == 0.0, left_out, "key {key:#x}, element {element}");
            }
        }
    }
}

/// Without the sanitizers, under which blocks of so many threads are slow.
#[test]
fn sites_do_not_depend_on_the_order_of_threads() {
    let program = build("site", &family("site"), Build::Plain);
    for case in thorough() {
        let bits = |seed| passes(&case, &program, seed).0.bits();
        let first = bits(1);
        for seed in [7, 1904] {
            assert_eq!(first, bits(seed), "{case:?}, seed {seed}");
        }
    }
}

/// Without the sanitizers too.
#[test]
fn sites_of_many_blocks_follow_their_definition() {
    let program = build("site", &family("site"), Build::Plain);
    for case in wide() {
        passes(&case, &program, 3);
    }
}
