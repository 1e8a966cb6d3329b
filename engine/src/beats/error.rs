//! What can be wrong with a file of boosted trees.

/// Why a forest cannot be used. Messages are one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeatsError {
    /// The file cannot be read, or is too large.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// It tells other classes apart than the network.
    #[error("the beats' classes are {beats}, the network's {network}: their probabilities cannot be averaged")]
    Classes {
        /// Those of the forest.
        beats: String,
        /// Those of the network.
        network: String,
    },
}
