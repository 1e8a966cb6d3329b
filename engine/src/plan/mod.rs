//! What a model file computes, as a short list of typed blocks.
//!
//! [`Plan::of`] recognizes the blocks of an ECG-DualNet once, by structure and shapes, from the ONNX graph: signal encoder, residual and
//! axial blocks, head. It starts at the output and walks back to the two inputs; every node must be exactly what `export` writes
//! there, with these attributes and extents, and every node of the graph must be claimed once. Names do not matter. What departs in
//! anything gives a [`Mismatch`] that names the node, and the model runs on tract instead: a plan is never a guess.
//!
//! The list is what a runtime of our own executes, on whatever device: [`crate::cpu`] packs its weights for the processor. Weights
//! are borrowed from the file's bytes ([`Weights`]), so a plan costs no copy of them.
//!
//! A block is claimed with all of its nodes or the plan fails as a whole. Running a part of a graph in tract and a part here would need both
//! engines' start-up and memory for the sake of files that no program writes; a fully recognized model needs tract not at all.

mod axial;
mod graph;
mod head;
mod residual;
mod signal;
mod size;
mod step;
mod transformer;
mod weights;

pub(crate) use axial::GROUPS;
pub use axial::{AxialAttention, AxialBlock, AxialRounding, Axis};
pub use graph::Mismatch;
pub use head::{Features, Head};
pub(crate) use residual::keeps_sums_finite;
pub use residual::{Convolution, Norm, ResidualBlock, Shortcut};
pub use signal::{LstmLayer, SignalEncoder};
pub use step::Step;
pub(crate) use transformer::EPSILON;
pub use transformer::{AttentionRounding, LayerNorm, Transformer, TransformerLayer};
pub use weights::{Linear, Quantization, Weights};

use crate::model::Model;
use graph::Graph;

/// A recognized network. Extents of every weight have been checked against each other.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// What reads the waveform; `None` when it is ablated.
    pub signal: Option<SignalEncoder<'a>>,
    /// What reads the spectrogram, from the input on; empty when it is ablated.
    pub blocks: Vec<Block<'a>>,
    /// What makes probabilities of both.
    pub head: Head<'a>,
    steps: Vec<Step>,
    nodes: usize,
}

/// A block of the spectrogram encoder.
#[derive(Clone, Debug)]
pub enum Block<'a> {
    /// Two 3×3 convolutions and a shortcut.
    Residual(Box<ResidualBlock<'a>>),
    /// Axial attention between two 1×1 convolutions.
    Axial(Box<AxialBlock<'a>>),
}

/// A feature map: rows along time, columns along frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Extent along time.
    pub height: usize,
    /// Extent along frequency.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Extents {
    /// Positions.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// After 2×2 pooling, which drops an odd row or column.
    pub fn pooled(self) -> Self {
        Self {
            height: self.height / 2,
            width: self.width / 2,
            ..self
        }
    }
}

impl<'a> Plan<'a> {
    /// Recognizes the blocks of `model`.
    ///
    /// # Errors
    /// [`Mismatch`]: the first node, from the output, that is not what a network of this project has there.
    pub fn of(model: &'a Model) -> Result<Self, Mismatch> {
        let mut graph = Graph::new(model.proto())?;
        let ends = head::recognize(&mut graph, model.classes().len())?;
        let signal = match ends.latent {
            Some(latent) => Some(signal::recognize(&mut graph, latent)?),
            None => None,
        };
        let blocks = match ends.features {
            Some(features) => residual::chain(&mut graph, features, ends.latent)?,
            None => Vec::new(),
        };
        let mut plan = Self {
            signal,
            blocks,
            head: ends.head,
            steps: Vec::new(),
            nodes: graph.nodes(),
        };
        plan.check_extents()?;
        size::check(&plan)?;
        graph.all_claimed()?;
        graph.check_magnitudes()?;
        plan.steps = step::steps(&plan, graph.owners());
        Ok(plan)
    }

    /// The blocks in the order they run, with the nodes each replaces and its work.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Multiply-adds for one record of 60 s, of all steps.
    pub fn multiply_adds(&self) -> u64 {
        self.steps.iter().map(|step| step.multiply_adds).sum()
    }

    /// Nodes of the graph; every one belongs to a step.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The width of the latent that conditions the blocks; 0 without a signal encoder.
    pub fn latent(&self) -> usize {
        self.signal.as_ref().map_or(0, SignalEncoder::latent)
    }

    /// Extents that only the whole says: what the last block hands to the head, and the latent that all share.
    fn check_extents(&self) -> Result<(), Mismatch> {
        let latent = self.latent();
        let fits = |norm: &Norm<'_>| match norm {
            Norm::Conditional { weight } => weight.inputs == latent,
            Norm::Fixed { .. } => true,
        };
        for block in &self.blocks {
            if !block.norms().into_iter().all(fits) {
                return Err(Mismatch::whole(format!(
                    "a condition does not take the latent's {latent} values"
                )));
            }
        }
        let last = self.blocks.last().map(Block::output);
        match (&self.head.features, last) {
            (Some(features), Some(last)) if features.linear.inputs == last.channels => {}
            (None, None) => {}
            _ => return Err(Mismatch::whole("the head does not fit the last block".to_owned())),
        }
        let joined = match &self.head.features {
            Some(features) => features.linear.outputs,
            None => latent,
        };
        if self.head.classifier.inputs != joined || self.signal.is_some() && joined != latent {
            return Err(Mismatch::whole("the classifier does not fit the latent".to_owned()));
        }
        Ok(())
    }
}

impl<'a> Block<'a> {
    fn norms(&self) -> [&Norm<'a>; 2] {
        match self {
            Self::Residual(block) => [&block.first_norm, &block.second_norm],
            Self::Axial(block) => [&block.input_norm, &block.output_norm],
        }
    }

    /// How its input is rounded.
    pub fn rounding(&self) -> Option<Quantization> {
        match self {
            Self::Residual(block) => block.first.input,
            Self::Axial(block) => block.input_map.input,
        }
    }

    /// What it reads.
    pub fn input(&self) -> Extents {
        match self {
            Self::Residual(block) => block.input,
            Self::Axial(block) => block.input,
        }
    }

    /// What it gives.
    pub fn output(&self) -> Extents {
        match self {
            Self::Residual(block) => block.output,
            Self::Axial(block) => block.output,
        }
    }
}
