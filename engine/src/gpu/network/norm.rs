//! Scales and shifts of all norms: those that the latent decides, made by one launch, and those that are fixed.

use dualnet_cuda::residual as kernels;
use dualnet_cuda::{CudaError, head};

use super::Writer;
use super::weights::{bytes, factors, floats, rows};
use crate::gpu::program::Memory;
use crate::plan::{Block, Convolution, Norm, keeps_sums_finite};

/// Where the conditions of the norms that were not asked for yet lie.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    values: Option<Memory>,
    /// Values of a record.
    pub(super) total: usize,
    next: usize,
}

/// The norms of a block with their convolutions, in the order they run.
fn norms<'b, 'a>(block: &'b Block<'a>) -> [(&'b Convolution<'a>, &'b Norm<'a>); 2] {
    match block {
        Block::Residual(block) => [(&block.first, &block.first_norm), (&block.second, &block.second_norm)],
        Block::Axial(block) => [
            (&block.input_map, &block.input_norm),
            (&block.output_map, &block.output_norm),
        ],
    }
}

impl Writer<'_, '_> {
    /// Makes the conditions of all norms, where there is a latent.
    pub(super) fn conditions(&mut self, latent: Option<Memory>) -> Result<(), CudaError> {
        let conditional: Vec<_> = self
            .plan
            .blocks
            .iter()
            .flat_map(norms)
            .filter_map(|(convolution, norm)| match norm {
                Norm::Conditional { weight } => Some((convolution, weight)),
                Norm::Fixed { .. } => None,
            })
            .collect();
        let (Some(latent), false) = (latent, conditional.is_empty()) else {
            return Ok(());
        };
        let width = self.plan.latent();
        let total = conditional.iter().map(|(_, weight)| weight.outputs).sum();
        let weights = self.builder.constant("conditions", || {
            let parts: Vec<(Vec<f32>, Vec<f32>)> = conditional
                .iter()
                .map(|(convolution, weight)| (rows(weight), factors(convolution)))
                .collect();
            let norms: Vec<head::ConditionalNorm<'_>> = parts
                .iter()
                .map(|(weight, factors)| head::ConditionalNorm { weight, factors })
                .collect();
            Ok(bytes(&head::pack_conditions(&norms, width)?))
        })?;
        let records = self.size.records;
        let values = self
            .builder
            .scratch("conditions of the records", (records * total * size_of::<f32>()) as u64);
        self.builder
            .launch(head::conditions(latent, weights, values, [records, width, total])?);
        self.conditions = Conditions {
            values: Some(values),
            total,
            next: 0,
        };
        Ok(())
    }

    /// The conditions of all norms and their number, if there are any that the latent decides.
    pub(super) fn all_conditions(&self) -> Option<(Memory, usize)> {
        self.conditions.values.map(|values| (values, self.conditions.total))
    }

    /// Those of the next norm, in the order of the blocks.
    pub(super) fn norm(
        &mut self,
        name: &str,
        convolution: &Convolution<'_>,
        norm: &Norm<'_>,
    ) -> Result<kernels::Conditions<Memory>, CudaError> {
        match norm {
            Norm::Fixed { shift } => self.fixed(name, convolution, &floats(*shift)),
            Norm::Conditional { weight } => {
                let Some(values) = self.conditions.values else {
                    return Err(CudaError::Launch(format!("{name} has a condition and no latent")));
                };
                let first = self.conditions.next;
                self.conditions.next += weight.outputs;
                Ok(kernels::Conditions {
                    values: values.at((first * size_of::<f32>()) as u64),
                    stride: self.conditions.total,
                })
            }
        }
    }

    /// The same for all records: what the sums need, and a term for each output. The head looks at conditions that depend on the record.
    pub(super) fn fixed(
        &mut self,
        name: &str,
        convolution: &Convolution<'_>,
        shift: &[f32],
    ) -> Result<kernels::Conditions<Memory>, CudaError> {
        let factors = factors(convolution);
        if convolution.input.is_some() && !keeps_sums_finite(&factors, shift) {
            return Err(CudaError::Launch(format!(
                "{name} has a scale or shift beyond what 8-bit products are defined for"
            )));
        }
        let values = self
            .builder
            .constant(name, || Ok(bytes(&head::fixed_conditions(shift, &factors))))?;
        Ok(kernels::Conditions { values, stride: 0 })
    }
}
