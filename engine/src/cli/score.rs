//! `engine score`: predictions against a reference.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dualnet_engine::score::{CompetitionScore, Label, score_files};

use super::text::rhythm;
use super::{Format, Outcome, destination::Destination, report_note};

/// Score predictions against a reference, as the PhysioNet/CinC 2017 competition did: a record without a prediction, or with `?` for one
/// (`engine classify --min-confidence`), counts as predicted normal.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Lines record,label.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// Lines record,label[,probability…], with or without a header: the competition's form, and that of
    /// `engine classify --format csv`.
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let score = score_files(&arguments.reference, &arguments.predictions)?;
    if score.repeated > 0 {
        report_note(&format!(
            "{} predictions are for records that have one already, {} of another class; the first counts",
            score.repeated, score.contradicting
        ));
    }
    let missing = score.reference - score.predicted;
    if missing > 0 {
        report_note(&format!(
            "{missing} of the reference's {} records have no prediction and count as {}, as in the competition; {} of them are left undecided (?). \
             {} predictions are for records that it does not have",
            score.reference, score.missing_predictions_count_as, score.undecided, score.unknown
        ));
    }
    let text = match arguments.format {
        Format::Text => text(&score),
        Format::Json => serde_json::to_string_pretty(&score)? + "\n",
    };
    let mut output = Destination::open(None)?;
    output.write(text.as_bytes())?;
    output.finish()?;
    Ok(Outcome::Complete)
}

fn text(score: &CompetitionScore) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        writeln!(text, "{key:<28} {value}").ok();
    };
    line("records in the reference", score.reference.to_string());
    line(
        "predicted",
        format!(
            "{} (the others count as {})",
            score.predicted, score.missing_predictions_count_as
        ),
    );
    if score.undecided > 0 {
        let undecided = format!(
            "{} (count as {} too)",
            score.undecided, score.missing_predictions_count_as
        );
        line("undecided, ?", undecided);
    }
    if score.unknown > 0 {
        line("not in the reference", format!("{} (ignored)", score.unknown));
    }
    line("accuracy", format!("{:.4}", score.accuracy));
    line("macro F1", format!("{:.4}", score.f1_macro));
    line("challenge F1 (N, A, O)", format!("{:.4}", score.f1_challenge));
    line("F1, AF against normal", format!("{:.4}", score.f1_af_vs_normal));
    line("F1, classes present", format!("{:.4}", score.f1_multi));
    for (label, f1) in Label::ALL.iter().zip(&score.f1_per_class) {
        line(
            &format!("F1 {label}, {}", rhythm(label.symbol(), 4)),
            format!("{f1:.4}"),
        );
    }
    writeln!(text, "\nreference \\ predicted{:>7}{:>7}{:>7}{:>7}", "N", "O", "A", "~").ok();
    for (label, counts) in Label::ALL.iter().zip(&score.confusion.counts) {
        write!(text, "{label:>21}").ok();
        for count in counts {
            write!(text, "{count:>7}").ok();
        }
        text.push('\n');
    }
    text
}
