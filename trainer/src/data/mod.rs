//! Training data: labelled recordings in memory, Icentia11k as a stream, the published splits, and batches of network inputs made ahead of time.

mod error;
mod excerpts;
pub mod icentia;
mod known;
mod loader;
pub mod physionet;
pub(crate) mod regular;
mod source;
mod split;
pub mod verify;

pub use dualnet_engine::score::Label;
pub use error::DataError;
pub use excerpts::Excerpts;
pub use icentia::Icentia;
pub use known::KnownDataset;
pub use loader::{Batch, Loader, LoaderOptions};
pub use physionet::Labels;
pub use source::{Pass, Progress, Shard, Source, Workspace};
pub use split::Split;

/// A labelled lead at 300 Hz.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The record's name, such as `A00001`.
    pub name: String,
    /// The reference rhythm.
    pub label: Label,
    /// Raw samples, at most 18 000.
    pub samples: Vec<f32>,
}

/// Labelled recordings in the order that splits index.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The recordings.
    pub recordings: Vec<Recording>,
}

impl Dataset {
    /// How many recordings have each label, in the order N, O, A, ~.
    pub fn label_counts(&self) -> [usize; 4] {
        Label::ALL.map(|label| {
            self.recordings
                .iter()
                .filter(|recording| recording.label == label)
                .count()
        })
    }
}

/// Which classes a network tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// N = 0, O = 1, A = 2, ~ = 3; of Icentia11k ~ = 0, N = 1, A = 2, F = 3.
    Four,
    /// A = 1, everything else = 0.
    Two,
}

impl Classes {
    /// The classes of a network with `count` outputs.
    ///
    /// # Errors
    /// [`DataError::Classes`] unless it has two or four.
    pub fn from_count(count: usize) -> Result<Self, DataError> {
        match count {
            2 => Ok(Self::Two),
            4 => Ok(Self::Four),
            found => Err(DataError::Classes { found }),
        }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Two => 2,
        }
    }

    /// The class of a label.
    pub fn index(self, label: Label) -> usize {
        match self {
            Self::Four => label.index(),
            Self::Two => label.binary_index(),
        }
    }
}
