//! Conditional batch normalization followed by the PAU, in one pass over channels-last data, for training.
//!
//! With batch statistics, both steps of the normalization are one affine map per record and channel, so that block is
//! `y[i,p,c] = F(u)`, `u = scale[i,c] · x[i,p,c] + shift[i,c]`; a residual block adds its shortcut to `u`, dropout
//! multiplies `y` by a gain, and of its maps means may be all that is wanted. The gradient towards `x` is again affine in `∂L/∂u` and `x`; its coefficients follow from the sums
//! that [`affine_backward`] returns.
//!
//! Everything runs on rayon's current thread pool and gives the same bits for any number of threads. Sums over pixels are
//! within 1e-5 of the sum of their terms' magnitudes. Activation and gradients are as accurate as [`Pau`]'s at the `f32` value of `u`.

mod dropout;
mod input_gradient;
mod moments;
mod operands;
mod pattern;
mod pooled;
mod unit;

pub use dropout::ElementDropout;
pub use input_gradient::{InputGradient, affine_input_gradient};
pub use moments::{Moments, channel_moments};
pub use operands::{Affine, Gain};
pub use pooled::{PooledMaps, affine_backward_pooled, affine_forward_pooled};
pub use unit::{AffineGradients, affine_backward, affine_forward};

#[cfg(doc)]
use super::Pau;

/// Extents of contiguous data `[samples, pixels, channels]`, the channel running fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelsLast {
    /// Records of the batch.
    pub samples: usize,
    /// Positions of one record, such as height × width.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
}

impl ChannelsLast {
    /// Elements in all.
    pub fn elements(self) -> usize {
        self.samples.saturating_mul(self.sample())
    }

    /// Elements of one record, `pixels · channels`.
    pub fn sample(self) -> usize {
        self.pixels.saturating_mul(self.channels)
    }

    /// Values that there are one of per record and channel, `samples · channels`.
    pub fn lines(self) -> usize {
        self.samples.saturating_mul(self.channels)
    }

    /// Elements of a parallel task: whole pixels, about 32 768 elements.
    fn block(self) -> usize {
        (super::CHUNK / self.channels.max(1))
            .max(1)
            .saturating_mul(self.channels.max(1))
    }

    /// Tasks of one record.
    fn blocks_per_sample(self) -> usize {
        self.sample().div_ceil(self.block())
    }
}

#[track_caller]
fn expect_length(what: &str, slice: &[f32], length: usize) {
    assert_eq!(slice.len(), length, "length of {what}");
}
