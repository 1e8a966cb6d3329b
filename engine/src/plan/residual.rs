//! The residual block of the spectrogram encoder, and the chain of all blocks.

use super::graph::{Attribute, Graph, Mismatch, Owner};
use super::weights::{Linear, Quantization, Weights, check_operands};
use super::{Block, Extents, axial};
use crate::model::SPECTROGRAM;
use crate::pau::Pau;
use crate::signal::{BINS, FRAMES};

/// `pool(F₂(norm₂(conv₂(F₁(norm₁(conv₁(x))))) + shortcut(x)))`: 3×3 convolutions padded by 1, 2×2 average pooling.
#[derive(Clone, Debug)]
pub struct ResidualBlock<'a> {
    /// What it reads.
    pub input: Extents,
    /// What it gives.
    pub output: Extents,
    /// `conv₁`.
    pub first: Convolution<'a>,
    /// `norm₁`.
    pub first_norm: Norm<'a>,
    /// `F₁`.
    pub first_activation: Pau,
    /// `conv₂`.
    pub second: Convolution<'a>,
    /// `norm₂`.
    pub second_norm: Norm<'a>,
    /// What `x` adds.
    pub shortcut: Shortcut<'a>,
    /// `F₂`.
    pub activation: Pau,
}

/// A convolution of stride 1 without bias.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// Channels it reads.
    pub inputs: usize,
    /// Channels it gives.
    pub outputs: usize,
    /// `[outputs, inputs, taps]`: 9 taps by rows along time, or 1.
    pub weight: Weights<'a>,
    /// How its input is rounded; the weights are 8-bit then, and only then.
    pub input: Option<Quantization>,
}

/// A factor and a term per channel.
#[derive(Clone, Copy, Debug)]
pub enum Norm<'a> {
    /// `[scale, shift] = W·latent`.
    Conditional {
        /// `W [2·channels, latent]`.
        weight: Linear<'a>,
    },
    /// The scale is folded into the convolution.
    Fixed {
        /// `[channels]`.
        shift: Weights<'a>,
    },
}

/// What the input of a residual block adds to its output.
#[derive(Clone, Copy, Debug)]
pub enum Shortcut<'a> {
    /// Itself.
    Identity,
    /// Its 1×1 convolution.
    Projection(Convolution<'a>),
}

impl Convolution<'_> {
    /// Multiply-adds at one position.
    pub fn multiply_adds(&self) -> u64 {
        self.weight.len() as u64
    }
}

impl Norm<'_> {
    /// Multiply-adds for one record.
    pub fn multiply_adds(&self) -> u64 {
        match self {
            Self::Conditional { weight } => weight.multiply_adds(),
            Self::Fixed { .. } => 0,
        }
    }
}

impl Shortcut<'_> {
    /// Multiply-adds at one position.
    pub fn multiply_adds(&self) -> u64 {
        match self {
            Self::Identity => 0,
            Self::Projection(convolution) => convolution.multiply_adds(),
        }
    }
}

/// Sums of a quantized convolution stay below 2 to this power: beyond, the integer kernels for 3×3 taps would not be exact.
const EXACT_BITS: u32 = 27;

/// Whether `scale·sum + shift` is finite, and its activation defined, for every sum of 8-bit products there can be.
pub(crate) fn keeps_sums_finite(scale: &[f32], shift: &[f32]) -> bool {
    const LARGEST_SCALE: f32 = 1e28;
    const LARGEST_SHIFT: f32 = 1e37;
    let within = |values: &[f32], largest: f32| values.iter().all(|value| value.abs() <= largest);
    within(scale, LARGEST_SCALE) && within(shift, LARGEST_SHIFT)
}

