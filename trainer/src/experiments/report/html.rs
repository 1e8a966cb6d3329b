//! The report as one self-contained page.

use super::chart::{Series, chart};
use super::run_files::{EpochLine, Measured, RunFiles};
use super::table::{COLUMNS, LEGEND, lines};
use super::{Findings, Row};
use crate::experiments::{Data, Group, published, published_source};
use dualnet_export::network::ClassSet;
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
/// Curves have so many colours; more seeds begin again.
const COLOURS: usize = 4;

/// The page: the tables of the Markdown report, then of every row that was run its curves, confusion, F1 and circumstances.
pub fn html(findings: &Findings) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>ECG-DualNet: published and ours</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>ECG-DualNet: published and ours</h1>\n<p>{}</p>\n",
        escaped(LEGEND)
    );
    for group in Group::ALL {
        page += &format!("<h2>{}</h2>\n<div class=\"wide\">\n<table>\n", escaped(group.title()));
        page += &cells("th", &COLUMNS.map(str::to_owned));
        for line in lines(findings, group) {
            let title = line.row.recipe.title.to_owned();
            page += &cells("td", &line.cells(title));
        }
        page += "</table>\n</div>\n";
    }
    let notes = findings.notes();
    if !notes.is_empty() {
        page += "<h2>Notes</h2>\n<ul>\n";
        for note in notes {
            page += &format!("<li>{}</li>\n", escaped(&note));
        }
        page += "</ul>\n";
    }
    page += "<h2>Runs</h2>\n";
    for row in &findings.rows {
        page += &section(row);
    }
    page + &format!(
        "<h2>Source</h2>\n<p class=\"faint\">{}</p>\n</body>\n</html>\n",
        escaped(published_source())
    )
}

/// Text that is neither markup nor the end of an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // Not allowed in a page in any form.
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

/// One row of a table; `;` in a cell begins a new line.
fn cells(tag: &str, texts: &[String]) -> String {
    let mut row = "<tr>".to_owned();
    for text in texts {
        let lines: Vec<String> = text.split("; ").map(escaped).collect();
        let _ = write!(row, "<{tag}>{}</{tag}>", lines.join("<br/>"));
    }
    row + "</tr>\n"
}

fn section(row: &Row) -> String {
    let recipe = row.recipe;
    let mut html = format!(
        "<h3 id=\"{name}\">{} <span class=\"faint\">{name}</span></h3>\n",
        escaped(recipe.title),
        name = escaped(recipe.name)
    );
    if row.runs.is_empty() {
        return html + "<p class=\"faint\">not run</p>\n";
    }
    html += &curves(row);
    for run in &row.runs {
        html += &format!(
            "<h4>Seed {}: {}</h4>\n<div class=\"flow\">\n",
            run.seed,
            escaped(&run.standing())
        );
        for (name, measured) in [("best", &run.best), ("last", &run.last)] {
            if let Some(measured) = measured {
                html += &figures(name, measured, class_set(row));
            }
        }
        html += &circumstances(run);
        html += "</div>\n";
    }
    html
}

/// The three learning curves, ours over the published one.
fn curves(row: &Row) -> String {
    type Value = fn(&EpochLine) -> Option<f64>;
    // The values of validated epochs, and how many epochs lie between two.
    type Published<'a> = Option<(&'a Vec<f64>, usize)>;
    let curve = published(row.recipe.name).and_then(|published| published.curve.as_ref());
    let charts: [(&str, Published<'_>, Value); 3] = [
        ("Validation accuracy", curve.map(|curve| (&curve.accuracy, 2)), |line| {
            line.accuracy
        }),
        ("Validation macro F1", curve.map(|curve| (&curve.f1, 2)), |line| {
            line.f1_macro
        }),
        ("Training loss", curve.map(|curve| (&curve.loss, 1)), |line| {
            line.train_loss
        }),
    ];
    let mut html = "<div class=\"flow\">\n".to_owned();
    for (title, published, value) in charts {
        let mut series = Vec::new();
        if let Some((values, every)) = published {
            let points = values.iter().enumerate();
            series.push(Series {
                name: "published".to_owned(),
                class: "published".to_owned(),
                points: points
                    .map(|(place, &value)| (((place + 1) * every) as f64, value))
                    .collect(),
            });
        }
        series.extend(row.runs.iter().enumerate().map(|(place, run)| {
            Series {
                name: format!("seed {}", run.seed),
                class: format!("s{}", place % COLOURS),
                points: run
                    .log
                    .iter()
                    .filter_map(|line| Some((line.epoch as f64, value(line)?)))
                    .collect(),
            }
        }));
        html += &chart(title, &series);
        html.push('\n');
    }
    html += "</div>\n<p>";
    if let Some(curve) = curve {
        html += &format!(
            "<span class=\"key published\"></span>published ({}) ",
            escaped(&curve.run)
        );
    }
    for (place, run) in row.runs.iter().enumerate() {
        html += &format!("<span class=\"key s{}\"></span>seed {} ", place % COLOURS, run.seed);
    }
    html + "</p>\n"
}

