//! How a run begins, and how it goes on.

use super::agreement::agree;
use super::average::Average;
use super::checkpoint::{Checkpoint, Progress, network_of, parameters_of};
use super::folder::{Lock, RunFolder};
use super::leak::stated_leak;
use super::lineage;
use super::options::{BatchNorm, EarlierPlan, TrainOptions};
use super::recorded::Recorder;
use super::teachers::Teachers;
use super::transfer::transfer;
use super::{Records, Team, Training};
use crate::device::device;
use crate::error::TrainerError;
use crate::optimizer::RAdam;
use crate::torch::Parameters;
use dualnet_export::network::Network;
use dualnet_export::weights::StateDict;
use serde_json::{Value, json};
use std::path::Path;

/// What may be another when a run goes on; everything else is its checkpoint's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The planned number of epochs, and with it the schedule from here on.
    pub epochs: Option<usize>,
    /// Where to compute.
    pub device: Option<String>,
}

/// What is under way in a run.
struct State {
    parameters: Parameters,
    average: Option<Average>,
    teachers: Teachers,
    optimizer: RAdam,
    progress: Progress,
    goes_back_to: Value,
}

impl Training {
    /// A new run in an empty or new folder; `run.toml` records its configuration. The folder is the run's as long as this is there.
    pub fn start(
        network: Network,
        options: TrainOptions,
        folder: &Path,
        records: Records,
    ) -> Result<Self, TrainerError> {
        Self::start_in(Team::default(), network, options, folder, |_| Ok(records))
    }

    /// As [`start`](Self::start), together with other processes. `records` makes the records from the options, once everything
    /// else is known to be right.
    pub fn start_in(
        team: Team,
        network: Network,
        mut options: TrainOptions,
        folder: &Path,
        records: impl FnOnce(&TrainOptions) -> Result<Records, TrainerError>,
    ) -> Result<Self, TrainerError> {
        let folder = RunFolder::new(folder);
        if team.is_first() {
            folder.check_free()?;
        }
        check(&options, &network)?;
        // The rule may change; a run keeps what it began with.
        options.dropout_unit = Some(options.dropout_unit(network.config().classes));
        // A network trained on other records tells their classes apart, whatever its table says.
        let network = network.with_class_set(options.class_set())?;
        let mut notes = Vec::new();
        let mut source = Value::Null;
        let parameters = match &options.load {
            None => Parameters::initial(&network, options.seed)?,
            Some(path) => {
                let (parameters, report) = transfer(&network, options.seed, path, options.keep_last_layer)?;
                notes.push(format!(
                    "{}: {} tensors taken; the last layer is {}{}",
                    path.display(),
                    report.taken,
                    if options.keep_last_layer { "kept" } else { "drawn anew" },
                    match report.left.as_slice() {
                        [] => String::new(),
                        left => format!("; without a match: {}", left.join(", ")),
                    }
                ));
                source = report.training;
                parameters
            }
        };
        let average = match options.average_decay {
            0.0 => None,
            decay => Some(Average::new(&network, &parameters, decay)?),
        };
        let teachers = Teachers::open(&options, &network)?;
        let state = State {
            parameters,
            average,
            goes_back_to: lineage::entry(std::iter::once(&source).chain(teachers.trainings())),
            teachers,
            optimizer: RAdam::new(),
            progress: Progress {
                epoch: 1,
                ..Progress::default()
            },
        };
        // Before the data set is read, which takes long.
        device(&options.device, team.local_rank())?;
        let records = records(&options)?.restrict(&options)?;
        check_source(&source, &options, &records)?;
        let mut run = Self::new(team, network, options, state, (folder, None), records, notes)?;
        if run.team.is_first() {
            run._lock = Some(run.folder.create(run.network.config(), &run.options)?);
        }
        Ok(run)
    }

    /// Goes on where the last checkpoint in `folder` stands. The folder is the run's as long as this is there.
    ///
    /// `records` makes the records from the options the run was started with. `epochs` replaces the planned number of epochs,
    /// and with it the schedule from here on.
    pub fn resume(
        folder: &Path,
        epochs: Option<usize>,
        records: impl FnOnce(&TrainOptions) -> Result<Records, TrainerError>,
    ) -> Result<Self, TrainerError> {
        let changes = Changes { epochs, device: None };
        Self::resume_in(Team::default(), folder, changes, records)
    }

