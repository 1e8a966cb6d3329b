//! The Transformer encoder over the waveform's windows (Vaswani et al. 2017): post-norm layers, a last normalization, the mean over time.

use super::graph::{Attribute, Graph, Mismatch};
use super::weights::{Linear, Quantization, Weights};
use crate::model::ECG;
use crate::signal::{WINDOW, WINDOWS};

/// ε of every layer normalization.
pub(crate) const EPSILON: f32 = 1e-5;

/// `mean over time of norm(layers(x + positions))`.
#[derive(Clone, Debug)]
pub struct Transformer<'a> {
    /// Length of a step.
    pub width: usize,
    /// `[80, width]`, added to the input.
    pub positions: Weights<'a>,
    /// From the input on.
    pub layers: Vec<TransformerLayer<'a>>,
    /// The last normalization.
    pub norm: LayerNorm<'a>,
}

/// `x₁ = norm₁(x + attention(x))`, `norm₂(x₁ + W₂·gelu(W₁·x₁ + b₁) + b₂)`.
#[derive(Clone, Debug)]
pub struct TransformerLayer<'a> {
    /// Attention heads.
    pub heads: usize,
    /// Queries, keys and values, `[3·width, width]`.
    pub projection: Linear<'a>,
    /// From all heads back to `width`.
    pub output: Linear<'a>,
    /// `norm₁`.
    pub attention_norm: LayerNorm<'a>,
    /// `W₁`, `b₁`.
    pub widen: Linear<'a>,
    /// `W₂`, `b₂`.
    pub narrow: Linear<'a>,
    /// `norm₂`.
    pub norm: LayerNorm<'a>,
    /// How the operands of both products of activations are rounded; the linear maps' are then too, and only then.
    pub rounding: Option<AttentionRounding>,
}

/// How the operands of an attention's two products are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionRounding {
    /// The queries, divided by the root of their length, and the keys.
    pub scores: [Quantization; 2],
    /// The softmax and the values.
    pub mixed: [Quantization; 2],
}

/// `(x − mean)/√(variance + 1e-5)·scale + shift` over a step.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// `[width]`.
    pub scale: Weights<'a>,
    /// `[width]`.
    pub shift: Weights<'a>,
}

impl TransformerLayer<'_> {
    /// Multiply-adds for one record, in a Transformer of this width.
    pub(super) fn multiply_adds(&self, width: usize) -> u64 {
        let linear = [&self.projection, &self.output, &self.widen, &self.narrow];
        let linear: u64 = linear.iter().map(|linear| linear.multiply_adds()).sum();
        WINDOWS as u64 * (linear + 2 * (WINDOWS * width) as u64)
    }
}

pub(super) fn recognize<'a>(graph: &mut Graph<'a>, latent: &str) -> Result<Transformer<'a>, Mismatch> {
    const WIDTH: usize = WINDOW;
    let mean = [Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)];
    let [normed] = graph.single(latent, "ReduceMean", &mean)?;
    let (mut value, norm) = layer_norm(graph, normed, WIDTH)?;
    let mut layers = Vec::new();
    while graph.operator(value) == "LayerNormalization" {
        let (found, input) = layer(graph, value, WIDTH)?;
        layers.push(found);
        value = input;
    }
    layers.reverse();
    let [ecg, positions] = graph.single(value, "Add", &[])?;
    let positions = graph.floats_of(positions, [1, WINDOWS, WIDTH])?;
    if ecg != ECG {
        return Err(Mismatch::whole("the Transformer does not read the windows".to_owned()));
    }
    Ok(Transformer {
        width: WIDTH,
        positions,
        layers,
        norm,
    })
}

fn layer_norm<'a>(graph: &mut Graph<'a>, value: &str, width: usize) -> Result<(&'a str, LayerNorm<'a>), Mismatch> {
    let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", EPSILON)];
    let [x, scale, shift] = graph.single(value, "LayerNormalization", &attributes)?;
    let norm = LayerNorm {
        scale: graph.floats_of(scale, [width])?,
        shift: graph.floats_of(shift, [width])?,
    };
    Ok((x, norm))
}

