//! The axial block of the spectrogram encoder (Wang et al. 2020; the published system multiplies the two embedded maps with each other),
//! its batch norms folded.

use super::Extents;
use super::graph::{Attribute, Graph, Mismatch};
use super::residual::{Convolution, Norm, Shortcut, convolution, normalized, pool, shortcut};
use super::weights::{Quantization, Weights};
use crate::pau::Pau;
use crate::signal::{BINS, FRAMES};

/// Groups of every axial attention.
pub(crate) const GROUPS: usize = 16;

/// `F₂(norm₂(conv₂(pool(attention(F₁(norm₁(conv₁(x))))))) + shortcut(pool(x)))`: 1×1 convolutions, attention along time, then along
/// frequency.
#[derive(Clone, Debug)]
pub struct AxialBlock<'a> {
    /// What it reads.
    pub input: Extents,
    /// What it gives.
    pub output: Extents,
    /// `conv₁`.
    pub input_map: Convolution<'a>,
    /// `norm₁`.
    pub input_norm: Norm<'a>,
    /// `F₁`.
    pub input_activation: Pau,
    /// Along time, along frequency.
    pub attention: [AxialAttention<'a>; 2],
    /// `conv₂`.
    pub output_map: Convolution<'a>,
    /// `norm₂`.
    pub output_norm: Norm<'a>,
    /// What the pooled `x` adds.
    pub shortcut: Shortcut<'a>,
    /// `F₂`.
    pub activation: Pau,
}

/// The axis attention runs along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Rows.
    Time,
    /// Columns.
    Frequency,
}

/// For every line along the axis and each of the 16 groups, with `E[c, i, j] = R[c, i − j + span − 1]`:
/// `qe[i, j] = Σ q[c, i]·Eq[c, i, j]`, `ke` likewise, `qk[i, j] = Σᵣ qe[r, i]·ke[r, j]`, `S = softmax over j of
/// (α·qk + β·qe + γ·ke)`, and `y[c, i] = Σⱼ S[i, j]·(v[c, j] + position[c]·Ev[c, i, j])`.
#[derive(Clone, Debug)]
pub struct AxialAttention<'a> {
    /// The axis.
    pub axis: Axis,
    /// Extent along the axis.
    pub span: usize,
    /// Extent across it.
    pub across: usize,
    /// Channels.
    pub channels: usize,
    /// `[2·channels, channels]`: for each group its queries, keys and values.
    pub projection: Convolution<'a>,
    /// `[2·channels]`.
    pub bias: Weights<'a>,
    /// `R [2·channels/16, 2·span − 1]`: for queries, keys and values.
    pub embeddings: Weights<'a>,
    /// α, β, γ `[16]`.
    pub similarity: [Weights<'a>; 3],
    /// `[channels]`.
    pub position: Weights<'a>,
    /// How the operands of its products are rounded; the projection's are then too, and only then.
    pub rounding: Option<AxialRounding>,
}

/// How the operands of an axial attention's products are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxialRounding {
    /// `q` and `Eq`.
    pub queries: [Quantization; 2],
    /// `k` and `Ek`.
    pub keys: [Quantization; 2],
    /// `qe` and `ke`, for their product.
    pub maps: [Quantization; 2],
    /// `S` and `v`.
    pub values: [Quantization; 2],
    /// `S` again, rounded alike, and `Ev`.
    pub positions: [Quantization; 2],
}

impl AxialAttention<'_> {
    /// Channels of a group.
    pub fn group_channels(&self) -> usize {
        self.channels / GROUPS
    }

    /// Multiply-adds for one record.
    pub fn multiply_adds(&self) -> u64 {
        let pairs = self.across * GROUPS * self.span * self.span;
        let attention = pairs * (self.group_channels() + self.span + 2 * self.group_channels());
        (self.across * self.span) as u64 * self.projection.multiply_adds() + attention as u64
    }
}

