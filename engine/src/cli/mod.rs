//! The command line. Exit codes: 0 everything was done, 1 records failed, 2 wrong usage, or the work could not begin or its results not be written.

mod classify;
mod destination;
mod heap;
mod info;
mod inputs;
mod report;
mod score;
mod text;
mod unfinished;
mod workers;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use dualnet_engine::record::printable;
use dualnet_engine::{Model, Precision};

/// Finds atrial fibrillation in short single-lead ECG recordings. Research software: not for diagnosis.
#[derive(Debug, Parser)]
#[command(name = "engine", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Classify(classify::Arguments),
    Info(info::Arguments),
    Score(score::Arguments),
}

/// Form of a command's output that is a single answer.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a person.
    Text,
    /// One JSON object.
    Json,
}

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Complete,
    SomeFailed,
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    heap::prepare();
    let result = match Arguments::parse().command {
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
    };
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report_error(&error.to_string());
            ExitCode::from(2)
        }
    }
}

/// The model file at `path`, or the embedded one of that precision.
fn model(path: Option<&Path>, precision: Option<Precision>) -> anyhow::Result<Model> {
    Ok(match (path, precision) {
        (Some(path), _) => Model::open(path)?,
        (None, Some(Precision::Int8)) => Model::embedded_int8()?,
        (None, _) => Model::embedded()?,
    })
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes one line to standard error; if nobody reads that either, it is lost.
fn report_error(message: &str) {
    report("error", message);
}

/// Something worth knowing that is no failure, as one line on standard error.
fn report_note(message: &str) {
    report("note", message);
}

fn report(kind: &str, message: &str) {
    use io::Write;
    let line = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    writeln!(io::stderr(), "{kind}: {}", printable(&line)).ok();
}
