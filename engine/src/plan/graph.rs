//! The ONNX graph as the recognizers read it: from a value back to the node that computes it.

use std::collections::HashMap;
use std::fmt;

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use super::weights::{Linear, Quantization, Stored, Weights};
use crate::model::{DOMAIN, PADE_ACTIVATION, PROBABILITIES};
use crate::pau::Pau;

/// ONNX's number of the type of 32-bit floats.
const FLOAT: i32 = 1;
/// ONNX's number of the type of signed 8-bit integers.
const INT8: i32 = 3;

/// Where a graph departs from the networks this project exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    node: Option<String>,
    reason: String,
}

impl Mismatch {
    pub(super) fn whole(reason: String) -> Self {
        Self { node: None, reason }
    }

    fn at(node: &NodeProto, reason: String) -> Self {
        let name = node.output.first().unwrap_or(&node.name);
        Self {
            node: Some(name.escape_default().to_string()),
            reason,
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node `{node}`: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Mismatch {}

/// An attribute a node must have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attribute<'e> {
    Int(&'static str, i64),
    Ints(&'static str, &'e [i64]),
    Float(&'static str, f32),
}

/// The graph, and which recognizer claimed which node.
pub(super) struct Graph<'a> {
    proto: &'a GraphProto,
    producers: HashMap<&'a str, usize>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    owners: Vec<Option<Owner>>,
    owner: Owner,
}

/// The block a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Signal,
    /// Counted from the output.
    Block(usize),
    Head,
}

impl<'a> Graph<'a> {
    pub(super) fn new(model: &'a ModelProto) -> Result<Self, Mismatch> {
        let proto = model
            .graph
            .as_ref()
            .ok_or_else(|| Mismatch::whole("there is no graph".to_owned()))?;
        let mut producers = HashMap::new();
        for (index, node) in proto.node.iter().enumerate() {
            for output in &node.output {
                producers.insert(output.as_str(), index);
            }
        }
        Ok(Self {
            proto,
            producers,
            initializers: proto
                .initializer
                .iter()
                .map(|tensor| (tensor.name.as_str(), tensor))
                .collect(),
            owners: vec![None; proto.node.len()],
            owner: Owner::Head,
        })
    }

    pub(super) fn nodes(&self) -> usize {
        self.proto.node.len()
    }

    /// Nodes claimed from now on belong to `owner`.
    pub(super) fn claim_for(&mut self, owner: Owner) {
        self.owner = owner;
    }

    /// Every node's owner; all are there once [`Self::all_claimed`] holds.
    pub(super) fn owners(&self) -> &[Option<Owner>] {
        &self.owners
    }

    /// Holds the float parameters of a network of 8-bit values to magnitudes that keep what its integer blocks make finite: rounding would hide
    /// what is not. (Blocks of floats before them can still make what is not; whoever rounds it looks.)
    pub(super) fn check_magnitudes(&self) -> Result<(), Mismatch> {
        const LARGEST: f32 = (1 << 20) as f32;
        if !self.proto.node.iter().any(|node| node.op_type == "QuantizeLinear") {
            return Ok(());
        }
        for tensor in self.proto.initializer.iter().filter(|tensor| tensor.data_type == FLOAT) {
            let values = tensor.raw_data.as_chunks::<4>().0;
            let within = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).abs() <= LARGEST;
            if !values.iter().all(within) {
                return Err(Mismatch::whole(format!(
                    "tensor `{}` of an int8 network holds a number beyond ±{LARGEST}",
                    tensor.name.escape_default()
                )));
            }
        }
        Ok(())
    }

    pub(super) fn all_claimed(&self) -> Result<(), Mismatch> {
        let free = self.owners.iter().position(Option::is_none);
        match free.and_then(|index| self.proto.node.get(index)) {
            Some(node) => Err(Mismatch::at(node, "belongs to no block".to_owned())),
            None => Ok(()),
        }
    }

    /// The name of the one output.
    pub(super) fn output(&self) -> Result<&'a str, Mismatch> {
        match &self.proto.output[..] {
            [output] if output.name == PROBABILITIES => Ok(PROBABILITIES),
            _ => Err(Mismatch::whole(format!("{PROBABILITIES} is not the only output"))),
        }
    }

