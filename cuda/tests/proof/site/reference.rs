//! A site in `f64` from its definition, and how far from that f32 arithmetic may be.
//!
//! Every tolerance is made of two parts. The first is how far the numbers that a result is made of may be off themselves: the
//! moments of a channel move `u` by at most some `e`, and the unit's value, slope and terms may be those anywhere from `u − e` to `u + e`.
//! The second is rounding, relative to the magnitudes of what is added up.

use super::{Case, Data, Dropout, KEY, SHARE};
use crate::bound::{COEFFICIENT, DERIVATIVE, Scale, VALUE, wide};
use dualnet_cuda::site::Extents;
use dualnet_engine::pau::reference::{Point, sign};
use std::fmt;

/// Three roundings to f32 of half a unit in the last place each.
const ROUNDING: f64 = 2e-7;
/// A sum over pixels of the magnitudes' sum: 16 terms of a thread and those of up to 256 threads, in f32.
const SUM: f64 = 4e-6;
/// What the variance is raised by.
const EPSILON: f64 = 1e-5;

/// A number, and how far from it a result may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    want: f64,
    allowed: f64,
}

impl Bound {
    /// Not a number is right exactly where it is expected.
    pub fn holds(&self, got: f64) -> bool {
        (got - self.want).abs() <= self.allowed + f64::from(f32::MIN_POSITIVE) || got.is_nan() && self.want.is_nan()
    }

    fn add(&mut self, want: f64, allowed: f64) {
        self.want += want;
        self.allowed += allowed;
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:e} ± {:e}", self.want, self.allowed)
    }
}