impl AxialBlock<'_> {
    /// Holds the attention's spans to the block's extents.
    pub(super) fn check_spans(&self) -> Result<(), Mismatch> {
        let Extents { height, width, .. } = self.input;
        let [time, frequency] = &self.attention;
        if (time.span, time.across) != (height, width) || (frequency.span, frequency.across) != (width, height) {
            return Err(Mismatch::whole(format!(
                "an axial attention does not span the {height}×{width} map"
            )));
        }
        Ok(())
    }
}

pub(super) fn recognize<'a>(
    graph: &mut Graph<'a>,
    value: &str,
    latent: Option<&str>,
) -> Result<(AxialBlock<'a>, &'a str), Mismatch> {
    let (sum, activation) = graph.pau(value)?;
    let [main, added] = graph.single(sum, "Add", &[])?;
    let (pooled, output_map, output_norm) = normalized(graph, main, latent, 1)?;
    let attended = pool(graph, pooled)?;
    let (frequency, between) = attention(graph, attended, Axis::Frequency)?;
    let (time, activated) = attention(graph, between, Axis::Time)?;
    let (normed, input_activation) = graph.pau(activated)?;
    let (x, input_map, input_norm) = normalized(graph, normed, latent, 1)?;
    // The pooled input: rounded for its 1×1 convolution alone.
    let (projected, rounding) = match graph.operator(added) {
        "Conv" => {
            let reads = graph.first_input(added)?;
            graph.activation(reads)?
        }
        _ => (added, None),
    };
    let pooled = pool(graph, projected)?;
    if graph.activation(pooled)? != (x, input_map.input) {
        return Err(Mismatch::whole(
            "a shortcut does not come from its block's input".to_owned(),
        ));
    }
    let quantized = input_map.input.is_some();
    let attended = time.rounding.is_some() && frequency.rounding.is_some();
    let plain = time.rounding.is_none() && frequency.rounding.is_none();
    if output_map.input.is_some() != quantized || !(if quantized { attended } else { plain }) {
        return Err(Mismatch::whole("an axial block is quantized in part".to_owned()));
    }
    let shortcut = shortcut(
        graph,
        added,
        (projected, rounding),
        output_map.outputs,
        input_map.inputs,
    )?;
    if matches!(&shortcut, Shortcut::Projection(_)) && rounding.is_some() != quantized {
        return Err(Mismatch::whole("an axial block is quantized in part".to_owned()));
    }
    let channels = input_map.outputs;
    if [time.channels, frequency.channels, output_map.inputs] != [channels; 3] {
        return Err(Mismatch::whole(
            "the parts of an axial block do not fit each other".to_owned(),
        ));
    }
    let unknown = |channels| Extents {
        height: 0,
        width: 0,
        channels,
    };
    let block = AxialBlock {
        input: unknown(input_map.inputs),
        output: unknown(output_map.outputs),
        input_map,
        input_norm,
        input_activation,
        attention: [time, frequency],
        output_map,
        output_norm,
        shortcut,
        activation,
    };
    Ok((block, x))
}

/// Extents and the orders of axes that they lead to.
struct Lines {
    height: i64,
    width: i64,
    span: i64,
    across: i64,
    group_channels: i64,
    by_position: [i64; 5],
    by_line: [i64; 5],
    back: [i64; 5],
}

impl Lines {
    /// Of the shape the attention ends in, `[-1, channels, height, width]`.
    fn of(shape: &[i64], axis: Axis) -> Result<Self, Mismatch> {
        const MAX_CHANNELS: i64 = 1 << 16;
        let limits = [MAX_CHANNELS, FRAMES as i64, BINS as i64];
        let [-1, channels, height, width] = *shape else {
            return Err(Mismatch::whole(format!("an axial attention ends in {shape:?}")));
        };
        let sane = [channels, height, width]
            .iter()
            .zip(limits)
            .all(|(extent, limit)| (1..=limit).contains(extent));
        if !sane || channels % (2 * GROUPS as i64) != 0 {
            return Err(Mismatch::whole(format!("an axial attention ends in {shape:?}")));
        }
        let group_channels = channels / GROUPS as i64;
        Ok(match axis {
            Axis::Time => Self {
                height,
                width,
                span: height,
                across: width,
                group_channels,
                by_position: [3, 0, 1, 4, 2],
                by_line: [0, 1, 4, 3, 2],
                back: [0, 1, 4, 3, 2],
            },
            Axis::Frequency => Self {
                height,
                width,
                span: width,
                across: height,
                group_channels,
                by_position: [4, 0, 1, 3, 2],
                by_line: [0, 1, 3, 4, 2],
                back: [0, 1, 4, 2, 3],
            },
        })
    }
}