    /// The operator that computes `value`; empty for an input or a stored tensor.
    pub(super) fn operator(&self, value: &str) -> &'a str {
        let index = self.producers.get(value);
        index
            .and_then(|&index| self.proto.node.get(index))
            .map_or("", |node| node.op_type.as_str())
    }

    /// Claims the node that computes `value` as its output number `output` of `outputs`: of this operator, with exactly these attributes
    /// and as many inputs.
    pub(super) fn node<const N: usize>(
        &mut self,
        value: &str,
        operator: &str,
        (output, outputs): (usize, usize),
        attributes: &[Attribute<'_>],
    ) -> Result<[&'a str; N], Mismatch> {
        let found = self
            .producers
            .get(value)
            .and_then(|&index| Some((index, self.proto.node.get(index)?)));
        let Some((index, node)) = found else {
            let value = value.escape_default();
            return Err(Mismatch::whole(format!(
                "`{value}` is computed by no node: a {operator} is expected"
            )));
        };
        let domain = if operator == PADE_ACTIVATION { DOMAIN } else { "" };
        if node.op_type != operator || node.domain != domain {
            let reason = format!("is a {}: a {operator} is expected", node.op_type.escape_default());
            return Err(Mismatch::at(node, reason));
        }
        if node.output.len() != outputs || node.output.get(output).map(String::as_str) != Some(value) {
            return Err(Mismatch::at(
                node,
                format!("another output of the {operator} is expected"),
            ));
        }
        let same = node.attribute.len() == attributes.len()
            && attributes
                .iter()
                .all(|expected| node.attribute.iter().any(|found| equal(found, *expected)));
        if !same {
            return Err(Mismatch::at(
                node,
                format!("the {operator} needs exactly the attributes {attributes:?}"),
            ));
        }
        // What is rounded once may be read by several.
        let shared = matches!(operator, "QuantizeLinear" | "DequantizeLinear");
        match &mut self.owners[index] {
            Some(_) if shared => {}
            Some(_) => return Err(Mismatch::at(node, "is part of two blocks".to_owned())),
            owner => *owner = Some(self.owner),
        }
        let inputs: Vec<&'a str> = node.input.iter().map(String::as_str).collect();
        let count = inputs.len();
        inputs
            .try_into()
            .map_err(|_| Mismatch::at(node, format!("has {count} inputs: {N} are expected")))
    }

    /// [`Self::node`] for a node with one output.
    pub(super) fn single<const N: usize>(
        &mut self,
        value: &str,
        operator: &str,
        attributes: &[Attribute<'_>],
    ) -> Result<[&'a str; N], Mismatch> {
        self.node(value, operator, (0, 1), attributes)
    }

    /// Output number `output` of the node that computes `value`.
    pub(super) fn sibling(&self, value: &str, output: usize) -> Option<&'a str> {
        let node = self.proto.node.get(*self.producers.get(value)?)?;
        node.output.get(output).map(String::as_str)
    }

    /// The number of inputs of the node that computes `value`.
    pub(super) fn inputs(&self, value: &str) -> usize {
        let index = self.producers.get(value);
        index
            .and_then(|&index| self.proto.node.get(index))
            .map_or(0, |node| node.input.len())
    }

    /// What the LSTM that computes `value` calls its `hidden_size`.
    pub(super) fn lstm_width(&self, value: &str) -> Result<usize, Mismatch> {
        let node = self.producers.get(value).and_then(|&index| self.proto.node.get(index));
        let width = node.and_then(|node| node.attribute.iter().find(|attribute| attribute.name == "hidden_size"));
        width
            .and_then(|width| usize::try_from(width.i).ok())
            .filter(|&width| width <= 1 << 16)
            .ok_or_else(|| Mismatch::whole(format!("`{}` is not an LSTM's output", value.escape_default())))
    }

    /// A stored float tensor of `N` axes, and its extents; where it is stored in 16 bits, the Cast that widens it is claimed.
    pub(super) fn floats<const N: usize>(&mut self, name: &str) -> Result<(Weights<'a>, [usize; N]), Mismatch> {
        const FLOAT16: i32 = 10;
        let narrow = self.operator(name) == "Cast";
        let tensor = if narrow {
            let [stored] = self.single(name, "Cast", &[Attribute::Int("to", i64::from(FLOAT))])?;
            self.tensor(stored, FLOAT16)?
        } else {
            self.tensor(name, FLOAT)?
        };
        let (stored, width) = match narrow {
            true => (Stored::Half(tensor.raw_data.as_chunks().0), 2),
            false => (Stored::Single(tensor.raw_data.as_chunks().0), 4),
        };
        Ok((Weights::new(stored), extents(name, tensor, width)?))
    }

    /// A stored float tensor of exactly these extents.
    pub(super) fn floats_of<const N: usize>(
        &mut self,
        name: &str,
        extents: [usize; N],
    ) -> Result<Weights<'a>, Mismatch> {
        let (weights, found) = self.floats::<N>(name)?;
        if found != extents {
            let name = name.escape_default();
            return Err(Mismatch::whole(format!(
                "tensor `{name}` is {found:?}: {extents:?} is expected"
            )));
        }
        Ok(weights)
    }

    /// What is rounded to 8 bits and back as `value`, and how; `value` itself when it is not.
    pub(super) fn activation<'v>(&mut self, value: &'v str) -> Result<(&'v str, Option<Quantization>), Mismatch>
    where
        'a: 'v,
    {
        if self.operator(value) != "DequantizeLinear" {
            return Ok((value, None));
        }
        let [rounded, scale, zero_point] = self.single(value, "DequantizeLinear", &[])?;
        let [x, same_scale, same_zero_point] = self.single(rounded, "QuantizeLinear", &[])?;
        let quantization = self.quantization(scale, zero_point)?;
        if self.quantization(same_scale, same_zero_point)? != quantization {
            return Err(Mismatch::whole(format!(
                "`{}` is rounded by one scale and read by another",
                value.escape_default()
            )));
        }
        Ok((x, Some(quantization)))
    }

    /// Both operands of a product of two activations: what is rounded, and how, if both are.
    pub(super) fn operands<'v>(
        &mut self,
        values: [&'v str; 2],
    ) -> Result<([&'v str; 2], Option<[Quantization; 2]>), Mismatch>
    where
        'a: 'v,
    {
        let [(a, left), (b, right)] = [self.activation(values[0])?, self.activation(values[1])?];
        match (left, right) {
            (Some(left), Some(right)) => Ok(([a, b], Some([left, right]))),
            (None, None) => Ok(([a, b], None)),
            _ => Err(Mismatch::whole(
                "one operand of a product is quantized and the other is not".to_owned(),
            )),
        }
    }

    fn quantization(&mut self, scale: &str, zero_point: &str) -> Result<Quantization, Mismatch> {
        let scale = Quantization::check_scale(self.floats_of(scale, [])?.at(0))?;
        let zero_point = self.bytes::<0>(zero_point)?.0[0] as i8;
        Ok(Quantization { scale, zero_point })
    }

    /// A stored float tensor of `N` axes, or one of 8-bit integers with a scale for each output, the extent of `axis`; its extents.
    pub(super) fn weights<const N: usize>(
        &mut self,
        name: &str,
        axis: usize,
    ) -> Result<(Weights<'a>, [usize; N]), Mismatch> {
        if self.operator(name) != "DequantizeLinear" {
            return self.floats(name);
        }
        let attributes = [Attribute::Int("axis", axis as i64)];
        let [values, scales, zero_points] = self.single(name, "DequantizeLinear", &attributes)?;
        let (values, extents) = self.bytes::<N>(values)?;
        let outputs = extents[axis];
        let (_, [count]) = self.floats::<1>(scales)?;
        let stored = self.tensor(scales, FLOAT)?.raw_data.as_chunks::<4>().0;
        let (zero_points, [zero_count]) = self.bytes::<1>(zero_points)?;
        if [count, zero_count] != [outputs; 2] || outputs == 0 || zero_points.iter().any(|&zero| zero != 0) {
            return Err(Mismatch::whole(format!(
                "`{}` has not a scale and a zero point of 0 for each of its {outputs} outputs",
                name.escape_default()
            )));
        }
        for scale in stored {
            Quantization::check_scale(f32::from_le_bytes(*scale))?;
        }
        let inner = extents[axis + 1..].iter().product();
        let stored = Stored::Bytes {
            values,
            scales: stored,
            inner,
        };
        Ok((Weights::new(stored), extents))
    }

    /// A stored tensor of 8-bit integers of `N` axes, and its extents.
    fn bytes<const N: usize>(&self, name: &str) -> Result<(&'a [u8], [usize; N]), Mismatch> {
        let tensor = self.tensor(name, INT8)?;
        Ok((&tensor.raw_data, extents(name, tensor, 1)?))
    }

    /// What the node that computes `value` reads first; claims nothing.
    pub(super) fn first_input(&self, value: &str) -> Result<&'a str, Mismatch> {
        let node = self.producers.get(value).and_then(|&index| self.proto.node.get(index));
        let input = node.and_then(|node| node.input.first());
        input
            .map(String::as_str)
            .ok_or_else(|| Mismatch::whole(format!("`{}` is computed of nothing", value.escape_default())))
    }

    /// A stored list of integers.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, Mismatch> {
        const INT64: i32 = 7;
        let tensor = self.tensor(name, INT64)?;
        let values = tensor
            .raw_data
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes));
        Ok(values.collect())
    }

    /// Fails unless `name` holds exactly these integers, of whatever extents.
    pub(super) fn list(&self, name: &str, expected: &[i64]) -> Result<(), Mismatch> {
        if self.integers(name)? == expected {
            return Ok(());
        }
        Err(Mismatch::whole(format!(
            "tensor `{}` is not {expected:?}",
            name.escape_default()
        )))
    }

    /// Fails unless `name` is the stored number `expected`, rounded to `f32`.
    pub(super) fn number(&mut self, name: &str, expected: f64) -> Result<(), Mismatch> {
        let value = self.floats_of(name, [])?;
        if value.at(0) == expected as f32 {
            return Ok(());
        }
        Err(Mismatch::whole(format!(
            "tensor `{}` is not {expected}",
            name.escape_default()
        )))
    }

    fn tensor(&self, name: &str, data_type: i32) -> Result<&'a TensorProto, Mismatch> {
        match self.initializers.get(name) {
            Some(tensor) if tensor.data_type == data_type => Ok(tensor),
            _ => Err(Mismatch::whole(format!(
                "`{}` is not a stored tensor of the type expected",
                name.escape_default()
            ))),
        }
    }

    /// `value = PadeActivation(x)`, of an order the fused kernels have: `x` and the unit.
    pub(super) fn pau(&mut self, value: &str) -> Result<(&'a str, Pau), Mismatch> {
        let [x, numerator, denominator] = self.single(value, PADE_ACTIVATION, &[])?;
        let mut coefficients = |name: &str| Ok(self.floats::<1>(name)?.0.iter().collect::<Vec<f32>>());
        let (numerator, denominator) = (coefficients(numerator)?, coefficients(denominator)?);
        let pau = Pau::new(&numerator, &denominator).map_err(|error| Mismatch::whole(error.to_string()))?;
        if pau.published_order().is_none() {
            let (m, n) = (numerator.len() - 1, denominator.len());
            return Err(Mismatch::whole(format!(
                "`{}` is a PAU of order {m}/{n}: 5/4 and less are fused",
                value.escape_default()
            )));
        }
        Ok((x, pau))
    }

    /// `value = Gemm(x, W, b)` for vectors `x`.
    pub(super) fn gemm(&mut self, value: &str) -> Result<(&'a str, Linear<'a>), Mismatch> {
        let attributes = [Attribute::Int("transB", 1)];
        let (x, weight, bias) = if self.inputs(value) == 3 {
            let [x, weight, bias] = self.single(value, "Gemm", &attributes)?;
            (x, weight, Some(self.floats::<1>(bias)?.0))
        } else {
            let [x, weight] = self.single(value, "Gemm", &attributes)?;
            (x, weight, None)
        };
        let (weight, extents) = self.floats(weight)?;
        Ok((x, Linear::new(weight, extents, false, bias, None)?))
    }

    /// `value = x·W + b` for matrices `x`, the bias always there.
    pub(super) fn linear(&mut self, value: &str) -> Result<(&'a str, Linear<'a>), Mismatch> {
        let [product, bias] = self.single(value, "Add", &[])?;
        let bias = self.floats::<1>(bias)?.0;
        let [x, weight] = self.single(product, "MatMul", &[])?;
        let (x, input) = self.activation(x)?;
        let (weight, extents) = self.weights(weight, 1)?;
        Ok((x, Linear::new(weight, extents, true, Some(bias), input)?))
    }
}

/// The `N` extents of the tensor that is called `name`, whose elements of `width` bytes fill its bytes.
fn extents<const N: usize>(name: &str, tensor: &TensorProto, width: usize) -> Result<[usize; N], Mismatch> {
    let extents: Option<Vec<usize>> = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
    extents
        .and_then(|extents| <[usize; N]>::try_from(extents).ok())
        .filter(|extents| {
            let bytes = extents
                .iter()
                .try_fold(width, |bytes, &extent| bytes.checked_mul(extent));
            bytes == Some(tensor.raw_data.len())
        })
        .ok_or_else(|| Mismatch::whole(format!("tensor `{}` has not {N} axes", name.escape_default())))
}

fn equal(found: &AttributeProto, expected: Attribute<'_>) -> bool {
    match expected {
        Attribute::Int(name, value) => found.name == name && found.r#type == 2 && found.i == value,
        Attribute::Ints(name, values) => found.name == name && found.r#type == 7 && found.ints == values,
        Attribute::Float(name, value) => found.name == name && found.r#type == 1 && found.f == value,
    }
}
