//! Names that come out of files and messages of other libraries, made fit for a one-line message.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// `text` with its lines joined by blanks and control characters escaped, cut after 300 characters.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let lines: Vec<&str> = text
        .split(['\n', '\r', '\t'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let joined = lines.join(" ");
    let mut characters = joined.chars();
    let mut line = escaped(characters.by_ref().take(LONGEST));
    if characters.next().is_some() {
        line.push('…');
    }
    line
}

/// How messages name the file at `path`: in full, however long, with control characters escaped.
pub(super) fn label(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// `text` with control characters escaped, which a terminal would obey.
pub fn printable(text: &str) -> String {
    escaped(text.chars())
}

/// Writes a path that is not UTF-8 with replacement characters.
///
/// # Errors
/// Those of `serializer`.
pub fn lossy<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(Path::to_string_lossy).serialize(serializer)
}

fn escaped(characters: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for character in characters {
        match character.is_control() {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_names_become_one_short_line() {
        assert_eq!(one_line("a\n  b\tc\r\n"), "a b c");
        assert_eq!(one_line("two  blanks\u{1b}[31m"), "two  blanks\\u{1b}[31m");
        assert_eq!(one_line(&"ä".repeat(1000)).chars().count(), 301);
    }

    #[test]
    fn a_terminal_gets_no_command_from_a_name() {
        assert_eq!(printable("a\u{1b}[31m\u{9b}\nµ"), "a\\u{1b}[31m\\u{9b}\\nµ");
    }
}
