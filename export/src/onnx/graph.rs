//! A growing ONNX graph: nodes, constants, and the shape of every value.

use super::error::ExportError;
use onnx_ir::{AttributeProto, AttributeType, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::HashSet;

/// `TensorProto.DataType.FLOAT`.
pub(crate) const FLOAT: i32 = 1;
/// `TensorProto.DataType.INT8`.
pub(crate) const INT8: i32 = 3;
/// `TensorProto.DataType.FLOAT16`.
pub(crate) const FLOAT16: i32 = 10;
/// `TensorProto.DataType.INT64`.
pub(super) const INT64: i32 = 7;
/// What the dynamic first axis is called.
const BATCH: &str = "N";

/// An extent of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// This many times the number of records.
    Batch(usize),
    /// A number.
    Known(usize),
}

/// The name and shape of something the graph computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub(super) name: String,
    pub(super) shape: Vec<Dim>,
}

impl Value {
    /// The name of the value in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The extent of `axis`, which must be a number.
    pub(super) fn known(&self, axis: usize) -> Result<usize, ExportError> {
        match self.shape.get(axis) {
            Some(Dim::Known(extent)) => Ok(*extent),
            _ => Err(ExportError::lowering(
                &self.name,
                format!("axis {axis} of {:?} is no fixed extent", self.shape),
            )),
        }
    }

    pub(super) fn with(&self, axis: usize, extent: usize) -> Vec<Dim> {
        let mut shape = self.shape.clone();
        if let Some(dim) = shape.get_mut(axis) {
            *dim = Dim::Known(extent);
        }
        shape
    }
}

/// An ONNX attribute before it becomes a message.
pub(crate) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
    Float(&'a str, f32),
    Text(&'a str, &'a str),
}

impl Attribute<'_> {
    pub(super) fn proto(&self) -> AttributeProto {
        let mut proto = AttributeProto::default();
        let (name, kind) = match *self {
            Self::Int(name, value) => {
                proto.i = value;
                (name, AttributeType::INT)
            }
            Self::Ints(name, values) => {
                proto.ints = values.to_vec();
                (name, AttributeType::INTS)
            }
            Self::Float(name, value) => {
                proto.f = value;
                (name, AttributeType::FLOAT)
            }
            Self::Text(name, value) => {
                proto.s = value.as_bytes().to_vec().into();
                (name, AttributeType::STRING)
            }
        };
        proto.name = name.to_owned();
        proto.type_ = kind.into();
        proto
    }
}

/// A node of the standard operator set.
pub(crate) fn node(
    name: &str,
    operator: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[Attribute<'_>],
) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        name: name.to_owned(),
        op_type: operator.to_owned(),
        input: owned(inputs),
        output: owned(outputs),
        attribute: attributes.iter().map(Attribute::proto).collect(),
        ..NodeProto::default()
    }
}

/// The values of a tensor of type FLOAT.
pub(crate) fn floats_of(tensor: &TensorProto) -> Vec<f32> {
    let (values, _) = tensor.raw_data.as_chunks::<4>();
    values.iter().map(|&le| f32::from_le_bytes(le)).collect()
}

/// Values as a tensor of type FLOAT stores them.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Builds a [`GraphProto`]; every name it gives is used once.
#[derive(Default)]
pub(super) struct Graph {
    proto: GraphProto,
    names: HashSet<String>,
}

impl Graph {
    pub(super) fn new(name: &str) -> Self {
        Self {
            proto: GraphProto {
                name: name.to_owned(),
                ..GraphProto::default()
            },
            names: HashSet::new(),
        }
    }

    pub(super) fn finish(self) -> GraphProto {
        self.proto
    }

    /// `hint`, or `hint.1`, `hint.2`, … when it is taken.
    pub(super) fn fresh(&mut self, hint: &str) -> String {
        let mut name = hint.to_owned();
        let mut count = 0_usize;
        while !self.names.insert(name.clone()) {
            count += 1;
            name = format!("{hint}.{count}");
        }
        name
    }

    pub(super) fn input(&mut self, name: &str, shape: &[Dim]) -> Value {
        let value = Value {
            name: self.fresh(name),
            shape: shape.to_vec(),
        };
        self.proto.input.push(value_info(&value));
        value
    }

