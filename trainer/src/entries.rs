//! Entries of nested tables, by their paths.

use serde_json::{Map, Value};

/// Every entry of a table, and of the tables in it, by its path, such as `optimizer.beta1`.
pub(crate) fn by_path(table: &Value) -> Map<String, Value> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_have_the_names_of_all_their_tables() {
        let entries = by_path(&json!({ "a": 1, "b": { "c": [2, 3], "d": { "e": null } }, "f": {} }));
        assert_eq!(Value::Object(entries), json!({ "a": 1, "b.c": [2, 3], "b.d.e": null }));
    }
}
