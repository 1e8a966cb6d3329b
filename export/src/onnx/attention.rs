//! Multi-head self-attention as matrix products (Vaswani et al. 2017).

use super::error::ExportError;
use super::graph::{Dim, Value};
use super::lowering::Lowering;
use crate::network::{Ops, TransformerSite};

/// Self-attention with its output projection, `[N, L, D]` to the same shape.
pub(super) fn self_attention(ops: &mut Lowering<'_>, x: &Value, site: &TransformerSite) -> Result<Value, ExportError> {
    let module = format!("{}.self_attn", site.prefix);
    let (steps, width, heads) = (site.steps, site.width, site.heads);
    let per_head = width / heads;
    let scope = |ops: &mut Lowering<'_>| ops.scope.clone_from(&module);
    let projected = ops.linear(
        x,
        &format!("{module}.in_proj_weight"),
        Some(&format!("{module}.in_proj_bias")),
    )?;
    scope(ops);
    let parts = ops.split(&projected, 2, &[("query", width), ("key", width), ("value", width)]);
    let mut split_heads = |part: &Value, axes: &[usize]| {
        let by_head = ops.reshape(part, &[-1, steps as i64, heads as i64, per_head as i64])?;
        ops.permute(&by_head, axes)
    };
    let query = split_heads(&parts[0], &[0, 2, 1, 3])?;
    let key = split_heads(&parts[1], &[0, 2, 3, 1])?;
    let value = split_heads(&parts[2], &[0, 2, 1, 3])?;
    let query = ops.multiply(&query, 1.0 / (per_head as f64).sqrt())?;
    let [steps_dim, heads_dim, per_head_dim] = [steps, heads, per_head].map(Dim::Known);
    let shape = vec![x.shape[0], heads_dim, steps_dim, steps_dim];
    let scores = ops.plain("scores", "MatMul", &[&query.name, &key.name], &[], shape);
    let weights = ops.softmax(&scores)?;
    let shape = vec![x.shape[0], heads_dim, steps_dim, per_head_dim];
    let mixed = ops.plain("mixed", "MatMul", &[&weights.name, &value.name], &[], shape);
    let mixed = ops.permute(&mixed, &[0, 2, 1, 3])?;
    let mixed = ops.reshape(&mixed, &[-1, steps as i64, width as i64])?;
    ops.linear(
        &mixed,
        &format!("{module}.out_proj.weight"),
        Some(&format!("{module}.out_proj.bias")),
    )
}
