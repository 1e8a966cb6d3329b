//! Entries of nested tables, by their paths.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Every entry of a table, and of the tables in it, by its path, such as `optimizer.beta1`.
fn by_path(table: &Value) -> Map<String, Value> {
    let mut entries = Map::new();
    let mut open = vec![(String::new(), table)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(table) => open.extend(table.iter().map(|(name, value)| {
                let separator = if path.is_empty() { "" } else { "." };
                (format!("{path}{separator}{name}"), value)
            })),
            value => _ = entries.insert(path, value.clone()),
        }
    }
    entries
}

/// The entries that two tables do not share, in the order of their paths, with what each table has there (`Null` where it has nothing).
pub(crate) fn differences(a: &Value, b: &Value) -> impl Iterator<Item = (String, [Value; 2])> + use<> {
    let [a, b] = [a, b].map(by_path);
    let paths: BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
    paths.into_iter().filter_map(move |path| {
        let values = [&a, &b].map(|entries| entries.get(&path).cloned().unwrap_or(Value::Null));
        (values[0] != values[1]).then_some((path, values))
    })
}

/// The name of the entry at a path.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_have_the_names_of_all_their_tables() {
        let entries = by_path(&json!({ "a": 1, "b": { "c": [2, 3], "d": { "e": null } }, "f": {} }));
        assert_eq!(Value::Object(entries), json!({ "a": 1, "b.c": [2, 3], "b.d.e": null }));
    }

    #[test]
    fn what_differs_or_is_in_one_table_only_is_listed() {
        let (a, b) = (
            json!({ "a": 1, "b": { "c": 2 }, "d": 3 }),
            json!({ "a": 1, "b": { "c": 4, "e": 5 } }),
        );
        let found: Vec<(String, [Value; 2])> = differences(&a, &b).collect();
        let entry = |path: &str, values: [Value; 2]| (path.to_owned(), values);
        let none = Value::Null;
        assert_eq!(
            found,
            [
                entry("b.c", [json!(2), json!(4)]),
                entry("b.e", [none.clone(), json!(5)]),
                entry("d", [json!(3), none]),
            ]
        );
        assert_eq!(name_of("b.c"), "c");
    }
}
