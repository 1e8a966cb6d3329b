//! The plan as a list to print: what runs, in which order, and how much work it is.

use super::graph::Owner;
use super::{Block, Plan, Shortcut, SignalEncoder};
use crate::signal::WINDOWS;

/// One block of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is, with its extents.
    pub what: String,
    /// Nodes of the graph it replaces.
    pub nodes: usize,
    /// Multiply-adds for one record of 60 s, as the graph defines it.
    pub multiply_adds: u64,
    /// Those of them whose operands are 8-bit.
    pub int8_multiply_adds: u64,
}

impl Step {
    /// `f32`, or `int8` when the bulk of the step is in 8 bits.
    pub fn precision(&self) -> &'static str {
        if 2 * self.int8_multiply_adds > self.multiply_adds {
            "int8"
        } else {
            "f32"
        }
    }
}

pub(super) fn steps(plan: &Plan<'_>, owners: &[Option<Owner>]) -> Vec<Step> {
    let count = |owner: Owner| owners.iter().filter(|found| **found == Some(owner)).count();
    let mut steps = Vec::new();
    if let Some(signal) = &plan.signal {
        let (what, multiply_adds) = describe_signal(signal);
        steps.push(Step {
            what,
            nodes: count(Owner::Signal),
            multiply_adds,
            int8_multiply_adds: int8_signal(signal),
        });
    }
    for (index, block) in plan.blocks.iter().enumerate() {
        steps.push(Step {
            what: describe_block(block),
            nodes: count(Owner::Block(plan.blocks.len() - 1 - index)),
            multiply_adds: block_work(block),
            // A block's products are all rounded or none; conditions stay floats.
            int8_multiply_adds: block.rounding().map_or(0, |_| block_work(block) - conditions(block)),
        });
    }
    let head = &plan.head;
    let features = head
        .features
        .as_ref()
        .map_or(0, |features| features.linear.multiply_adds());
    steps.push(Step {
        what: format!("head, {} classes", head.classifier.outputs),
        nodes: count(Owner::Head),
        multiply_adds: features + head.classifier.multiply_adds(),
        int8_multiply_adds: 0,
    });
    steps
}

fn describe_signal(signal: &SignalEncoder<'_>) -> (String, u64) {
    let steps = WINDOWS as u64;
    match signal {
        SignalEncoder::Lstm(layers) => {
            let hidden: Vec<String> = layers.iter().map(|layer| layer.hidden.to_string()).collect();
            let weights = layers
                .iter()
                .map(|layer| layer.input_weights.len() + layer.hidden_weights.len());
            (
                format!("LSTM {}", hidden.join(", ")),
                steps * weights.sum::<usize>() as u64,
            )
        }
        SignalEncoder::Transformer(transformer) => {
            let width = transformer.width as u64;
            let work = transformer.layers.iter().map(|layer| layer_work(layer, width)).sum();
            let heads = transformer.layers.first().map_or(0, |layer| layer.heads);
            (
                format!("Transformer of {} layers, {heads} heads", transformer.layers.len()),
                work,
            )
        }
    }
}

/// Of one layer of a Transformer of this width.
fn layer_work(layer: &super::TransformerLayer<'_>, width: u64) -> u64 {
    let steps = WINDOWS as u64;
    let linear = [&layer.projection, &layer.output, &layer.widen, &layer.narrow];
    let linear: u64 = linear.iter().map(|linear| linear.multiply_adds()).sum();
    steps * linear + 2 * steps * steps * width
}

/// The multiply-adds in 8 bits.
fn int8_signal(signal: &SignalEncoder<'_>) -> u64 {
    match signal {
        SignalEncoder::Lstm(layers) => layers
            .iter()
            .filter(|layer| layer.input.is_some())
            .map(|layer| WINDOWS as u64 * (layer.input_weights.len() + layer.hidden_weights.len()) as u64)
            .sum(),
        SignalEncoder::Transformer(transformer) => transformer
            .layers
            .iter()
            .filter(|layer| layer.rounding.is_some())
            .map(|layer| layer_work(layer, transformer.width as u64))
            .sum(),
    }
}

/// The multiply-adds that make a block's conditions of the latent.
fn conditions(block: &Block<'_>) -> u64 {
    match block {
        Block::Residual(block) => block.first_norm.multiply_adds() + block.second_norm.multiply_adds(),
        Block::Axial(block) => block.input_norm.multiply_adds() + block.output_norm.multiply_adds(),
    }
}

fn describe_block(block: &Block<'_>) -> String {
    let kind = match block {
        Block::Residual(_) => "residual block",
        Block::Axial(_) => "axial block",
    };
    let (input, output) = (block.input(), block.output());
    format!(
        "{kind} {}×{}, {} to {} channels",
        input.height, input.width, input.channels, output.channels
    )
}

fn block_work(block: &Block<'_>) -> u64 {
    let projection = |shortcut: &Shortcut<'_>| match shortcut {
        Shortcut::Identity => 0,
        Shortcut::Projection(convolution) => convolution.multiply_adds(),
    };
    match block {
        Block::Residual(block) => {
            let convolutions = block.first.multiply_adds() + block.second.multiply_adds();
            let pixel = convolutions + projection(&block.shortcut);
            let norms = block.first_norm.multiply_adds() + block.second_norm.multiply_adds();
            block.input.pixels() as u64 * pixel + norms
        }
        Block::Axial(block) => {
            let before = block.input.pixels() as u64 * block.input_map.multiply_adds();
            let attention: u64 = block.attention.iter().map(|attention| attention.multiply_adds()).sum();
            let pixel = block.output_map.multiply_adds() + projection(&block.shortcut);
            let norms = block.input_norm.multiply_adds() + block.output_norm.multiply_adds();
            before + attention + block.output.pixels() as u64 * pixel + norms
        }
    }
}
