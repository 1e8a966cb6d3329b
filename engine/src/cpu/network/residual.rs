//! The residual block.

use super::Scratch;
use super::convolution::{Convolution, Epilogue, Pointwise, ShortcutOf};
use super::fused_order;
use super::map::Map;
use super::norm::Norm;
use crate::pau::rational::Rational;
use crate::plan::{self, Quantization};
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Residual {
    first: Convolution,
    first_norm: Norm,
    first_activation: Rational<6, 4>,
    second: Convolution,
    second_norm: Norm,
    /// How the second convolution reads what the first gives.
    middle: Option<Quantization>,
    projection: Option<Pointwise>,
    activation: Rational<6, 4>,
}

impl Residual {
    pub(super) fn new(isa: Isa, block: &plan::ResidualBlock<'_>, latent: usize) -> Self {
        let width = block.input.width;
        let (first, second) = (
            Convolution::new(isa, &block.first, width),
            Convolution::new(isa, &block.second, width),
        );
        Self {
            first_norm: Norm::new(&block.first_norm, latent, first.factors()),
            first_activation: fused_order(&block.first_activation),
            second_norm: Norm::new(&block.second_norm, latent, second.factors()),
            first,
            second,
            middle: block.second.input,
            projection: match &block.shortcut {
                plan::Shortcut::Identity => None,
                plan::Shortcut::Projection(convolution) => Some(Pointwise::new(convolution)),
            },
            activation: fused_order(&block.activation),
        }
    }

    /// `input` to `output`, half as high and wide, rounded like `rounding` says if this is a block of 8-bit values.
    pub(super) fn run(
        &self,
        isa: Isa,
        latent: &[f32],
        input: &Map,
        (output, rounding): (&mut Map, Option<Quantization>),
        scratch: &mut Scratch,
    ) {
        let rows = input.rows_for_block();
        let mut condition = std::mem::take(&mut scratch.condition);
        let mut middle = std::mem::take(&mut scratch.middle);
        let affine = self.first_norm.affine(isa, latent, &mut condition);
        let epilogue = Epilogue {
            affine,
            pau: &self.first_activation,
        };
        self.first
            .activated(isa, input, &rows, epilogue, (&mut middle, self.middle), scratch);
        let affine = self.second_norm.affine(isa, latent, &mut condition);
        let epilogue = Epilogue {
            affine,
            pau: &self.activation,
        };
        let shortcut = ShortcutOf {
            input,
            rows: &rows,
            projection: self.projection.as_ref(),
        };
        // Floats are rounded by whoever hands the map on.
        let rounding = rounding.filter(|_| self.middle.is_some());
        self.second
            .pooled(isa, &middle, epilogue, &shortcut, (output, rounding), scratch);
        output.stretch = rows.stretch.after_block();
        scratch.condition = condition;
        scratch.middle = middle;
    }
}
