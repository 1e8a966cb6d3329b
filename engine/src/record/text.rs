//! Names that come out of files, made fit for a one-line message.

use std::path::Path;

/// `text` with control characters escaped, and cut after 200 characters.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut characters = text.chars();
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
    fn a_terminal_gets_no_command_from_a_name() {
        assert_eq!(printable("a\u{1b}[31m\u{9b}\nµ"), "a\\u{1b}[31m\\u{9b}\\nµ");
    }
}
