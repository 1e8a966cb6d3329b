//! The plan as a list to print: what runs, in which order, and how much work it is.

use super::graph::Owner;
use super::{Block, Norm, Plan, SignalEncoder};

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
    let step = |what: String, owner: Owner, floats: u64, int8: u64| Step {
        what,
        nodes: owners.iter().filter(|found| **found == Some(owner)).count(),
        multiply_adds: floats + int8,
        int8_multiply_adds: int8,
    };
    let mut steps = Vec::new();
    if let Some(signal) = &plan.signal {
        let [floats, int8] = signal_work(signal);
        steps.push(step(describe_signal(signal), Owner::Signal, floats, int8));
    }
    for (index, block) in plan.blocks.iter().enumerate() {
        // A block's products are all rounded or none; conditions stay floats.
        let (conditions, products) = (block.norms().map(Norm::multiply_adds).iter().sum(), products(block));
        let (floats, int8) = match block.rounding() {
            None => (conditions + products, 0),
            Some(_) => (conditions, products),
        };
        let owner = Owner::Block(plan.blocks.len() - 1 - index);
        steps.push(step(describe_block(block), owner, floats, int8));
    }
    let head = &plan.head;
    let features = head
        .features
        .as_ref()
        .map_or(0, |features| features.linear.multiply_adds());
    steps.push(step(
        format!("head, {} classes", head.classifier.outputs),
        Owner::Head,
        features + head.classifier.multiply_adds(),
        0,
    ));
    steps
}

fn describe_signal(signal: &SignalEncoder<'_>) -> String {
    match signal {
        SignalEncoder::Lstm(layers) => {
            let hidden: Vec<String> = layers.iter().map(|layer| layer.hidden.to_string()).collect();
            format!("LSTM {}", hidden.join(", "))
        }
        SignalEncoder::Transformer(transformer) => {
            let heads = transformer.layers.first().map_or(0, |layer| layer.heads);
            format!("Transformer of {} layers, {heads} heads", transformer.layers.len())
        }
    }
}

/// Multiply-adds of floats and of 8-bit values: a layer has the one or the other.
fn signal_work(signal: &SignalEncoder<'_>) -> [u64; 2] {
    let mut work = [0; 2];
    match signal {
        SignalEncoder::Lstm(layers) => {
            for layer in layers {
                work[usize::from(layer.input.is_some())] += layer.multiply_adds();
            }
        }
        SignalEncoder::Transformer(transformer) => {
            for layer in &transformer.layers {
                work[usize::from(layer.rounding.is_some())] += layer.multiply_adds(transformer.width);
            }
        }
    }
    work
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

/// Multiply-adds of a block, without those that make its conditions of the latent.
fn products(block: &Block<'_>) -> u64 {
    match block {
        Block::Residual(block) => {
            let pixel = block.first.multiply_adds() + block.second.multiply_adds() + block.shortcut.multiply_adds();
            block.input.pixels() as u64 * pixel
        }
        Block::Axial(block) => {
            let before = block.input.pixels() as u64 * block.input_map.multiply_adds();
            let attention: u64 = block.attention.iter().map(|attention| attention.multiply_adds()).sum();
            let pixel = block.output_map.multiply_adds() + block.shortcut.multiply_adds();
            before + attention + block.output.pixels() as u64 * pixel
        }
    }
}
