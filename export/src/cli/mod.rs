//! The command line of `export`.

mod export;
mod inspect;
mod quantize;

use anyhow::{Context, Result};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use dualnet_engine::bounded::text_up_to;
use dualnet_engine::record::printable;
use dualnet_export::onnx::Card;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Turn the weights of a trained ECG-DualNet into one ONNX file.
///
/// WEIGHTS is a checkpoint of `trainer` (.safetensors), or a .pt that Python's torch.save(model.state_dict(), …) wrote. The
/// file that comes out holds the network, its weights and its model card; `engine` classifies with it, and so does any
/// runtime of ONNX opset 17, with no plugin.
#[derive(Debug, Parser)]
#[command(
    name = "export",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        export best.safetensors -o model.onnx           a checkpoint knows its own network\n  \
        export weights.pt -o model.onnx                 the network is recognized by names and shapes\n  \
        export weights.pt -o model.onnx --network dualnet-pp-l --card data='PhysioNet/CinC 2017' --card seed=1\n  \
        export inspect model.onnx                       what is in a file\n  \
        export quantize model.onnx --calibrate records --only train.txt -o model-int8.onnx\n\n\
        A shell has a command `export` of its own: give this program's path, as in target/release/export.\n\n\
        Exit status: 0 done; 2 wrong usage, or nothing was written."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    export: Option<export::Export>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the model card, the inputs and outputs, and the operators of an ONNX file.
    Inspect(inspect::Inspect),
    Quantize(Box<quantize::Quantize>),
}

impl Arguments {
    /// Does what was asked for.
    ///
    /// # Errors
    /// A message for the person at the terminal.
    pub fn run(self) -> Result<()> {
        match (self.command, self.export) {
            (Some(Command::Inspect(inspect)), _) => inspect.run(),
            (Some(Command::Quantize(quantize)), _) => quantize.run(),
            (None, Some(export)) => export.run(),
            (None, None) => Err(anyhow::anyhow!("no weights are named")).context("see export --help"),
        }
    }
}

/// What `--output` names: `-` is standard output.
fn output() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|name| match name == "-" {
        true => PathBuf::from("/dev/stdout"),
        false => name.into(),
    })
}

/// The card that entries of the command line make.
fn card_of(entries: &[String]) -> Result<Card> {
    let mut card = Card::default();
    for entry in entries {
        card.set(entry)?;
    }
    Ok(card)
}

/// Longer than any list of records or configuration.
const LONGEST_TEXT: u64 = 16 << 20;

/// The text of a file, which may be a pipe.
fn text_of(path: &Path) -> Result<String> {
    text_up_to(LONGEST_TEXT, path).with_context(|| path.display().to_string())
}

/// Says what was written to `output`, which is there whether anybody reads this or not: on standard output, or on standard error where `output` is
/// standard output itself, a pipe or a device.
fn say(output: &Path, text: &str) {
    let line = format!("{}\n", printable(text));
    let file = output.canonicalize().ok().filter(|file| file.is_file());
    let is_apart = file.is_some() && file != Path::new("/dev/stdout").canonicalize().ok();
    match is_apart {
        true => io::stdout().write_all(line.as_bytes()).ok(),
        false => io::stderr().write_all(line.as_bytes()).ok(),
    };
}

/// Something worth knowing that is no failure.
fn note(message: &str) {
    writeln!(io::stderr(), "export: note: {}", printable(message)).ok();
}

/// An error and its causes on one line, without control characters that came out of a file.
pub fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(printable)
        .collect::<Vec<_>>()
        .join(" ")
}
