//! `export quantize MODEL --calibrate DIR -o FILE`.

use super::export::keep;
use super::{card_of, note, output, say, text_of};
use anyhow::{Result, bail};
use clap::Args;
use dualnet_engine::Model;
use dualnet_engine::plan::{Plan, SignalEncoder};
use dualnet_export::onnx::write;
use dualnet_export::quantize::{Recordings, quantize, sensitive};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Make an int8 file of a float one: less than half the size of one with weights of 32 bits, and faster, an ECG-DualNet++ hardly.
///
/// The network runs over real records to find the range of every value that becomes 8-bit integers. These must be records it was
/// trained on: with validation records among them, what is measured on those is no longer a measurement on unseen data. Either DIR
/// holds training records only, or --only names them. 256 records give ranges as good as thousands; more of them only take longer.
///
/// A Transformer that reads the waveform (ECG-DualNet++) stays in float where it has no more than a tenth of the multiply-adds: rounding it costs more
/// accuracy than rounding all else. --round-transformer rounds it too.
///
/// Measure the result before using it: `engine classify --model FILE` and `engine score` on the validation records. Where too much
/// is lost, leave the layers that lose it in float with --keep-float.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    export quantize model.onnx --calibrate train/ -o model-int8.onnx\n  \
    export quantize model.onnx --calibrate training2017/ --only train.txt --records 512 --seed 7 -o model-int8.onnx\n  \
    export quantize model.onnx --calibrate train/ --keep-float spectrogram_encoder.0. -o model-int8.onnx\n\n\
    Exit status: 0 done; 2 wrong usage, or nothing was written.")]
pub struct Quantize {
    /// The float ONNX file that `export` wrote
    model: PathBuf,

    /// Folder of recordings to find ranges on (folders in it are not searched, hidden files not read): training records only, unless --only names
    /// them
    #[arg(long, value_name = "DIR")]
    calibrate: PathBuf,

    /// The int8 ONNX file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_parser = output())]
    output: PathBuf,

    /// A text file with the names of the records in DIR that may be used, separated by blanks or lines (A00001 A00002 …)
    #[arg(long, value_name = "FILE")]
    only: Option<PathBuf>,

    /// How many of the records to use
    #[arg(long, value_name = "N", default_value = "256")]
    records: NonZeroUsize,

    /// Which of the records to use: each seed draws others
    #[arg(long, value_name = "S", default_value = "0")]
    seed: u64,

    /// Leave the nodes in float whose name contains this, such as ecg_encoder or spectrogram_encoder.0. (repeatable)
    ///
    /// Whole blocks: one with some nodes in float and some in 8 bits runs slower than all in float.
    #[arg(long, value_name = "PATTERN", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    keep_float: Vec<String>,

    /// Round a Transformer too that would be left in float
    #[arg(long)]
    round_transformer: bool,

    /// An entry of the model card, such as metrics.accuracy=0.84; the value is JSON or else text (repeatable)
    #[arg(long = "card", value_name = "KEY=VALUE")]
    card: Vec<String>,
}

impl Quantize {
    /// Reads the file, calibrates, and writes the int8 file.
    pub fn run(self) -> Result<()> {
        let bytes = Model::bytes_of(&self.model)?;
        keep(&self.model, &self.output, "the float file itself")?;
        let card = card_of(&self.card)?;
        let only = match &self.only {
            None => None,
            Some(path) => {
                keep(path, &self.output, "the list of records itself")?;
                let text = text_of(path)?;
                let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                if names.is_empty() {
                    bail!("{}: names no record", path.display());
                }
                Some(names)
            }
        };
        let recordings = Recordings::draw(&self.calibrate, only.as_deref(), self.records.get(), self.seed)?;
        let mut keep_float = self.keep_float.clone();
        let model = Model::from_bytes(&self.model.display().to_string(), &bytes)?;
        if self.round_transformer {
            let signal = Plan::of(&model).ok().and_then(|plan| plan.signal);
            if matches!(signal, Some(SignalEncoder::Lstm(_))) {
                bail!("--round-transformer: {} has no Transformer", self.model.display());
            }
        } else {
            let more = sensitive(&model).into_iter();
            keep_float.extend(more.filter(|pattern| !self.keep_float.contains(pattern)));
        }
        let bar = progress_bar(recordings.len());
        let result = quantize(&model, &bytes, &recordings, &keep_float, &card, |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let quantized = result?;
        write(&self.output, &quantized.bytes)?;
        let said = format!(
            "{}: int8, {} of {} records, {} nodes and {} activations quantized, {} bytes ({} in float)",
            self.output.display(),
            quantized.records,
            recordings.len(),
            quantized.nodes,
            quantized.activations,
            quantized.bytes.len(),
            bytes.len()
        );
        say(&self.output, &said);
        if !keep_float.is_empty() {
            say(&self.output, &format!("left in float: {}", keep_float.join(", ")));
        }
        if let Some(reason) = quantized.unfused {
            note(&format!(
                "the fused kernels of `engine` do not run this file, which is slower than the float one then: {reason}"
            ));
        }
        if let Some(reason) = quantized.unreadable {
            note(&format!("some recordings could not be used; the first: {reason}"));
        }
        Ok(())
    }
}

fn progress_bar(records: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("calibrating {bar:40} {pos}/{len} records, {eta} left");
    ProgressBar::new(records as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
