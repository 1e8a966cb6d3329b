//! Reads a written file back, as the engine and others will.

use super::error::ExportError;
use super::{IR_VERSION, OPSET};
use dualnet_engine::Model;
use dualnet_engine::model::{DOMAIN, PADE_ACTIVATION};
use onnx_ir::{ArgType, Argument, GraphProto, Message, ModelProto, Node, OnnxGraph, OnnxGraphBuilder};

/// Holds `bytes` to what [`check_file`] asks for, and to what onnx-ir reads of a float file.
///
/// # Errors
/// [`ExportError::Check`] with the first thing that is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), ExportError> {
    let (model, written) = read(bytes)?;
    let graph = OnnxGraphBuilder::new()
        .simplify(false)
        .parse_bytes(bytes)
        .map_err(|error| ExportError::Check(format!("onnx-ir: {error}")))?;
    check_graph(&graph, &written.graph, model.classes().len()).map_err(ExportError::Check)
}

/// A file, of floats or of 8-bit integers, that the engine accepts and that has the versions written here and a body for the operator of ours.
///
/// # Errors
/// [`ExportError::Check`] with the first thing that is wrong.
pub(crate) fn check_file(bytes: &[u8]) -> Result<Model, ExportError> {
    read(bytes).map(|(model, _)| model)
}

fn read(bytes: &[u8]) -> Result<(Model, ModelProto), ExportError> {
    let model = Model::from_bytes("the file", bytes).map_err(|error| ExportError::Check(error.fault().to_string()))?;
    let written = ModelProto::parse_from_bytes(bytes).map_err(|error| ExportError::Check(error.to_string()))?;
    check_versions(&written, model.card().opset).map_err(ExportError::Check)?;
    Ok((model, written))
}

fn expect(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

/// What the engine leaves open: the format's version, which operator set, and the function that runtimes without our operator run.
fn check_versions(model: &ModelProto, opset: i64) -> Result<(), String> {
    let version = model.ir_version;
    expect(version == IR_VERSION, || format!("IR version {version}"))?;
    expect(opset == OPSET, || format!("operator set {opset}"))?;
    let has_body = model.functions.iter().any(|function| !function.node.is_empty());
    let needs_body = model.graph.node.iter().any(|node| node.op_type == PADE_ACTIVATION);
    expect(has_body || !needs_body, || {
        format!("{PADE_ACTIVATION} has no function body")
    })
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
