//! How much memory a plan's weights may take once a runtime has packed them.

use super::graph::Mismatch;
use super::residual::{Convolution, Norm, Shortcut};
use super::weights::Linear;
use super::{Block, Plan, SignalEncoder};

/// Values of all packed weights. The largest network of the ten takes 3·10⁸; a small file can ask for far more, by a few channels that fill
/// a vector each or by layers that share one tensor.
const MAX_PACKED: u64 = 1 << 29;
/// Channels, and values of a latent, are filled up to vectors of this length.
const LANES: u64 = 16;
/// Products of a 3×3 convolution's tile: Winograd's for 4×4 outputs.
const POINTS: u64 = 36;

/// Holds the weights of `plan` to the limit, packed as [`crate::cpu`] packs them or a little more.
pub(super) fn check(plan: &Plan<'_>) -> Result<(), Mismatch> {
    let packed = packed(plan);
    if packed > MAX_PACKED {
        return Err(Mismatch::whole(format!(
            "the packed weights would be {packed} values: {MAX_PACKED} are the limit"
        )));
    }
    Ok(())
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
    use crate::plan::weights::Stored;
    use crate::plan::{Head, LstmLayer, Weights};

    /// Layers that share their tensors cost a file nothing: each is packed.
    #[test]
    fn layers_count_each_for_itself() {
        let none = Weights::new(Stored::Single(&[]));
        let classifier = Linear::new(none, [4, 4096], false, None, None).unwrap();
        let layer = LstmLayer {
            inputs: 4096,
            hidden: 4096,
            input_weights: none,
            hidden_weights: none,
            biases: none,
            input: None,
        };
        for (layers, fits) in [(1, true), (10, false)] {
            let plan = Plan {
                signal: Some(SignalEncoder::Lstm(vec![layer; layers])),
                blocks: Vec::new(),
                head: Head {
                    features: None,
                    classifier,
                },
                steps: Vec::new(),
                nodes: 0,
            };
            assert_eq!(check(&plan).is_ok(), fits, "{layers} layers");
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
