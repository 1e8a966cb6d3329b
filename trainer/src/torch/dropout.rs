//! Dropout whose draws come from libtorch's generator, which is seeded for each forward pass.

use crate::pau::Gain;
use crate::train::DropoutUnit;
use dualnet_engine::pau::affine::ElementDropout;
use dualnet_engine::simd::Isa;
use tch::{Device, Kind, TchError, Tensor};

/// What dropout leaves out while training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of each element or channel; 0 switches dropout off.
    pub probability: f64,
    /// What is left out in the spectrogram encoder; elsewhere it is single elements.
    pub unit: DropoutUnit,
}

/// What the elements of a feature map are multiplied by.
pub(super) enum Factors {
    /// `[N, C]`.
    Channels(Tensor),
    /// As the fused sites draw them.
    Elements {
        /// Number of the sequence of draws, where the feature map is.
        key: Tensor,
        /// Probability of each element.
        share: f64,
    },
}

impl Factors {
    pub(super) fn gain(&self) -> Gain<'_> {
        match self {
            Self::Channels(factors) => Gain::Channels(factors),
            Self::Elements { key, share } => Gain::Elements { key, share: *share },
        }
    }
}

impl Dropout {
    /// No dropout.
    pub const NONE: Self = Self {
        probability: 0.0,
        unit: DropoutUnit::Elements,
    };

    /// Leaves out elements of any tensor.
    pub(super) fn of_elements(self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_mul(&self.drawn(x, &x.size())?)
    }

    /// Leaves out elements or channels of a feature map `[N, C, H, W]`; on the CPU those that a fused site would.
    pub(super) fn in_spectrogram(self, x: &Tensor) -> Result<Tensor, TchError> {
        if self.unit == DropoutUnit::Elements && x.device() != Device::Cpu {
            return self.of_elements(x);
        }
        match self.spectrogram_factors(x)? {
            Factors::Channels(factors) => x.f_mul(&factors.f_unsqueeze(-1)?.f_unsqueeze(-1)?),
            Factors::Elements { key, share } => {
                let dropout = ElementDropout::new(key.f_int64_value(&[0])? as u64, share);
                x.f_mul(&element_factors(x, dropout)?)
            }
        }
    }

    /// What a fused site of a feature map `[N, C, H, W]` multiplies by.
    pub(super) fn spectrogram_factors(self, x: &Tensor) -> Result<Factors, TchError> {
        match self.unit {
            DropoutUnit::Channels => Ok(Factors::Channels(self.drawn(x, &x.size()[..2])?)),
            DropoutUnit::Elements => Ok(Factors::Elements {
                key: Tensor::f_randint(i64::MAX, [1], (Kind::Int64, x.device()))?,
                share: self.probability,
            }),
        }
    }

    /// Independent draws of 0 or `1/(1 − p)` in a tensor of this shape, like `x` in type and device.
    fn drawn(self, x: &Tensor, shape: &[i64]) -> Result<Tensor, TchError> {
        let keep = 1.0 - self.probability;
        Tensor::f_empty(shape, (x.kind(), x.device()))?
            .f_bernoulli_p(keep)?
            .f_mul_scalar(1.0 / keep)
    }
}

/// The factors of the elements of `x`, `[N, C, H, W]`, in the order `[N, H, W, C]`, in which the fused sites draw them.
fn element_factors(x: &Tensor, dropout: ElementDropout) -> Result<Tensor, TchError> {
    let isa = Isa::detect().map_err(|error| TchError::Kind(error.to_string()))?;
    let mut factors = vec![0.0_f32; x.numel()];
    dropout.factors(isa, &mut factors);
    let (records, channels, height, width) = x.size4()?;
    Tensor::f_from_slice(&factors)?
        .f_view([records, height, width, channels])?
        .f_permute([0, 3, 1, 2])
}