/// The figures of the best or last epoch with the confusion matrix.
fn figures(name: &str, measured: &Measured, class_set: ClassSet) -> String {
    let figures = &measured.evaluation;
    let classes = class_names(
        class_set,
        figures.f1_per_class.len().max(figures.confusion.counts.len()),
    );
    let epoch = measured
        .epoch
        .map_or_else(String::new, |epoch| format!(" (epoch {epoch})"));
    let mut html = format!("<div>\n<p>{name} epoch{epoch}</p>\n<table>\n");
    let intervals = measured.intervals.clone().unwrap_or_default();
    let mut line = |name: &str, value: Option<f64>, interval: Option<[f64; 2]>| {
        let Some(value) = value else { return };
        let interval = interval.map_or_else(String::new, |[low, high]| format!("{low:.4} to {high:.4}"));
        html += &cells("td", &[name.to_owned(), format!("{value:.4}"), interval]);
    };
    line("accuracy", Some(figures.accuracy), intervals.accuracy);
    line("macro F1", Some(figures.f1_macro), intervals.f1_macro);
    line("F1 of N, A, O", figures.f1_challenge, intervals.f1_challenge);
    for (class, &f1) in figures.f1_per_class.iter().enumerate() {
        let interval = intervals.f1_per_class.get(class).copied();
        line(&format!("F1 of {}", classes[class]), Some(f1), interval);
    }
    line("AF sensitivity", figures.af_sensitivity, intervals.af_sensitivity);
    line("AF specificity", figures.af_specificity, intervals.af_specificity);
    line(
        "calibration error",
        figures.calibration_error,
        intervals.calibration_error,
    );
    html += "</table>\n";
    html += &matrix(&figures.confusion.counts, &classes);
    html + "</div>\n"
}

/// The confusion matrix, each cell tinted by its share of its row.
fn matrix(counts: &[Vec<u64>], classes: &[String]) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let mut html = "<table class=\"matrix\">\n<tr><th></th>".to_owned();
    for class in classes {
        html += &format!("<th>{}</th>", escaped(class));
    }
    html += "</tr>\n";
    for (class, row) in classes.iter().zip(counts) {
        let total = row.iter().map(|&count| count as f64).sum::<f64>().max(1.0);
        html += &format!("<tr><th>{}</th>", escaped(class));
        for &count in row {
            let share = 0.75 * count as f64 / total;
            html += &format!("<td style=\"background: rgba(var(--tint), {share:.3})\">{count}</td>");
        }
        html += "</tr>\n";
    }
    html + "</table>\n<p class=\"faint\">row: reference, column: predicted</p>\n"
}

/// Under which circumstances a run was made.
fn circumstances(run: &RunFiles) -> String {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    };
    let speed = run.records_per_second().map(|speed| format!("{speed:.1}"));
    let training = &run.training;
    let facts = [
        ("revision", text(&training["revision"])),
        ("data", text(&training["data"])),
        ("labels", text(&training["labels"])),
        ("training records", text(&training["training_records"])),
        ("validation records", text(&training["validation_records"])),
        ("device", text(&training["options"]["device"])),
        ("batch size", text(&training["options"]["batch_size"])),
        ("records/s", speed),
        (
            "differs from the recipe",
            Some(run.differences.join("; ")).filter(|text| !text.is_empty()),
        ),
        (
            "problems",
            Some(run.problems.join("; ")).filter(|text| !text.is_empty()),
        ),
    ];
    let mut html = "<table>\n".to_owned();
    for (name, fact) in facts {
        if let Some(fact) = fact {
            html += &cells("td", &[name.to_owned(), fact]);
        }
    }
    html += &cells("td", &["seed".to_owned(), run.seed.to_string()]);
    html + "</table>\n"
}

/// What the classes of a row are.
fn class_set(row: &Row) -> ClassSet {
    match row.recipe.data {
        Data::Icentia11k => ClassSet::Icentia11k,
        Data::Paper | Data::Challenge => ClassSet::Challenge,
    }
}

fn class_names(class_set: ClassSet, count: usize) -> Vec<String> {
    let names: &[&str] = match count {
        2 | 4 => class_set.names(count),
        _ => &[],
    };
    let name = |class: usize| {
        names
            .get(class)
            .map_or_else(|| format!("class {class}"), |&name| name.to_owned())
    };
    (0..count).map(name).collect()
}
