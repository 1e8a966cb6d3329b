//! The axial block: eight launches, or nine where its input is rounded first.

use dualnet_cuda::residual::{Convolution, Operands, Shortcut};
use dualnet_cuda::{CudaError, axial};

use super::weights::{bytes, floats, rounding};
use super::{Map, Writer};
use crate::plan::{self, AxialAttention, AxialBlock, Axis, GROUPS, Quantization};

impl Writer<'_, '_> {
    pub(super) fn axial(
        &mut self,
        name: &str,
        block: &AxialBlock<'_>,
        input: Map,
        next: Option<Quantization>,
    ) -> Result<Map, CudaError> {
        let by = block.input_map.input;
        let precision = self.numbers.products(by);
        let [time, frequency] = &block.attention;
        let input = self.rounded(name, input, by)?;
        let inner = plan::Extents {
            channels: block.input_map.outputs,
            ..block.input
        };

        let mapped = self.map(&format!("{name} mapped"), inner, time.projection.input);
        let operands = Operands {
            input: input.memory,
            input_rounding: by.map(rounding),
            weights: self.filters(&format!("{name} input map"), &block.input_map, 1)?,
            conditions: self.norm(&format!("{name} input norm"), &block.input_map, &block.input_norm)?,
            shortcut: Shortcut::None,
            activation: Some(self.activation(&format!("{name} input activation"), &block.input_activation)?),
            output: mapped.memory,
            output_rounding: mapped.rounding.map(rounding),
        };
        let extents = self.extents(block.input, inner.channels);
        self.builder
            .launch(Convolution::new(precision, extents, 1, false, self.size.processors)?.launch(&operands)?);

        let attended = self.attention(&format!("{name} time"), time, mapped, frequency.projection.input)?;
        let attended = self.attention(&format!("{name} frequency"), frequency, attended, None)?;
        let pooled = self.map(
            &format!("{name} attended, pooled"),
            inner.pooled(),
            block.output_map.input,
        );
        self.pool(attended, pooled, 2)?;

        let shortcut = self.pooled_shortcut(&format!("{name} shortcut"), &block.shortcut, input)?;
        let output = self.map(&format!("{name} output"), block.output, next.filter(|_| by.is_some()));
        let operands = Operands {
            input: pooled.memory,
            input_rounding: pooled.rounding.map(rounding),
            weights: self.filters(&format!("{name} output map"), &block.output_map, 1)?,
            conditions: self.norm(&format!("{name} output norm"), &block.output_map, &block.output_norm)?,
            shortcut,
            activation: Some(self.activation(&format!("{name} activation"), &block.activation)?),
            output: output.memory,
            output_rounding: output.rounding.map(rounding),
        };
        let extents = self.extents(pooled.extents, block.output_map.outputs);
        self.builder
            .launch(Convolution::new(precision, extents, 1, false, self.size.processors)?.launch(&operands)?);
        Ok(output)
    }

    /// The projection to queries, keys and values, and the attention, which gives a map rounded for `next`, or floats.
    fn attention(
        &mut self,
        name: &str,
        attention: &AxialAttention<'_>,
        input: Map,
        next: Option<Quantization>,
    ) -> Result<Map, CudaError> {
        let precision = self.numbers.products(attention.projection.input);
        let extents = plan::Extents {
            channels: attention.projection.outputs,
            ..input.extents
        };
        let projected = self.map(&format!("{name} projected"), extents, None);
        let operands = Operands {
            input: input.memory,
            input_rounding: input.rounding.map(rounding),
            weights: self.filters(&format!("{name} projection"), &attention.projection, 1)?,
            conditions: self.fixed(&format!("{name} bias"), &attention.projection, &floats(attention.bias))?,
            shortcut: Shortcut::None,
            activation: None,
            output: projected.memory,
            output_rounding: None,
        };
        let shape = self.extents(input.extents, extents.channels);
        self.builder
            .launch(Convolution::new(precision, shape, 1, false, self.size.processors)?.launch(&operands)?);

        let output = self.map(&format!("{name} attended"), input.extents, next);
        let arithmetic = match attention.rounding {
            None => axial::Arithmetic::Float(self.element()),
            Some(by) => axial::Arithmetic::Integer {
                rounding: axial::Rounding {
                    queries: by.queries.map(rounding),
                    keys: by.keys.map(rounding),
                    maps: by.maps.map(rounding),
                    values: by.values.map(rounding),
                    positions: by.positions.map(rounding),
                },
                output: output.rounding.map(rounding),
            },
        };
        let kernels = axial::Axial::new(
            arithmetic,
            axial::Shape {
                axis: match attention.axis {
                    Axis::Time => axial::Axis::Time,
                    Axis::Frequency => axial::Axis::Frequency,
                },
                height: input.extents.height,
                width: input.extents.width,
                groups: GROUPS,
                group_channels: attention.group_channels(),
            },
        )?;
        let [embeddings, factors] = self.builder.constants(name, || {
            let [product, query, key] = attention.similarity.map(floats);
            let packed = kernels.pack(axial::Parameters {
                embeddings: &floats(attention.embeddings),
                similarity: [&product, &query, &key],
                position: &floats(attention.position),
            })?;
            Ok([packed.embeddings, bytes(&packed.factors)])
        })?;
        let memory = axial::Memory {
            projected: projected.memory,
            embeddings,
            factors,
            output: output.memory,
        };
        self.builder.launch(kernels.launch(memory, self.size.records)?);
        Ok(output)
    }
}
