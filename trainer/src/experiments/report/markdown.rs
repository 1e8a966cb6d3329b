//! The report in Markdown.

use super::Findings;
use super::table::{COLUMNS, Figure, LEGEND, lines};
use crate::experiments::{Group, published_source};

/// The tables *published | ours*, and what there is to know about the runs.
pub fn markdown(findings: &Findings) -> String {
    let mut text = format!("# ECG-DualNet: published and ours\n\n{LEGEND}\n");
    for group in Group::ALL {
        text += &format!("\n## {}\n\n", group.title());
        text += &row(&COLUMNS.map(str::to_owned));
        text += &row(&COLUMNS.map(|_| "---".to_owned()));
        for line in lines(findings, group) {
            let [published, published_mean] = line.published;
            let ([best, best_mean], [last, last_mean]) = (line.best, line.last);
            let name = match line.figure {
                Figure::Accuracy => format!("{} (`{}`)", line.row.recipe.title, line.row.recipe.name),
                Figure::F1 => String::new(),
            };
            let figure = line.figure.name().to_owned();
            text += &row(&[
                name,
                figure,
                published,
                published_mean,
                best,
                best_mean,
                last,
                last_mean,
            ]);
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
    let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text of files in one line of Markdown that is neither markup nor the end of a cell.
fn escaped(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('&', "&amp;").replace('<', "&lt;").replace('|', "\\|")
}
