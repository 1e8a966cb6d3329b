//! `trainer data`

use super::{thread_count, use_threads};
use crate::data::KnownDataset;
use crate::data::verify::{Findings, Kind, steps, verify};
use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Looks after data sets.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether a folder holds a data set as it was released.
    Verify(Verify),
}

/// Says whether a folder holds PhysioNet/CinC 2017, the 6000-record course set or Icentia11k as it was released, and names
/// the files that are missing, damaged, altered or extra (which do no harm).
///
/// Every file is read. Exit status: 0 whole, 1 not whole, 2 wrong usage or no data set that is known.
#[derive(Debug, Args)]
struct Verify {
    /// Folder of the data set.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Threads; the default is the number of cores.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// Name every file, not only the first ten of each kind.
    #[arg(long)]
    all: bool,
}

/// The data set is not whole: exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not as it was released")]
pub(super) struct NotWhole(String);

/// Of the files of each kind, so many are named.
const NAMED: usize = 10;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::Verify(arguments) = &arguments.command;
    let folder = arguments.folder.as_path();
    if !folder.is_dir() {
        bail!("{}: is no folder", folder.display());
    }
    use_threads(arguments.threads)?;
    let known = KnownDataset::of(folder)?;
    let bar = ProgressBar::new(steps(known, folder)? as u64);
    let findings = verify(known, folder, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let named = if arguments.all { usize::MAX } else { NAMED };
    super::answer(text(folder, known, &findings, named))?;
    match findings.is_whole() {
        true => Ok(()),
        false => Err(NotWhole(folder.display().to_string()).into()),
    }
}

fn text(folder: &Path, known: KnownDataset, findings: &Findings, named: usize) -> String {
    let verdict = if findings.is_whole() { "whole" } else { "not whole" };
    let mut text = format!("{}: {}\n", folder.display(), known.title());
    writeln!(text, "{} found: {verdict}", findings.records).ok();
    for kind in Kind::ALL {
        list(
            &mut text,
            kind.name(),
            &findings.faults_of(kind).collect::<Vec<_>>(),
            named,
        );
    }
    let extra: Vec<&str> = findings.extra.iter().map(String::as_str).collect();
    list(&mut text, "extra", &extra, named);
    text
}

fn list(text: &mut String, kind: &str, files: &[&str], named: usize) {
    if files.is_empty() {
        return;
    }
    writeln!(text, "{} {kind}:", files.len()).ok();
    for file in &files[..files.len().min(named)] {
        writeln!(text, "  {}", file.escape_debug()).ok();
    }
    if files.len() > named {
        writeln!(text, "  and {} more (--all names them)", files.len() - named).ok();
    }
}
