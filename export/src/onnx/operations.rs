//! The operations of the network as ONNX nodes.

use super::error::ExportError;
use super::fold::{self, Affine};
use super::graph::{Attribute, Dim, Value, node};
use super::lowering::Lowering;
use super::{attention, axial, lstm};
use crate::network::{AxialSite, LstmSite, NORM_EPSILON, Ops, TransformerSite};
use dualnet_engine::model::{DOMAIN, PADE_ACTIVATION};

impl Ops for Lowering<'_> {
    type Tensor = Value;
    type Error = ExportError;

    fn invalid(&self, reason: &str) -> ExportError {
        ExportError::lowering(&self.scope, reason)
    }

    fn conv2d(&mut self, x: &Value, weight: &str, padding: usize) -> Result<Value, ExportError> {
        let module = self.enter(weight);
        let values = self.floats(weight)?;
        let shape = self
            .weights
            .get(weight)
            .map(|tensor| tensor.shape())
            .unwrap_or_default();
        self.convolution(x, &module, (shape, values), None, padding)
    }

    fn pointwise_conv1d(&mut self, x: &Value, weight: &str) -> Result<Value, ExportError> {
        self.conv2d(x, weight, 0)
    }

    fn linear(&mut self, x: &Value, weight: &str, bias: Option<&str>) -> Result<Value, ExportError> {
        let module = [".weight", "_weight"]
            .iter()
            .find_map(|suffix| weight.strip_suffix(suffix))
            .unwrap_or(weight)
            .to_owned();
        self.enter(weight);
        let (outputs, inputs) = self.extents(weight)?;
        let values = self.floats(weight)?;
        let bias = bias
            .map(|bias| Ok::<_, ExportError>(self.graph.floats(bias, &[outputs], self.floats(bias)?)))
            .transpose()?;
        let shape = x.with(x.shape.len() - 1, outputs);
        if x.shape.len() == 2 {
            let weight = self.graph.floats(weight, &[outputs, inputs], values);
            let operands: Vec<&str> = [x.name.as_str(), &weight].into_iter().chain(bias.as_deref()).collect();
            return Ok(self
                .graph
                .add(&module, "Gemm", &operands, &[Attribute::Int("transB", 1)], shape));
        }
        let transposed: Vec<f32> = (0..inputs)
            .flat_map(|column| values.iter().skip(column).step_by(inputs.max(1)).copied())
            .collect();
        let weight = self
            .graph
            .floats(&format!("{weight}_transposed"), &[inputs, outputs], &transposed);
        let Some(bias) = bias else {
            return Ok(self.graph.add(&module, "MatMul", &[&x.name, &weight], &[], shape));
        };
        let product = self.graph.add(
            &format!("{module}.product"),
            "MatMul",
            &[&x.name, &weight],
            &[],
            shape.clone(),
        );
        Ok(self.graph.add(&module, "Add", &[&product.name, &bias], &[], shape))
    }

    fn batch_norm(&mut self, x: &Value, norm: &str) -> Result<Value, ExportError> {
        norm.clone_into(&mut self.scope);
        let affine = Affine::of(self.weights, norm)?;
        if self
            .graph
            .rewrite_convolution(x, |weight| fold::into_linear(weight, &affine))
        {
            return Ok(x.clone());
        }
        Ok(self.affine(x, norm, &affine))
    }

    fn layer_norm(&mut self, x: &Value, norm: &str) -> Result<Value, ExportError> {
        norm.clone_into(&mut self.scope);
        let names = ["weight", "bias"].map(|part| format!("{norm}.{part}"));
        let mut inputs = vec![x.name.clone()];
        for name in &names {
            let values = self.floats(name)?;
            inputs.push(self.graph.floats(name, &[values.len()], values));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = [
            Attribute::Int("axis", -1),
            Attribute::Float("epsilon", NORM_EPSILON as f32),
        ];
        Ok(self
            .graph
            .add(norm, "LayerNormalization", &inputs, &attributes, x.shape.clone()))
    }

    fn modulate(&mut self, x: &Value, scale_bias: &Value) -> Result<Value, ExportError> {
        let site = format!("{}.modulated", self.scope);
        self.modulate_by(x, scale_bias, &site)
    }

    fn pau(&mut self, x: &Value, site: &str) -> Result<Value, ExportError> {
        site.clone_into(&mut self.scope);
        let mut inputs = vec![x.name.clone()];
        for part in ["weight_numerator", "weight_denominator"] {
            let name = format!("{site}.{part}");
            let values = self.floats(&name)?;
            inputs.push(self.graph.floats(&name, &[values.len()], values));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let value = self.graph.value(site, x.shape.clone());
        let mut node = node(&value.name, PADE_ACTIVATION, &inputs, &[&value.name], &[]);
        node.domain = DOMAIN.to_owned();
        self.graph.push(node);
        Ok(value)
    }

    fn gelu(&mut self, x: &Value) -> Result<Value, ExportError> {
        let [root_two, one, half] = [std::f32::consts::SQRT_2, 1.0, 0.5].map(|number| self.graph.number(number));
        let scaled = self.binary("gelu.scaled", "Div", x, &root_two);
        let erf = self.plain("gelu.erf", "Erf", &[&scaled.name], &[], x.shape.clone());
        let shifted = self.binary("gelu.shifted", "Add", &erf, &one);
        let gated = self.binary("gelu.gated", "Mul", x, &shifted.name);
        Ok(self.binary("gelu", "Mul", &gated, &half))
    }

    fn softmax(&mut self, x: &Value) -> Result<Value, ExportError> {
        Ok(self.plain(
            "softmax",
            "Softmax",
            &[&x.name],
            &[Attribute::Int("axis", -1)],
            x.shape.clone(),
        ))
    }

    fn add(&mut self, a: &Value, b: &Value) -> Result<Value, ExportError> {
        Ok(self.binary("sum", "Add", a, &b.name))
    }

    fn multiply(&mut self, x: &Value, factor: f64) -> Result<Value, ExportError> {
        let factor = self.graph.number(factor as f32);
        Ok(self.binary("product", "Mul", x, &factor))
    }

    fn einsum(&mut self, equation: &str, a: &Value, b: &Value) -> Result<Value, ExportError> {
        let unreadable = || ExportError::lowering(equation, "is no contraction of these two values");
        let (inputs, output) = equation.split_once("->").ok_or_else(unreadable)?;
        let (first, second) = inputs.split_once(',').ok_or_else(unreadable)?;
        let extent = |letter: char| {
            let find =
                |letters: &str, value: &Value| letters.find(letter).and_then(|axis| value.shape.get(axis).copied());
            find(first, a).or_else(|| find(second, b))
        };
        let shape: Option<Vec<Dim>> = output.chars().map(extent).collect();
        let attributes = [Attribute::Text("equation", equation)];
        Ok(self.plain(
            "einsum",
            "Einsum",
            &[&a.name, &b.name],
            &attributes,
            shape.ok_or_else(unreadable)?,
        ))
    }

    fn reshape(&mut self, x: &Value, shape: &[i64]) -> Result<Value, ExportError> {
        let list = self.graph.list(shape);
        let unfitting = || ExportError::lowering(&x.name, format!("{:?} cannot become {shape:?}", x.shape));
        let shape = reshaped(x, shape).ok_or_else(unfitting)?;
        Ok(self.plain("reshaped", "Reshape", &[&x.name, &list], &[], shape))
    }

    fn permute(&mut self, x: &Value, axes: &[usize]) -> Result<Value, ExportError> {
        let permutation: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let shape: Option<Vec<Dim>> = axes.iter().map(|&axis| x.shape.get(axis).copied()).collect();
        let shape = shape.ok_or_else(|| self.invalid("permutes axes that are not there"))?;
        Ok(self.plain(
            "transposed",
            "Transpose",
            &[&x.name],
            &[Attribute::Ints("perm", &permutation)],
            shape,
        ))
    }

    fn narrow(&mut self, x: &Value, axis: usize, start: usize, length: usize) -> Result<Value, ExportError> {
        let [starts, ends, axes] = [start, start + length, axis].map(|value| self.graph.list(&[value as i64]));
        Ok(self.plain(
            "slice",
            "Slice",
            &[&x.name, &starts, &ends, &axes],
            &[],
            x.with(axis, length),
        ))
    }

    fn concat(&mut self, parts: &[&Value], axis: usize) -> Result<Value, ExportError> {
        let first = parts.first().ok_or_else(|| self.invalid("joins nothing"))?;
        let total: usize = parts.iter().map(|part| part.known(axis)).sum::<Result<usize, _>>()?;
        let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        Ok(self.plain(
            "joined",
            "Concat",
            &names,
            &[Attribute::Int("axis", axis as i64)],
            first.with(axis, total),
        ))
    }

    fn sum(&mut self, x: &Value, axis: usize) -> Result<Value, ExportError> {
        let axes = self.graph.list(&[axis as i64]);
        Ok(self.plain(
            "total",
            "ReduceSum",
            &[&x.name, &axes],
            &[Attribute::Int("keepdims", 0)],
            without(x, axis),
        ))
    }

    fn mean(&mut self, x: &Value, axis: usize) -> Result<Value, ExportError> {
        let attributes = [Attribute::Ints("axes", &[axis as i64]), Attribute::Int("keepdims", 0)];
        Ok(self.plain("mean", "ReduceMean", &[&x.name], &attributes, without(x, axis)))
    }

    fn average_pool(&mut self, x: &Value) -> Result<Value, ExportError> {
        let shape = vec![
            x.shape[0],
            x.shape[1],
            Dim::Known(x.known(2)? / 2),
            Dim::Known(x.known(3)? / 2),
        ];
        let module = self
            .scope
            .rsplit_once('.')
            .map_or("pool".to_owned(), |(block, _)| format!("{block}.pool"));
        let attributes = [
            Attribute::Ints("kernel_shape", &[2, 2]),
            Attribute::Ints("strides", &[2, 2]),
        ];
        Ok(self.graph.add(&module, "AveragePool", &[&x.name], &attributes, shape))
    }

    fn global_average_pool(&mut self, x: &Value) -> Result<Value, ExportError> {
        "spectrogram_encoder".clone_into(&mut self.scope);
        let shape = x.with(2, 1);
        let shape = Value {
            name: x.name.clone(),
            shape,
        }
        .with(3, 1);
        let pooled = self.plain("mean", "GlobalAveragePool", &[&x.name], &[], shape);
        let flat = pooled.shape[..2].to_vec();
        Ok(self.plain(
            "features",
            "Flatten",
            &[&pooled.name],
            &[Attribute::Int("axis", 1)],
            flat,
        ))
    }

    fn dropout(&mut self, x: &Value) -> Result<Value, ExportError> {
        Ok(x.clone())
    }

    fn spectrogram_dropout(&mut self, x: &Value) -> Result<Value, ExportError> {
        Ok(x.clone())
    }

    fn add_positional(&mut self, x: &Value, embedding: &str) -> Result<Value, ExportError> {
        embedding.clone_into(&mut self.scope);
        let shape = [1, x.known(1)?, x.known(2)?];
        let stored = self
            .graph
            .floats(&format!("{embedding}.weight"), &shape, self.floats(embedding)?);
        Ok(self
            .graph
            .add(embedding, "Add", &[&x.name, &stored], &[], x.shape.clone()))
    }

    fn relative_embeddings(&mut self, name: &str, span: usize) -> Result<Value, ExportError> {
        self.enter(name);
        let (rows, columns) = self.extents(name)?;
        let stored = self
            .graph
            .floats(&format!("{name}.weight"), &[rows, columns], self.floats(name)?);
        let last = span as i64 - 1;
        let indexes: Vec<i64> = (0..span as i64)
            .flat_map(|i| (0..span as i64).map(move |j| i - j + last))
            .collect();
        let index = self
            .graph
            .integers(&format!("relative_indexes.{span}"), &[span, span], &indexes);
        let shape = [rows, span, span].map(Dim::Known).to_vec();
        Ok(self
            .graph
            .add(name, "Gather", &[&stored, &index], &[Attribute::Int("axis", 1)], shape))
    }

    fn lstm_layer(&mut self, x: &Value, site: &LstmSite, layer: usize) -> Result<Value, ExportError> {
        lstm::layer(self, x, site, layer)
    }

    fn conditional_norm(&mut self, x: &Value, latent: Option<&Value>, site: &str) -> Result<Value, ExportError> {
        let norm = format!("{site}.batch_normalization");
        let Some(latent) = latent else {
            return self.batch_norm(x, &norm);
        };
        let weight = format!("{site}.linear_mapping.weight");
        let (rows, columns) = self.extents(&weight)?;
        let folded = fold::into_condition(self.floats(&weight)?, &Affine::of(self.weights, &norm)?);
        let stored = self.graph.floats(&format!("{site}.weight"), &[rows, columns], &folded);
        site.clone_into(&mut self.scope);
        let shape = latent.with(1, rows);
        let scale_bias = self.plain(
            "scale_bias",
            "Gemm",
            &[&latent.name, &stored],
            &[Attribute::Int("transB", 1)],
            shape,
        );
        self.modulate_by(x, &scale_bias, site)
    }

    fn axial_attention(&mut self, x: &Value, site: &AxialSite) -> Result<Value, ExportError> {
        axial::attention(self, x, site)
    }

    fn self_attention(&mut self, x: &Value, site: &TransformerSite) -> Result<Value, ExportError> {
        attention::self_attention(self, x, site)
    }

    fn lstm_stack(&mut self, x: &Value, site: &LstmSite) -> Result<Value, ExportError> {
        lstm::stack(self, x, site)
    }
}

fn without(x: &Value, axis: usize) -> Vec<Dim> {
    let mut shape = x.shape.clone();
    if axis < shape.len() {
        shape.remove(axis);
    }
    shape
}

/// The shape after a reshape; −1 stands for what is left.
fn reshaped(x: &Value, shape: &[i64]) -> Option<Vec<Dim>> {
    let (mut left, mut batch) = (1_usize, false);
    for dim in &x.shape {
        let (Dim::Batch(extent) | Dim::Known(extent)) = *dim;
        left *= extent;
        batch |= matches!(dim, Dim::Batch(_));
    }
    for &extent in shape {
        let extent = usize::try_from(extent).unwrap_or(1);
        left = left.is_multiple_of(extent).then(|| left / extent)?;
    }
    let rest = if batch { Dim::Batch(left) } else { Dim::Known(left) };
    let complete = shape.contains(&-1) || rest == Dim::Known(1);
    complete.then(|| {
        shape
            .iter()
            .map(|&extent| usize::try_from(extent).map_or(rest, Dim::Known))
            .collect()
    })
}
