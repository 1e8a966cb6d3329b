//! Axial attention as matrix products, its three batch norms folded (Wang et al. 2020; the published system multiplies the
//! two embedded maps with each other, not the queries with the keys).
//!
//! The relative embeddings depend on the position `i` that asks, so everything that meets them is a batch of products over
//! `i`, `[i, lines, …]`; what belongs to one line is a batch over lines, `[lines, i, …]`. Lines are `(N, group, position
//! across)`. `Einsum` says the same in fewer nodes, but ONNX Runtime takes 1.6 times as long over ECG-DualNet++ S then.

use super::error::ExportError;
use super::fold::{self, Affine};
use super::graph::Value;
use super::lowering::Lowering;
use crate::network::{AxialSite, Axis, Ops};

/// Sizes and orders of axes for one site.
struct Layout {
    span: usize,
    across: usize,
    groups: usize,
    /// From `[N, group, channel, H, W]` to `[i, N, group, across, channel]`.
    by_position: [usize; 5],
    /// From `[N, group, channel, H, W]` to `[N, group, across, i, channel]`.
    by_line: [usize; 5],
    /// From `[N, group, across, i, channel]` to `[N, group, channel, H, W]`.
    back: [usize; 5],
}

impl Layout {
    fn of(site: &AxialSite, x: &Value) -> Result<Self, ExportError> {
        let (height, width, groups) = (x.known(2)?, x.known(3)?, AxialSite::GROUPS);
        Ok(match site.axis {
            Axis::Time => Self {
                span: height,
                across: width,
                groups,
                by_position: [3, 0, 1, 4, 2],
                by_line: [0, 1, 4, 3, 2],
                back: [0, 1, 4, 3, 2],
            },
            Axis::Frequency => Self {
                span: width,
                across: height,
                groups,
                by_position: [4, 0, 1, 3, 2],
                by_line: [0, 1, 3, 4, 2],
                back: [0, 1, 4, 2, 3],
            },
        })
    }
}

/// Axial attention, `[N, C, H, W]` to the same shape.
pub(super) fn attention(ops: &mut Lowering<'_>, x: &Value, site: &AxialSite) -> Result<Value, ExportError> {
    let (prefix, group_channels) = (&site.prefix, site.group_channels());
    let layout = Layout::of(site, x)?;
    let (span, half) = (layout.span as i64, group_channels / 2);
    let (height, width) = (x.known(2)? as i64, x.known(3)? as i64);
    let folded = fold_norms(ops, site)?;
    let module = format!("{prefix}.query_key_value_mapping");
    let shape = [2 * site.channels, site.channels, 1, 1];
    let projected = ops.convolution(x, &module, (&shape, &folded.weight), Some(&folded.bias), 0)?;
    prefix.clone_into(&mut ops.scope);
    let by_group = ops.reshape(
        &projected,
        &[-1, layout.groups as i64, 2 * group_channels as i64, height, width],
    )?;
    let parts = ops.split(
        &by_group,
        2,
        &[("query", half), ("key", half), ("value", group_channels)],
    );
    let embeddings = ops.relative_embeddings(&format!("{prefix}.relative_embeddings"), site.span())?;
    prefix.clone_into(&mut ops.scope);
    let named = [
        ("query_embedding", half),
        ("key_embedding", half),
        ("value_embedding", group_channels),
    ];
    let embedded = ops.split(&embeddings, 0, &named);

    let query_map = embedded_map(ops, &layout, &parts[0], &embedded[0], "query_map")?;
    let key_map = embedded_map(ops, &layout, &parts[1], &embedded[1], "key_map")?;
    let answering = ops.permute(&query_map, &[0, 2, 1])?;
    let product = product(ops, "map_product", &answering, &key_map);
    let weights = attention_weights(
        ops,
        &layout,
        prefix,
        &folded.similarity,
        [&product, &query_map, &key_map],
    )?;

    let values = ops.permute(&parts[2], &layout.by_line)?;
    let values = ops.reshape(&values, &[-1, span, group_channels as i64])?;
    let from_values = self::product(ops, "from_values", &weights, &values);
    let by_position = ops.permute(&weights, &[1, 0, 2])?;
    let value_embedding = ops.permute(&embedded[2], &[1, 2, 0])?;
    let from_positions = self::product(ops, "from_positions", &by_position, &value_embedding);
    let from_positions = ops.permute(&from_positions, &[1, 0, 2])?;

    let lines = [
        -1,
        layout.groups as i64,
        layout.across as i64,
        span,
        group_channels as i64,
    ];
    let from_values = ops.reshape(&from_values, &lines)?;
    let from_positions = ops.reshape(&from_positions, &lines)?;
    let factor = ops.graph.floats(
        &format!("{prefix}.position_factor"),
        &[1, layout.groups, 1, 1, group_channels],
        &folded.position,
    );
    let from_positions = ops.binary("scaled_positions", "Mul", &from_positions, &factor);
    let output = ops.add(&from_values, &from_positions)?;
    let output = ops.permute(&output, &layout.back)?;
    ops.reshape(&output, &[-1, site.channels as i64, height, width])
}

