//! In what a run differs from its recipe: figures of another recipe are not the row's.

use crate::entries::by_path;
use crate::train::TrainOptions;
use dualnet_export::network::NetworkConfig;
use serde_json::{Map, Value};

/// What may differ between two runs of one recipe.
const FREE: [&str; 5] = [
    "device",
    "load",
    "earlier_plans",
    "checkpoint_every",
    "checkpoint_steps",
];

/// Every difference of a run from a recipe, each a network and its options, such as `epochs 2, not 100`.
pub fn deviations(
    (network, options): (&NetworkConfig, &TrainOptions),
    (wanted_network, wanted_options): (&NetworkConfig, &TrainOptions),
) -> Vec<String> {
    let mut found = Vec::new();
    if network.name != wanted_network.name {
        found.push(format!("network {}, not {}", network.name, wanted_network.name));
    } else if network != wanted_network {
        found.push(format!("another {} than the recipe's", network.name));
    }
    let (run, recipe) = (fields(network, options), fields(wanted_network, wanted_options));
    let mut names: Vec<&String> = run.keys().chain(recipe.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| !FREE.contains(&name.as_str())) {
        let [run, recipe] = [&run, &recipe].map(|fields| fields.get(name).unwrap_or(&Value::Null));
        if run != recipe {
            found.push(format!("{name} {}, not {}", shown(run), shown(recipe)));
        }
    }
    let loads = |fields: &Map<String, Value>| fields.get("load").is_some_and(|load| !load.is_null());
    match (loads(&run), loads(&recipe)) {
        (true, false) => found.push("starts from other weights".to_owned()),
        (false, true) => found.push("starts from no other weights".to_owned()),
        _ => {}
    }
    found
}

/// By name; those of a table as `table.name`. What is left to a rule is what the rule says.
fn fields(network: &NetworkConfig, options: &TrainOptions) -> Map<String, Value> {
    let options = TrainOptions {
        dropout: Some(options.dropout(network.classes, network.dropout)),
        dropout_unit: Some(options.dropout_unit(network.classes)),
        class_weights: Some(options.class_weights(network.classes).to_vec()),
        ..options.clone()
    };
    serde_json::to_value(options).map_or_else(|_| Map::new(), |options| by_path(&options))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::{Overrides, find};

    /// What `trainer train --network dualnet-s` trains is the row dualnet-s, which spells out what the rules say.
    #[test]
    fn the_defaults_are_the_published_recipe() {
        let none = Overrides::default();
        let recipe = find("dualnet-s").expect("a row");
        let network = recipe.network(&none).expect("a network");
        let wanted = recipe.options(TrainOptions::default().seed, None, &none);
        let differences = |options: &TrainOptions| deviations((&network, options), (&network, &wanted));
        assert_eq!(differences(&TrainOptions::default()), [""; 0]);
        let without = TrainOptions {
            augmentation: 0.0,
            ..TrainOptions::default()
        };
        assert_eq!(
            differences(&without),
            ["augmentation 0.0, not 0.2", "dropout 0.0, not 0.05"]
        );
    }
}
