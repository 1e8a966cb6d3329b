//! Which values of a float graph become integers.

use crate::onnx::ExportError;
use onnx_ir::{GraphProto, NodeProto};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The operands of every convolution, matrix product and LSTM that is to be quantized.
pub(super) struct Operands {
    /// Stored weights by name.
    pub(super) weights: BTreeMap<String, Stored>,
    /// Values that the graph computes or is given, by name.
    pub(super) activations: BTreeMap<String, Activation>,
    nodes: HashSet<String>,
    kept: HashSet<String>,
}

/// How a stored weight is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stored {
    /// The axis of its outputs, each of which has a scale.
    pub(super) axis: usize,
    /// The largest sum of magnitudes of an output's integers.
    pub(super) largest_sum: f32,
}

/// A value to be quantized.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Activation {
    /// What is known of its numbers beforehand.
    pub(super) kind: Kind,
    /// The nodes that read it quantized, by name, and the position of the input; `None` when all readers do.
    pub(super) readers: Option<Vec<(String, usize)>>,
}

/// What is known of a value's numbers without running the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Measured,
    /// Computed from stored tensors alone: quantized around zero, as weights are.
    Constant,
    /// A softmax's output, reshaped or not: 0 to 1.
    Probability,
}

impl Operands {
    /// # Errors
    /// [`ExportError::Quantize`] when a pattern is part of no node's name, or nothing is left to be quantized.
    pub(super) fn of(graph: &GraphProto, keep_float: &[String]) -> Result<Self, ExportError> {
        let stored: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let producers: HashMap<&str, &NodeProto> = graph
            .node
            .iter()
            .flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)))
            .collect();
        let candidates: Vec<&NodeProto> = graph.node.iter().filter(|node| multiplies(node, &stored)).collect();
        for pattern in keep_float {
            if !candidates.iter().any(|node| node.name.contains(pattern.as_str())) {
                let first = candidates.first().map_or("", |node| node.name.as_str());
                return Err(ExportError::Quantize(format!(
                    "--keep-float {pattern}: is part of the name of no node that can be quantized, such as {first}"
                )));
            }
        }
        let mut operands = Self {
            weights: BTreeMap::new(),
            activations: BTreeMap::new(),
            nodes: HashSet::new(),
            kept: HashSet::new(),
        };
        for node in candidates {
            if keep_float.iter().any(|pattern| node.name.contains(pattern.as_str())) {
                operands.kept.insert(node.name.clone());
                continue;
            }
            operands.nodes.insert(node.name.clone());
            for (position, input) in node.input.iter().enumerate() {
                match axis_of_outputs(&node.op_type, position) {
                    Some(axis) if stored.contains(input.as_str()) => {
                        let largest_sum = largest_sum(&node.op_type, position);
                        operands.weights.insert(input.clone(), Stored { axis, largest_sum });
                    }
                    _ if position == 0 || node.op_type == "MatMul" => {
                        let activation = operands.activations.entry(input.clone()).or_insert_with(|| Activation {
                            kind: kind(input, &stored, &producers),
                            readers: Some(Vec::new()),
                        });
                        match (&mut activation.readers, node.op_type.as_str()) {
                            (readers, "Conv") => *readers = None,
                            (Some(readers), _) => readers.push((node.name.clone(), position)),
                            (None, _) => {}
                        }
                    }
                    _ => {}
                }
            }
        }
        if operands.nodes.is_empty() {
            return Err(ExportError::Quantize(
                "--keep-float leaves nothing to be quantized".to_owned(),
            ));
        }
        // A weight that a float node reads too would be lost to it.
        let shared = graph.node.iter().find(|node| {
            !operands.nodes.contains(&node.name) && node.input.iter().any(|input| operands.weights.contains_key(input))
        });
        match shared {
            Some(node) => Err(ExportError::Quantize(format!(
                "{}: shares a weight with a quantized node",
                node.name
            ))),
            None => Ok(operands),
        }
    }

    /// Whether a node is to read what it did, though others read it rounded.
    pub(super) fn keeps(&self, node: &NodeProto) -> bool {
        self.kept.contains(&node.name)
    }

    /// How many nodes read integers.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

/// Whether the node is one of those that do nearly all of a network's multiplications.
fn multiplies(node: &NodeProto, stored: &HashSet<&str>) -> bool {
    let weight = |position: usize| {
        node.input
            .get(position)
            .is_some_and(|input| stored.contains(input.as_str()))
    };
    match node.op_type.as_str() {
        "Conv" => weight(1),
        "LSTM" => weight(1) && weight(2),
        "MatMul" => !weight(0),
        _ => false,
    }
}

/// The axis along which a weight at input `position` has one scale for each output: rows of gates for an LSTM.
fn axis_of_outputs(operator: &str, position: usize) -> Option<usize> {
    match (operator, position) {
        ("Conv", 1) => Some(0),
        ("LSTM", 1 | 2) | ("MatMul", 1) => Some(1),
        _ => None,
    }
}

/// What the engine holds the sums of a weight to. With activations of up to 255 steps from their zero point, sums of products stay below
/// 2²⁷, up to which its integer convolutions are exact; an LSTM's state has up to 2¹⁵ steps, and its sums are of 31 bits.
fn largest_sum(operator: &str, position: usize) -> f32 {
    match (operator, position) {
        ("LSTM", 2) => 65_535.0,
        _ => ((1 << 27) / 255) as f32,
    }
}

fn kind(value: &str, stored: &HashSet<&str>, producers: &HashMap<&str, &NodeProto>) -> Kind {
    let mut origin = producers.get(value);
    while let Some(node) = origin {
        match node.op_type.as_str() {
            "Softmax" => return Kind::Probability,
            "Reshape" | "Transpose" => origin = node.input.first().and_then(|input| producers.get(input.as_str())),
            _ => break,
        }
    }
    if is_constant(value, stored, producers) {
        Kind::Constant
    } else {
        Kind::Measured
    }
}

/// Whether nothing but stored tensors goes into `value`. The graph has no cycles: the engine checked it.
fn is_constant(value: &str, stored: &HashSet<&str>, producers: &HashMap<&str, &NodeProto>) -> bool {
    let (mut open, mut seen) = (vec![value], HashSet::new());
    while let Some(value) = open.pop() {
        if stored.contains(value) || value.is_empty() || !seen.insert(value) {
            continue;
        }
        match producers.get(value) {
            Some(node) => open.extend(node.input.iter().map(String::as_str)),
            None => return false,
        }
    }
    true
}