/// `Σc part[c, i]·E[c, i, j]` for every line: `[lines, i, j]`.
fn embedded_map(
    ops: &mut Lowering<'_>,
    layout: &Layout,
    part: &Value,
    embedding: &Value,
    name: &str,
) -> Result<Value, ExportError> {
    let channels = part.known(2)? as i64;
    let part = ops.permute(part, &layout.by_position)?;
    let part = ops.reshape(&part, &[layout.span as i64, -1, channels])?;
    let embedding = ops.permute(embedding, &[1, 0, 2])?;
    let map = product(ops, name, &part, &embedding);
    ops.permute(&map, &[1, 0, 2])
}

/// The softmax over `j` of the three maps' weighted sum: `[lines, i, j]`.
fn attention_weights(
    ops: &mut Lowering<'_>,
    layout: &Layout,
    prefix: &str,
    factors: &[Vec<f32>; 3],
    maps: [&Value; 3],
) -> Result<Value, ExportError> {
    let (span, groups) = (layout.span as i64, layout.groups);
    let mut sum: Option<Value> = None;
    for ((map, factors), name) in maps.into_iter().zip(factors).zip(["product", "query", "key"]) {
        let map = ops.reshape(map, &[-1, groups as i64, layout.across as i64, span, span])?;
        let factor = ops
            .graph
            .floats(&format!("{prefix}.{name}_factor"), &[1, groups, 1, 1, 1], factors);
        let term = ops.binary(&format!("{name}_similarity"), "Mul", &map, &factor);
        sum = Some(match sum {
            Some(sum) => ops.add(&sum, &term)?,
            None => term,
        });
    }
    let sum = sum.ok_or_else(|| ops.invalid("an axial attention without maps"))?;
    let weights = ops.softmax(&sum)?;
    ops.reshape(&weights, &[-1, span, span])
}

/// A batch of matrix products.
fn product(ops: &mut Lowering<'_>, name: &str, a: &Value, b: &Value) -> Value {
    let mut shape = a.shape.clone();
    if let (Some(last), Some(columns)) = (shape.last_mut(), b.shape.last()) {
        *last = *columns;
    }
    ops.plain(name, "MatMul", &[&a.name, &b.name], &[], shape)
}

fn fold_norms(ops: &Lowering<'_>, site: &AxialSite) -> Result<fold::Axial, ExportError> {
    let prefix = &site.prefix;
    let norm = |name: &str| Affine::of(ops.weights, &format!("{prefix}.{name}"));
    Ok(fold::into_axial(
        ops.floats(&format!("{prefix}.query_key_value_mapping.0.weight"))?,
        &norm("query_key_value_mapping.1")?,
        &norm("similarity_normalization")?,
        &norm("output_normalization")?,
        AxialSite::GROUPS,
        site.group_channels(),
    ))
}
