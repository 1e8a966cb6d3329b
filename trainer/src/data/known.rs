//! The data sets that are known.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A data set that is known; in files and on the command line by its [name](Self::name).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownDataset {
    /// PhysioNet/CinC 2017.
    #[default]
    Physionet,
    /// The 6000-record course set.
    #[value(name = "course6000")]
    Course6000,
    /// Icentia11k.
    #[value(name = "icentia11k")]
    Icentia11k,
}

impl KnownDataset {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Physionet => "physionet",
            Self::Course6000 => "course6000",
            Self::Icentia11k => "icentia11k",
        }
    }
}

impl fmt::Display for KnownDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_the_command_line_have_one_name() {
        for known in KnownDataset::value_variants() {
            let flag = known.to_possible_value().expect("a value");
            assert_eq!(flag.get_name(), known.name());
            assert_eq!(serde_json::json!(known), known.name());
        }
    }
}