    /// Makes `value` an output of the graph.
    pub(super) fn output(&mut self, value: &Value) {
        self.proto.value_info.retain(|info| info.name != value.name);
        self.proto.output.push(value_info(value));
    }

    /// Adds a node with one output, which carries the node's name.
    pub(super) fn add(
        &mut self,
        hint: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
        shape: Vec<Dim>,
    ) -> Value {
        let value = self.value(hint, shape);
        self.proto
            .node
            .push(node(&value.name, operator, inputs, &[&value.name], attributes));
        value
    }

    /// Adds a node whose outputs were made by [`Graph::value`].
    pub(super) fn push(&mut self, node: NodeProto) {
        self.proto.node.push(node);
    }

    /// A value that a node pushed next will compute.
    pub(super) fn value(&mut self, hint: &str, shape: Vec<Dim>) -> Value {
        let value = Value {
            name: self.fresh(hint),
            shape,
        };
        self.proto.value_info.push(value_info(&value));
        value
    }

    /// Stores a float32 tensor and returns its name.
    pub(super) fn floats(&mut self, hint: &str, shape: &[usize], values: &[f32]) -> String {
        let name = self.fresh(hint);
        self.store(&name, FLOAT, shape, bytes_of(values));
        name
    }

    /// Stores an int64 tensor under exactly `name`, once.
    pub(super) fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        if self.names.insert(name.to_owned()) {
            self.store(
                name,
                INT64,
                shape,
                values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            );
        }
        name.to_owned()
    }

    /// Stores a list of integers, such as a shape, under a name that says them; equal lists are stored once.
    pub(super) fn list(&mut self, values: &[i64]) -> String {
        let words: Vec<String> = values.iter().map(i64::to_string).collect();
        self.integers(&format!("constant.{}", words.join("_")), &[values.len()], values)
    }

    /// Stores a number, once.
    pub(super) fn number(&mut self, value: f32) -> String {
        let name = format!("constant.f32.{value}");
        if self.names.insert(name.clone()) {
            self.store(&name, FLOAT, &[], value.to_le_bytes().to_vec());
        }
        name
    }

    fn store(&mut self, name: &str, data_type: i32, shape: &[usize], raw: Vec<u8>) {
        self.proto.initializer.push(TensorProto {
            name: name.to_owned(),
            data_type,
            dims: shape.iter().map(|&extent| extent as i64).collect(),
            raw_data: raw.into(),
            ..TensorProto::default()
        });
    }

    /// When `value` comes from a convolution without bias and nothing reads it yet, replaces that convolution's weight and
    /// gives it a bias, both as `rewrite` makes them of the weight; says whether it did.
    pub(super) fn rewrite_convolution(
        &mut self,
        value: &Value,
        rewrite: impl FnOnce(&[f32]) -> (Vec<f32>, Vec<f32>),
    ) -> bool {
        let GraphProto { node, initializer, .. } = &mut self.proto;
        let position =
            |node: &NodeProto| node.op_type == "Conv" && node.input.len() == 2 && node.output[0] == value.name;
        let Some(index) = node.iter().position(position) else {
            return false;
        };
        if node.iter().any(|node| node.input.contains(&value.name)) {
            return false;
        }
        let weight_name = &node[index].input[1];
        let Some(weight) = initializer.iter_mut().find(|tensor| tensor.name == *weight_name) else {
            return false;
        };
        let (values, bias) = rewrite(&floats_of(weight));
        weight.raw_data = bytes_of(&values).into();
        let bias = self.floats(&format!("{}.bias", value.name), &[bias.len()], &bias);
        self.proto.node[index].input.push(bias);
        true
    }
}

fn value_info(value: &Value) -> ValueInfoProto {
    let mut info = ValueInfoProto {
        name: value.name.clone(),
        ..ValueInfoProto::default()
    };
    let tensor = info.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = FLOAT;
    let shape = tensor.shape.mut_or_insert_default();
    for dim in &value.shape {
        shape.dim.push(Default::default());
        let Some(last) = shape.dim.last_mut() else { continue };
        match dim {
            Dim::Batch(1) => last.set_dim_param(BATCH.to_owned()),
            Dim::Batch(_) => {}
            Dim::Known(extent) => last.set_dim_value(*extent as i64),
        }
    }
    info
}
