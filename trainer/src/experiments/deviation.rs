//! In what a run differs from its recipe: figures of another recipe are not the row's.

use crate::entries::differences;
use crate::train::TrainOptions;
use dualnet_export::network::NetworkConfig;
use serde_json::Value;

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
    let [run, recipe] = [(network, options), (wanted_network, wanted_options)].map(fields);
    let different = differences(&run, &recipe).filter(|(path, _)| !FREE.contains(&path.as_str()));
    found.extend(different.map(|(path, [run, recipe])| format!("{path} {}, not {}", shown(&run), shown(&recipe))));
    match (options.load.is_some(), wanted_options.load.is_some()) {
        (true, false) => found.push("starts from other weights".to_owned()),
        (false, true) => found.push("starts from no other weights".to_owned()),
        _ => {}
    }
    found
}

/// What is left to a rule is what the rule says.
fn fields((network, options): (&NetworkConfig, &TrainOptions)) -> Value {
    let options = TrainOptions {
        dropout: Some(options.dropout(network.classes, network.dropout)),
        dropout_unit: Some(options.dropout_unit(network.classes)),
        class_weights: Some(options.class_weights(network.classes).to_vec()),
        ..options.clone()
    };
    serde_json::to_value(options).unwrap_or_default()
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
