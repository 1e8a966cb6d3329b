//! The program `trainer`: one file per subcommand.

mod answers;
mod beats;
mod check;
mod configuration;
mod convert;
mod crossval;
mod data;
mod evaluate;
mod figures;
mod flags;
mod launch;
mod predict;
mod progress;
mod report;
mod reproduce;
mod train;
mod weights;

use crate::data::{DataError, Split};
use crate::device::device;
use crate::distributed::Place;
use crate::error::TrainerError;
use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};
use dualnet_engine::pending::{self, check_lost};
use dualnet_engine::record::printable;
use dualnet_export::network::NetworkConfig;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tch::Device;

/// Train and evaluate ECG-DualNet.
#[derive(Debug, Parser)]
#[command(
    name = "trainer",
    version,
    after_help = "Examples:\n  \
        trainer train --data training2017 --network dualnet-s --run runs/s    the published recipe\n  \
        trainer train --data training2017 --resume --run runs/s               go on after a stop\n  \
        trainer launch --nproc 2 train --data training2017 --network dualnet-s --run runs/s  two processes\n  \
        trainer evaluate runs/s/best.safetensors --data training2017          accuracy and F1\n  \
        trainer crossval --data training2017 --network dualnet-s --runs runs/cv  5 folds, labels v3\n  \
        trainer beats --data training2017 --output beats.json                 read the beats too\n  \
        trainer predict runs/s training2017 -o answers.csv                    a line record,class for each\n  \
        trainer data verify training2017                                      is it as it was released?\n\n\
        Exit status: 0 done; 1 some records failed, a data set is not whole, or a report lacks what a run's broken files hold; 2 wrong usage, \
        or an error; 130 stopped by Ctrl-C or another signal; what was trained is gone on with by --resume or the same command."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network, or go on with a run that was stopped.
    Train(train::Arguments),
    /// Train in several processes on this machine.
    Launch(launch::Arguments),
    /// Run the experiments of the paper.
    Reproduce(reproduce::Arguments),
    /// Run the ablations of the paper.
    Ablations(reproduce::AblationArguments),
    /// Put what the runs reached beside what was published.
    Report(report::Arguments),
    /// Measure a checkpoint or an ONNX file on the records of a split.
    Evaluate(evaluate::Arguments),
    /// Write a checkpoint as .pt for Python, or as .safetensors.
    Convert(convert::Arguments),
    /// Cross-validate a network.
    Crossval(crossval::Arguments),
    /// Fit what reads a rhythm from a lead's beats, beside a network.
    Beats(beats::Arguments),
    /// Name the rhythm of records.
    Predict(predict::Arguments),
    /// Say whether a data set is whole.
    Data(data::Arguments),
}

/// Runs the program; the exit code is 0, 1 when some records failed, a data set is not whole or a run's files are broken, 130 when it was asked to stop, or 2
/// after an error.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    let takes_split = matches!(command, Command::Train(_) | Command::Evaluate(_) | Command::Beats(_));
    let result = match command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Launch(arguments) => launch::run(&arguments),
        Command::Reproduce(arguments) => alone("reproduce").and_then(|()| reproduce::run(&arguments)),
        Command::Ablations(arguments) => alone("ablations").and_then(|()| reproduce::run_ablations(&arguments)),
        Command::Report(arguments) => report::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Crossval(arguments) => alone("crossval").and_then(|()| crossval::run(&arguments)),
        Command::Beats(arguments) => alone("beats").and_then(|()| beats::run(&arguments)),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Data(arguments) => data::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let told = error.downcast_ref::<ToldElsewhere>();
            if told.is_none() {
                warn(one_line(&error) + &advice(&error, takes_split));
            }
            let is_in_part =
                error.is::<predict::SomeFailed>() || error.is::<data::NotWhole>() || error.is::<report::SomeBroken>();
            let is_stopped = told.is_some_and(|told| told.is_stopped)
                || matches!(
                    error.downcast_ref(),
                    Some(TrainerError::Interrupted { .. } | TrainerError::NotBegun)
                );
            ExitCode::from(match (is_in_part, is_stopped) {
                (true, _) => 1,
                (_, true) => STOPPED as u8,
                _ => 2,
            })
        }
    }
}

