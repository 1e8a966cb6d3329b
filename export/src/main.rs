//! The program `export`: a trained network's weights become one ONNX file.

mod cli;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// Wrong usage, or nothing could be written.
const FAILURE: u8 = 2;

fn main() -> ExitCode {
    match cli::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "export: {}", cli::one_line(&error)).ok();
            ExitCode::from(FAILURE)
        }
    }
}