/// One attention: itself and what it reads.
fn attention<'a>(graph: &mut Graph<'a>, value: &str, axis: Axis) -> Result<(AxialAttention<'a>, &'a str), Mismatch> {
    let [transposed, shape] = graph.single(value, "Reshape", &[])?;
    let lines = Lines::of(&graph.integers(shape)?, axis)?;
    let (span, across, gc) = (lines.span, lines.across, lines.group_channels);
    let groups = GROUPS as i64;
    let perm = |axes| [Attribute::Ints("perm", axes)];
    let swap = [1, 0, 2];
    let [sum] = graph.single(transposed, "Transpose", &perm(&lines.back))?;
    let [from_values, scaled] = graph.single(sum, "Add", &[])?;
    let from_values = reshape(graph, from_values, &[-1, groups, across, span, gc])?;
    let operands = graph.single(from_values, "MatMul", &[])?;
    let ([weights, values], value_rounding) = graph.operands(operands)?;
    let [from_positions, factor] = graph.single(scaled, "Mul", &[])?;
    let position = graph.floats_of(factor, [1, GROUPS, 1, 1, gc as usize])?;
    let from_positions = reshape(graph, from_positions, &[-1, groups, across, span, gc])?;
    let [from_positions] = graph.single(from_positions, "Transpose", &perm(&swap))?;
    let operands = graph.single(from_positions, "MatMul", &[])?;
    let ([weights_by_position, value_embedding], position_rounding) = graph.operands(operands)?;
    let [weights_again] = graph.single(weights_by_position, "Transpose", &perm(&swap))?;
    same(weights, weights_again)?;
    let [value_embedding] = graph.single(value_embedding, "Transpose", &perm(&[1, 2, 0]))?;
    let values = reshape(graph, values, &[-1, span, gc])?;
    let [value_part] = graph.single(values, "Transpose", &perm(&lines.by_line))?;

    let softmax = reshape(graph, weights, &[-1, span, span])?;
    let [similarity] = graph.single(softmax, "Softmax", &[Attribute::Int("axis", -1)])?;
    let [first, key_term] = graph.single(similarity, "Add", &[])?;
    let [product_term, query_term] = graph.single(first, "Add", &[])?;
    let mut term = |value: &str| -> Result<(&'a str, Weights<'a>), Mismatch> {
        let [map, factor] = graph.single(value, "Mul", &[])?;
        let factor = graph.floats_of(factor, [1, GROUPS, 1, 1, 1])?;
        Ok((reshape(graph, map, &[-1, groups, across, span, span])?, factor))
    };
    let (product, product_factor) = term(product_term)?;
    let (query_map, query_factor) = term(query_term)?;
    let (key_map, key_factor) = term(key_term)?;
    let operands = graph.single(product, "MatMul", &[])?;
    let ([answering, asking], map_rounding) = graph.operands(operands)?;
    let [query_again] = graph.single(answering, "Transpose", &perm(&[0, 2, 1]))?;
    same(query_map, query_again)?;
    same(key_map, asking)?;
    let (query_part, query_embedding, query_rounding) = embedded_map(graph, query_map, &lines)?;
    let (key_part, key_embedding, key_rounding) = embedded_map(graph, key_map, &lines)?;
    let roundings = (
        query_rounding,
        key_rounding,
        map_rounding,
        value_rounding,
        position_rounding,
    );

    let halves = [gc / 2, gc / 2, gc];
    let by_group = split(graph, [query_part, key_part, value_part], 2, &halves)?;
    let embedded = split(graph, [query_embedding, key_embedding, value_embedding], 0, &halves)?;
    let [stored, index] = graph.single(embedded, "Gather", &[Attribute::Int("axis", 1)])?;
    let (width, rows) = (span as usize, 2 * gc as usize);
    let embeddings = graph.floats_of(stored, [rows, 2 * width - 1])?;
    let expected: Vec<i64> = (0..span)
        .flat_map(|i| (0..span).map(move |j| i - j + span - 1))
        .collect();
    graph.list(index, &expected)?;
    let projected = reshape(graph, by_group, &[-1, groups, 2 * gc, lines.height, lines.width])?;
    let (x, projection, bias) = convolution(graph, projected, 1)?;
    let channels = GROUPS * gc as usize;
    let rounding = match roundings {
        (Some(queries), Some(keys), Some(maps), Some(values), Some(positions)) if values[0] == positions[0] => {
            Some(AxialRounding {
                queries,
                keys,
                maps,
                values,
                positions,
            })
        }
        (None, None, None, None, None) => None,
        _ => return Err(Mismatch::whole("an axial attention is quantized in part".to_owned())),
    };
    if projection.input.is_some() != rounding.is_some() {
        return Err(Mismatch::whole("an axial attention is quantized in part".to_owned()));
    }
    let bias = bias.filter(|_| (projection.inputs, projection.outputs) == (channels, 2 * channels));
    let attention = AxialAttention {
        axis,
        span: width,
        across: across as usize,
        channels,
        projection,
        bias: bias.ok_or_else(|| Mismatch::whole("an axial attention's projection does not fit it".to_owned()))?,
        embeddings,
        similarity: [product_factor, query_factor, key_factor],
        position,
        rounding,
    };
    Ok((attention, x))
}

