//! What a run learned from: figures of other records, or of a network that began from other weights, are not the row's.

use super::{Data, Overrides, Recipe, deviations, find};
use crate::data::KnownDataset;
use crate::train::{ICENTIA_LABELS, RELEASED_LABELS, TrainOptions, ancestors};
use dualnet_export::network::{NetworkConfig, NetworkError};
use serde_json::Value;
use std::path::PathBuf;

/// Every difference of a run from a row: of its network and options, of the records it had, and of the weights it began from. `training` is what
/// its files say of it, and nothing where they say nothing.
///
/// # Errors
/// As [`Recipe::network`].
pub(super) fn differences(
    recipe: &Recipe,
    seed: u64,
    overrides: &Overrides,
    (network, options): (&NetworkConfig, &TrainOptions),
    training: &Value,
) -> Result<Vec<String>, NetworkError> {
    let load = recipe.starts_from.map(PathBuf::from);
    let wanted = recipe.options(seed, load, overrides);
    let mut found = deviations((network, options), (&recipe.network(overrides)?, &wanted));
    // A limit leaves some of the records by intention, and differs from a row that has none.
    if options.limit.is_none() {
        found.extend(other_records(recipe.data, training));
    }
    if let Some(source) = recipe.starts_from.and_then(find) {
        let epochs = overrides.epochs.unwrap_or(source.epochs);
        found.extend(other_weights(epochs, options.limit, training));
    }
    Ok(found)
}

/// Patients that train.
const PATIENTS: usize = 10_000;

/// In what the records differ from those that were published.
fn other_records(data: Data, training: &Value) -> Vec<String> {
    if training.is_null() {
        return Vec::new();
    }
    let (what, [learned, validating], labels) = match data {
        Data::Paper => ("records", [7000, 1528], RELEASED_LABELS),
        Data::Challenge => ("records", [8028, 500], RELEASED_LABELS),
        // Files, of which some have fewer segments than others.
        Data::Icentia11k => ("units", [PATIENTS, 1000], ICENTIA_LABELS),
    };
    let mut found = Vec::new();
    for (part, wanted) in [("training", learned), ("validation", validating)] {
        let count = &training[format!("{part}_{what}")];
        // Older runs do not say how many files they had.
        if !count.is_null() && *count != wanted {
            found.push(format!("{part} {what} {count}, not {wanted}"));
        }
    }
    if training["labels"].as_str() != Some(labels) {
        found.push(format!("labels {}, not {labels}", training["labels"]));
    }
    found
}

/// Why the weights that a run began from are not those of a pre-training of so many epochs, if they say so. Weights of the original's format say nothing.
fn other_weights(epochs: usize, limit: Option<usize>, training: &Value) -> Option<String> {
    let is_or_unsaid = |value: &Value, wanted: usize| value.is_null() || *value == wanted;
    let is_pre_training = |source: &Value| {
        let options = &source["options"];
        let (is_whole, is_trial) = (options["limit"].is_null(), limit.is_some());
        options["dataset"] == KnownDataset::Icentia11k.name()
            && (is_whole || options["limit"].as_u64() == limit.map(|limit| limit as u64))
            && is_or_unsaid(&options["epochs"], epochs)
            && (is_trial || is_or_unsaid(&source["training_units"], PATIENTS))
    };
    ancestors(training)
        .any(|source| !is_pre_training(source))
        .then(|| "starts from other weights than those of a whole pre-training on Icentia11k".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(row: &str, training: &Value, limit: Option<usize>) -> Vec<String> {
        let recipe = find(row).expect("a row");
        let overrides = Overrides {
            limit,
            ..Overrides::default()
        };
        let network = recipe.network(&overrides).expect("a network");
        let options = recipe.options(1, recipe.starts_from.map(PathBuf::from), &overrides);
        differences(recipe, 1, &overrides, (&network, &options), training).expect("differences")
    }

    fn training(records: (u64, u64), labels: &str, sources: &Value) -> Value {
        json!({
            "training_records": records.0,
            "validation_records": records.1,
            "training_units": 100,
            "validation_units": 10,
            "labels": labels,
            "goes_back_to": sources,
        })
    }

    #[test]
    fn other_records_and_labels_are_another_recipe() {
        let released = training((7000, 1528), RELEASED_LABELS, &json!([]));
        assert_eq!(found("dualnet-s", &released, None), [""; 0]);
        let revised = training((7000, 1528), "revised (REFERENCE-v3.csv)", &json!([]));
        assert_eq!(
            found("dualnet-s", &revised, None),
            ["labels \"revised (REFERENCE-v3.csv)\", not as released (REFERENCE.csv)"]
        );
        let few = training((5000, 500), ICENTIA_LABELS, &json!([]));
        assert_eq!(
            found("pretrain-dualnet-xl", &few, None),
            ["training units 100, not 10000", "validation units 10, not 1000"]
        );
        assert_eq!(found("pretrain-dualnet-xl", &few, Some(8)), [""; 0]);
        assert_eq!(found("dualnet-s", &Value::Null, None), [""; 0]);
    }

    #[test]
    fn a_fine_tuned_network_comes_from_a_pre_training() {
        let source =
            |dataset: KnownDataset, limit: Option<u64>| json!({ "options": { "dataset": dataset, "limit": limit } });
        let of_so_many = |epochs: u64, patients: u64| json!({ "training_units": patients, "options": { "dataset": KnownDataset::Icentia11k, "limit": null, "epochs": epochs } });
        let of = |sources: &Value| training((7000, 1528), RELEASED_LABELS, sources);
        let row = "fine-tuned-dualnet-xl";
        let whole = source(KnownDataset::Icentia11k, None);
        assert_eq!(found(row, &of(&json!([])), None), [""; 0]);
        assert_eq!(found(row, &of(&json!([whole])), None), [""; 0]);
        assert_eq!(
            found(row, &of(&json!([source(KnownDataset::Icentia11k, Some(8))])), Some(8)),
            [""; 0]
        );
        assert_eq!(found(row, &of(&json!([of_so_many(20, 10_000)])), None), [""; 0]);
        for strange in [
            json!([of_so_many(1, 10_000)]),
            json!([of_so_many(20, 3)]),
            json!([source(KnownDataset::Physionet, None)]),
            json!([whole, source(KnownDataset::Physionet, None)]),
            json!([source(KnownDataset::Icentia11k, Some(8))]),
        ] {
            assert_eq!(
                found(row, &of(&strange), None),
                ["starts from other weights than those of a whole pre-training on Icentia11k"]
            );
        }
    }
}
