//! Why a model file cannot be used.

use std::fmt;

pub(crate) use crate::record::one_line;

/// A model file that is refused: its name and what is wrong with it, on one line.
#[derive(Debug)]
pub struct ModelError {
    file: String,
    fault: ModelFault,
}

impl ModelError {
    pub(crate) fn new(file: &str, fault: ModelFault) -> Self {
        Self {
            file: file.to_owned(),
            fault,
        }
    }

    /// The file, as it was named by whoever opened it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong with it.
    pub fn fault(&self) -> &ModelFault {
        &self.fault
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {}: {}", self.file, self.fault)
    }
}

impl std::error::Error for ModelError {}

/// What can be wrong with a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The file is larger than protobuf allows.
    #[error("has {bytes} bytes: an ONNX file has at most {limit}")]
    TooLarge {
        /// Length of the file.
        bytes: u64,
        /// Longest file that is read.
        limit: u64,
    },
    /// There is more in the file than describes a network.
    #[error("has {bytes} bytes besides stored weights: the description of a network has at most {limit}")]
    Description {
        /// Bytes of the file without its stored weights.
        bytes: usize,
        /// How many are read.
        limit: usize,
    },
    /// The file holds a network's weights, not the network.
    #[error("holds weights ({form}) and no network that computes; the program `export` makes a model file of them")]
    Weights {
        /// How they are stored.
        form: &'static str,
    },
    /// The bytes are no ONNX model, or not all of one.
    #[error("is not an ONNX file, or a truncated one ({reason})")]
    NotOnnx {
        /// Where reading it stopped.
        reason: String,
    },
    /// A metadata property is missing or says something that is not understood.
    #[error("metadata {key}: {problem}")]
    Metadata {
        /// The property's key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The bytes are not the ones that were exported.
    #[error("is damaged: its bytes do not give the checksum {key} written at export")]
    Checksum {
        /// The metadata property that holds the expected SHA-256.
        key: &'static str,
    },
    /// An operator set in a version that is not supported.
    #[error("operator set `{domain}` version {version} is not supported: {supported}")]
    OperatorSet {
        /// The operators' domain, `ai.onnx` for the standard ones.
        domain: String,
        /// The version asked for.
        version: i64,
        /// What is supported instead.
        supported: &'static str,
    },
    /// An operator that this engine does not run.
    #[error("node `{node}`: operator {operator} is not supported: {supported}")]
    Operator {
        /// The node's name.
        node: String,
        /// The operator, with its domain when it is not a standard one.
        operator: String,
        /// The supported operators.
        supported: String,
    },
    /// A node that contradicts the graph around it.
    #[error("node `{node}`: {problem}")]
    Node {
        /// The node's name.
        node: String,
        /// The contradiction.
        problem: String,
    },
    /// An input or output other than the contract's.
    #[error("{role} `{name}`: {problem}")]
    Interface {
        /// `input` or `output`.
        role: &'static str,
        /// Its name.
        name: String,
        /// Found and expected.
        problem: String,
    },
    /// A weight tensor that cannot be used.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The instruction set asked for cannot run it.
    #[error(transparent)]
    Isa(#[from] crate::simd::IsaError),
    /// A part of ONNX that a network of this project never has.
    #[error("contains {part}, which is not supported")]
    Unsupported {
        /// What was found.
        part: &'static str,
    },
    /// The graph passed every check and still cannot be made ready to run.
    #[error("cannot be prepared for a batch of {batch}: {reason}")]
    Prepare {
        /// The batch size.
        batch: usize,
        /// The runtime's words.
        reason: String,
    },
}
