//! `engine info`: the model card.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dualnet_engine::ModelCard;
use serde_json::{Map, Value};

use super::text::rhythm;
use super::{Format, Outcome, destination::Destination, model};

/// Print a model's card: network, training, measured accuracy, checksums, operators.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file; without it, the embedded ECG-DualNet S.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let model = model(arguments.model.as_deref())?;
    let text = match arguments.format {
        Format::Text => text(model.name(), model.card()),
        Format::Json => serde_json::to_string_pretty(model.card())? + "\n",
    };
    let mut output = Destination::open(None)?;
    output.write(text.as_bytes())?;
    output.finish()?;
    Ok(Outcome::Complete)
}

fn text(file: &str, card: &ModelCard) -> String {
    let classes: Vec<String> = card
        .classes
        .iter()
        .map(|class| format!("{class} ({})", rhythm(class, card.classes.len())))
        .collect();
    let operators: Vec<String> = card
        .operators
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let value: String = value.replace('\n', "; ").chars().filter(|c| !c.is_control()).collect();
        writeln!(text, "{key:<26} {value}").ok();
    };
    line("network", &card.network);
    line("file", file);
    line("classes", &classes.join(", "));
    line("sampling rate", &format!("{} Hz", card.sampling_rate_hz));
    properties(&mut line, "trained", &card.training);
    properties(&mut line, "measured", &card.metrics);
    line("configuration", card.configuration.trim());
    line("weights", &format!("{} stored numbers, f32", card.weights));
    line("operator set", &format!("ai.onnx {}", card.opset));
    line("operators", &operators.join(", "));
    line("weights sha256", &card.weights_sha256);
    line("file sha256", &card.file_sha256);
    text
}

/// A line for every value; nested objects are named by their path.
fn properties(line: &mut impl FnMut(&str, &str), prefix: &str, values: &Map<String, Value>) {
    for (key, value) in values {
        let key = format!("{prefix} {}", key.replace('_', " "));
        match value {
            Value::Object(nested) => properties(line, &key, nested),
            Value::String(text) => line(&key, text),
            other => line(&key, &other.to_string()),
        }
    }
}
