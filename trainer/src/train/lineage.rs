//! Which networks a network goes back to: those it began from and learned from, and those that these go back to.

use serde_json::{Value, json};

/// The entry of `dualnet.training` that names them.
const ENTRY: &str = "goes_back_to";

/// What must be known of a training to tell which records it may have learned, and how long.
const KEPT: [&str; 6] = ["dataset", "split", "limit", "hold_back", "seed", "epochs"];

/// The entry of a network that comes of these trainings: each of them without its own entry, and all that they go back to.
pub(super) fn entry<'a>(sources: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for source in sources.into_iter().filter(|source| !source.is_null()) {
        for training in std::iter::once(&summary(source)).chain(ancestors(source)) {
            if !all.contains(training) {
                all.push(training.clone());
            }
        }
    }
    Value::Array(all)
}

/// What a network's training says of those it goes back to.
pub(crate) fn ancestors(training: &Value) -> impl Iterator<Item = &Value> {
    training[ENTRY].as_array().into_iter().flatten()
}

/// The entry of a network's training, to be handed on as it is.
pub(super) fn entry_of(training: &Value) -> Value {
    let entry = &training[ENTRY];
    match entry.is_array() {
        true => entry.clone(),
        false => json!([]),
    }
}

fn summary(training: &Value) -> Value {
    let options = &training["options"];
    let kept: serde_json::Map<String, Value> = KEPT
        .iter()
        .filter_map(|&name| Some((name.to_owned(), options.get(name)?.clone())))
        .collect();
    json!({
        "records_digest": training["records_digest"],
        "validation_digest": training["validation_digest"],
        "training_units": training["training_units"],
        "options": kept,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_goes_back_to_its_sources_and_to_theirs_once() {
        let training = |split: &str, before: Value| json!({ "epoch": 3, "options": { "split": split, "batch_size": 9 }, ENTRY: before });
        let first = training("first", Value::Null);
        let second = training("second", entry([&first]));
        let third = training("third", entry([&second, &first, &Value::Null]));
        let splits = |training: &Value| -> Vec<String> {
            let of = |training: &Value| training["options"]["split"].as_str().unwrap_or_default().to_owned();
            ancestors(training).map(of).collect()
        };
        assert!(splits(&first).is_empty());
        assert_eq!(splits(&second), ["first"]);
        assert_eq!(splits(&third), ["second", "first"]);
        assert_eq!(entry_of(&third), third[ENTRY]);
        assert_eq!(entry_of(&first), json!([]));
        // Nothing else is carried along.
        assert!(third.to_string().matches("batch_size").count() == 1);
    }
}
