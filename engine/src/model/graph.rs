//! The nodes of a model file: known operators, wired to values that exist.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::{ModelFault, tensors};
use crate::pau::MAX_COEFFICIENTS;

/// The domain of this project's operators.
pub const DOMAIN: &str = "ecg.dualnet";
/// The Padé activation unit: inputs `X`, `numerator [m + 1]`, `denominator [n]`.
pub const PADE_ACTIVATION: &str = "PadeActivation";

/// Standard operators a network of this project is made of, by name, in alphabetical order.
pub const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Einsum",
    "Erf",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "LSTM",
    "LayerNormalization",
    "MatMul",
    "Mul",
    "Neg",
    "Pow",
    "ReduceMean",
    "ReduceSum",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Checks the operator sets and returns the standard one's version.
pub(super) fn check_operator_sets(model: &ModelProto) -> Result<i64, ModelFault> {
    let mut standard = None;
    for import in &model.opset_import {
        let supported = match (import.domain.as_str(), import.version) {
            ("" | "ai.onnx", version @ 17..=18) => {
                standard = Some(version);
                continue;
            }
            (DOMAIN, 1) => continue,
            ("" | "ai.onnx", _) => "17 and 18 are",
            (DOMAIN, _) => "1 is",
            _ => "ai.onnx 17 and 18 and ecg.dualnet 1 are",
        };
        let domain = if import.domain.is_empty() {
            "ai.onnx"
        } else {
            &import.domain
        };
        let domain = domain.escape_default().to_string();
        return Err(ModelFault::OperatorSet {
            domain,
            version: import.version,
            supported,
        });
    }
    let local = |name: &Option<String>, expected: &str| name.as_deref() == Some(expected);
    if !model
        .functions
        .iter()
        .all(|f| local(&f.domain, DOMAIN) && local(&f.name, PADE_ACTIVATION))
    {
        return Err(ModelFault::Unsupported {
            part: "a local function other than ecg.dualnet PadeActivation",
        });
    }
    standard.ok_or(ModelFault::Unsupported {
        part: "no standard operator set (ai.onnx 17 or 18)",
    })
}

/// Checks every node and returns how many there are of each operator.
pub(super) fn check(graph: &GraphProto) -> Result<BTreeMap<String, usize>, ModelFault> {
    let initializers: HashMap<&str, &TensorProto> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let mut defined: HashSet<&str> = initializers.keys().copied().collect();
    for input in &graph.input {
        if !defined.insert(&input.name) {
            return Err(ModelFault::Unsupported {
                part: "an input that has a stored value",
            });
        }
    }
    let mut operators = BTreeMap::new();
    for node in &graph.node {
        *operators.entry(check_operator(node)?).or_insert(0) += 1;
        check_attributes(node)?;
        if node.op_type == PADE_ACTIVATION {
            check_pade(node, &initializers)?;
        }
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            if !defined.contains(input.as_str()) {
                return Err(fault(
                    node,
                    format!("input `{}` is not defined before it", input.escape_default()),
                ));
            }
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !defined.insert(output) {
                return Err(fault(
                    node,
                    format!("output `{}` is defined twice", output.escape_default()),
                ));
            }
        }
    }
    match graph
        .output
        .iter()
        .find(|output| !defined.contains(output.name.as_str()))
    {
        Some(output) => Err(ModelFault::Interface {
            role: "output",
            name: output.name.escape_default().to_string(),
            problem: "is computed by no node".to_owned(),
        }),
        None => Ok(operators),
    }
}

fn check_operator(node: &NodeProto) -> Result<String, ModelFault> {
    let known = match node.domain.as_str() {
        "" | "ai.onnx" => OPERATORS.binary_search(&node.op_type.as_str()).is_ok(),
        DOMAIN => node.op_type == PADE_ACTIVATION,
        _ => false,
    };
    if known {
        return Ok(node.op_type.clone());
    }
    let operator = format!("{} {}", node.domain, node.op_type)
        .trim()
        .escape_default()
        .to_string();
    let supported = format!("{}, {DOMAIN} {PADE_ACTIVATION} are", OPERATORS.join(", "));
    Err(ModelFault::Operator {
        node: name(node),
        operator,
        supported,
    })
}

fn check_attributes(node: &NodeProto) -> Result<(), ModelFault> {
    for attribute in &node.attribute {
        let exotic = attribute.g.is_some()
            || !attribute.graphs.is_empty()
            || !attribute.tensors.is_empty()
            || attribute.sparse_tensor.is_some()
            || !attribute.sparse_tensors.is_empty()
            || !attribute.ref_attr_name.is_empty();
        if exotic {
            return Err(fault(
                node,
                format!("attribute `{}` is not supported", attribute.name.escape_default()),
            ));
        }
        if let Some(tensor) = &attribute.t {
            tensors::check_tensor(tensor).map_err(|error| fault(node, error.to_string()))?;
        }
    }
    Ok(())
}

fn check_pade(node: &NodeProto, initializers: &HashMap<&str, &TensorProto>) -> Result<(), ModelFault> {
    let [_, coefficients @ ..] = node.input.as_slice() else {
        return Err(fault(node, "has no inputs".to_owned()));
    };
    if coefficients.len() != 2 || node.output.len() != 1 {
        let problem = "needs the inputs X, numerator, denominator and one output".to_owned();
        return Err(fault(node, problem));
    }
    for input in coefficients {
        let problem = match initializers.get(input.as_str()) {
            None => "is not a stored tensor".to_owned(),
            Some(tensor) if tensor.data_type != DataType::Float as i32 => {
                format!("holds {}: FLOAT is supported", tensors::type_name(tensor.data_type))
            }
            Some(tensor) => match tensor.dims[..] {
                [length] if (1..=MAX_COEFFICIENTS as i64).contains(&length) => continue,
                _ => format!("has shape {:?}: [1] to [{MAX_COEFFICIENTS}] are supported", tensor.dims),
            },
        };
        return Err(fault(
            node,
            format!("coefficients `{}`: {problem}", input.escape_default()),
        ));
    }
    Ok(())
}

