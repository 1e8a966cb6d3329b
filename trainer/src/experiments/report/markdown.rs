//! The report in Markdown.

use super::Findings;
use super::table::{COLUMNS, LEGEND, lines};
use crate::experiments::{Group, published_source};

/// The tables *published | ours*, and what there is to know about the runs.
pub fn markdown(findings: &Findings) -> String {
    let mut text = format!("# ECG-DualNet: published and ours\n\n{LEGEND}\n");
    for group in Group::ALL {
        text += &format!("\n## {}\n\n", group.title());
        text += &row(&COLUMNS.map(str::to_owned));
        text += &row(&COLUMNS.map(|_| "---".to_owned()));
        for line in lines(findings, group) {
            let recipe = line.row.recipe;
            text += &row(&line.cells(format!("{} (`{}`)", recipe.title, recipe.name)));
        }
    }
    let notes = findings.notes();
    if !notes.is_empty() {
        text += "\n## Notes\n\n";
        for note in notes {
            text += &format!("- {}\n", escaped(&note));
        }
    }
    text + &format!("\n## Source\n\n{}\n", published_source())
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| in_one_line(cell).replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text of files that is no markup.
fn escaped(text: &str) -> String {
    let line: Vec<char> = in_one_line(text).chars().collect();
    let is_in_word = |at: usize| {
        let is_letter = |at: usize| line.get(at).is_some_and(|letter| letter.is_alphanumeric());
        at > 0 && is_letter(at - 1) && is_letter(at + 1)
    };
    let mut escaped = String::new();
    for (at, &character) in line.iter().enumerate() {
        let is_markup = match character {
            '_' => !is_in_word(at),
            character => "\\`*[]~|".contains(character),
        };
        if is_markup {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Text in one line, without tags.
fn in_one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say_is_no_markup() {
        for (text, expected) in [
            ("__old__: no row", "\\_\\_old\\_\\_: no row"),
            ("batch_size 48", "batch_size 48"),
            ("![a](b)\n`c` ~d~ *e*", "!\\[a\\](b) \\`c\\` \\~d\\~ \\*e\\*"),
            ("<i>&|", "&lt;i>&amp;\\|"),
            ("a\\b", "a\\\\b"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
