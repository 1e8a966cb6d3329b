//! What a finished run reached: `result.json`.

use super::checkpoint::parameters_of;
use super::folder::{RunFolder, write_text};
use super::{Checkpoint, Records};
use crate::error::TrainerError;
use crate::evaluate::{Measured, Progress, TorchPredictor, evaluate};
use dualnet_export::network::Network;
use serde_json::{Value, json};
use std::path::Path;
use tch::Device;

/// Measures the best and the last checkpoint on the validation records and writes `result.json`.
pub(super) fn write(
    folder: &RunFolder,
    network: &Network,
    records: &Records,
    batch_size: usize,
    device: Device,
    progress: &mut Progress<'_>,
) -> Result<(), TrainerError> {
    let mut measure = |path: &Path| measure(path, network, records, batch_size, device, progress);
    let result = json!({
        "network": network.config().name,
        "best": measure(&folder.best())?,
        "last": measure(&folder.last())?,
    });
    let text = serde_json::to_string_pretty(&result).map_err(|error| TrainerError::Internal(error.to_string()))?;
    write_text(&folder.result(), &(text + "\n"))
}

fn measure(
    path: &Path,
    network: &Network,
    records: &Records,
    batch_size: usize,
    device: Device,
    progress: &mut Progress<'_>,
) -> Result<Value, TrainerError> {
    let checkpoint = Checkpoint::open(path)?;
    let mut predictor = TorchPredictor {
        network,
        parameters: parameters_of(network, checkpoint.state(), path)?.on(device)?,
    };
    let Measured { evaluation, intervals } = evaluate(
        &mut predictor,
        &records.source,
        &records.split.validation,
        batch_size,
        records.threads,
        progress,
    )?
    .measured()?;
    let training = checkpoint.training();
    Ok(json!({
        "epoch": training["epoch"],
        "training": training,
        "evaluation": evaluation,
        "intervals": intervals,
    }))
}
