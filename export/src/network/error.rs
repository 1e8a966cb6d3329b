//! What can be wrong with a network's description.

use thiserror::Error;

/// A configuration that describes no network of this family.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No preset has this name.
    #[error("no network is called {name:?}; the presets are {known}")]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// No published fit of a Padé activation has this name.
    #[error("no Padé fit is called {name:?}; the published ones are {known}")]
    UnknownPau {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A hyper-parameter is outside what the architecture allows.
    #[error("[network] {key}: {reason}")]
    Invalid {
        /// The key in the `[network]` table.
        key: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The text is no TOML, or has a key that does not exist.
    #[error("the [network] table cannot be read: {0}")]
    Toml(String),
}
