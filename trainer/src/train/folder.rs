//! The folder of a run and what its files are called.

use super::{Checkpoint, TrainOptions};
use crate::error::TrainerError;
use dualnet_engine::pending::{self, PARTIAL};
use dualnet_export::network::NetworkConfig;
use serde::de::IgnoredAny;
use serde_json::json;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// How the names of the files begin that are written beside and then renamed.
const FILES: [&str; 8] = [
    "best.safetensors.",
    "last.safetensors.",
    "epoch-",
    "log.csv.",
    "log.jsonl.",
    "predictions.json.",
    "result.json.",
    "run.toml.",
];

/// Keeps other trainers out of a run's folder as long as it is there; the system drops it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _folder: Option<File>,
}

impl RunFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last checkpoint, with everything a resume needs.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The network of the best epoch.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The network after `epoch`.
    pub fn epoch(&self, epoch: usize) -> PathBuf {
        self.path.join(format!("epoch-{epoch:03}.safetensors"))
    }

    /// One line of CSV per epoch.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.csv")
    }

    /// What the finished run reached.
    pub fn result(&self) -> PathBuf {
        self.path.join("result.json")
    }

    /// Whether what the finished run reached is there and whole.
    pub fn has_result(&self) -> bool {
        let text = std::fs::read(self.result());
        text.is_ok_and(|text| serde_json::from_slice::<IgnoredAny>(&text).is_ok())
    }

    /// The resolved configuration.
    pub fn configuration(&self) -> PathBuf {
        self.path.join("run.toml")
    }

    /// Removes what an earlier end of the run measured.
    pub(super) fn forget_result(&self) -> Result<(), TrainerError> {
        forget(self.result())
    }

    /// Takes the folder for this process: two trainers would mix their logs and checkpoints. Where a folder cannot be locked, nothing is.
    pub(super) fn lock(&self) -> Result<Lock, TrainerError> {
        let Ok(folder) = File::open(&self.path) else {
            return Ok(Lock { _folder: None });
        };
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TrainerError::File {
                path: self.path.clone(),
                reason: "another trainer is at work in this folder; wait for it, or choose another --run".to_owned(),
            }),
            Err(TryLockError::Error(_)) => Ok(Lock { _folder: None }),
            Ok(()) => Ok(Lock { _folder: Some(folder) }),
        }
    }

    /// Removes what a trainer that was killed has left half written of the run's files.
    pub(super) fn sweep(&self, _lock: &Lock) {
        let is_partial = |name: &str| {
            let of = name.strip_prefix('.').filter(|name| name.ends_with(PARTIAL));
            of.is_some_and(|name| FILES.iter().any(|file| name.starts_with(file)))
        };
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_partial) {
                // One that cannot be removed is in nobody's way.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Makes sure that no run is here, nor what was kept of one.
    pub(super) fn check_free(&self) -> Result<(), TrainerError> {
        let (path, reason) = match (self.last(), self.kept()) {
            (last, _) if last.exists() => (
                last,
                "a run is here already; go on with --resume, or choose another --run",
            ),
            (_, Some(kept)) => (
                kept,
                "is an earlier run's, whose last.safetensors is gone; a new run would overwrite what was kept of it: choose another folder",
            ),
            (_, None) => return Ok(()),
        };
        Err(TrainerError::File {
            path,
            reason: reason.to_owned(),
        })
    }

    /// What shows that a run has been here; what a kill in its first epoch leaves does not.
    fn kept(&self) -> Option<PathBuf> {
        let is_of_first_epoch = |best: &Path| {
            let epoch = Checkpoint::open(best).map(|best| best.training()["epoch"].as_u64());
            epoch.is_ok_and(|epoch| epoch == Some(1))
        };
        let best = Some(self.best()).filter(|best| best.exists() && !is_of_first_epoch(best));
        let result = || Some(self.result()).filter(|result| result.exists());
        let of_later_epochs = |log: &PathBuf| {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            text.lines().skip(1).any(|line| !line.starts_with("1,"))
        };
        let log = || Some(self.log()).filter(of_later_epochs);
        best.or_else(result).or_else(log)
    }

    /// Makes the folder, takes it and writes the resolved configuration.
    pub(super) fn create(&self, network: &NetworkConfig, options: &TrainOptions) -> Result<Lock, TrainerError> {
        std::fs::create_dir_all(&self.path).map_err(|source| TrainerError::Io {
            path: self.path.clone(),
            source,
        })?;
        let lock = self.lock()?;
        // Another may have come and gone while this one read its data.
        self.check_free()?;
        self.sweep(&lock);
        // Of a run that was killed in its first epoch: this one would take it for its own.
        forget(self.best())?;
        self.write_configuration(network, options)?;
        Ok(lock)
    }

    /// Writes the resolved configuration.
    pub(super) fn write_configuration(
        &self,
        network: &NetworkConfig,
        options: &TrainOptions,
    ) -> Result<(), TrainerError> {
        let path = self.configuration();
        let text = toml::to_string(&json!({ "train": options })).map_err(|error| TrainerError::File {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let text = format!("# trainer {}\n{text}\n{}", super::card::REVISION, network.to_toml());
        write_text(&path, &text)
    }
}

/// Removes a file that need not be there.
fn forget(path: PathBuf) -> Result<(), TrainerError> {
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(TrainerError::Io { path, source }),
        _ => Ok(()),
    }
}

/// Writes beside `path`, then renames.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), TrainerError> {
    pending::write(path, text.as_bytes()).map_err(|source| TrainerError::Io {
        path: path.to_owned(),
        source,
    })
}
