//! The residual block: two launches.

use dualnet_cuda::CudaError;
use dualnet_cuda::residual::{Convolution, Operands, Shortcut, Single, SingleOperands};

use super::weights::rounding;
use super::{Map, Writer};
use crate::gpu::program::Memory;
use crate::plan::{self, Quantization, ResidualBlock};

impl Writer<'_, '_> {
    pub(super) fn residual(
        &mut self,
        name: &str,
        block: &ResidualBlock<'_>,
        input: Map,
        next: Option<Quantization>,
    ) -> Result<Map, CudaError> {
        let by = block.first.input;
        let precision = self.numbers.products(by);
        // A single channel is rounded by who reads it.
        let input = match block.first.inputs {
            1 => input,
            _ => self.rounded(name, input, by)?,
        };
        let activation = Some(self.activation(&format!("{name} first activation"), &block.first_activation)?);
        let conditions = self.norm(&format!("{name} first norm"), &block.first, &block.first_norm)?;
        let extents = self.extents(block.input, block.first.outputs);
        let between = plan::Extents {
            channels: block.first.outputs,
            ..block.input
        };
        let middle = self.map(&format!("{name} middle"), between, block.second.input);
        let launch = if block.first.inputs == 1 {
            let weights = self.single_filters(&format!("{name} first"), &block.first, 9)?;
            Single::new(precision, extents)?.launch(&SingleOperands {
                input: input.memory,
                input_rounding: by.map(rounding),
                weights,
                conditions,
                activation,
                output: middle.memory,
                output_rounding: middle.rounding.map(rounding),
            })?
        } else {
            let weights = self.filters(&format!("{name} first"), &block.first, 9)?;
            Convolution::new(precision, extents, 3, false, self.size.processors)?.launch(&Operands {
                input: input.memory,
                input_rounding: by.map(rounding),
                weights,
                conditions,
                shortcut: Shortcut::None,
                activation,
                output: middle.memory,
                output_rounding: middle.rounding.map(rounding),
            })?
        };
        self.builder.launch(launch);

        let shortcut = self.shortcut(&format!("{name} shortcut"), &block.shortcut, input)?;
        let activation = Some(self.activation(&format!("{name} activation"), &block.activation)?);
        let conditions = self.norm(&format!("{name} second norm"), &block.second, &block.second_norm)?;
        let weights = self.filters(&format!("{name} second"), &block.second, 9)?;
        let extents = self.extents(between, block.second.outputs);
        // What floats become for a rounding block, that block's `rounded` decides.
        let output = self.map(&format!("{name} output"), block.output, next.filter(|_| by.is_some()));
        let launch = Convolution::new(precision, extents, 3, true, self.size.processors)?.launch(&Operands {
            input: middle.memory,
            input_rounding: block.second.input.map(rounding),
            weights,
            conditions,
            shortcut,
            activation,
            output: output.memory,
            output_rounding: output.rounding.map(rounding),
        })?;
        self.builder.launch(launch);
        Ok(output)
    }

    /// What a block adds of its input.
    fn shortcut(
        &mut self,
        name: &str,
        shortcut: &plan::Shortcut<'_>,
        input: Map,
    ) -> Result<Shortcut<Memory>, CudaError> {
        Ok(match shortcut {
            plan::Shortcut::Identity => Shortcut::Identity(input.memory, input.rounding.map(rounding)),
            plan::Shortcut::Projection(convolution) if convolution.inputs == 1 => {
                let weights = self.single_filters(name, convolution, 1)?;
                Shortcut::Single(input.memory, weights, convolution.input.map(rounding))
            }
            plan::Shortcut::Projection(convolution) => {
                let weights = self.filters(name, convolution, 1)?;
                let by = convolution.input.map(rounding);
                Shortcut::Projection(input.memory, convolution.inputs, weights, by)
            }
        })
    }

    /// What an axial block adds: its pooled input, or the projection of that.
    pub(super) fn pooled_shortcut(
        &mut self,
        name: &str,
        shortcut: &plan::Shortcut<'_>,
        input: Map,
    ) -> Result<Shortcut<Memory>, CudaError> {
        let by = match shortcut {
            plan::Shortcut::Identity => None,
            plan::Shortcut::Projection(convolution) => convolution.input,
        };
        let pooled = self.map(&format!("{name} pooled"), input.extents.pooled(), by);
        self.pool(input, pooled, 2)?;
        match shortcut {
            plan::Shortcut::Identity => Ok(Shortcut::Plain(pooled.memory)),
            plan::Shortcut::Projection(_) => self.shortcut(name, shortcut, pooled),
        }
    }
}
