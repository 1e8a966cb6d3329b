//! What an ONNX file says about itself, for a person.

use super::error::ExportError;
use super::graph::{FLOAT, FLOAT16};
use dualnet_engine::Model;
use dualnet_engine::model::ModelFault;
use dualnet_engine::record::printable;
use onnx_ir::{Message, ModelProto, TensorProto, ValueInfoProto};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

/// An operator: its domain (empty for the standard one) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// The domain.
    pub domain: String,
    /// The name.
    pub name: String,
}

/// The contents of an ONNX file, in short. Its `Display` is what `export inspect` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The metadata entries in the file's order.
    pub metadata: Vec<(String, String)>,
    /// Operator sets and versions.
    pub operator_sets: Vec<(String, i64)>,
    /// Inputs as `name [shape]`.
    pub inputs: Vec<String>,
    /// Outputs as `name [shape]`.
    pub outputs: Vec<String>,
    /// How often each operator occurs.
    pub operators: BTreeMap<Operator, usize>,
    /// Functions the file defines, as `domain.name`.
    pub functions: Vec<String>,
    /// Constants of the graph in floats of 16 or 32 bits: tensors and elements.
    pub weights: (usize, usize),
    /// Bytes of the file.
    pub bytes: u64,
    /// Why the engine does not take the file, if it does not.
    pub fault: Option<String>,
}

impl Inspection {
    /// Reads an ONNX file of any origin.
    ///
    /// # Errors
    /// [`ExportError::Io`] when it cannot be read, [`ExportError::Model`] when it is no ONNX model.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let wrong = |message: String| ExportError::Model {
            path: path.to_owned(),
            message,
        };
        let bytes = Model::bytes_of(path).map_err(|error| match error.fault() {
            ModelFault::Io(cause) => ExportError::io(path, io::Error::new(cause.kind(), cause.to_string())),
            fault => wrong(fault.to_string()),
        })?;
        let fault = Model::from_bytes("", &bytes)
            .err()
            .map(|error| error.fault().to_string());
        match ModelProto::parse_from_bytes(&bytes) {
            Ok(model) if !model.graph.node.is_empty() => Ok(Self {
                fault,
                ..Self::of(&model, bytes.len() as u64)
            }),
            _ => Err(wrong(fault.unwrap_or_else(|| "is no ONNX model".to_owned()))),
        }
    }

    fn of(model: &ModelProto, bytes: u64) -> Self {
        let graph = &model.graph;
        let mut operators = BTreeMap::new();
        for node in &graph.node {
            let operator = Operator {
                domain: node.domain.clone(),
                name: node.op_type.clone(),
            };
            *operators.entry(operator).or_insert(0) += 1;
        }
        let floats = || {
            let float = |tensor: &&TensorProto| matches!(tensor.data_type, FLOAT | FLOAT16);
            graph.initializer.iter().filter(float)
        };
        let elements = |tensor: &TensorProto| {
            let extents = tensor.dims.iter().map(|&extent| usize::try_from(extent).unwrap_or(0));
            extents.fold(1, usize::saturating_mul)
        };
        Self {
            metadata: model
                .metadata_props
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.clone()))
                .collect(),
            operator_sets: model
                .opset_import
                .iter()
                .map(|import| (import.domain.clone(), import.version))
                .collect(),
            inputs: graph.input.iter().map(describe).collect(),
            outputs: graph.output.iter().map(describe).collect(),
            operators,
            functions: model
                .functions
                .iter()
                .map(|function| format!("{}.{}", function.domain, function.name))
                .collect(),
            weights: (floats().count(), floats().map(elements).fold(0, usize::saturating_add)),
            bytes,
            fault: None,
        }
    }
}

fn describe(value: &ValueInfoProto) -> String {
    let dims = value.type_.tensor_type().shape.dim.iter();
    let extents: Vec<String> = dims
        .map(|dim| match (dim.has_dim_param(), dim.has_dim_value()) {
            (true, _) => dim.dim_param().to_owned(),
            (_, true) => dim.dim_value().to_string(),
            _ => "?".to_owned(),
        })
        .collect();
    format!("{} [{}]", value.name, extents.join(", "))
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_standard = |domain: &str| {
            if domain.is_empty() {
                "ai.onnx".to_owned()
            } else {
                printable(domain)
            }
        };
        for (key, value) in &self.metadata {
            let lines: Vec<String> = value.trim_end().lines().map(printable).collect();
            match lines.as_slice() {
                [] | [_] => writeln!(f, "{}: {}", printable(key), lines.concat())?,
                _ => writeln!(f, "{}:\n  {}", printable(key), lines.join("\n  "))?,
            }
        }
        let sets: Vec<String> = self
            .operator_sets
            .iter()
            .map(|(domain, version)| format!("{} {version}", or_standard(domain)))
            .collect();
        writeln!(f, "operator sets: {}", sets.join(", "))?;
        writeln!(f, "inputs: {}", printable(&self.inputs.join(", ")))?;
        writeln!(f, "outputs: {}", printable(&self.outputs.join(", ")))?;
        writeln!(
            f,
            "weights: {} numbers in {} tensors, {} bytes in all",
            self.weights.1, self.weights.0, self.bytes
        )?;
        writeln!(f, "operators:")?;
        for (operator, count) in &self.operators {
            writeln!(
                f,
                "  {count:5} {} {}",
                or_standard(&operator.domain),
                printable(&operator.name)
            )?;
        }
        for function in &self.functions {
            writeln!(f, "function in the file: {}", printable(function))?;
        }
        if let Some(fault) = &self.fault {
            writeln!(f, "the engine refuses it: {}", printable(fault))?;
        }
        Ok(())
    }
}