/// All blocks, from the spectrogram to `features`.
pub(super) fn chain<'a>(
    graph: &mut Graph<'a>,
    features: &'a str,
    latent: Option<&str>,
) -> Result<Vec<Block<'a>>, Mismatch> {
    /// Five halvings leave one bin.
    const MAX_BLOCKS: usize = 5;
    let mut found = Vec::new();
    let mut value = features;
    while value != SPECTROGRAM {
        if found.len() == MAX_BLOCKS {
            return Err(Mismatch::whole(format!("there are more than {MAX_BLOCKS} blocks")));
        }
        graph.claim_for(Owner::Block(found.len()));
        let (block, input) = match graph.operator(value) {
            "AveragePool" => {
                let (block, input) = recognize(graph, value, latent)?;
                (Block::Residual(Box::new(block)), input)
            }
            _ => {
                let (block, input) = axial::recognize(graph, value, latent)?;
                (Block::Axial(Box::new(block)), input)
            }
        };
        found.push(block);
        value = input;
    }
    found.reverse();
    set_extents(&mut found)?;
    Ok(found)
}

/// Follows the extents from the input on, and holds every block to them.
fn set_extents(blocks: &mut [Block<'_>]) -> Result<(), Mismatch> {
    let mut extents = Extents {
        height: FRAMES,
        width: BINS,
        channels: 1,
    };
    for block in blocks {
        let (input, output) = match block {
            Block::Residual(block) => (&mut block.input, &mut block.output),
            Block::Axial(block) => (&mut block.input, &mut block.output),
        };
        if input.channels != extents.channels {
            return Err(Mismatch::whole(format!(
                "a block reads {} of {} channels",
                input.channels, extents.channels
            )));
        }
        let channels = output.channels;
        if channels < 2 {
            return Err(Mismatch::whole("a block gives a single channel".to_owned()));
        }
        *input = extents;
        extents = Extents {
            channels,
            ..extents.pooled()
        };
        *output = extents;
        if let Block::Axial(block) = block {
            if block.input.channels == 1 {
                return Err(Mismatch::whole("an axial block reads a single channel".to_owned()));
            }
            block.check_spans()?;
        }
    }
    Ok(())
}

fn recognize<'a>(
    graph: &mut Graph<'a>,
    value: &str,
    latent: Option<&str>,
) -> Result<(ResidualBlock<'a>, &'a str), Mismatch> {
    let activated = pool(graph, value)?;
    let (sum, activation) = graph.pau(activated)?;
    let [main, shortcut] = graph.single(sum, "Add", &[])?;
    let (activated, second, second_norm) = normalized(graph, main, latent, 3)?;
    let (normed, first_activation) = graph.pau(activated)?;
    let (x, first, first_norm) = normalized(graph, normed, latent, 3)?;
    let shortcut = self::shortcut(graph, shortcut, (x, first.input), second.outputs, first.inputs)?;
    if first.input.is_some() != second.input.is_some() {
        return Err(Mismatch::whole(
            "one convolution of a block is quantized and the other is not".to_owned(),
        ));
    }
    if second.inputs != first.outputs || first.outputs < 2 {
        return Err(Mismatch::whole(
            "the convolutions of a block do not fit each other, or meet in a single channel".to_owned(),
        ));
    }
    let unknown = |channels| Extents {
        height: 0,
        width: 0,
        channels,
    };
    let block = ResidualBlock {
        input: unknown(first.inputs),
        output: unknown(second.outputs),
        first,
        first_norm,
        first_activation,
        second,
        second_norm,
        shortcut,
        activation,
    };
    Ok((block, x))
}

/// `x`, rounded as it is for the block, itself or its 1×1 convolution, as `value`.
pub(super) fn shortcut<'a>(
    graph: &mut Graph<'a>,
    value: &'a str,
    (x, rounding): (&str, Option<Quantization>),
    outputs: usize,
    inputs: usize,
) -> Result<Shortcut<'a>, Mismatch> {
    let (source, quantization) = graph.activation(value)?;
    let (reads, shortcut, given) = if source == x {
        if quantization != rounding {
            return Err(differently_rounded());
        }
        (source, Shortcut::Identity, inputs)
    } else {
        let (reads, convolution, bias) = convolution(graph, value, 1)?;
        if bias.is_some() || convolution.inputs != inputs {
            return Err(Mismatch::whole(
                "a shortcut is not a 1×1 convolution of the block's input".to_owned(),
            ));
        }
        if convolution.input != rounding {
            return Err(differently_rounded());
        }
        (reads, Shortcut::Projection(convolution), convolution.outputs)
    };
    if reads != x || given != outputs {
        return Err(Mismatch::whole(
            "a shortcut does not come from its block's input".to_owned(),
        ));
    }
    Ok(shortcut)
}

