//! The residual block.

use super::super::kernels::Packed;
use super::Scratch;
use super::convolution::{Convolution, Epilogue, ShortcutOf, pointwise};
use super::fused_order;
use super::map::Map;
use super::norm::Norm;
use crate::pau::rational::Rational;
use crate::plan;
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Residual {
    first: Convolution,
    first_norm: Norm,
    first_activation: Rational<6, 4>,
    second: Convolution,
    second_norm: Norm,
    projection: Option<Packed>,
    activation: Rational<6, 4>,
}

impl Residual {
    pub(super) fn new(block: &plan::ResidualBlock<'_>, latent: usize) -> Self {
        let width = block.input.width;
        Self {
            first: Convolution::new(&block.first, width),
            first_norm: Norm::new(&block.first_norm, latent),
            first_activation: fused_order(&block.first_activation),
            second: Convolution::new(&block.second, width),
            second_norm: Norm::new(&block.second_norm, latent),
            projection: match &block.shortcut {
                plan::Shortcut::Identity => None,
                plan::Shortcut::Projection(convolution) => Some(pointwise(convolution)),
            },
            activation: fused_order(&block.activation),
        }
    }

    /// `input` to `output`, half as high and wide.
    pub(super) fn run(&self, isa: Isa, latent: &[f32], input: &Map, output: &mut Map, scratch: &mut Scratch) {
        let rows = input.rows_for_block();
        let mut condition = std::mem::take(&mut scratch.condition);
        let mut middle = std::mem::take(&mut scratch.middle);
        let affine = self.first_norm.affine(isa, latent, &mut condition);
        let epilogue = Epilogue {
            affine,
            pau: &self.first_activation,
        };
        self.first.activated(isa, input, &rows, epilogue, &mut middle, scratch);
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
        self.second.pooled(isa, &middle, epilogue, &shortcut, output, scratch);
        output.stretch = rows.stretch.after_block();
        scratch.condition = condition;
        scratch.middle = middle;
    }
}