/// The exit status of what was asked to stop.
const STOPPED: i32 = 130;

/// An error that another process reports.
#[derive(Debug, thiserror::Error)]
#[error("another process says what went wrong")]
struct ToldElsewhere {
    /// Whether nothing went wrong, and all was asked to stop.
    is_stopped: bool,
}

/// Says what goes on. That nobody listens any more, as behind `| head`, is no reason to end it.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what is wrong, on a line of standard error without control characters.
fn warn(line: impl std::fmt::Display) {
    eprintln!("trainer: {}", printable(&line.to_string()));
}

/// Prints what was asked for, as far as somebody listens.
fn answer(text: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}

/// Refuses to run as one of several processes, which would all write the same files.
fn alone(command: &str) -> anyhow::Result<()> {
    match Place::from_environment() {
        Ok(Some(place)) => anyhow::bail!(
            "{command} runs in one process, not in {}; only train shares its work",
            place.size
        ),
        _ => Ok(()),
    }
}

/// Whether a command line, the program's name first, is one of `trainer`; the error is what the program would print.
pub fn parses<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    Cli::try_parse_from(arguments)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// What the flags can do about an error, behind it.
fn advice(error: &anyhow::Error, takes_split: bool) -> String {
    match error.downcast_ref() {
        Some(TrainerError::Data(DataError::SplitSize { .. })) if takes_split => {
            format!("; --split names another one: {}, or a file", Split::NAMES.join(", "))
        }
        _ => String::new(),
    }
}

/// An error and the causes that it does not quote itself, on one line.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { ": " };
        text = text + separator + &cause;
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Numbers of threads that make sense anywhere.
fn thread_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

/// Sets the number of threads of libtorch, of our kernels and of what reads recordings; the default is the number of cores, divided among the
/// processes of a team.
fn use_threads(threads: Option<usize>) -> anyhow::Result<()> {
    let threads = threads.unwrap_or_else(|| (cores() / Place::processes_here()).max(1));
    tch::set_num_threads(i32::try_from(threads)?);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    Ok(())
}

/// Threads that prepare batches: one keeps up with a processor, a GPU is faster than that.
fn loader_threads(name: &str) -> usize {
    match device(name, 0) {
        Ok(Device::Cpu) => 1,
        _ => (cores() / Place::processes_here() / 2).clamp(1, 4),
    }
}

/// The names of a network's classes.
fn class_names(config: &NetworkConfig) -> Vec<String> {
    config.class_names().iter().map(|&class| class.to_owned()).collect()
}

/// The number of cores, or 1 when it is unknown.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Refuses a file that could not be written once its content is made, or would be written over a recording or one of `read`, each a path and what it is.
fn check_output<'a>(path: &Path, read: impl IntoIterator<Item = (&'a Path, &'a str)>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        bail!("-: this is written to a file, not to standard output; ./- is the name of a file");
    }
    if path.is_dir() {
        bail!("{}: is a folder, not a file to write", path.display());
    }
    check_lost(path, read).map_err(anyhow::Error::msg)?;
    match path.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => {
            bail!("{}: there is no such folder to write to", folder.display())
        }
        _ => Ok(()),
    }
}

/// Whether two files that need not be there yet are one, however they are named.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let beside = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
        path.canonicalize().ok().or_else(beside)
    };
    one == other || place(one).is_some_and(|one| place(other) == Some(one))
}

/// Writes a file that appears when it is complete.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    pending::write(path, bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let cause = anyhow::anyhow!("no such file").context("labels.csv: no such file");
        assert_eq!(one_line(&cause), "labels.csv: no such file");
        let cause = Err::<(), _>(anyhow::anyhow!("first\n  second")).context("run.toml");
        assert_eq!(one_line(&cause.expect_err("an error")), "run.toml: first second");
    }
}