fn differently_rounded() -> Mismatch {
    Mismatch::whole("a block and its shortcut read differently rounded inputs".to_owned())
}

/// 2×2 average pooling: what it reads.
pub(super) fn pool<'a>(graph: &mut Graph<'a>, value: &str) -> Result<&'a str, Mismatch> {
    let attributes = [
        Attribute::Ints("kernel_shape", &[2, 2]),
        Attribute::Ints("strides", &[2, 2]),
    ];
    let [x] = graph.single(value, "AveragePool", &attributes)?;
    Ok(x)
}

/// A convolution of `size`×`size` taps and its norm: what it reads, both.
pub(super) fn normalized<'a>(
    graph: &mut Graph<'a>,
    value: &str,
    latent: Option<&str>,
    size: usize,
) -> Result<(&'a str, Convolution<'a>, Norm<'a>), Mismatch> {
    let Some(latent) = latent else {
        let (x, found, bias) = convolution(graph, value, size)?;
        let shift = bias.ok_or_else(|| Mismatch::whole("a convolution without a norm has no bias".to_owned()))?;
        return Ok((x, found, Norm::Fixed { shift }));
    };
    let [scaled, shift] = graph.single(value, "Add", &[])?;
    let [product, scale] = graph.single(scaled, "Mul", &[])?;
    let [column, lengths] = graph.node(scale, "Split", (0, 2), &[Attribute::Int("axis", 1)])?;
    if graph.sibling(scale, 1) != Some(shift) {
        return Err(Mismatch::whole(
            "scale and shift of a condition are not the halves of one vector".to_owned(),
        ));
    }
    let [flat, shape] = graph.single(column, "Reshape", &[])?;
    let (reads, weight) = graph.gemm(flat)?;
    let (x, found, bias) = convolution(graph, product, size)?;
    let channels = found.outputs as i64;
    graph.list(lengths, &[channels, channels])?;
    graph.list(shape, &[-1, 2 * channels, 1, 1])?;
    if reads != latent || weight.outputs != 2 * found.outputs || weight.bias.is_some() || bias.is_some() {
        return Err(Mismatch::whole(
            "a condition is not a matrix times the latent".to_owned(),
        ));
    }
    Ok((x, found, Norm::Conditional { weight }))
}

/// A convolution of `size`×`size` taps that keeps the extents: what it reads, itself and its bias.
pub(super) fn convolution<'a>(
    graph: &mut Graph<'a>,
    value: &str,
    size: usize,
) -> Result<(&'a str, Convolution<'a>, Option<Weights<'a>>), Mismatch> {
    let (kernel, padding) = ([size as i64; 2], [size as i64 / 2; 4]);
    let attributes = [
        Attribute::Ints("kernel_shape", &kernel),
        Attribute::Ints("pads", &padding),
    ];
    let (x, weight, bias) = if graph.inputs(value) == 3 {
        let [x, weight, bias] = graph.single(value, "Conv", &attributes)?;
        (x, weight, Some(bias))
    } else {
        let [x, weight] = graph.single(value, "Conv", &attributes)?;
        (x, weight, None)
    };
    let (x, input) = graph.activation(x)?;
    let (weight, [outputs, inputs, height, width]) = graph.weights::<4>(weight, 0)?;
    check_operands(input, weight, EXACT_BITS)?;
    if [height, width] != [size; 2] || outputs == 0 || inputs == 0 {
        return Err(Mismatch::whole(format!(
            "a convolution has {height}×{width} taps: {size}×{size} are expected"
        )));
    }
    let bias = bias.map(|bias| graph.floats_of(bias, [outputs])).transpose()?;
    Ok((
        x,
        Convolution {
            inputs,
            outputs,
            weight,
            input,
        },
        bias,
    ))
}
