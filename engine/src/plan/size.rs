//! How much memory a plan may take: its weights once a runtime has packed them, and the values between its layers.

use super::graph::Mismatch;
use super::residual::{Convolution, Norm, Shortcut};
use super::weights::Linear;
use super::{Block, Extents, Plan, SignalEncoder};
use crate::signal::WINDOWS;

/// Values of all packed weights. The largest network of the ten takes 3·10⁸; a small file can ask for far more, by a few channels that fill
/// a vector each or by layers that share one tensor.
const MAX_PACKED: u64 = 1 << 29;
/// Elements of one value between layers, for one record. The largest network of the ten stays below 2²⁵.
const MAX_VALUES: u64 = 1 << 28;
/// Channels, and values of a latent, are filled up to vectors of this length.
const LANES: u64 = 16;
/// Products of a 3×3 convolution's tile: Winograd's for 4×4 outputs.
const POINTS: u64 = 36;

/// A map's border and the columns that fill its last tile, at most.
const BORDER: usize = 8;

/// Holds the weights of `plan` and the values it computes to the limits, laid out as [`crate::cpu`] lays them out or a little larger.
pub(super) fn check(plan: &Plan<'_>) -> Result<(), Mismatch> {
    let packed = packed(plan);
    if packed > MAX_PACKED {
        return Err(Mismatch::whole(format!(
            "the packed weights would be {packed} values: {MAX_PACKED} are the limit"
        )));
    }
    let largest = values(plan);
    if largest > MAX_VALUES {
        return Err(Mismatch::whole(format!(
            "a value between two layers would have {largest} elements: {MAX_VALUES} are the limit"
        )));
    }
    Ok(())
}

/// Elements of the largest value.
fn values(plan: &Plan<'_>) -> u64 {
    let steps = match &plan.signal {
        Some(SignalEncoder::Lstm(layers)) => layers.iter().map(|layer| layer.hidden.saturating_mul(4)).max(),
        Some(SignalEncoder::Transformer(transformer)) => {
            let maps = transformer.layers.iter();
            let maps = maps.flat_map(|layer| [&layer.projection, &layer.output, &layer.widen, &layer.narrow]);
            maps.map(|map| map.outputs).max()
        }
        None => None,
    };
    let signal = matrix(WINDOWS, steps.unwrap_or(0));
    plan.blocks.iter().map(map).fold(signal, u64::max)
}

/// Elements of the largest map of a block, before it is pooled.
fn map(block: &Block<'_>) -> u64 {
    let Extents {
        height,
        width,
        channels,
    } = block.input();
    let between = match block {
        Block::Residual(block) => vec![block.first.outputs, block.second.outputs],
        Block::Axial(block) => {
            let projected = block.attention.iter().map(|attention| attention.projection.outputs);
            projected
                .chain([block.input_map.outputs, block.output_map.outputs])
                .collect()
        }
    };
    let channels = between.into_iter().fold(channels, usize::max) as u64;
    let pixels = (height + BORDER) as u64 * (width + BORDER) as u64;
    channels.next_multiple_of(LANES).saturating_mul(pixels)
}

fn packed(plan: &Plan<'_>) -> u64 {
    let signal = plan.signal.as_ref().map_or(0, signal);
    let blocks = plan.blocks.iter().map(block);
    let features = plan.head.features.as_ref();
    let head = features.map_or(0, |features| linear(&features.linear)) + linear(&plan.head.classifier);
    blocks.fold(signal.saturating_add(head), u64::saturating_add)
}

fn matrix(rows: usize, columns: usize) -> u64 {
    let padded = |extent: usize| (extent as u64).next_multiple_of(LANES);
    padded(rows).saturating_mul(padded(columns))
}

fn linear(linear: &Linear<'_>) -> u64 {
    matrix(linear.inputs, linear.outputs)
}

fn signal(signal: &SignalEncoder<'_>) -> u64 {
    match signal {
        SignalEncoder::Lstm(layers) => {
            let layer = |rows: usize, hidden: usize| matrix(rows, hidden).saturating_mul(4);
            layers
                .iter()
                .map(|found| layer(found.inputs, found.hidden).saturating_add(layer(found.hidden, found.hidden)))
                .fold(0, u64::saturating_add)
        }
        SignalEncoder::Transformer(transformer) => transformer
            .layers
            .iter()
            .flat_map(|layer| [&layer.projection, &layer.output, &layer.widen, &layer.narrow])
            .map(linear)
            .fold(0, u64::saturating_add),
    }
}

