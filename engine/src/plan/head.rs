//! From the encoders to the probabilities: `softmax(W₂·(h + latent) + b₂)`, `h = F(W₁·mean(features) + b₁)`.

use super::graph::{Attribute, Graph, Mismatch};
use super::weights::Linear;
use crate::pau::Pau;

/// The head of a network.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// What reads the spectrogram's features; `None` when the spectrogram encoder is ablated.
    pub features: Option<Features<'a>>,
    /// `W₂`, `b₂`: from the sum of both encoders, or the one there is, to the logits.
    pub classifier: Linear<'a>,
}

/// The mean over all positions, a linear map and an activation.
#[derive(Clone, Debug)]
pub struct Features<'a> {
    /// `W₁`, `b₁`.
    pub linear: Linear<'a>,
    /// `F`.
    pub activation: Pau,
}

/// The head and the values it starts from.
pub(super) struct Ends<'a> {
    pub(super) head: Head<'a>,
    pub(super) latent: Option<&'a str>,
    pub(super) features: Option<&'a str>,
}

pub(super) fn recognize<'a>(graph: &mut Graph<'a>, classes: usize) -> Result<Ends<'a>, Mismatch> {
    let output = graph.output()?;
    let [logits] = graph.single(output, "Softmax", &[Attribute::Int("axis", -1)])?;
    let (joined, classifier) = graph.gemm(logits)?;
    if classifier.outputs != classes || classifier.bias.is_none() {
        return Err(Mismatch::whole(format!(
            "the last linear map has not {classes} outputs with a bias"
        )));
    }
    let (hidden, latent) = match graph.operator(joined) {
        "Add" => {
            let [hidden, latent] = graph.single(joined, "Add", &[])?;
            (Some(hidden), Some(latent))
        }
        crate::model::PADE_ACTIVATION => (Some(joined), None),
        _ => (None, Some(joined)),
    };
    let (mut features, mut reads) = (None, None);
    if let Some(hidden) = hidden {
        let (sum, activation) = graph.pau(hidden)?;
        let (flat, linear) = graph.gemm(sum)?;
        let [pooled] = graph.single(flat, "Flatten", &[Attribute::Int("axis", 1)])?;
        let [map] = graph.single(pooled, "GlobalAveragePool", &[])?;
        features = Some(Features { linear, activation });
        reads = Some(map);
    }
    Ok(Ends {
        head: Head { features, classifier },
        latent,
        features: reads,
    })
}