/// All results by their names.
pub type Expected = Vec<(&'static str, Vec<Bound>)>;

/// Mean and reciprocal deviation of a channel, the latter's tolerance relative, and the running moments afterwards.
struct Channel {
    mean: Bound,
    reciprocal: Bound,
    running: [Bound; 2],
}

/// What one record gives.
struct Part {
    y: Vec<Bound>,
    grad_u: Vec<Bound>,
    /// Of each channel over pixels: of the gradient of u, and of its product with x less the mean.
    sums: Vec<[Bound; 2]>,
    numerator: Vec<Bound>,
    denominator: Vec<Bound>,
}

/// All results of a case's numbers.
pub fn expected(case: &Case, data: &Data) -> Expected {
    let Extents {
        records,
        height,
        width,
        channels,
    } = case.extents;
    let channel = each(channels, &|channel| moments(case, data, channel));
    let parts = each(records, &|record| of_record(case, data, &channel, record));
    let count = (records * height * width) as f64;
    let condition = |record, channel| condition(data, channels, record, channel);

    let (mut grad_gamma, mut grad_beta) = (vec![Bound::default(); channels], vec![Bound::default(); channels]);
    // Sums over records of s·γ times those of the record.
    let mut towards = vec![[Bound::default(); 2]; channels];
    let mut modulation = vec![Bound::default(); records * 2 * channels];
    for (record, part) in parts.iter().enumerate() {
        for (c, &[plain, centred]) in part.sums.iter().enumerate() {
            let (s, _) = condition(record, c);
            let (gamma, beta) = (f64::from(data.gamma[c]), f64::from(data.beta[c]));
            let Bound { want, allowed } = channel[c].reciprocal;
            let normalized = Bound {
                want: want * centred.want,
                allowed: want * (centred.allowed + centred.want.abs() * (allowed + ROUNDING)),
            };
            let plain = Bound {
                allowed: plain.allowed + ROUNDING * plain.want.abs(),
                ..plain
            };
            grad_gamma[c].add(s * normalized.want, s.abs() * normalized.allowed);
            grad_beta[c].add(s * plain.want, s.abs() * plain.allowed);
            for (sum, of) in towards[c].iter_mut().zip([plain, centred]) {
                sum.add(s * gamma * of.want, (s * gamma).abs() * of.allowed);
            }
            let row = &mut modulation[record * 2 * channels..][..2 * channels];
            row[c].add(
                gamma * normalized.want + beta * plain.want,
                gamma.abs() * normalized.allowed + beta.abs() * plain.allowed,
            );
            row[channels + c] = plain;
        }
    }

    let grad_x = each(records, &|record| {
        let first = record * height * width * channels;
        let grads = parts[record].grad_u.iter().enumerate();
        let values = grads.map(|(index, du)| {
            let c = index % channels;
            let (mean, reciprocal) = (channel[c].mean, channel[c].reciprocal);
            let (r, relative) = (reciprocal.want, reciprocal.allowed + ROUNDING);
            let slope = condition(record, c).0 * f64::from(data.gamma[c]) * r;
            let mut bound = Bound::default();
            bound.add(slope * du.want, slope.abs() * (du.allowed + du.want.abs() * relative));
            if case.batch_statistics {
                let x = f64::from(data.x[first + index]);
                let centred = x - mean.want;
                let [plain, product] = towards[c];
                let by_mean = -r / count;
                bound.add(
                    by_mean * plain.want,
                    by_mean.abs() * (plain.allowed + plain.want.abs() * relative),
                );
                // Factor and summand of x come apart in f32.
                let by_variance = -r.powi(3) / count;
                let size = centred.abs() * product.allowed
                    + product.want.abs() * (mean.allowed + (x.abs() + mean.want.abs()) * ROUNDING)
                    + product.want.abs() * centred.abs() * 3.0 * relative;
                bound.add(by_variance * centred * product.want, by_variance.abs() * size);
            }
            bound
        });
        values.collect::<Vec<Bound>>()
    });

    let total = |of: fn(&Part) -> &[Bound]| {
        let mut sums = vec![Bound::default(); of(&parts[0]).len()];
        for part in &parts {
            for (sum, of) in sums.iter_mut().zip(of(part)) {
                sum.add(of.want, of.allowed);
            }
        }
        sums
    };
    let statistics = |of: fn(&Channel) -> Bound| channel.iter().map(of);
    let reciprocal = |of: &Channel| Bound {
        want: of.reciprocal.want,
        allowed: of.reciprocal.want * of.reciprocal.allowed,
    };
    let mut results = vec![
        (
            "statistics",
            statistics(|of| of.mean).chain(statistics(reciprocal)).collect(),
        ),
        ("running_mean", statistics(|of| of.running[0]).collect()),
        ("running_variance", statistics(|of| of.running[1]).collect()),
        ("grad_gamma", grad_gamma),
        ("grad_beta", grad_beta),
        ("grad_x", grad_x.concat()),
        ("grad_numerator", total(|part| &part.numerator)),
        ("grad_denominator", total(|part| &part.denominator)),
        ("y", parts.iter().flat_map(|part| part.y.iter().copied()).collect()),
        (
            "grad_u",
            parts.iter().flat_map(|part| part.grad_u.iter().copied()).collect(),
        ),
    ];
    if case.modulated {
        results.push(("grad_modulation", modulation));
    }
    results
}

/// A channel's statistics: of the batch, biased, or the running ones.
fn moments(case: &Case, data: &Data, channel: usize) -> Channel {
    let (old_mean, old_variance) = (data.running_mean[channel], data.running_variance[channel]);
    let [old_mean, old_variance] = [old_mean, old_variance].map(f64::from);
    let exactly = |want| Bound { want, allowed: 0.0 };
    let reciprocal = |variance: f64, allowed: f64| Bound {
        want: (variance + EPSILON).sqrt().recip(),
        // In f64 from the variance on.
        allowed: 0.5 * allowed / (variance + EPSILON) + 1e-9,
    };
    if !case.batch_statistics {
        return Channel {
            mean: exactly(old_mean),
            reciprocal: reciprocal(old_variance, 0.0),
            running: [old_mean, old_variance].map(exactly),
        };
    }
    let values = || {
        data.x[channel..]
            .iter()
            .step_by(case.extents.channels)
            .map(|&x| f64::from(x))
    };
    let count = values().count() as f64;
    let mean = values().sum::<f64>() / count;
    let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    // Sums are taken of values less the running mean.
    let away = values().map(|x| (x - old_mean).abs()).sum::<f64>() / count;
    let square = values().map(|x| (x - old_mean).powi(2)).sum::<f64>() / count;
    let mean_allowed = SUM * away;
    let variance_allowed = SUM * square + 2.0 * (mean - old_mean).abs() * mean_allowed;
    let unbiased = count / (count - 1.0);
    let towards = |old: f64, new: f64, allowed: f64| Bound {
        want: old + 0.1 * (new - old),
        allowed: 0.1 * allowed + ROUNDING * (old.abs() + new.abs()),
    };
    Channel {
        mean: Bound {
            want: mean,
            allowed: mean_allowed,
        },
        reciprocal: reciprocal(variance, variance_allowed),
        running: [
            towards(old_mean, mean, mean_allowed),
            towards(old_variance, variance * unbiased, variance_allowed * unbiased),
        ],
    }
}

/// Factor and summand of a record's channel.
fn condition(data: &Data, channels: usize, record: usize, channel: usize) -> (f64, f64) {
    data.modulation.as_ref().map_or((1.0, 0.0), |modulation| {
        let row = &modulation[record * 2 * channels..][..2 * channels];
        (f64::from(row[channel]), f64::from(row[channels + channel]))
    })
}

/// Whether dropout with this key and probability leaves an element out: its number, all but the lower 32 bits ignored, is multiplied
/// by odd constants and shifted onto itself, and the halves of the key enter in between. Of the 2³² results, the lowest are left out.
pub fn is_left_out(key: u64, share: f64, element: u64) -> bool {
    const RESULTS: u64 = 1 << 32;
    let times = |bits: u64, factor: u64| bits * factor % RESULTS;
    let bits = times(element % RESULTS, 0x9e37_79b1) ^ (key % RESULTS);
    let bits = times(bits ^ (bits >> 16), 0x85eb_ca6b);
    let bits = (bits + key / RESULTS) % RESULTS;
    let bits = times(bits ^ (bits >> 13), 0xc2b2_ae35);
    let bits = times(bits ^ (bits >> 16), 0x27d4_eb2f);
    let bits = bits ^ (bits >> 15);
    (bits as f64) < (share * RESULTS as f64).floor()
}

fn of_record(case: &Case, data: &Data, channel: &[Channel], record: usize) -> Part {
    let Extents {
        height,
        width,
        channels,
        ..
    } = case.extents;
    let (a, b) = (wide(&data.numerator), wide(&data.denominator));
    let elements = height * width * channels;
    let span = if case.pool { 2 } else { 1 };
    let (rows, columns) = (height / span, width / span);
    let share = 1.0 / (span * span) as f64;
    let mut part = Part {
        y: vec![Bound::default(); rows * columns * channels],
        grad_u: vec![Bound::default(); elements],
        sums: vec![[Bound::default(); 2]; channels],
        numerator: vec![Bound::default(); a.len()],
        denominator: vec![Bound::default(); b.len()],
    };
    // What pooling leaves out has no part in anything.
    let kept = (0..rows * span).flat_map(|row| (0..columns * span).map(move |column| (row, column)));
    for (row, column) in kept {
        for (c, of) in channel.iter().enumerate() {
            let index = (row * width + column) * channels + c;
            let result = (row / span * columns + column / span) * channels + c;
            let x = f64::from(data.x[record * elements + index]);
            let (s, t) = condition(data, channels, record, c);
            let (gamma, beta) = (f64::from(data.gamma[c]), f64::from(data.beta[c]));
            let add = data
                .shortcut
                .as_ref()
                .map_or(0.0, |of| f64::from(of[record * elements + index]));
            let left_out =
                case.dropout == Dropout::Elements && is_left_out(KEY, SHARE, (record * elements + index) as u64);
            let gain = match (case.dropout, &data.gain) {
                (Dropout::Elements, _) if left_out => 0.0,
                // As f32 has it.
                (Dropout::Elements, _) => f64::from((1.0 / (1.0 - SHARE)) as f32),
                (_, gain) => gain.as_ref().map_or(1.0, |of| f64::from(of[record * channels + c])),
            };
            let slope = s * gamma * of.reciprocal.want;
            let centred = x - of.mean.want;
            let u = slope * centred + s * beta + t + add;
            let e = slope.abs() * (of.mean.allowed + centred.abs() * of.reciprocal.allowed)
                + ROUNDING * (slope.abs() * (x.abs() + of.mean.want.abs()) + (s * beta).abs() + t.abs() + add.abs());
            let g = share * gain * f64::from(data.grad_y[record * rows * columns * channels + result]);

            let point = Point::new(&a, &b, u);
            let ends = [u - e, u + e].map(|u| Point::new(&a, &b, u));
            // How much a number changes between them; a maximum would lose what is not a number.
            let changed = |of: &dyn Fn(&Point) -> f64| ends.iter().map(|end| (of(end) - of(&point)).abs()).sum::<f64>();
            let scale = Scale::new(&a, &b, &[u], &[g]);
            let value = VALUE * scale.y[0] + changed(&|at| at.value) + ROUNDING * point.value.abs();
            // What is left out is 0 even where the unit has no number.
            if !left_out {
                part.y[result].add(share * gain * point.value, share * gain * value);
            }
            let du = Bound {
                want: g * point.derivative,
                allowed: DERIVATIVE * scale.grad_x[0]
                    + g.abs() * (changed(&|at| at.derivative) + ROUNDING * point.derivative.abs()),
            };
            part.grad_u[index] = du;
            let [plain, product] = &mut part.sums[c];
            plain.add(du.want, du.allowed + SUM * du.want.abs());
            let sizes = du.allowed * centred.abs()
                + du.want.abs() * (of.mean.allowed + ROUNDING * (x.abs() + of.mean.want.abs()))
                + SUM * (du.want * centred).abs();
            product.add(du.want * centred, sizes);
            for (k, sum) in part.numerator.iter_mut().enumerate() {
                let change = g.abs() * changed(&|at| at.numerator_gradient(k));
                sum.add(
                    g * point.numerator_gradient(k),
                    COEFFICIENT * scale.numerator[k] + change,
                );
            }
            for (k, sum) in part.denominator.iter_mut().enumerate() {
                let change = g.abs() * changed(&|at| at.denominator_gradient(k + 1));
                sum.add(
                    g * point.denominator_gradient(k + 1) * sign(b[k]),
                    COEFFICIENT * scale.denominator[k] + change,
                );
            }
        }
    }
    part
}

/// What `of` gives for each index, on all processors.
fn each<T: Send>(count: usize, of: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(count.max(1));
    let share = count.div_ceil(threads);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|thread| {
                let own = (thread * share).min(count)..((thread + 1) * share).min(count);
                scope.spawn(move || own.map(of).collect::<Vec<T>>())
            })
            .collect();
        let joined = parts.into_iter().map(|part| part.join().expect("a reference"));
        joined.flatten().collect()
    })
}
