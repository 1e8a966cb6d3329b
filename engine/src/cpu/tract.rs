//! A model as tract's graph, made ready for one batch size.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::TypedSimplePlan;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::DimLike;

use super::pade;
use crate::model::Model;
use crate::signal::{BINS, FRAMES, WINDOW, WINDOWS};

/// Elements that the values inside the network may have together at any time, for one record. Those of the largest of the ten networks stay below
/// 2²⁵; shapes beyond this limit can only come from a file made to exhaust memory.
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
    check_sizes(&graph, MAX_ELEMENTS.saturating_mul(batch))?;
    Ok(graph)
}

/// Fails where values of more than `limit` elements are needed at the same time, each from the node that makes it to the last that reads it, if nodes run depth
/// first, as tract runs them unless another order needs less.
fn check_sizes(graph: &TypedModel, limit: usize) -> TractResult<()> {
    let order = graph.eval_order()?;
    let mut last_readers = HashMap::new();
    for (position, &node) in order.iter().enumerate() {
        last_readers.extend(graph.node(node).inputs.iter().map(|&input| (input, position)));
    }
    let mut live = 0usize;
    let mut read_last = vec![0; order.len()];
    for (position, &node) in order.iter().enumerate() {
        let node = graph.node(node);
        // What the file holds is limited with the file.
        let made = if node.op_is::<Const>() { &[][..] } else { &node.outputs };
        for (slot, output) in made.iter().enumerate() {
            let elements = output.fact.shape.iter().try_fold(1usize, |product, extent| {
                extent.to_usize().ok().and_then(|extent| product.checked_mul(extent))
            });
            let elements = elements.filter(|elements| live.saturating_add(*elements) <= limit);
            let Some(elements) = elements else {
                return Err(TractError::msg(format!(
                    "node `{}` makes {:?} beside {live} elements that are still needed: more than {limit}",
                    node.name, output.fact
                )));
            };
            live += elements;
            let outlet = OutletId::new(node.id, slot);
            let kept = graph.outputs.contains(&outlet);
            if let Some(&reader) = last_readers.get(&outlet).filter(|_| !kept) {
                read_last[reader] += elements;
            }
        }
        live -= read_last[position];
    }
    Ok(())
}
