//! What a graph computes from stored values alone.
//!
//! tract computes it while it prepares a graph, before any extent can be looked at: two stored vectors of a few kilobytes, added to
//! each other, would fill the memory. `export` computes widened weights, and relative embeddings by position, and nothing else.

use std::collections::HashMap;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::ModelFault;
use super::graph::fault;

/// Operators that may stand on stored values alone: none makes more elements of them, but `Gather`.
const OPERATORS: [&str; 6] = [
    "Cast",
    "DequantizeLinear",
    "Gather",
    "QuantizeLinear",
    "Split",
    "Transpose",
];
/// Elements of all values computed so. The largest network of the ten has fewer than 2²⁸.
const MAX_ELEMENTS: u64 = 1 << 29;

/// The values of a graph that its input has no part in.
pub(super) struct Constants<'a> {
    known: HashMap<&'a str, Constant<'a>>,
    total: u64,
}

#[derive(Clone, Copy)]
struct Constant<'a> {
    /// At most so many elements.
    elements: u64,
    /// The stored tensor whose shape it has, if it has one's.
    shape: Option<&'a [i64]>,
}

impl<'a> Constants<'a> {
    pub(super) fn new(initializers: &'a [TensorProto]) -> Self {
        let constant = |tensor: &'a TensorProto| Constant {
            elements: product(&tensor.dims),
            shape: Some(&tensor.dims),
        };
        Self {
            known: initializers
                .iter()
                .map(|tensor| (tensor.name.as_str(), constant(tensor)))
                .collect(),
            total: 0,
        }
    }

    /// Notes what the node makes if it reads stored values alone; fails where `export` writes no such node, or if they grow too large.
    pub(super) fn add(&mut self, node: &'a NodeProto) -> Result<(), ModelFault> {
        let inputs = node.input.iter().filter(|input| !input.is_empty());
        let Some(inputs) = inputs
            .map(|input| self.known.get(input.as_str()).copied())
            .collect::<Option<Vec<_>>>()
        else {
            return Ok(());
        };
        let (Some(&first), true) = (inputs.first(), OPERATORS.contains(&node.op_type.as_str())) else {
            let problem = format!("reads stored values alone: {} may do that", OPERATORS.join(", "));
            return Err(fault(node, problem));
        };
        let made = match (node.op_type.as_str(), &inputs[..]) {
            ("Gather", [data, indexes]) => gathered(node, *data, *indexes)?,
            ("Gather" | "Split" | "Transpose", _) => Constant { shape: None, ..first },
            _ => first,
        };
        self.total = self.total.saturating_add(made.elements);
        if self.total > MAX_ELEMENTS {
            let problem = format!("makes constants of more than {MAX_ELEMENTS} elements in all: that is the limit");
            return Err(fault(node, problem));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            self.known.insert(output, made);
        }
        Ok(())
    }
}

/// Rows of a stored table.
fn gathered<'a>(node: &NodeProto, data: Constant<'_>, indexes: Constant<'_>) -> Result<Constant<'a>, ModelFault> {
    let axis = node.attribute.first().map_or(0, |axis| axis.i);
    let rows = data.shape.zip(usize::try_from(axis).ok());
    let rows = rows.and_then(|(shape, axis)| shape.get(axis)).copied().unwrap_or(0);
    if rows <= 0 {
        let problem = "gathers from what has no such axis: an axis of a stored tensor is supported".to_owned();
        return Err(fault(node, problem));
    }
    Ok(Constant {
        elements: (data.elements / rows as u64).saturating_mul(indexes.elements),
        shape: None,
    })
}

/// The tensors have been held to their bytes before.
fn product(dims: &[i64]) -> u64 {
    dims.iter()
        .fold(1, |product, &extent| product.saturating_mul(extent.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::AttributeProto;

    fn tensor(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            ..TensorProto::default()
        }
    }

    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NodeProto {
            name: "n".to_owned(),
            op_type: operator.to_owned(),
            input: owned(inputs),
            output: owned(outputs),
            ..NodeProto::default()
        }
    }

    fn check(nodes: &[NodeProto]) -> Result<(), String> {
        let stored = [
            tensor("column", &[52_000, 1]),
            tensor("row", &[1, 52_000]),
            tensor("table", &[16, 561]),
            tensor("indexes", &[281, 281]),
            tensor("many", &[1 << 26]),
        ];
        let mut constants = Constants::new(&stored);
        nodes.iter().try_for_each(|node| {
            constants.add(node).map_err(|fault| {
                let message = fault.to_string();
                assert!(
                    message.starts_with("node `n`: ") && !message.contains('\n'),
                    "{message}"
                );
                message
            })
        })
    }

    fn gather(data: &str, indexes: &str) -> NodeProto {
        let axis = AttributeProto {
            name: "axis".to_owned(),
            i: 1,
            ..AttributeProto::default()
        };
        NodeProto {
            attribute: vec![axis],
            ..node("Gather", &[data, indexes], &["gathered"])
        }
    }

    #[test]
    fn embeddings_by_position_are_computed() {
        check(&[
            node("Cast", &["table"], &["wide"]),
            gather("wide", "indexes"),
            node("Split", &["gathered"], &["query", "key"]),
            node("Transpose", &["key"], &["turned"]),
            node("QuantizeLinear", &["turned", "table", "table"], &["rounded"]),
            node("Add", &["x", "rounded"], &["y"]),
        ])
        .unwrap();
    }

    #[test]
    fn stored_values_that_grow_are_refused_unseen() {
        for operator in ["Add", "MatMul", "Einsum", "Concat", "Constant"] {
            let message = check(&[node(operator, &["column", "row"], &["bomb"])]).unwrap_err();
            assert!(message.contains("stored values alone"), "{message}");
        }
        check(&[node("Constant", &[], &["one"])]).unwrap_err();
        // 561 rows of 16 are a small file, so many indexes of 8 bytes are a large one, and both are moderate beside what they make.
        let message = check(&[gather("table", "many")]).unwrap_err();
        assert!(message.contains("elements in all"), "{message}");
        let again = gather("gathered", "indexes");
        assert!(
            check(&[gather("table", "indexes"), again])
                .unwrap_err()
                .contains("stored tensor")
        );
        let turn = node("Transpose", &["many"], &["turned"]);
        check(&vec![turn.clone(); 8]).unwrap();
        check(&vec![turn; 9]).unwrap_err();
    }
}
