//! `export inspect`.

use anyhow::{Context, Result};
use clap::Args;
use dualnet_export::onnx::Inspection;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

/// The arguments of `export inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The ONNX file
    model: PathBuf,
}

impl Inspect {
    /// Prints the file's metadata and operators.
    pub fn run(self) -> Result<()> {
        let inspection = Inspection::open(&self.model)?;
        match write!(io::stdout(), "{inspection}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.context("standard output cannot be written"),
        }
    }
}
