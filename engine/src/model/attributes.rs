//! The attributes of a model file's nodes: those that `export` writes, with the values it gives them.
//!
//! A runtime may ignore an attribute that it does not know and so compute another network than the file describes, or trust a value that
//! is nonsense. Neither can happen to a file whose every attribute is one of these.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::ModelFault;
use super::graph::fault;
use crate::plan::EPSILON;

/// The highest axis of a value, and the most axes it may have but one.
const LAST_AXIS: i64 = 7;
/// The most units of an LSTM.
const MAX_UNITS: i64 = 1 << 16;

/// What an attribute may hold.
#[derive(Clone, Copy)]
enum Values {
    Int(i64, i64),
    Ints(&'static [&'static [i64]]),
    Float(f32),
    Axis,
    Permutation,
    Equation,
}

/// The attributes of an operator of the standard set; none for those that have none here.
fn known(operator: &str) -> &'static [(&'static str, Values)] {
    use Values::*;
    const AXIS: Values = Int(0, LAST_AXIS);
    const LAST: Values = Int(-1, -1);
    match operator {
        "AveragePool" => &[("kernel_shape", Ints(&[&[2, 2]])), ("strides", Ints(&[&[2, 2]]))],
        "Cast" => &[("to", Int(1, 1))],
        "Concat" | "DequantizeLinear" | "Gather" | "Split" => &[("axis", AXIS)],
        "Conv" => &[
            ("kernel_shape", Ints(&[&[1], &[1, 1], &[3, 3]])),
            ("pads", Ints(&[&[0, 0], &[0, 0, 0, 0], &[1, 1, 1, 1]])),
        ],
        "Einsum" => &[("equation", Equation)],
        "Flatten" => &[("axis", Int(1, 1))],
        "Gemm" => &[("transB", Int(1, 1))],
        "LayerNormalization" => &[("axis", LAST), ("epsilon", Float(EPSILON))],
        "LSTM" => &[("hidden_size", Int(1, MAX_UNITS))],
        "ReduceMean" => &[("axes", Axis), ("keepdims", Int(0, 0))],
        "ReduceSum" => &[("keepdims", Int(0, 0))],
        "Softmax" => &[("axis", LAST)],
        "Transpose" => &[("perm", Permutation)],
        _ => &[],
    }
}

/// Fails unless every attribute of the node is there once, of the right type, with a value that `export` writes.
pub(super) fn check(node: &NodeProto) -> Result<(), ModelFault> {
    let known = known(&node.op_type);
    for (index, attribute) in node.attribute.iter().enumerate() {
        let name = attribute.name.escape_default();
        let Some((_, values)) = known.iter().find(|(known, _)| *known == attribute.name) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let supported = if names.is_empty() { "none" } else { &names.join(", ") };
            let problem = format!(
                "attribute `{name}` is not supported: of {} {supported} is",
                node.op_type
            );
            return Err(fault(node, problem));
        };
        if node.attribute[..index].iter().any(|other| other.name == attribute.name) {
            return Err(fault(node, format!("attribute `{name}` is there twice")));
        }
        if !values.allow(attribute) {
            let problem = format!(
                "attribute `{name}` has a value that is not supported: {}",
                values.describe()
            );
            return Err(fault(node, problem));
        }
    }
    Ok(())
}

impl Values {
    fn allow(self, found: &AttributeProto) -> bool {
        let kind = match self {
            Self::Int(..) => AttributeType::Int,
            Self::Float(_) => AttributeType::Float,
            Self::Equation => AttributeType::String,
            Self::Ints(_) | Self::Axis | Self::Permutation => AttributeType::Ints,
        };
        let plain = found.t.is_none()
            && found.g.is_none()
            && found.sparse_tensor.is_none()
            && found.ref_attr_name.is_empty()
            && found.tensors.is_empty()
            && found.graphs.is_empty()
            && found.sparse_tensors.is_empty();
        let value = match self {
            Self::Int(least, most) => (least..=most).contains(&found.i),
            Self::Ints(lists) => lists.contains(&found.ints.as_slice()),
            Self::Float(value) => found.f == value,
            Self::Axis => matches!(found.ints[..], [axis] if (0..=LAST_AXIS).contains(&axis)),
            Self::Permutation => is_permutation(&found.ints),
            Self::Equation => is_contraction(&found.s),
        };
        found.r#type == kind as i32 && plain && value
    }

    fn describe(self) -> String {
        match self {
            Self::Int(least, most) if least == most => format!("the integer {least} is"),
            Self::Int(least, most) => format!("an integer from {least} to {most} is"),
            Self::Ints(lists) => {
                let lists: Vec<String> = lists.iter().map(|list| format!("{list:?}")).collect();
                format!("the integers {} are", lists.join(" or "))
            }
            Self::Float(value) => format!("the number {value} is"),
            Self::Axis => format!("one axis from 0 to {LAST_AXIS} is"),
            Self::Permutation => format!("a permutation of at most {} axes is", LAST_AXIS + 1),
            Self::Equation => "a contraction of two values such as `nhid,nhjd->nhij` is".to_owned(),
        }
    }
}

fn is_permutation(axes: &[i64]) -> bool {
    axes.len() as i64 <= LAST_AXIS + 1 && (0..axes.len() as i64).all(|axis| axes.contains(&axis))
}

