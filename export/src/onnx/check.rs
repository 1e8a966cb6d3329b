//! Reads an exported file back, as others will, and holds it to the contract.

use super::error::ExportError;
use super::graph::BATCH;
use super::metadata::{graph_digest, property};
use super::{IR_VERSION, OPSET};
use dualnet_engine::model::digest::{file_digest_position, file_sha256};
use dualnet_engine::model::{DOMAIN, ECG, OPERATORS, PADE_ACTIVATION, PROBABILITIES, SPECTROGRAM, keys};
use dualnet_engine::signal::{BINS, FRAMES, WINDOW, WINDOWS};
use onnx_ir::{ArgType, Argument, GraphProto, Message, ModelProto, Node, OnnxGraph, OnnxGraphBuilder, ValueInfoProto};

/// Holds `bytes` to the contract for a network of `classes` classes.
///
/// # Errors
/// [`ExportError::Check`] with the first thing that is wrong.
pub(super) fn check(bytes: &[u8], classes: usize) -> Result<(), ExportError> {
    let model = check_file(bytes, classes)?;
    let graph = OnnxGraphBuilder::new()
        .simplify(false)
        .parse_bytes(bytes)
        .map_err(|error| ExportError::Check(format!("onnx-ir: {error}")))?;
    check_graph(&graph, &model.graph, classes).map_err(ExportError::Check)
}

/// The part of [`check`] that holds for an int8 file too: operators, interface, digests.
pub(crate) fn check_file(bytes: &[u8], classes: usize) -> Result<ModelProto, ExportError> {
    let model = ModelProto::parse_from_bytes(bytes).map_err(|error| ExportError::Check(error.to_string()))?;
    check_model(&model, classes)
        .and_then(|()| check_digests(bytes, &model))
        .map_err(ExportError::Check)?;
    Ok(model)
}

fn expect(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

fn check_model(model: &ModelProto, classes: usize) -> Result<(), String> {
    expect(model.ir_version == IR_VERSION, || {
        format!("IR version {}", model.ir_version)
    })?;
    let imports: Vec<(&str, i64)> = model
        .opset_import
        .iter()
        .map(|import| (import.domain.as_str(), import.version))
        .collect();
    expect(imports.contains(&("", OPSET)) && imports.len() <= 2, || {
        format!("operator sets {imports:?}")
    })?;
    let graph = &model.graph;
    let is_pade = |node: &onnx_ir::NodeProto| node.domain == DOMAIN && node.op_type == PADE_ACTIVATION;
    for node in &graph.node {
        let known = is_pade(node) || node.domain.is_empty() && OPERATORS.contains(&node.op_type.as_str());
        expect(known, || {
            format!("node `{}` is a {} {}", node.name, node.domain, node.op_type)
        })?;
    }
    let has_body = model
        .functions
        .iter()
        .any(|f| f.domain == DOMAIN && f.name == PADE_ACTIVATION && !f.node.is_empty());
    expect(has_body || !graph.node.iter().any(is_pade), || {
        format!("{PADE_ACTIVATION} has no function body")
    })?;
    let extents = |value: &ValueInfoProto| -> Vec<String> {
        let dims = value.type_.tensor_type().shape.dim.iter();
        dims.map(|dim| {
            if dim.has_dim_param() {
                dim.dim_param().to_owned()
            } else {
                dim.dim_value().to_string()
            }
        })
        .collect()
    };
    let interface = |values: &[ValueInfoProto]| -> Vec<String> {
        values
            .iter()
            .map(|value| format!("{} [{}]", value.name, extents(value).join(",")))
            .collect()
    };
    let inputs = [
        format!("{ECG} [{BATCH},{WINDOWS},{WINDOW}]"),
        format!("{SPECTROGRAM} [{BATCH},1,{FRAMES},{BINS}]"),
    ];
    let found = interface(&graph.input);
    expect(found == inputs, || format!("inputs {found:?}, expected {inputs:?}"))?;
    let outputs = [format!("{PROBABILITIES} [{BATCH},{classes}]")];
    let found = interface(&graph.output);
    expect(found == outputs, || format!("outputs {found:?}, expected {outputs:?}"))
}

fn check_digests(bytes: &[u8], model: &ModelProto) -> Result<(), String> {
    let weights = graph_digest(&model.graph);
    expect(property(model, keys::WEIGHTS_SHA256) == Some(&weights), || {
        "the digest of the weights differs".to_owned()
    })?;
    let file = file_digest_position(bytes).and_then(|digits| file_sha256(bytes, digits));
    expect(
        file.is_some() && property(model, keys::FILE_SHA256) == file.as_deref(),
        || "the digest of the file differs".to_owned(),
    )
}

/// What onnx-ir made of the file must have the same nodes, no batch norm, and the shapes it infers must be the contract's.
fn check_graph(graph: &OnnxGraph, written: &GraphProto, classes: usize) -> Result<(), String> {
    let custom = |node: &&Node| matches!(node, Node::Custom(custom) if custom.op_type == PADE_ACTIVATION);
    let (read, expected) = (
        graph.nodes.iter().filter(custom).count(),
        written.node.iter().filter(|node| node.domain == DOMAIN).count(),
    );
    expect(read == expected, || {
        format!("onnx-ir reads {read} of {expected} {PADE_ACTIVATION} nodes")
    })?;
    let foreign = graph.nodes.iter().find(|node| match node {
        Node::BatchNormalization(_) => true,
        Node::Custom(custom) => custom.domain != DOMAIN,
        _ => false,
    });
    expect(foreign.is_none(), || format!("onnx-ir reads the node {foreign:?}"))?;
    let rank = |argument: &Argument| match &argument.ty {
        ArgType::Tensor(tensor) => tensor.rank,
        _ => 0,
    };
    let ranks: Vec<usize> = graph.inputs.iter().chain(&graph.outputs).map(rank).collect();
    expect(ranks == [3, 4, 2], || {
        format!("onnx-ir reads inputs and outputs of ranks {ranks:?}")
    })?;
    let last = graph.outputs.first().and_then(|output| match &output.ty {
        ArgType::Tensor(tensor) => tensor.static_shape.as_ref()?.last().copied()?,
        _ => None,
    });
    expect(last.is_none_or(|last| last == classes), || {
        format!("onnx-ir infers {last:?} classes")
    })
}
