//! The Padé activation unit as an ONNX operator of this project's own domain, with a function body that any runtime can run.

use super::graph::{Attribute, node};
use dualnet_engine::model::{DOMAIN, PADE_ACTIVATION};
use onnx_ir::{ModelProto, NodeProto};

/// The version of [`DOMAIN`].
pub(super) const DOMAIN_VERSION: i64 = 1;

const X: &str = "X";
const NUMERATOR: &str = "numerator";
const DENOMINATOR: &str = "denominator";
const Y: &str = "Y";

/// Adds the model-local function `Y = PadeActivation(X, numerator, denominator)` for `numerator` coefficients a₀ … aₘ and
/// `denominator` coefficients b₁ … bₙ, at least one each:
/// `Y = (a₀ + a₁X + … + aₘXᵐ) / (1 + |b₁||X| + … + |bₙ||X|ⁿ)`, both polynomials by Horner's rule.
pub(super) fn add_function(model: &mut ModelProto, opset: i64, numerator: usize, denominator: usize) {
    model.functions.push(Default::default());
    let Some(function) = model.functions.last_mut() else {
        return;
    };
    function.name = PADE_ACTIVATION.to_owned();
    function.domain = DOMAIN.to_owned();
    function.doc_string = "Safe Pade activation unit: P(X) / (1 + Q(|X|)), coefficients in ascending order".to_owned();
    function.input = [X, NUMERATOR, DENOMINATOR].map(str::to_owned).to_vec();
    function.output = vec![Y.to_owned()];
    function.opset_import.push(Default::default());
    if let Some(import) = function.opset_import.last_mut() {
        import.version = opset;
    }
    function.node = body(numerator, denominator);
}

fn body(numerator: usize, denominator: usize) -> Vec<NodeProto> {
    let mut nodes = vec![
        node(
            "one",
            "Constant",
            &[],
            &["one"],
            &[Attribute::Float("value_float", 1.0)],
        ),
        node("abs_x", "Abs", &[X], &["abs_x"], &[]),
        node("abs_b", "Abs", &[DENOMINATOR], &["abs_b"], &[]),
    ];
    let a = coefficients(&mut nodes, NUMERATOR, "a", 0, numerator);
    let b = coefficients(&mut nodes, "abs_b", "b", 1, denominator);
    let p = horner(&mut nodes, "p", X, &a);
    let mut with_one = vec!["one".to_owned()];
    with_one.extend(b);
    let q = horner(&mut nodes, "q", "abs_x", &with_one);
    nodes.push(node("ratio", "Div", &[&p, &q], &[Y], &[]));
    nodes
}

/// Splits a vector into its elements and names them `letter` with indexes from `first`.
fn coefficients(nodes: &mut Vec<NodeProto>, vector: &str, letter: &str, first: usize, count: usize) -> Vec<String> {
    if count == 1 {
        return vec![vector.to_owned()];
    }
    let names: Vec<String> = (first..first + count).map(|index| format!("{letter}{index}")).collect();
    let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
    nodes.push(node(
        &format!("{letter}_parts"),
        "Split",
        &[vector],
        &outputs,
        &[Attribute::Int("axis", 0)],
    ));
    names
}

/// `c₀ + x·(c₁ + x·(c₂ + …))`; the name of the result.
fn horner(nodes: &mut Vec<NodeProto>, letter: &str, x: &str, coefficients: &[String]) -> String {
    let mut terms = coefficients.iter().enumerate().rev();
    let mut sum = terms.next().map(|(_, last)| last.clone()).unwrap_or_default();
    for (index, coefficient) in terms {
        let (product, next) = (format!("{letter}{index}_product"), format!("{letter}{index}_sum"));
        nodes.push(node(&product, "Mul", &[&sum, x], &[&product], &[]));
        nodes.push(node(&next, "Add", &[&product, coefficient], &[&next], &[]));
        sum = next;
    }
    sum
}
