//! The interpreter of the network that writes ONNX nodes.

use super::error::ExportError;
use super::fold::{self, Affine};
use super::graph::{Attribute, Dim, Graph, Value, node};
use crate::network::Ops;
use crate::weights::StateDict;

/// Writes a network's evaluation as ONNX nodes: dropout vanishes and every batch norm is folded.
pub(super) struct Lowering<'a> {
    pub(super) graph: Graph,
    pub(super) weights: &'a StateDict,
    /// The module whose operations are being written; it names what has no parameters of its own.
    pub(super) scope: String,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(name: &str, weights: &'a StateDict) -> Self {
        Self {
            graph: Graph::new(name),
            weights,
            scope: name.to_owned(),
        }
    }

    pub(super) fn floats(&self, name: &str) -> Result<&'a [f32], ExportError> {
        fold::floats(self.weights, name)
    }

    /// Rows and columns of a matrix (further extents count as columns).
    pub(super) fn extents(&self, name: &str) -> Result<(usize, usize), ExportError> {
        let shape = self.weights.get(name).map(|tensor| tensor.shape()).unwrap_or_default();
        match shape {
            [rows, columns @ ..] => Ok((*rows, columns.iter().product())),
            [] => Err(ExportError::lowering(name, "there is no such tensor among the weights")),
        }
    }

    /// Enters the module that owns the parameter called `weight`, and returns its name.
    pub(super) fn enter(&mut self, weight: &str) -> String {
        let module = weight.rsplit_once('.').map_or(weight, |(module, _)| module).to_owned();
        self.scope.clone_from(&module);
        module
    }

    /// A node without parameters of its own, named after the current module.
    pub(super) fn plain(
        &mut self,
        suffix: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
        shape: Vec<Dim>,
    ) -> Value {
        let hint = format!("{}.{suffix}", self.scope);
        self.graph.add(&hint, operator, inputs, attributes, shape)
    }

    pub(super) fn binary(&mut self, suffix: &str, operator: &str, a: &Value, b: &str) -> Value {
        self.plain(suffix, operator, &[&a.name, b], &[], a.shape.clone())
    }

    /// Splits `axis` into parts of the given lengths.
    pub(super) fn split(&mut self, x: &Value, axis: usize, parts: &[(&str, usize)]) -> Vec<Value> {
        let lengths: Vec<i64> = parts.iter().map(|(_, length)| *length as i64).collect();
        let lengths = self.graph.list(&lengths);
        let name = self.graph.fresh(&format!("{}.split", self.scope));
        let values: Vec<Value> = parts
            .iter()
            .map(|(suffix, length)| {
                self.graph
                    .value(&format!("{}.{suffix}", self.scope), x.with(axis, *length))
            })
            .collect();
        let outputs: Vec<&str> = values.iter().map(Value::name).collect();
        self.graph.push(node(
            &name,
            "Split",
            &[&x.name, &lengths],
            &outputs,
            &[Attribute::Int("axis", axis as i64)],
        ));
        values
    }

    /// A convolution whose weight is stored as `{module}.weight`.
    pub(super) fn convolution(
        &mut self,
        x: &Value,
        module: &str,
        weight: (&[usize], &[f32]),
        bias: Option<&[f32]>,
        padding: usize,
    ) -> Result<Value, ExportError> {
        let (shape, values) = weight;
        let mut inputs = vec![
            x.name.clone(),
            self.graph.floats(&format!("{module}.weight"), shape, values),
        ];
        if let Some(bias) = bias {
            inputs.push(self.graph.floats(&format!("{module}.bias"), &[bias.len()], bias));
        }
        let spatial = shape.get(2..).unwrap_or_default();
        let kernel: Vec<i64> = spatial.iter().map(|&extent| extent as i64).collect();
        let pads = vec![padding as i64; 2 * spatial.len()];
        let mut result = x.with(1, shape.first().copied().unwrap_or_default());
        for (axis, &extent) in spatial.iter().enumerate() {
            let outside = x.known(axis + 2)? + 2 * padding;
            let inside = (outside + 1).checked_sub(extent);
            result[axis + 2] = Dim::Known(
                inside
                    .filter(|&i| i > 0)
                    .ok_or_else(|| ExportError::lowering(module, "its kernel is larger than its input"))?,
            );
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = [Attribute::Ints("kernel_shape", &kernel), Attribute::Ints("pads", &pads)];
        Ok(self.graph.add(module, "Conv", &inputs, &attributes, result))
    }

    /// `x·factor + term`, one pair per channel (axis 1).
    pub(super) fn affine(&mut self, x: &Value, module: &str, affine: &Affine) -> Value {
        let mut shape = vec![1; x.shape.len()];
        if let Some(channels) = shape.get_mut(1) {
            *channels = affine.scale.len();
        }
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        let factor = self
            .graph
            .floats(&format!("{module}.factor"), &shape, &narrow(&affine.scale));
        let term = self
            .graph
            .floats(&format!("{module}.term"), &shape, &narrow(&affine.shift));
        let scaled = self.graph.add(
            &format!("{module}.scaled"),
            "Mul",
            &[&x.name, &factor],
            &[],
            x.shape.clone(),
        );
        self.graph
            .add(module, "Add", &[&scaled.name, &term], &[], x.shape.clone())
    }

    /// Scales and shifts every channel of `x [N, C, H, W]` by `scale_bias [N, 2C]`.
    pub(super) fn modulate_by(&mut self, x: &Value, scale_bias: &Value, site: &str) -> Result<Value, ExportError> {
        site.clone_into(&mut self.scope);
        let channels = x.known(1)?;
        let column = self.reshape(scale_bias, &[-1, 2 * channels as i64, 1, 1])?;
        let parts = self.split(&column, 1, &[("scale", channels), ("bias", channels)]);
        let scaled = self.binary("scaled", "Mul", x, &parts[0].name);
        Ok(self
            .graph
            .add(site, "Add", &[&scaled.name, &parts[1].name], &[], x.shape.clone()))
    }
}
