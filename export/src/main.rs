//! The program `export`: a trained network's weights become one ONNX file.

mod cli;

use clap::Parser;
use std::process::ExitCode;

/// Wrong usage, or nothing could be written.
const FAILURE: u8 = 2;

fn main() -> ExitCode {
    match cli::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("export: {}", cli::one_line(&error));
            ExitCode::from(FAILURE)
        }
    }
}
