//! The unit where only the means of its result over 2×2 pixels are wanted: neither the result nor its gradient is ever in memory whole.
//!
//! Both give the same bits as the unit followed by a pool that adds the four in order and divides.

use super::operands::{Affine, Gain};
use super::unit::{AffineGradients, Forward, backward_of};
use super::{ChannelsLast, expect_length};
use crate::pau::Pau;
use crate::pau::order::with_order;
use crate::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Maps whose 2×2 means are taken; an odd last row or column counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PooledMaps {
    /// Records of the batch.
    pub samples: usize,
    /// Rows of a map.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl PooledMaps {
    /// The maps themselves.
    pub fn whole(self) -> ChannelsLast {
        ChannelsLast {
            samples: self.samples,
            pixels: self.height.saturating_mul(self.width),
            channels: self.channels,
        }
    }

    /// Their means.
    pub fn means(self) -> ChannelsLast {
        ChannelsLast {
            samples: self.samples,
            pixels: self.height / 2 * (self.width / 2),
            channels: self.channels,
        }
    }
}

thread_local! {
    /// A part of the result, or of its gradient.
    static PART: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Writes the means of [`affine_forward`](super::affine_forward)'s result over 2×2 pixels, `[samples, height / 2, width / 2, channels]`.
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_forward_pooled(pau: &Pau, maps: PooledMaps, operands: Affine<'_>, means: &mut [f32]) {
    let shape = maps.whole();
    operands.expect_extents(shape);
    expect_length("means", means, maps.means().elements());
    if means.is_empty() {
        return;
    }
    let (pair, mean_row) = (2 * maps.width * maps.channels, maps.width / 2 * maps.channels);
    // Rows of means to a task.
    let rows = (shape.block() / pair).max(1);
    let samples = means.par_chunks_mut(maps.means().sample()).enumerate();
    with_order!(pau, rational => samples.for_each(|(sample, means)| {
        means.par_chunks_mut(rows * mean_row).enumerate().for_each(|(index, means)| {
            let first = index * rows * pair;
            let elements = means.len() / mean_row * pair;
            let block = operands.part(shape, sample, first..first + elements);
            PART.with_borrow_mut(|part| {
                part.resize(elements, 0.0);
                pau.isa().run(Forward { rational, block, y: &mut *part });
                operands.drop_elements(pau.isa(), shape, sample, first, part);
                pau.isa().run(Means { maps, from: part, means });
            });
        });
    }));
}

/// [`affine_backward`](super::affine_backward) from the gradient of the means, `[samples, height / 2, width / 2, channels]`.
///
/// # Panics
/// When a slice has another length than its extents say.
pub fn affine_backward_pooled(
    pau: &Pau,
    maps: PooledMaps,
    operands: Affine<'_>,
    grad_means: &[f32],
    grad_u: &mut [f32],
) -> AffineGradients {
    expect_length("grad_means", grad_means, maps.means().elements());
    backward_of(pau, maps.whole(), operands, &Incoming::Pooled(maps, grad_means), grad_u)
}

/// The gradient that arrives.
pub(super) enum Incoming<'a> {
    /// Of the result.
    Whole(&'a [f32]),
    /// Of its means.
    Pooled(PooledMaps, &'a [f32]),
}

/// Some elements of one sample, whole pixels.
pub(super) struct Part {
    pub(super) shape: ChannelsLast,
    pub(super) sample: usize,
    pub(super) elements: Range<usize>,
}

impl Incoming<'_> {
    /// Hands over the gradient of a part, dropout of elements already in it.
    pub(super) fn with_part<T>(&self, isa: Isa, operands: Affine<'_>, part: Part, take: impl FnOnce(&[f32]) -> T) -> T {
        let Part {
            shape,
            sample,
            elements,
        } = part;
        let drops = matches!(operands.gain, Some(Gain::Elements(_)));
        match *self {
            Self::Whole(gradient) if !drops => take(&gradient[sample * shape.sample()..][elements]),
            Self::Whole(gradient) => PART.with_borrow_mut(|part| {
                part.clear();
                part.extend_from_slice(&gradient[sample * shape.sample()..][elements.clone()]);
                operands.drop_elements(isa, shape, sample, elements.start, part);
                take(part)
            }),
            Self::Pooled(maps, gradient) => PART.with_borrow_mut(|part| {
                part.resize(elements.len(), 0.0);
                let length = maps.means().sample();
                isa.run(Spread {
                    maps,
                    means: &gradient[sample * length..][..length],
                    first: elements.start / maps.channels,
                    to: &mut *part,
                });
                operands.drop_elements(isa, shape, sample, elements.start, part);
                take(part)
            }),
        }
    }
}

/// Whole rows, two for every row of `means`.
struct Means<'a> {
    maps: PooledMaps,
    from: &'a [f32],
    means: &'a mut [f32],
}

impl Kernel for Means<'_> {
    type Output = ();

    /// Plain loops, which are compiled for each instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PooledMaps { width, channels, .. } = self.maps;
        let row = width * channels;
        let pairs = self.from.chunks_exact(2 * row);
        for (means, pair) in self.means.chunks_exact_mut(width / 2 * channels).zip(pairs) {
            let (above, below) = pair.split_at(row);
            let quads = above.chunks_exact(2 * channels).zip(below.chunks_exact(2 * channels));
            for (mean, (above, below)) in means.chunks_exact_mut(channels).zip(quads) {
                let (a, b) = above.split_at(channels);
                let (c, d) = below.split_at(channels);
                for (mean, (((a, b), c), d)) in mean.iter_mut().zip(a.iter().zip(b).zip(c).zip(d)) {
                    *mean = (a + b + c + d) * 0.25;
                }
            }
        }
    }
}

/// The gradients of pixels, from pixel `first` on, that those of a sample's `means` are made of.
struct Spread<'a> {
    maps: PooledMaps,
    means: &'a [f32],
    first: usize,
    to: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Output = ();

    /// Plain loops, which are compiled for each instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PooledMaps {
            height,
            width,
            channels,
            ..
        } = self.maps;
        let (mut row, mut column) = (self.first / width, self.first % width);
        for pixel in self.to.chunks_exact_mut(channels) {
            if row / 2 < height / 2 && column / 2 < width / 2 {
                let mean = &self.means[(row / 2 * (width / 2) + column / 2) * channels..][..channels];
                for (to, mean) in pixel.iter_mut().zip(mean) {
                    *to = mean * 0.25;
                }
            } else {
                pixel.fill(0.0);
            }
            column += 1;
            if column == width {
                (row, column) = (row + 1, 0);
            }
        }
    }
}
