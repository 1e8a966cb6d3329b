//! The program `trainer`: one file per subcommand.

mod evaluate;
mod progress;
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Train and evaluate ECG-DualNet.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network, or go on with a run that was stopped.
    Train(train::Arguments),
    /// Measure a checkpoint or an ONNX file on the records of a split.
    Evaluate(evaluate::Arguments),
}

/// Runs the program; the exit code is 0, or 2 after an error.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trainer: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Sets the number of threads of libtorch and of the Padé kernels.
fn use_threads(threads: usize) -> anyhow::Result<()> {
    tch::set_num_threads(i32::try_from(threads)?);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    Ok(())
}

/// The number of cores, or 1 when it is unknown.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
