//! What the fused kernels read, whole and cut into blocks.

use super::pattern::repeat;
use super::{ChannelsLast, ElementDropout, expect_length};
use crate::simd::Isa;
use std::ops::Range;

/// What `y = gain · F(u)`, `u = scale · x + shift + shortcut`, is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// `[samples, pixels, channels]`.
    pub x: &'a [f32],
    /// `[samples, channels]`.
    pub scale: &'a [f32],
    /// `[samples, channels]`.
    pub shift: &'a [f32],
    /// `[samples, pixels, channels]`; nothing is added when absent.
    pub shortcut: Option<&'a [f32]>,
    /// 1 when absent.
    pub gain: Option<Gain<'a>>,
}

/// What the result is multiplied by.
#[derive(Clone, Copy, Debug)]
pub enum Gain<'a> {
    /// `[samples, channels]`, such as dropout of channels.
    Channels(&'a [f32]),
    /// Dropout of single elements.
    Elements(ElementDropout),
}

impl<'a> Affine<'a> {
    #[track_caller]
    pub(super) fn expect_extents(&self, shape: ChannelsLast) {
        expect_length("x", self.x, shape.elements());
        expect_length("scale", self.scale, shape.lines());
        expect_length("shift", self.shift, shape.lines());
        if let Some(shortcut) = self.shortcut {
            expect_length("shortcut", shortcut, shape.elements());
        }
        if let Some(Gain::Channels(gain)) = self.gain {
            expect_length("gain", gain, shape.lines());
        }
    }

    /// The operands of some elements of one sample, whole pixels.
    pub(super) fn part(&self, shape: ChannelsLast, sample: usize, elements: Range<usize>) -> Block<'a> {
        let start = sample * shape.sample();
        let data = start + elements.start..start + elements.end;
        let line = sample * shape.channels..(sample + 1) * shape.channels;
        Block {
            x: &self.x[data.clone()],
            shortcut: self.shortcut.map(|shortcut| &shortcut[data]),
            scale: &self.scale[line.clone()],
            shift: &self.shift[line.clone()],
            gain: match self.gain {
                Some(Gain::Channels(gain)) => Some(&gain[line]),
                _ => None,
            },
        }
    }

    /// Multiplies values of one sample, the first of which is its element `first`, by their draws, if elements are left out.
    pub(super) fn drop_elements(&self, isa: Isa, shape: ChannelsLast, sample: usize, first: usize, values: &mut [f32]) {
        if let Some(Gain::Elements(dropout)) = self.gain {
            dropout.apply(isa, sample * shape.sample() + first, values);
        }
    }
}

/// [`Affine`] for some pixels of one sample, but for dropout of elements; `scale`, `shift` and `gain` hold one value per channel.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) x: &'a [f32],
    pub(super) shortcut: Option<&'a [f32]>,
    scale: &'a [f32],
    shift: &'a [f32],
    pub(super) gain: Option<&'a [f32]>,
}

/// A block's values per channel, repeated as by [`repeat`].
pub(super) struct Lines {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) gain: Option<Vec<f32>>,
}

impl Block<'_> {
    pub(super) fn channels(&self) -> usize {
        self.scale.len()
    }

    pub(super) fn lines(&self) -> Lines {
        let elements = self.x.len();
        Lines {
            scale: repeat(self.scale, elements),
            shift: repeat(self.shift, elements),
            gain: self.gain.map(|gain| repeat(gain, elements)),
        }
    }
}
