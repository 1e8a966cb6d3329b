//! Everything that can go wrong in this crate.

use crate::beats::BeatsError;
use crate::classifier::Precision;
use crate::cpu::RunError;
use crate::model::ModelError;
use crate::record::RecordError;
use crate::score::ScoreError;
use crate::signal::SignalError;

/// Why a record could not be classified, or a classifier not be made. Messages are one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The model file cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The forest that reads beats cannot be used.
    #[error(transparent)]
    Beats(#[from] BeatsError),
    /// Predictions cannot be scored.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The record's samples cannot be turned into the network's inputs.
    #[error("{record}: {cause}")]
    Signal {
        /// The record's path, or its name.
        record: String,
        /// What is wrong with its samples.
        cause: SignalError,
    },
    /// The network gave no answer for the record.
    #[error("{record}: {cause}")]
    Run {
        /// The record's path, or its name.
        record: String,
        /// What went wrong.
        cause: RunError,
    },
    /// A GPU gave no answer for the record.
    #[error("{record}: the GPU failed: {reason}")]
    Gpu {
        /// The record's path, or its name.
        record: String,
        /// What the driver said.
        reason: String,
    },
    /// CUDA was asked for and cannot be used.
    #[error("device cuda cannot be used: {0}; --device cpu works everywhere")]
    Cuda(String),
    /// A precision that does not exist for this model or device.
    #[error("model {model} has no precision {precision}: {reason}")]
    Precision {
        /// The model's file.
        model: String,
        /// The precision asked for.
        precision: Precision,
        /// Why it does not exist, and what does.
        reason: &'static str,
    },
    /// A confidence that is no probability.
    #[error("a minimum confidence of {0} is not a probability from 0 to 1")]
    MinConfidence(f32),
    /// A batch size that is none.
    #[error("a batch size of {0} is not supported: 1 to 4096 are")]
    BatchSize(usize),
}
