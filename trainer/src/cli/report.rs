//! `trainer report`

use crate::experiments::report::{Findings, html, markdown};
use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;

/// Writes report.md, the table *published | ours*, and report.html, which adds learning curves over the published ones,
/// confusion matrices and the F1 of each class.
///
/// Reads the folders that `trainer reproduce` makes. A row that was not run says so; what is missing or broken is named, with exit
/// status 1. A folder without any run is an error.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of the runs (<row>/seed-<n>).
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Folder for report.md and report.html.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

/// Some runs have no figures, or not all: exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the runs have missing or broken files, as said above; the report is without what they hold")]
pub(super) struct SomeBroken(usize);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let findings = Findings::read(&arguments.runs).with_context(|| arguments.runs.display().to_string())?;
    if findings.is_empty() {
        let notes = findings.notes();
        let found = match notes.as_slice() {
            [] => String::new(),
            [only] => format!(" ({only})"),
            [first, others @ ..] => format!(" ({first}; and {} more)", others.len()),
        };
        bail!(
            "{}: holds no run, which would be a folder such as dualnet-s/seed-1 in it{found}",
            arguments.runs.display()
        );
    }
    std::fs::create_dir_all(&arguments.output).with_context(|| arguments.output.display().to_string())?;
    for (name, text) in [("report.md", markdown(&findings)), ("report.html", html(&findings))] {
        let path = arguments.output.join(name);
        super::write(&path, text.as_bytes())?;
        super::say(path.display());
    }
    for note in findings.notes() {
        super::warn(note);
    }
    match findings.broken_runs() {
        0 => Ok(()),
        broken => Err(SomeBroken(broken).into()),
    }
}
