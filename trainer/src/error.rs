//! What can go wrong while training or evaluating.

use std::path::PathBuf;
use thiserror::Error;

/// The trainer's errors; every message is one line and names the file or tensor.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
    /// The network's description is unusable.
    #[error(transparent)]
    Configuration(#[from] dualnet_export::network::NetworkError),
    /// The data set is unusable.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A file of weights is unusable.
    #[error(transparent)]
    Weights(#[from] dualnet_export::weights::WeightsError),
    /// The metrics cannot be computed.
    #[error(transparent)]
    Score(#[from] dualnet_engine::score::ScoreError),
    /// The network cannot be interpreted.
    #[error("network: {0}")]
    Network(String),
    /// What the trainer itself has made cannot be used.
    #[error("{0}")]
    Internal(String),
    /// Options that describe no run.
    #[error("{0}")]
    Options(String),
    /// A state dict lacks a tensor.
    #[error("there is no tensor {name:?}")]
    NoTensor {
        /// State-dict key.
        name: String,
    },
    /// A tensor has another number of elements than the network needs.
    #[error("tensor {name:?} has {found} elements, not {expected}")]
    TensorLength {
        /// State-dict key.
        name: String,
        /// What the network needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file's content is unusable.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A device cannot be used.
    #[error("{0}")]
    Device(String),
    /// Other processes cannot be worked with.
    #[error("{0}")]
    Distributed(String),
    /// The run was asked to stop.
    #[error(
        "stopped in epoch {epoch}; --resume, or the same command of reproduce or crossval, goes on from the last checkpoint"
    )]
    Interrupted {
        /// Epoch, counted from 1.
        epoch: usize,
    },
    /// The data set was being read for the first time when all was asked to stop.
    #[error("stopped while the data set was checked; nothing was trained")]
    NotBegun,
    /// An exported network cannot be run.
    #[error(transparent)]
    Model(#[from] dualnet_engine::model::ModelError),
    /// An exported network failed.
    #[error(transparent)]
    Run(#[from] dualnet_engine::cpu::RunError),
    /// Weights, or the optimizer's moments, that are to be kept are not finite.
    #[error(
        "the run has diverged: {name:?} is not finite; it was not written, and what was kept before stays; start a new run with a lower \
         --learning-rate"
    )]
    NotFinite {
        /// State-dict key.
        name: String,
    },
    /// The network's answers stopped being numbers.
    #[error(
        "the run has diverged: in the validation of epoch {epoch} the network's answers are no numbers; what was kept before stays; start a new \
         run with a lower --learning-rate"
    )]
    NoAnswers {
        /// Epoch, counted from 1.
        epoch: usize,
    },
    /// The loss stopped being a number.
    #[error(
        "the loss is {loss} in epoch {epoch}, step {step}; nothing of that step is kept; where --resume ends so again, start a new run with a \
         lower --learning-rate"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// The value.
        loss: f64,
    },
}

fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