fn fault(node: &NodeProto, problem: String) -> ModelFault {
    ModelFault::Node {
        node: name(node),
        problem,
    }
}

/// The node's name, or its first output's when it has none.
fn name(node: &NodeProto) -> String {
    let named = [Some(&node.name), node.output.first()]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty());
    named.map_or_else(
        || node.op_type.escape_default().to_string(),
        |name| name.escape_default().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{AttributeProto, FunctionProto, OperatorSetIdProto, ValueInfoProto};

    fn node(domain: &str, operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto {
            domain: domain.to_owned(),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: outputs.iter().map(|name| (*name).to_owned()).collect(),
            name: "n".to_owned(),
            ..NodeProto::default()
        }
    }

    fn coefficients(name: &str, count: i64) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            dims: vec![count],
            data_type: 1,
            ..TensorProto::default()
        }
    }

    fn graph(nodes: Vec<NodeProto>) -> GraphProto {
        let value = |name: &str| ValueInfoProto {
            name: name.to_owned(),
            ..ValueInfoProto::default()
        };
        GraphProto {
            node: nodes,
            input: vec![value("x")],
            output: vec![value("y")],
            initializer: vec![coefficients("a", 6), coefficients("b", 4), coefficients("none", 0)],
            ..GraphProto::default()
        }
    }

    fn refusal(nodes: Vec<NodeProto>) -> String {
        let message = check(&graph(nodes)).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    #[test]
    fn the_runtime_knows_every_supported_operator() {
        assert!(OPERATORS.is_sorted(), "looked up by binary search");
        let runtime = tract_onnx::onnx();
        for operator in OPERATORS {
            assert!(runtime.op_register.0.contains_key(*operator), "{operator}");
        }
    }

    #[test]
    fn known_operators_are_counted() {
        let nodes = vec![
            node(DOMAIN, PADE_ACTIVATION, &["x", "a", "b"], &["h"]),
            node("", "Abs", &["h"], &["y"]),
        ];
        let operators = check(&graph(nodes)).unwrap();
        assert_eq!(
            operators,
            BTreeMap::from([("Abs".to_owned(), 1), (PADE_ACTIVATION.to_owned(), 1)])
        );
    }

    #[test]
    fn unknown_operators_and_domains_are_named() {
        for (domain, operator) in [
            ("", "Loop"),
            ("com.microsoft", "Gelu"),
            ("", PADE_ACTIVATION),
            (DOMAIN, "Abs"),
        ] {
            let message = refusal(vec![node(domain, operator, &["x"], &["y"])]);
            assert!(message.contains("node `n`") && message.contains(operator), "{message}");
        }
    }

    #[test]
    fn values_are_defined_once_and_before_their_use() {
        let two = |first: NodeProto| vec![first, node("", "Abs", &["h"], &["y"])];
        assert!(refusal(two(node("", "Abs", &["y"], &["h"]))).contains("not defined"));
        assert!(refusal(two(node("", "Abs", &["x"], &["x"]))).contains("twice"));
        assert!(refusal(vec![node("", "Abs", &["x"], &["z"])]).contains("output `y`"));
    }

    #[test]
    fn an_activation_needs_stored_coefficients() {
        let inputs: [&[&str]; 6] = [
            &[],
            &["x"],
            &["x", "a"],
            &["x", "a", "x"],
            &["x", "none", "b"],
            &["x", "a", "b", "b"],
        ];
        for inputs in inputs {
            refusal(vec![node(DOMAIN, PADE_ACTIVATION, inputs, &["y"])]);
        }
    }

    #[test]
    fn subgraphs_are_refused() {
        let attribute = AttributeProto {
            g: Some(GraphProto::default()),
            ..AttributeProto::default()
        };
        let nested = NodeProto {
            attribute: vec![attribute],
            ..node("", "Abs", &["x"], &["y"])
        };
        assert!(refusal(vec![nested]).contains("attribute"));
    }

    #[test]
    fn operator_sets_are_the_supported_ones() {
        let model = |sets: &[(&str, i64)]| ModelProto {
            opset_import: sets
                .iter()
                .map(|(domain, version)| OperatorSetIdProto {
                    domain: (*domain).to_owned(),
                    version: *version,
                })
                .collect(),
            ..ModelProto::default()
        };
        assert_eq!(check_operator_sets(&model(&[("", 17), (DOMAIN, 1)])).unwrap(), 17);
        assert_eq!(check_operator_sets(&model(&[("ai.onnx", 18)])).unwrap(), 18);
        for sets in [
            &[("", 16)][..],
            &[("", 19)],
            &[("", 17), (DOMAIN, 2)],
            &[("", 17), ("com.microsoft", 1)],
            &[],
        ] {
            check_operator_sets(&model(sets)).unwrap_err();
        }
        let function = FunctionProto {
            name: Some("Abs".to_owned()),
            ..FunctionProto::default()
        };
        check_operator_sets(&ModelProto {
            functions: vec![function],
            ..model(&[("", 17)])
        })
        .unwrap_err();
    }
}
