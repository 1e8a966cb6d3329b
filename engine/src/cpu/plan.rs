//! A model made ready for one batch size.

use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::TypedSimplePlan;
use tract_onnx::tract_hir::internal::DimLike;

use super::pade;
use crate::model::Model;
use crate::signal::{BINS, FRAMES, WINDOW, WINDOWS};

/// Elements a value inside the network may have, for one record. The largest network of the ten stays below 2²⁵; shapes
/// beyond this limit can only come from a file made to exhaust memory.
const MAX_ELEMENTS: usize = 1 << 28;

/// Extents of the two inputs for a batch of `batch` records.
pub(super) fn input_shapes(batch: usize) -> [Vec<usize>; 2] {
    [vec![batch, WINDOWS, WINDOW], vec![batch, 1, FRAMES, BINS]]
}

/// Parses, types and optimizes the graph for a concrete batch: tract's LSTM needs one.
pub(super) fn prepare(model: &Model, batch: usize) -> TractResult<Arc<TypedSimplePlan>> {
    let graph = typed(model.proto(), batch)?;
    let expected = f32::fact([batch, model.classes().len()]);
    let output = graph.output_fact(0)?;
    if output.datum_type != expected.datum_type || output.shape != expected.shape {
        return Err(TractError::msg(format!(
            "the output is {output:?}: {expected:?} is expected"
        )));
    }
    graph.into_optimized()?.into_runnable()
}

/// Parses and types a graph for a concrete batch.
pub(super) fn typed(model: &ModelProto, batch: usize) -> TractResult<TypedModel> {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    pade::register(&mut onnx);
    let mut graph = onnx.model_for_proto_model(model)?;
    for (index, shape) in input_shapes(batch).into_iter().enumerate() {
        graph.set_input_fact(index, f32::fact(shape).into())?;
    }
    let graph = graph.into_typed()?;
    check_sizes(&graph, batch)?;
    Ok(graph)
}

fn check_sizes(graph: &TypedModel, batch: usize) -> TractResult<()> {
    let limit = MAX_ELEMENTS.saturating_mul(batch);
    for node in graph.nodes() {
        for output in &node.outputs {
            let elements = output.fact.shape.iter().try_fold(1usize, |product, extent| {
                extent.to_usize().ok().and_then(|extent| product.checked_mul(extent))
            });
            if elements.is_none_or(|elements| elements > limit) {
                return Err(TractError::msg(format!(
                    "node `{}` makes {:?}, more than {limit} elements",
                    node.name, output.fact
                )));
            }
        }
    }
    Ok(())
}
