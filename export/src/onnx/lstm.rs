//! The LSTM as ONNX's operator, time first.
//!
//! PyTorch stacks the gates as i, f, g, o; ONNX as i, o, f, c (its c is PyTorch's g).

use super::error::ExportError;
use super::graph::{Attribute, Dim, Value, node};
use super::lowering::Lowering;
use crate::network::{LstmSite, Ops};

/// PyTorch's positions of ONNX's gates i, o, f, c.
const GATES: [usize; 4] = [0, 3, 1, 2];

/// What a layer hands on.
#[derive(Clone, Copy, PartialEq)]
enum Output {
    /// `[L, N, hidden]`.
    Sequence,
    /// `[N, hidden]`.
    Last,
}

/// The last output of the stacked layers: `[N, L, D]` to `[N, hidden]`.
pub(super) fn stack(ops: &mut Lowering<'_>, x: &Value, site: &LstmSite) -> Result<Value, ExportError> {
    site.prefix.clone_into(&mut ops.scope);
    let mut steps = ops.permute(x, &[1, 0, 2])?;
    for index in 0..site.layers {
        let output = if index + 1 == site.layers {
            Output::Last
        } else {
            Output::Sequence
        };
        steps = time_first(ops, &steps, site, index, output)?;
    }
    Ok(steps)
}

/// One layer: `[N, L, D]` to `[N, L, hidden]`.
pub(super) fn layer(ops: &mut Lowering<'_>, x: &Value, site: &LstmSite, layer: usize) -> Result<Value, ExportError> {
    site.prefix.clone_into(&mut ops.scope);
    let steps = ops.permute(x, &[1, 0, 2])?;
    let outputs = time_first(ops, &steps, site, layer, Output::Sequence)?;
    ops.permute(&outputs, &[1, 0, 2])
}

fn time_first(
    ops: &mut Lowering<'_>,
    x: &Value,
    site: &LstmSite,
    layer: usize,
    output: Output,
) -> Result<Value, ExportError> {
    let (prefix, hidden) = (&site.prefix, site.hidden);
    let module = format!("{prefix}.layer_{layer}");
    let parameter = |kind: &str| format!("{prefix}.{kind}_l{layer}");
    let mut stored = Vec::new();
    for kind in ["weight_ih", "weight_hh"] {
        let name = parameter(kind);
        let (_, columns) = ops.extents(&name)?;
        let values = reorder(ops.floats(&name)?);
        stored.push(
            ops.graph
                .floats(&format!("{module}.{kind}"), &[1, 4 * hidden, columns], &values),
        );
    }
    let mut biases = reorder(ops.floats(&parameter("bias_ih"))?);
    biases.extend(reorder(ops.floats(&parameter("bias_hh"))?));
    stored.push(ops.graph.floats(&format!("{module}.bias"), &[1, 8 * hidden], &biases));
    let (steps, batch, width) = (x.shape[0], x.shape[1], Dim::Known(hidden));
    let one = Dim::Known(1);
    let inputs = [&x.name, &stored[0], &stored[1], &stored[2]].map(String::as_str);
    let attributes = [Attribute::Int("hidden_size", hidden as i64)];
    module.clone_into(&mut ops.scope);
    let name = ops.graph.fresh(&module);
    let (value, axis, shape) = match output {
        Output::Sequence => {
            let value = ops.graph.value(&format!("{module}.Y"), vec![steps, one, batch, width]);
            ops.graph
                .push(node(&name, "LSTM", &inputs, &[&value.name], &attributes));
            (value, 1, vec![steps, batch, width])
        }
        Output::Last => {
            let value = ops.graph.value(&format!("{module}.Y_h"), vec![one, batch, width]);
            ops.graph
                .push(node(&name, "LSTM", &inputs, &["", &value.name], &attributes));
            (value, 0, vec![batch, width])
        }
    };
    let axes = ops.graph.list(&[axis]);
    Ok(ops.plain("output", "Squeeze", &[&value.name, &axes], &[], shape))
}

/// Moves the four equal blocks of rows from PyTorch's order to ONNX's.
fn reorder(values: &[f32]) -> Vec<f32> {
    let block = values.len() / GATES.len();
    GATES
        .iter()
        .flat_map(|gate| values[gate * block..(gate + 1) * block].iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_move_from_ifgo_to_iofc() {
        assert_eq!(
            reorder(&[1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]),
            [1.0, 1.5, 4.0, 4.5, 2.0, 2.5, 3.0, 3.5]
        );
    }
}
