//! What a checkpoint says about its training: the `dualnet.training` entry, which becomes part of the model card.

use super::{Records, TrainOptions};
use dualnet_export::network::NetworkConfig;
use serde_json::{Value, json};

/// The state of the sources this program was built from.
pub use dualnet_revision::REVISION;

/// The entry of a network of this configuration that was trained up to `epoch`.
pub(super) fn training(
    config: &NetworkConfig,
    options: &TrainOptions,
    records: &Records,
    teachers_digest: Option<&str>,
    goes_back_to: &Value,
    processes: usize,
    epoch: usize,
) -> Value {
    let count = |units: &[u32]| records.source.records_in_all(units);
    json!({
        "data": records.data,
        "labels": records.labels,
        "split": records.split.name,
        "training_records": count(&records.split.train),
        "held_back_records": records.held_back.as_deref().map_or(0, count),
        "validation_records": count(&records.split.validation),
        "training_units": records.split.train.len(),
        "validation_units": records.split.validation.len(),
        "records_digest": records.digest(),
        "validation_digest": records.validation_digest(),
        "teachers_digest": teachers_digest,
        "goes_back_to": goes_back_to,
        "best_epoch_chosen_on": match &records.held_back {
            Some(_) => Some("held-back training records"),
            None => (!records.split.validation.is_empty()).then_some("validation records"),
        },
        "processes": processes,
        "epoch": epoch,
        "epochs": options.epochs,
        "seed": options.seed,
        "dropout": options.dropout(config.classes, config.dropout),
        "dropout_unit": options.dropout_unit(config.classes),
        "augmentations_changed": options.augmentation(1).map_or_else(Vec::new, |augmentation| augmentation.options.changed()),
        "revision": REVISION,
        "options": options,
    })
}