fn layer<'a>(graph: &mut Graph<'a>, value: &str, width: usize) -> Result<(TransformerLayer<'a>, &'a str), Mismatch> {
    let (sum, norm) = layer_norm(graph, value, width)?;
    let [middle, narrowed] = graph.single(sum, "Add", &[])?;
    let (activated, narrow) = graph.linear(narrowed)?;
    let widened = gelu(graph, activated)?;
    let (widen_reads, widen) = graph.linear(widened)?;
    let (sum, attention_norm) = layer_norm(graph, middle, width)?;
    let [x, attended] = graph.single(sum, "Add", &[])?;
    let (joined, output) = graph.linear(attended)?;
    let (heads, attention_reads, projection, rounding) = attention(graph, joined, width)?;
    let fits = |linear: &Linear<'_>, inputs, outputs| linear.inputs == inputs && linear.outputs == outputs;
    let hidden = widen.outputs;
    let fitting = fits(&widen, width, hidden)
        && fits(&narrow, hidden, width)
        && fits(&output, width, width)
        && fits(&projection, width, 3 * width);
    if widen_reads != middle || attention_reads != x || !fitting {
        return Err(Mismatch::whole(
            "the parts of a Transformer layer do not fit each other".to_owned(),
        ));
    }
    let linear = [&projection, &output, &widen, &narrow];
    if linear.iter().any(|linear| linear.input.is_some() != rounding.is_some()) {
        return Err(Mismatch::whole("a Transformer layer is quantized in part".to_owned()));
    }
    let layer = TransformerLayer {
        rounding,
        heads,
        projection,
        output,
        attention_norm,
        widen,
        narrow,
        norm,
    };
    Ok((layer, x))
}

/// `x/2·(1 + erf(x/√2))`: what it reads.
fn gelu<'a>(graph: &mut Graph<'a>, value: &str) -> Result<&'a str, Mismatch> {
    let [gated, half] = graph.single(value, "Mul", &[])?;
    graph.number(half, 0.5)?;
    let [x, shifted] = graph.single(gated, "Mul", &[])?;
    let [erf, one] = graph.single(shifted, "Add", &[])?;
    graph.number(one, 1.0)?;
    let [scaled] = graph.single(erf, "Erf", &[])?;
    let [reads, root] = graph.single(scaled, "Div", &[])?;
    graph.number(root, std::f64::consts::SQRT_2)?;
    if reads != x {
        return Err(Mismatch::whole("a GELU reads two values".to_owned()));
    }
    Ok(x)
}

/// An attention's heads, what it reads, the projection that makes queries, keys, values, and how products are rounded.
type Attention<'a> = (usize, &'a str, Linear<'a>, Option<AttentionRounding>);

/// Multi-head self-attention up to its output projection.
fn attention<'a>(graph: &mut Graph<'a>, value: &str, width: usize) -> Result<Attention<'a>, Mismatch> {
    let perm = |axes| [Attribute::Ints("perm", axes)];
    let [joined, shape] = graph.single(value, "Reshape", &[])?;
    graph.list(shape, &[-1, WINDOWS as i64, width as i64])?;
    let [mixed] = graph.single(joined, "Transpose", &perm(&[0, 2, 1, 3]))?;
    let operands = graph.single(mixed, "MatMul", &[])?;
    let ([weights, value], mixed) = graph.operands(operands)?;
    let [scores] = graph.single(weights, "Softmax", &[Attribute::Int("axis", -1)])?;
    let operands = graph.single(scores, "MatMul", &[])?;
    let ([query, key], scores) = graph.operands(operands)?;
    let rounding = match (scores, mixed) {
        (Some(scores), Some(mixed)) => Some(AttentionRounding { scores, mixed }),
        (None, None) => None,
        _ => return Err(Mismatch::whole("an attention is quantized in part".to_owned())),
    };
    let [query, factor] = graph.single(query, "Mul", &[])?;
    let mut heads = None;
    let mut parts = [""; 3];
    let orders: [&[i64]; 3] = [&[0, 2, 1, 3], &[0, 2, 3, 1], &[0, 2, 1, 3]];
    for ((by_head, order), part) in [query, key, value].into_iter().zip(orders).zip(&mut parts) {
        let [split] = graph.single(by_head, "Transpose", &perm(order))?;
        let [reads, shape] = graph.single(split, "Reshape", &[])?;
        let found = match graph.integers(shape)?[..] {
            [-1, steps, heads, per_head]
                if steps == WINDOWS as i64 && heads > 0 && heads.checked_mul(per_head) == Some(width as i64) =>
            {
                heads as usize
            }
            _ => return Err(Mismatch::whole("attention heads do not divide the width".to_owned())),
        };
        if heads.replace(found).is_some_and(|before| before != found) {
            return Err(Mismatch::whole(
                "queries and keys have different numbers of heads".to_owned(),
            ));
        }
        *part = reads;
    }
    let heads = heads.unwrap_or(1);
    graph.number(factor, 1.0 / ((width / heads) as f64).sqrt())?;
    let [projected, lengths] = graph.node(parts[0], "Split", (0, 3), &[Attribute::Int("axis", 2)])?;
    graph.list(lengths, &[width as i64; 3])?;
    if graph.sibling(parts[0], 1) != Some(parts[1]) || graph.sibling(parts[0], 2) != Some(parts[2]) {
        return Err(Mismatch::whole(
            "queries, keys and values are not the thirds of one projection".to_owned(),
        ));
    }
    let (x, projection) = graph.linear(projected)?;
    Ok((heads, x, projection, rounding))
}
