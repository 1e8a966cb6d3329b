//! The factor and term per channel of a norm, for one record.

use super::super::kernels::{Affine, Aligned, MatVec, Packed, padded};
use crate::plan;
use crate::simd::Isa;

/// A norm of `channels` channels (padded).
#[derive(Clone, Debug)]
pub(super) struct Norm {
    channels: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// `[latent, 2·channels]`.
    Conditional(Packed),
    /// Scales, then shifts.
    Fixed(Aligned),
}

impl Norm {
    /// The scale of each channel is multiplied by its one of `factors`, if there are any.
    pub(super) fn new(norm: &plan::Norm<'_>, latent: usize, factors: Option<&[f32]>) -> Self {
        let factor = |channel: usize| factors.map_or(1.0, |factors| factors[channel]);
        match norm {
            plan::Norm::Conditional { weight } => {
                let real = weight.outputs / 2;
                let channels = padded(real);
                let packed = Packed::of(padded(latent), 2 * channels, |input, column| {
                    let (half, channel) = (column / channels, column % channels);
                    match channel < real && input < weight.inputs {
                        true if half == 0 => weight.weight(channel, input) * factor(channel),
                        true => weight.weight(real + channel, input),
                        false => 0.0,
                    }
                });
                Self {
                    channels,
                    kind: Kind::Conditional(packed),
                }
            }
            plan::Norm::Fixed { shift } => {
                let channels = padded(shift.len());
                let mut values = Aligned::zeros(2 * channels);
                for (channel, scale) in values[..shift.len()].iter_mut().enumerate() {
                    *scale = factor(channel);
                }
                shift.copy_to(&mut values[channels..]);
                Self {
                    channels,
                    kind: Kind::Fixed(values),
                }
            }
        }
    }

    /// The record's factors and terms, in `scratch` where they depend on it.
    pub(super) fn affine<'s>(&'s self, isa: Isa, latent: &[f32], scratch: &'s mut Aligned) -> Affine<'s> {
        let values: &[f32] = match &self.kind {
            Kind::Conditional(weights) => {
                let values = scratch.resize(2 * self.channels);
                isa.run(MatVec {
                    x: latent,
                    b: weights.view(),
                    bias: None,
                    y: values,
                });
                values
            }
            Kind::Fixed(values) => values,
        };
        let (scale, shift) = values.split_at(self.channels);
        Affine { scale, shift }
    }
}
