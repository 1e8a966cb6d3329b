//! The operators a network of this project is made of, and the operator sets they come from.

use tract_onnx::pb::{ModelProto, NodeProto};

use super::ModelFault;

/// The domain of this project's operators.
pub const DOMAIN: &str = "ecg.dualnet";
/// The Padé activation unit: inputs `X`, `numerator [m + 1]`, `denominator [n]`.
pub const PADE_ACTIVATION: &str = "PadeActivation";

/// Standard operators a network of this project is made of, by name, in alphabetical order.
pub const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "Cast",
    "Concat",
    "Conv",
    "DequantizeLinear",
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
    "QuantizeLinear",
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
pub(super) fn check_sets(model: &ModelProto) -> Result<i64, ModelFault> {
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

/// Whether the node's operator is one of [`OPERATORS`], or this project's own.
pub(super) fn is_supported(node: &NodeProto) -> bool {
    match node.domain.as_str() {
        "" | "ai.onnx" => OPERATORS.binary_search(&node.op_type.as_str()).is_ok(),
        DOMAIN => node.op_type == PADE_ACTIVATION,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{FunctionProto, OperatorSetIdProto};

    #[test]
    fn the_runtime_knows_every_supported_operator() {
        assert!(OPERATORS.is_sorted(), "looked up by binary search");
        let runtime = tract_onnx::onnx();
        for operator in OPERATORS {
            assert!(runtime.op_register.0.contains_key(*operator), "{operator}");
        }
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
        assert_eq!(check_sets(&model(&[("", 17), (DOMAIN, 1)])).unwrap(), 17);
        assert_eq!(check_sets(&model(&[("ai.onnx", 18)])).unwrap(), 18);
        for sets in [
            &[("", 16)][..],
            &[("", 19)],
            &[("", 17), (DOMAIN, 2)],
            &[("", 17), ("com.microsoft", 1)],
            &[],
        ] {
            check_sets(&model(sets)).unwrap_err();
        }
        let function = FunctionProto {
            name: Some("Abs".to_owned()),
            ..FunctionProto::default()
        };
        check_sets(&ModelProto {
            functions: vec![function],
            ..model(&[("", 17)])
        })
        .unwrap_err();
    }
}