fn block(block: &Block<'_>) -> u64 {
    let convolution = |found: &Convolution<'_>| matrix(found.inputs, found.outputs);
    let norm = |norm: &Norm<'_>| match norm {
        Norm::Conditional { weight } => linear(weight),
        Norm::Fixed { shift } => matrix(2, shift.len()),
    };
    let shortcut = |shortcut: &Shortcut<'_>| match shortcut {
        Shortcut::Identity => 0,
        Shortcut::Projection(found) => convolution(found),
    };
    let parts = match block {
        Block::Residual(block) => vec![
            convolution(&block.first).saturating_mul(POINTS),
            convolution(&block.second).saturating_mul(POINTS),
            norm(&block.first_norm),
            norm(&block.second_norm),
            shortcut(&block.shortcut),
        ],
        Block::Axial(block) => {
            let mut parts = vec![
                convolution(&block.input_map),
                convolution(&block.output_map),
                norm(&block.input_norm),
                norm(&block.output_norm),
                shortcut(&block.shortcut),
            ];
            for attention in &block.attention {
                parts.push(convolution(&attention.projection));
                parts.push(matrix(2 * attention.channels, 2 * attention.span));
            }
            parts
        }
    };
    parts.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pau::Pau;
    use crate::plan::weights::Stored;
    use crate::plan::{Head, LstmLayer, ResidualBlock, Weights};
    use crate::signal::{BINS, FRAMES};

    fn plan_of<'a>(signal: Option<SignalEncoder<'a>>, blocks: Vec<Block<'a>>) -> Plan<'a> {
        let none = Weights::new(Stored::Single(&[]));
        Plan {
            signal,
            blocks,
            head: Head {
                features: None,
                classifier: Linear::new(none, [4, 4096], false, None, None).unwrap(),
            },
            steps: Vec::new(),
            nodes: 0,
        }
    }

    /// Layers that share their tensors cost a file nothing: each is packed.
    #[test]
    fn layers_count_each_for_itself() {
        let none = Weights::new(Stored::Single(&[]));
        let layer = LstmLayer {
            inputs: 4096,
            hidden: 4096,
            input_weights: none,
            hidden_weights: none,
            biases: none,
            input: None,
        };
        for (layers, fits) in [(1, true), (10, false)] {
            let plan = plan_of(Some(SignalEncoder::Lstm(vec![layer; layers])), Vec::new());
            assert_eq!(check(&plan).is_ok(), fits, "{layers} layers");
        }
    }

    /// Channels between two convolutions cost a file 40 bytes each, and a runtime 75 kB.
    #[test]
    fn maps_count_with_every_pixel() {
        let none = Weights::new(Stored::Single(&[]));
        let convolution = |inputs: usize, outputs: usize| Convolution {
            inputs,
            outputs,
            weight: none,
            input: None,
        };
        let pau = Pau::new(&[0.0, 1.0], &[0.0]).unwrap();
        let extents = |channels: usize| Extents {
            height: FRAMES,
            width: BINS,
            channels,
        };
        for (middle, fits) in [(2048, true), (12_000, false), (450_000, false)] {
            let block = ResidualBlock {
                input: extents(1),
                output: extents(2).pooled(),
                first: convolution(1, middle),
                first_norm: Norm::Fixed { shift: none },
                first_activation: pau.clone(),
                second: convolution(middle, 2),
                second_norm: Norm::Fixed { shift: none },
                shortcut: Shortcut::Identity,
                activation: pau.clone(),
            };
            let plan = plan_of(None, vec![Block::Residual(Box::new(block))]);
            let checked = check(&plan).map_err(|mismatch| mismatch.to_string());
            assert_eq!(checked.is_ok(), fits, "{middle}: {checked:?}");
            assert!(
                checked
                    .err()
                    .is_none_or(|problem| problem.contains("between two layers"))
            );
        }
    }

    /// Two channels fill a vector, and a filter of nine taps every point of a tile.
    #[test]
    fn a_few_channels_count_as_packed() {
        let narrow = Convolution {
            inputs: 2,
            outputs: 17,
            weight: Weights::new(Stored::Single(&[])),
            input: None,
        };
        assert_eq!(matrix(narrow.inputs, narrow.outputs), 16 * 32);
        assert_eq!(matrix(usize::MAX - 100, usize::MAX - 100), u64::MAX);
    }
}
