//! Names that come out of files, made fit for a one-line message.

use std::path::Path;

/// `text` with control characters escaped, and cut after 200 characters.
pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// How messages name the file at `path`: in full, however long, with control characters escaped.
pub(super) fn label(path: &Path) -> String {
    path.display()
        .to_string()
        .chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = (!character.is_control()).then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
