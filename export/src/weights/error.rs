//! What can be wrong with a file of weights.

use super::Mismatch;
use std::io;
use std::path::{Path, PathBuf};

/// Why weights could not be read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// The pickle inside a `.pt` file holds something that a state dict does not.
    #[error("{}: data.pkl, byte {offset}: {message}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Where in `data.pkl` the instruction starts.
        offset: u64,
        /// What is wrong and what is expected.
        message: String,
    },
    /// One tensor cannot be used.
    #[error("{}: tensor `{tensor}` {message}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The state-dict name.
        tensor: String,
        /// What is wrong with it.
        message: String,
    },
    /// The tensors are not those of the network.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
}

impl WeightsError {
    pub(super) fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            cause,
        }
    }

    pub(super) fn format(path: &Path, message: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn tensor(path: &Path, tensor: &str, message: impl Into<String>) -> Self {
        Self::Tensor {
            path: path.to_owned(),
            tensor: tensor.to_owned(),
            message: message.into(),
        }
    }
}
