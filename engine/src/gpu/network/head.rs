//! From the last map and the latent to probabilities: one launch.

use dualnet_cuda::{CudaError, head};

use super::weights::{bias, bytes, rounding, rows};
use super::{Map, Numbers, Writer};
use crate::gpu::program::Memory;

impl Writer<'_, '_> {
    pub(super) fn head(&mut self, latent: Option<Memory>, map: Option<Map>) -> Result<(), CudaError> {
        let plan = self.plan;
        let classifier = &plan.head.classifier;
        let features = match (&plan.head.features, map) {
            (Some(features), Some(map)) => {
                let linear = &features.linear;
                Some(head::Features {
                    map: map.memory,
                    precision: map.precision,
                    rounding: map.rounding.map(rounding),
                    positions: map.extents.pixels(),
                    channels: map.extents.channels,
                    linear: self.builder.constant("head", || {
                        let packed = head::pack_linear(&rows(linear), linear.outputs, linear.inputs)?;
                        Ok(bytes(&packed))
                    })?,
                    bias: self.builder.constant("head's bias", || Ok(bytes(&bias(linear))))?,
                    activation: self.activation("head's activation", &features.activation)?,
                })
            }
            _ => None,
        };
        let conditions = match self.numbers {
            Numbers::Int8 => self.all_conditions(),
            _ => None,
        };
        let operands = head::Operands {
            features,
            latent,
            classifier: self.builder.constant("classifier", || Ok(bytes(&rows(classifier))))?,
            bias: self
                .builder
                .constant("classifier's bias", || Ok(bytes(&bias(classifier))))?,
            conditions,
            probabilities: self.builder.output(
                "probabilities",
                (self.size.records * classifier.outputs * size_of::<f32>()) as u64,
            ),
        };
        let head = head::Head {
            records: self.size.records,
            joined: classifier.inputs,
            classes: classifier.outputs,
        };
        self.builder.launch(head.launch(&operands)?);
        Ok(())
    }
}
