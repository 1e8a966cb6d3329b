//! What an epoch's record says, field by field: whatever fields it has, they reach the logs.

use crate::error::TrainerError;
use serde::Serialize;
use serde_json::Value;

/// Which part of an epoch a field is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Training,
    Validation,
}

/// One field of a record that has a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) value: Value,
}

/// The fields of a record but `epoch` and those without a value.
pub(super) fn fields(record: &impl Serialize) -> Result<Vec<Field>, TrainerError> {
    let unfit = |reason: String| TrainerError::Internal(format!("the record of an epoch cannot be logged: {reason}"));
    let value = serde_json::to_value(record).map_err(|error| unfit(error.to_string()))?;
    let Value::Object(entries) = value else {
        return Err(unfit("it has no named fields".to_owned()));
    };
    Ok(entries
        .into_iter()
        .filter(|(name, value)| name != "epoch" && !value.is_null())
        .map(|(name, value)| Field {
            scope: scope(&name),
            name,
            value,
        })
        .collect())
}

fn scope(name: &str) -> Scope {
    const MEASURES: [&str; 8] = [
        "validation_",
        "trained_",
        "accuracy",
        "f1_",
        "af_",
        "calibration",
        "sensitivity",
        "specificity",
    ];
    match MEASURES.iter().any(|start| name.starts_with(start)) {
        true => Scope::Validation,
        false => Scope::Training,
    }
}

impl Field {
    /// The numbers of the field with TensorBoard's tags; lists and tables give one tag per entry.
    pub(super) fn scalars(&self) -> Vec<(String, f64)> {
        let mut found = Vec::new();
        numbers(self.tag(), &self.value, &mut found);
        found
    }

    fn tag(&self) -> String {
        let name = &self.name;
        match self.scope {
            Scope::Validation => format!("validation/{}", name.strip_prefix("validation_").unwrap_or(name)),
            Scope::Training if name == "learning_rate" => name.clone(),
            Scope::Training if name.ends_with("_per_second") => format!("speed/{name}"),
            Scope::Training => match name.strip_prefix("train_") {
                Some(measure) => format!("{measure}/train"),
                None => format!("epoch/{name}"),
            },
        }
    }
}

fn numbers(tag: String, value: &Value, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => found.extend(number.as_f64().map(|number| (tag, number))),
        Value::Bool(truth) => found.push((tag, f64::from(u8::from(*truth)))),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| numbers(format!("{tag}/{index}"), item, found)),
        Value::Object(entries) => entries
            .iter()
            .for_each(|(name, item)| numbers(format!("{tag}/{name}"), item, found)),
        Value::Null | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_number_has_a_tag_whatever_the_fields() {
        let record = json!({
            "epoch": 3, "learning_rate": 0.5, "train_loss": 1.5, "records_per_second": 8, "seconds": 2.5, "accuracy": 0.75,
            "f1_per_class": [0.25, null], "validation_loss": 4, "trained_accuracy": 0.125, "accuracy_interval": {"low": 0.5, "high": 1.0}, "f1_macro": null,
            "note": "text",
        });
        let scalars: Vec<_> = fields(&record)
            .expect("fields")
            .iter()
            .flat_map(Field::scalars)
            .collect();
        let expected = [
            ("learning_rate", 0.5),
            ("loss/train", 1.5),
            ("speed/records_per_second", 8.0),
            ("epoch/seconds", 2.5),
            ("validation/accuracy", 0.75),
            ("validation/f1_per_class/0", 0.25),
            ("validation/loss", 4.0),
            ("validation/trained_accuracy", 0.125),
            ("validation/accuracy_interval/low", 0.5),
            ("validation/accuracy_interval/high", 1.0),
        ];
        assert_eq!(scalars, expected.map(|(tag, value)| (tag.to_owned(), value)));
        fields(&1).expect_err("a number is no record");
    }
}
