//! Mean and variance per channel.

use super::pattern::{fold, period, repeat};
use super::{ChannelsLast, expect_length};
use crate::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Mean and biased variance (divisor `samples · pixels`) per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// `[channels]`.
    pub mean: Vec<f64>,
    /// `[channels]`; never negative.
    pub variance: Vec<f64>,
}

/// Mean and variance of each channel over all samples and pixels of `x`, `[samples, pixels, channels]`; zeros without pixels.
///
/// Differences are taken from the mean of a block before they are squared, and blocks are joined in `f64` (Chan, Golub and
/// LeVeque 1979): mean and variance are within 1e-6 of the standard deviation and of the variance, plus `f32`'s rounding of the data.
///
/// # Panics
/// When `x` has another length than its extents say.
pub fn channel_moments(isa: Isa, shape: ChannelsLast, x: &[f32]) -> Moments {
    expect_length("x", x, shape.elements());
    let channels = shape.channels;
    let blocks: Vec<Vec<Deviations>> = x
        .par_chunks(shape.block())
        .map(|x| {
            isa.run(Block {
                x,
                channels,
                block: shape.block(),
            })
        })
        .collect();
    let mut total = vec![Deviations::default(); channels];
    for block in &blocks {
        for (total, block) in total.iter_mut().zip(block) {
            total.join(block);
        }
    }
    Moments {
        mean: total.iter().map(|channel| channel.mean).collect(),
        variance: total
            .iter()
            .map(|channel| channel.squares / channel.count.max(1.0))
            .collect(),
    }
}

/// Count, mean and sum of squared differences from that mean.
#[derive(Clone, Copy, Debug, Default)]
struct Deviations {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Deviations {
    fn join(&mut self, other: &Self) {
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        self.mean += difference * (other.count / count);
        self.squares += other.squares + difference * difference * (self.count * other.count / count);
        self.count = count;
    }
}

/// Whole pixels, at most one block of them.
struct Block<'a> {
    x: &'a [f32],
    channels: usize,
    block: usize,
}

impl Kernel for Block<'_> {
    type Output = Vec<Deviations>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Deviations> {
        let count = (self.x.len() / self.channels) as f64;
        let length = period(self.channels).min(self.block);
        let zero = vec![0.0; length];
        let (first, _) = powers(simd, self.x, &zero);
        let mut sums = vec![0.0; self.channels];
        fold(&first, &mut sums);
        let pivots: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();

        let (first, second) = powers(simd, self.x, &repeat(&pivots, self.block));
        let mut squares = vec![0.0; self.channels];
        sums.fill(0.0);
        fold(&first, &mut sums);
        fold(&second, &mut squares);
        let channels = pivots.iter().zip(&sums).zip(&squares);
        let deviations = |((&pivot, &sum), &squares): ((&f32, &f64), &f64)| Deviations {
            count,
            mean: f64::from(pivot) + sum / count,
            squares: (squares - sum * sum / count).max(0.0),
        };
        channels.map(deviations).collect()
    }
}

/// `Σ (x − pivot)` and `Σ (x − pivot)²` per element of the period, which is as long as `pivots`.
#[inline(always)]
fn powers<S: Simd>(simd: S, x: &[f32], pivots: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut first, mut second) = (vec![0.0; pivots.len()], vec![0.0; pivots.len()]);
    let whole = x.len() / S::LANES * S::LANES;
    let (x, last) = x.split_at(whole);
    for x in x.chunks(pivots.len()) {
        let data = x.chunks_exact(S::LANES).zip(pivots.chunks_exact(S::LANES));
        let sums = first.chunks_exact_mut(S::LANES).zip(second.chunks_exact_mut(S::LANES));
        for ((x, pivot), (first, second)) in data.zip(sums) {
            let difference = simd.sub(simd.load(x), simd.load(pivot));
            simd.store(simd.add(simd.load(first), difference), first);
            simd.store(simd.mul_add(difference, difference, simd.load(second)), second);
        }
    }
    if !last.is_empty() {
        let at = whole % pivots.len()..whole % pivots.len() + last.len();
        let difference = simd.sub(simd.load_partial(last), simd.load_partial(&pivots[at.clone()]));
        let (first, second) = (&mut first[at.clone()], &mut second[at]);
        simd.store_partial(simd.add(simd.load_partial(first), difference), first);
        simd.store_partial(simd.mul_add(difference, difference, simd.load_partial(second)), second);
    }
    (first, second)
}