    /// As [`resume`](Self::resume), together with other processes: the first one's checkpoint counts.
    pub fn resume_in(
        team: Team,
        folder: &Path,
        changes: Changes,
        records: impl FnOnce(&TrainOptions) -> Result<Records, TrainerError>,
    ) -> Result<Self, TrainerError> {
        let folder = RunFolder::new(folder);
        let path = folder.last();
        let fault = |reason: &str| TrainerError::File {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        let mut lock = None;
        let bytes = team.share_bytes(|| {
            let lock = lock.insert(folder.lock()?);
            if !path.exists() {
                return Err(fault("there is no checkpoint to go on from; start without --resume"));
            }
            folder.sweep(lock);
            std::fs::read(&path).map_err(|source| TrainerError::Io {
                path: path.clone(),
                source,
            })
        })?;
        let checkpoint = Checkpoint::from_state(StateDict::from_safetensors(&bytes, &path)?);
        let training = checkpoint.training();
        drop(bytes);
        let network = network_of(checkpoint.state())?.ok_or_else(|| fault("does not say which network it is"))?;
        let mut options = checkpoint
            .options(&path)?
            .ok_or_else(|| fault("does not say how it was trained"))?;
        check(&options, &network)?;
        let named = parameters_of(&network, checkpoint.state(), &path)?;
        let trained = checkpoint.trained(&network, &path)?;
        let (parameters, average) = match (trained, options.average_decay) {
            (None, 0.0) => (named, None),
            (Some(trained), decay) if decay > 0.0 => (trained, Some(Average::new(&network, &named, decay)?)),
            _ => return Err(fault("does not have the averaged weights that its options speak of")),
        };
        let (optimizer, mut progress) = checkpoint.resume(&path, &parameters)?;
        if let Some((_, epoch)) = progress.best.filter(|_| team.is_first() && !folder.best().is_file()) {
            return Err(TrainerError::File {
                path: folder.best(),
                reason: format!(
                    "is missing: the network of epoch {epoch}, the best until now; put it back, or a copy of last.safetensors in its place"
                ),
            });
        }
        // A process that ended between the two files of an epoch has kept a network that `last` does not know of.
        let ahead = team.share_bytes(|| Ok(json!(ahead(&folder.best(), progress.epoch)).to_string().into_bytes()))?;
        if let Ok(Some(best)) = serde_json::from_slice::<Option<(f64, usize)>>(&ahead) {
            progress.best = Some(best);
        }
        let teachers = Teachers::open(&options, &network)?;
        if training["teachers_digest"].as_str() != teachers.digest() {
            return Err(fault(
                "was taught by others than the files of --teacher and --teacher-answers hold now, or in another order",
            ));
        }
        let is_done = progress.epoch > changes.epochs.unwrap_or(options.epochs);
        let processes = training["processes"].as_u64();
        let is_divided = options.batch_norm == BatchNorm::Replica && !is_done;
        if let Some(before) = processes.filter(|&before| is_divided && before != team.size() as u64) {
            let how = match before {
                1 => "by one process alone; go on without trainer launch or torchrun".to_owned(),
                _ => format!(
                    "by {before} processes; go on with trainer launch --nproc {before}, --data-parallel or torchrun"
                ),
            };
            return Err(fault(&format!(
                "was trained {how}: batch normalization sees each process's part of a batch"
            )));
        }
        if let Some(device) = changes.device {
            options.device = device;
        }
        if let Some(epochs) = changes.epochs.filter(|&epochs| epochs != options.epochs) {
            let until_epoch = if progress.batches > 0 {
                progress.epoch
            } else {
                progress.epoch - 1
            };
            if epochs < progress.epoch {
                return Err(fault(&format!(
                    "{} epochs are done; --epochs {epochs} leaves nothing to go on with",
                    progress.epoch - 1
                )));
            }
            options.earlier_plans.push(EarlierPlan {
                epochs: options.epochs,
                until_epoch,
            });
            options.epochs = epochs;
            check(&options, &network)?;
        }
        device(&options.device, team.local_rank())?;
        let records = records(&options)?.restrict(&options)?;
        let digest = &training["records_digest"];
        if digest.as_str().is_some_and(|digest| digest != records.digest()) {
            return Err(fault(
                "was trained on other records: the data set, its labels or the file of its split are not what they were; give the --data \
                 it began with, or start another --run",
            ));
        }
        let state = State {
            parameters,
            average,
            teachers,
            optimizer,
            progress,
            goes_back_to: lineage::entry_of(&training),
        };
        let run = Self::new(team, network, options, state, (folder, lock), records, Vec::new())?;
        if run.team.is_first() && run.epochs_left() > 0 {
            run.folder.write_configuration(run.network.config(), &run.options)?;
        }
        Ok(run)
    }

    fn new(
        team: Team,
        network: Network,
        options: TrainOptions,
        mut state: State,
        (folder, lock): (RunFolder, Option<Lock>),
        records: Records,
        notes: Vec<String>,
    ) -> Result<Self, TrainerError> {
        let device = device(&options.device, team.local_rank())?;
        state.teachers.meet(&options, &records)?;
        agree(
            &team,
            network.config(),
            &options,
            &records,
            state.teachers.digest(),
            device,
        )?;
        let State {
            parameters,
            average,
            teachers,
            optimizer,
            progress,
            goes_back_to,
        } = state;
        let parameters = parameters.on(device)?;
        team.share(&parameters)?;
        Ok(Self {
            recorder: Recorder::new(&options, device, team.size()),
            records,
            average: average.map(|average| average.on(device)).transpose()?,
            optimizer: optimizer.with_options(options.optimizer).on(device)?,
            parameters,
            teachers: teachers.on(device)?,
            team,
            network,
            options,
            progress,
            folder,
            _lock: lock,
            device,
            notes,
            goes_back_to,
        })
    }
}

/// Accuracy and epoch of the network at `best`, if it is of the epoch under way or a later one.
fn ahead(best: &Path, epoch: usize) -> Option<(f64, usize)> {
    let checkpoint = Checkpoint::open(best).ok()?;
    let of = checkpoint.training()["epoch"].as_u64()? as usize;
    let metrics = checkpoint.metrics();
    let accuracy = ["validation", "held_back"]
        .iter()
        .find_map(|part| metrics[part]["accuracy"].as_f64())?;
    (of >= epoch).then_some((accuracy, of))
}

/// Refuses weights to start from that say they, or weights that they go back to, were trained on records that this run is measured on.
fn check_source(training: &Value, options: &TrainOptions, records: &Records) -> Result<(), TrainerError> {
    let Some(path) = &options.load else { return Ok(()) };
    if records.dataset.is_none() {
        return Ok(());
    }
    match stated_leak(training, options, records) {
        Some(reason) => Err(TrainerError::File {
            path: path.clone(),
            reason,
        }),
        None => Ok(()),
    }
}

fn check(options: &TrainOptions, network: &Network) -> Result<(), TrainerError> {
    match options.fault(network.config().classes) {
        Some(fault) => Err(TrainerError::Options(fault)),
        None => Ok(()),
    }
}
