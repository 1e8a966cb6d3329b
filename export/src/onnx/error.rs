//! What can go wrong on the way to an ONNX file.

use crate::weights::WeightsError;
use std::io;
use std::path::{Path, PathBuf};

/// Why no ONNX file was written, or why one could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The weights are not the network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network cannot be said in ONNX.
    #[error("{node}: {message}")]
    Lowering {
        /// The module or value.
        node: String,
        /// What is wrong and what is supported.
        message: String,
    },
    /// An entry of the model card is not what it should be.
    #[error("{entry}: {message}")]
    Card {
        /// The entry, or its key.
        entry: String,
        /// What is wrong and what is expected.
        message: String,
    },
    /// A file cannot be quantized.
    #[error("{0}")]
    Quantize(String),
    /// What was written did not pass its own check; the file was thrown away.
    #[error("the exported graph fails its check: {0}")]
    Check(String),
    /// The file is no ONNX model.
    #[error("{}: {message}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

impl ExportError {
    pub(super) fn lowering(node: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Lowering {
            node: node.into(),
            message: message.into(),
        }
    }

    pub(super) fn card(entry: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Card {
            entry: entry.into(),
            message: message.into(),
        }
    }

    pub(super) fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            cause,
        }
    }
}
