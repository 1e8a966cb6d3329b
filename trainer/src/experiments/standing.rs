//! How far the run in a folder has come, read from the header of its last checkpoint alone.

use super::provenance::differences;
use super::{Overrides, Recipe, deviations};
use crate::error::TrainerError;
use crate::train::{BatchNorm, Checkpoint, Progress, RunFolder, TrainOptions};
use dualnet_engine::model::keys;
use dualnet_export::network::{NetworkConfig, NetworkError};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder of a row's run with this seed.
pub fn run_folder(runs: &Path, row: &str, seed: u64) -> PathBuf {
    runs.join(row).join(format!("seed-{seed}"))
}

/// The seeds of which `runs` has a folder of this row, smallest first.
pub fn seeds_of(runs: &Path, row: &str) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(runs.join(row)) else {
        return Vec::new();
    };
    let seed = |entry: std::fs::DirEntry| {
        let seed = entry.file_name().to_str()?.strip_prefix("seed-")?.parse().ok()?;
        // Not seed-01, which is no folder of this name.
        (entry.path() == run_folder(runs, row, seed)).then_some(seed)
    };
    let mut seeds: Vec<u64> = entries.flatten().filter_map(seed).collect();
    seeds.sort_unstable();
    seeds
}

/// What the last checkpoint of a run says.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The network.
    pub network: NetworkConfig,
    /// The options it was started with.
    pub options: TrainOptions,
    /// Everything that is said about its training, for the model card.
    pub training: Value,
    /// Where it is.
    pub progress: Progress,
}

/// Longer than the header of any checkpoint, and the limit of the crate safetensors.
const MAX_HEADER: u64 = 100_000_000;

impl Standing {
    /// Reads what the run in `folder` says of itself; `None` before its first checkpoint.
    ///
    /// # Errors
    /// A checkpoint that cannot be read, or was not written by a run.
    pub fn read(folder: &Path) -> Result<Option<Self>, TrainerError> {
        let path = RunFolder::new(folder).last();
        match header(&path) {
            Ok((text, tensors)) => Self::parse(&text, tensors)
                .map(Some)
                .map_err(|reason| TrainerError::File { path, reason }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TrainerError::Io { path, source }),
        }
    }

    /// What a header says, behind which there are so many bytes of tensors.
    fn parse(header: &[u8], tensors: u64) -> Result<Self, String> {
        let header: Header =
            serde_json::from_slice(header).map_err(|error| format!("is no safetensors file: {error}"))?;
        let stated = header.tensors.values().map(|tensor| tensor.data_offsets[1]).max();
        if stated.unwrap_or(0) != tensors {
            return Err(format!(
                "is damaged: it holds {tensors} bytes of tensors, its header states {}",
                stated.unwrap_or(0)
            ));
        }
        let entry = |name: &str| {
            let text = header.entries.get(name);
            text.ok_or_else(|| format!("has no entry {name}: it is no checkpoint of a run"))
        };
        let unreadable = |name: &str, error: &dyn std::fmt::Display| format!("its {name} is unreadable: {error}");
        let network = NetworkConfig::from_toml(entry(keys::CONFIGURATION)?)
            .map_err(|error| unreadable("configuration", &error))?;
        let training: Value =
            serde_json::from_str(entry(keys::TRAINING)?).map_err(|error| unreadable("training", &error))?;
        let options: Result<TrainOptions, _> = serde_json::from_value(training["options"].clone());
        let progress: Progress =
            serde_json::from_str(entry(Checkpoint::PROGRESS)?).map_err(|error| unreadable("progress", &error))?;
        if progress.epoch == 0 {
            return Err("its progress is in epoch 0; epochs count from 1".to_owned());
        }
        Ok(Self {
            network,
            options: options.map_err(|error| unreadable("options", &error))?.of_run(),
            training,
            progress,
        })
    }

    /// The options as a recipe names them.
    pub fn recipe_options(&self) -> TrainOptions {
        recipe_options(self.options.clone(), &self.training)
    }

    /// Every difference of the run's network and options from those of a row that is trained with this seed and these overrides.
    ///
    /// # Errors
    /// As [`Recipe::network`].
    pub fn deviations(&self, recipe: &Recipe, seed: u64, overrides: &Overrides) -> Result<Vec<String>, NetworkError> {
        let wanted = recipe.options(seed, recipe.starts_from.map(PathBuf::from), overrides);
        let run = (&self.network, &self.recipe_options());
        Ok(deviations(run, (&recipe.network(overrides)?, &wanted)))
    }

    /// The same, and what tells that its figures are not the row's: other records than were published, other weights to begin from.
    ///
    /// # Errors
    /// As [`Recipe::network`].
    pub fn differences(&self, recipe: &Recipe, seed: u64, overrides: &Overrides) -> Result<Vec<String>, NetworkError> {
        let run = (&self.network, &self.recipe_options());
        differences(recipe, seed, overrides, run, &self.training)
    }

    /// Epochs that are done.
    pub fn done(&self) -> usize {
        (self.progress.epoch - 1).min(self.options.epochs)
    }

    /// Whether every epoch is done.
    pub fn is_finished(&self) -> bool {
        self.progress.epoch > self.options.epochs
    }
}

/// The options of a training as a recipe names them: `accumulate` is the number of parts of a step that batch normalization saw apart, whether one
/// process computed them one after the other or several at once.
pub(super) fn recipe_options(mut options: TrainOptions, training: &Value) -> TrainOptions {
    let processes = training["processes"].as_u64().unwrap_or(1);
    if options.batch_norm == BatchNorm::Replica {
        let processes = usize::try_from(processes).unwrap_or(usize::MAX);
        options.accumulate = options.accumulate.saturating_mul(processes);
    }
    options
}

/// What a safetensors file says besides its tensors.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    entries: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Extent>,
}

/// Where a tensor lies behind the header.
#[derive(Deserialize)]
struct Extent {
    data_offsets: [u64; 2],
}

/// The header of a safetensors file, without its length, and how many bytes follow it.
fn header(path: &Path) -> std::io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        let reason = format!("a header of {length} bytes; at most {MAX_HEADER} are read");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok((bytes, size.saturating_sub(8 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::find;
    use serde_json::json;

    /// ECG-DualNet++ 130M on four GPUs at once is the published recipe, as it is in four parts on one.
    #[test]
    fn four_processes_are_four_parts_of_a_step() {
        let none = Overrides::default();
        let recipe = find("dualnet-pp-130m").expect("a row");
        let network = recipe.network(&none).expect("a network");
        let wanted = recipe.options(1, None, &none);
        let differences = |processes: u64, accumulate: usize| {
            let options = TrainOptions {
                accumulate,
                ..wanted.clone()
            };
            let header = json!({ "__metadata__": {
                keys::CONFIGURATION: network.to_toml(),
                keys::TRAINING: json!({ "processes": processes, "options": options }).to_string(),
                Checkpoint::PROGRESS: json!(Progress { epoch: 1, ..Progress::default() }).to_string(),
            }});
            let header = header.to_string();
            let standing = Standing::parse(header.as_bytes(), 0).expect("a standing");
            assert!(Standing::parse(header.as_bytes(), 1).is_err());
            deviations((&network, &standing.recipe_options()), (&network, &wanted))
        };
        assert_eq!(differences(4, 1), [""; 0]);
        assert_eq!(differences(1, 4), [""; 0]);
        assert_eq!(differences(2, 1), ["accumulate 2, not 4"]);
    }
}