/// A part, its embedding, and how both are rounded.
type EmbeddedMap<'a> = (&'a str, &'a str, Option<[Quantization; 2]>);

/// `Σ part[c, i]·E[c, i, j]`.
fn embedded_map<'a>(graph: &mut Graph<'a>, value: &str, lines: &Lines) -> Result<EmbeddedMap<'a>, Mismatch> {
    let swap = [Attribute::Ints("perm", &[1, 0, 2])];
    let [product] = graph.single(value, "Transpose", &swap)?;
    let operands = graph.single(product, "MatMul", &[])?;
    let ([part, embedding], rounding) = graph.operands(operands)?;
    let [embedding] = graph.single(embedding, "Transpose", &swap)?;
    let part = reshape(graph, part, &[lines.span, -1, lines.group_channels / 2])?;
    let [part] = graph.single(part, "Transpose", &[Attribute::Ints("perm", &lines.by_position)])?;
    Ok((part, embedding, rounding))
}

/// A split of `axis` into exactly these parts: what is split.
fn split<'a>(graph: &mut Graph<'a>, parts: [&str; 3], axis: i64, lengths: &[i64]) -> Result<&'a str, Mismatch> {
    let [whole, list] = graph.node(parts[0], "Split", (0, 3), &[Attribute::Int("axis", axis)])?;
    graph.list(list, lengths)?;
    if graph.sibling(parts[0], 1) != Some(parts[1]) || graph.sibling(parts[0], 2) != Some(parts[2]) {
        return Err(Mismatch::whole(
            "queries, keys and values are not parts of one projection".to_owned(),
        ));
    }
    Ok(whole)
}

fn reshape<'a>(graph: &mut Graph<'a>, value: &str, expected: &[i64]) -> Result<&'a str, Mismatch> {
    let [x, shape] = graph.single(value, "Reshape", &[])?;
    graph.list(shape, expected)?;
    Ok(x)
}

fn same(a: &str, b: &str) -> Result<(), Mismatch> {
    if a == b {
        return Ok(());
    }
    Err(Mismatch::whole(format!(
        "`{}` and `{}` should be one value",
        a.escape_default(),
        b.escape_default()
    )))
}