/// Whether the text is `ab,bc->ac`: small letters, in each term at most once, in the result only those of the terms.
fn is_contraction(text: &[u8]) -> bool {
    let term = |letters: &str| {
        let once = |(index, letter): (usize, u8)| !letters.as_bytes()[..index].contains(&letter);
        (1..=LAST_AXIS as usize + 1).contains(&letters.len())
            && letters.bytes().all(|letter| letter.is_ascii_lowercase())
            && letters.bytes().enumerate().all(once)
    };
    let parts = std::str::from_utf8(text).ok().and_then(|text| {
        let (terms, result) = text.split_once("->")?;
        let (first, second) = terms.split_once(',')?;
        Some((first, second, result))
    });
    parts.is_some_and(|(first, second, result)| {
        [first, second, result].into_iter().all(term)
            && result
                .chars()
                .all(|letter| first.contains(letter) || second.contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::GraphProto;

    fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
        AttributeProto {
            name: name.to_owned(),
            r#type: kind as i32,
            ..AttributeProto::default()
        }
    }

    fn int(name: &str, value: i64) -> AttributeProto {
        AttributeProto {
            i: value,
            ..attribute(name, AttributeType::Int)
        }
    }

    fn ints(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto {
            ints: values.to_vec(),
            ..attribute(name, AttributeType::Ints)
        }
    }

    fn float(name: &str, value: f32) -> AttributeProto {
        AttributeProto {
            f: value,
            ..attribute(name, AttributeType::Float)
        }
    }

    fn text(name: &str, value: &str) -> AttributeProto {
        AttributeProto {
            s: value.as_bytes().to_vec(),
            ..attribute(name, AttributeType::String)
        }
    }

    fn problem(operator: &str, attributes: &[AttributeProto]) -> Option<String> {
        let node = NodeProto {
            name: "n".to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        };
        let message = check(&node).err()?.to_string();
        assert!(
            message.starts_with("node `n`: attribute") && !message.contains('\n'),
            "{message}"
        );
        Some(message)
    }

    #[test]
    fn what_export_writes_is_accepted() {
        for (operator, attributes) in [
            (
                "AveragePool",
                vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
            ),
            ("Conv", vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])]),
            ("Einsum", vec![text("equation", "bgij,cij->bgci")]),
            ("LayerNormalization", vec![int("axis", -1), float("epsilon", 1e-5)]),
            ("LSTM", vec![int("hidden_size", 128)]),
            ("ReduceMean", vec![ints("axes", &[1]), int("keepdims", 0)]),
            ("Transpose", vec![ints("perm", &[3, 0, 1, 4, 2])]),
            ("Add", vec![]),
        ] {
            assert_eq!(problem(operator, &attributes), None);
        }
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for (operator, attribute) in [
            ("Transpose", ints("perm", &[0, 0])),
            ("Transpose", ints("perm", &[0, 2])),
            ("Transpose", ints("perm", &[5, -1])),
            ("Transpose", ints("perm", &[0, 1, 2, 3, 4, 5, 6, 7, 8])),
            ("LayerNormalization", int("axis", -99)),
            ("LayerNormalization", float("epsilon", f32::NAN)),
            ("Softmax", int("axis", 99)),
            ("AveragePool", ints("kernel_shape", &[2, i64::MAX])),
            ("LSTM", int("hidden_size", 1 << 62)),
            ("Concat", int("axis", 77)),
            ("Gather", int("axis", -7)),
            ("ReduceMean", ints("axes", &[0, 1])),
            ("Einsum", text("equation", "ij,jk->")),
            ("Einsum", text("equation", "ij,jk->il")),
            ("Einsum", text("equation", "ii,ij->ij")),
            ("Einsum", text("equation", "éé,,->>..")),
            ("Softmax", float("axis", -1.0)),
        ] {
            let message = problem(operator, std::slice::from_ref(&attribute)).expect("a refusal");
            assert!(message.contains("not supported: "), "{message}");
        }
    }

    /// A runtime that ignores one of these answers for another network.
    #[test]
    fn attributes_that_export_does_not_write_are_refused() {
        for (operator, attribute) in [
            ("LSTM", text("direction", "reverse")),
            ("LSTM", float("clip", 0.1)),
            ("LSTM", int("input_forget", 1)),
            ("AveragePool", ints("pads", &[0, 0, 1, 1])),
            ("AveragePool", int("ceil_mode", 1)),
            ("Conv", ints("dilations", &[2, 2])),
            ("Conv", text("auto_pad", "SAME_LOWER")),
            ("Gemm", float("alpha", 0.5)),
            ("Abs", int("axis", 0)),
            ("PadeActivation", int("axis", 0)),
            ("LSTM", text("di\nrection", "reverse")),
        ] {
            problem(operator, &[attribute]).expect("a refusal");
        }
    }

    #[test]
    fn an_attribute_is_there_once_and_nothing_but_its_value() {
        assert!(
            problem("Softmax", &[int("axis", -1), int("axis", -1)])
                .unwrap()
                .contains("twice")
        );
        let nested = AttributeProto {
            g: Some(GraphProto::default()),
            ..int("axis", -1)
        };
        problem("Softmax", &[nested]).expect("a refusal");
    }
}
