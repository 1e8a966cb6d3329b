//! The resampling kernel: a Kaiser-windowed sinc, tabulated in phases.

use std::f64::consts::PI;

/// End of the pass band, as a fraction of the lower of the two Nyquist frequencies; the stop band starts at 1.
const PASS_EDGE: f64 = 0.92;
/// Design attenuation of the stop band, in dB.
const ATTENUATION_DB: f64 = 80.0;
/// Phases per sample of the lower rate. Linear interpolation between them errs by less than (π/256)²/8, −94 dB.
const PHASES: f64 = 256.0;
/// Taps of a phase come in multiples of this, so that the inner loop has no remainder.
const LANES: usize = 8;

/// A low-pass interpolator: rows of taps, one for each of `phases + 1` positions between two samples.
///
/// Length and shape follow Kaiser's formulas for the stated attenuation and a transition from [`PASS_EDGE`] to 1
/// (Oppenheim and Schafer, *Discrete-Time Signal Processing*, the Kaiser window method). Every row sums to 1.
pub(super) struct Kernel {
    /// `[phases + 1, 2 · reach]`, row-major.
    taps: Vec<f32>,
    phases: usize,
    reach: usize,
}

impl Kernel {
    /// The kernel for a lower rate of `ratio` (0 to 1) times the rate of the samples.
    pub(super) fn new(ratio: f64) -> Self {
        let half_width = (ATTENUATION_DB - 7.95) / (2.285 * PI * (1.0 - PASS_EDGE)) / 2.0 / ratio;
        let beta = 0.1102 * (ATTENUATION_DB - 8.7);
        let cutoff = ratio * (1.0 + PASS_EDGE) / 2.0;
        let reach = (half_width.ceil() as usize).next_multiple_of(LANES / 2);
        let phases = (PHASES * ratio).ceil() as usize;
        let mut taps = Vec::with_capacity((phases + 1) * 2 * reach);
        for phase in 0..=phases {
            let fraction = phase as f64 / phases as f64;
            let row = (0..2 * reach).map(|tap| {
                let distance = (tap as f64 + 1.0 - reach as f64) - fraction;
                sinc(cutoff * distance) * kaiser(distance / half_width, beta)
            });
            let sum: f64 = row.clone().sum();
            taps.extend(row.map(|tap| (tap / sum) as f32));
        }
        Self { taps, phases, reach }
    }

    /// How many samples before and after a position the kernel reads.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// The lead's value `fraction` (0 to 1) past sample `reach − 1` of `samples`, which holds `2 · reach` or more.
    pub(super) fn apply(&self, samples: &[f32], fraction: f64) -> f32 {
        let width = 2 * self.reach;
        let position = fraction * self.phases as f64;
        let phase = (position as usize).min(self.phases - 1);
        let (before, after) = self.taps[phase * width..(phase + 2) * width].split_at(width);
        let weight = (position - phase as f64) as f32;
        let (low, high) = dot2(before, after, &samples[..width]);
        low + weight * (high - low)
    }
}

/// The products of `samples` with two rows of taps, all of the same length, a multiple of [`LANES`].
fn dot2(before: &[f32], after: &[f32], samples: &[f32]) -> (f32, f32) {
    let mut low = [0.0_f32; LANES];
    let mut high = [0.0_f32; LANES];
    let rows = before.as_chunks::<LANES>().0.iter().zip(after.as_chunks::<LANES>().0);
    for ((before, after), samples) in rows.zip(samples.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            low[lane] += before[lane] * samples[lane];
            high[lane] += after[lane] * samples[lane];
        }
    }
    (low.iter().sum(), high.iter().sum())
}

/// `sin(πx) / (πx)`.
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The Kaiser window with parameter `beta` at `x`, 0 outside −1 to 1, not normalized.
fn kaiser(x: f64, beta: f64) -> f64 {
    if x.abs() >= 1.0 {
        0.0
    } else {
        bessel_i0(beta * (1.0 - x * x).sqrt())
    }
}

/// The modified Bessel function of the first kind and order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while term > sum * f64::EPSILON {
        k += 1.0;
        term *= quarter / (k * k);
        sum += term;
    }
    sum
}
