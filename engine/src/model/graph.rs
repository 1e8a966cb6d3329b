//! The nodes of a model file: known operators, wired to values that exist.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::constants::Constants;
use super::operators::{self, DOMAIN, OPERATORS, PADE_ACTIVATION};
use super::{ModelFault, attributes, tensors};
use crate::pau::MAX_COEFFICIENTS;

/// The most nodes: tract looks through all before it at each. An ECG-DualNet S has 124.
const MOST_NODES: usize = 1 << 14;

/// Checks every node and returns how many there are of each operator.
pub(super) fn check(graph: &GraphProto) -> Result<BTreeMap<String, usize>, ModelFault> {
    if graph.node.len() > MOST_NODES {
        return Err(ModelFault::Unsupported {
            part: "more than 16384 nodes",
        });
    }
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
    let mut constants = Constants::new(&graph.initializer);
    for node in &graph.node {
        *operators.entry(check_operator(node)?).or_insert(0) += 1;
        match node.op_type.as_str() {
            PADE_ACTIVATION => check_pade(node, &initializers)?,
            "Cast" => check_cast(node, &initializers)?,
            _ => {}
        }
        attributes::check(node)?;
        constants.add(node)?;
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
    if operators::is_supported(node) {
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

/// A Cast widens a stored FLOAT16 tensor to FLOAT and does nothing else in a file of this project.
fn check_cast(node: &NodeProto, initializers: &HashMap<&str, &TensorProto>) -> Result<(), ModelFault> {
    let stored = match &node.input[..] {
        [input] => initializers.get(input.as_str()),
        _ => None,
    };
    let narrow = stored.is_some_and(|tensor| tensor.data_type == DataType::Float16 as i32);
    let widens = matches!(&node.attribute[..], [to] if to.name == "to" && to.i == i64::from(DataType::Float as i32));
    if narrow && widens && node.output.len() == 1 {
        return Ok(());
    }
    let problem = "only a Cast of a stored FLOAT16 tensor to FLOAT is supported".to_owned();
    Err(fault(node, problem))
}

pub(super) fn fault(node: &NodeProto, problem: String) -> ModelFault {
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
    use tract_onnx::pb::attribute_proto::AttributeType;
    use tract_onnx::pb::{AttributeProto, ValueInfoProto};

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
    fn a_cast_widens_a_stored_tensor() {
        let half = TensorProto {
            data_type: DataType::Float16 as i32,
            ..coefficients("half", 6)
        };
        let cast = |input: &str, to: i64| NodeProto {
            attribute: vec![AttributeProto {
                name: "to".to_owned(),
                r#type: AttributeType::Int as i32,
                i: to,
                ..AttributeProto::default()
            }],
            ..node("", "Cast", &[input], &["y"])
        };
        let stored = |node: NodeProto| GraphProto {
            initializer: vec![half.clone(), coefficients("whole", 6)],
            ..graph(vec![node])
        };
        check(&stored(cast("half", 1))).unwrap();
        for other in [
            cast("half", 10),
            cast("whole", 1),
            cast("x", 1),
            node("", "Cast", &["half"], &["y"]),
            node("", "Cast", &["half", "half"], &["y"]),
        ] {
            let message = check(&stored(other)).unwrap_err().to_string();
            assert!(message.contains("node `n`") && message.contains("FLOAT16"), "{message}");
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
}
