//! `engine info`: the model card, and what runs where.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dualnet_engine::model::digest::sha256;
use dualnet_engine::plan::Plan;
use dualnet_engine::record::printable;
use dualnet_engine::simd::Isa;
use dualnet_engine::{Model, ModelCard, Precision};
use serde_json::{Map, Value, json};

use super::text::rhythm;
use super::{Format, Outcome, destination::Destination, model};

/// Print a model's card: network, training, measured accuracy, checksums, operators. With --plan, print what runs where instead.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file; without it, the embedded ECG-DualNet S.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Which embedded model: f32 or int8.
    #[arg(long, conflicts_with = "model", value_parser = embedded_precision)]
    precision: Option<Precision>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Which nodes run on the fused kernels, which on tract, and the share of multiply-adds in the fused kernels.
    #[arg(long)]
    plan: bool,
}

fn embedded_precision(text: &str) -> Result<Precision, String> {
    match text.parse()? {
        Precision::F16 => Err("there is no embedded model in f16: f32 and int8 are there".to_owned()),
        precision => Ok(precision),
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (model, bytes) = read(arguments)?;
    let text = match arguments.format {
        _ if arguments.plan => plan(&model, arguments.format)?,
        Format::Text => text(model.name(), model.card(), &sha256(&bytes)),
        Format::Json => {
            let mut card = serde_json::to_value(model.card())?;
            card["file_sha256"] = sha256(&bytes).into();
            serde_json::to_string_pretty(&card)? + "\n"
        }
    };
    let mut output = Destination::open(None)?;
    output.write(text.as_bytes())?;
    output.finish()?;
    Ok(Outcome::Complete)
}

/// The model and its file, which may be a pipe.
fn read(arguments: &Arguments) -> anyhow::Result<(Model, Cow<'static, [u8]>)> {
    if let Some(path) = &arguments.model {
        let bytes = Model::bytes_of(path)?;
        return Ok((
            Model::from_bytes(&path.display().to_string(), &bytes)?,
            Cow::Owned(bytes),
        ));
    }
    let file = match arguments.precision {
        Some(Precision::Int8) => Model::EMBEDDED_INT8_FILE,
        _ => Model::EMBEDDED_FILE,
    };
    Ok((model(None, arguments.precision)?, Cow::Borrowed(file)))
}

/// What runs where. A model is recognized as a whole or runs on tract as a whole.
fn plan(model: &Model, format: Format) -> anyhow::Result<String> {
    let isa = Isa::detect()?.name();
    let nodes: usize = model.card().operators.values().sum();
    let plan = Plan::of(model);
    let (steps, fallback) = match &plan {
        Ok(plan) => (plan.steps(), None),
        Err(mismatch) => (&[][..], Some(mismatch.to_string())),
    };
    let fused: usize = steps.iter().map(|step| step.nodes).sum();
    let share = if fallback.is_none() { 1.0 } else { 0.0 };
    let work: u64 = steps.iter().map(|step| step.multiply_adds).sum();
    let int8: u64 = steps.iter().map(|step| step.int8_multiply_adds).sum();
    let int8_share = int8 as f64 / work.max(1) as f64;
    if matches!(format, Format::Json) {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({
                    "what": step.what, "runs_on": "fused", "precision": step.precision(), "nodes": step.nodes,
                    "multiply_adds": step.multiply_adds, "int8_multiply_adds": step.int8_multiply_adds,
                })
            })
            .collect();
        let report = json!({
            "isa": isa, "steps": steps, "nodes_fused": fused, "nodes_on_tract": nodes - fused,
            "share_fused": share, "share_int8": int8_share, "fallback": fallback,
        });
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    let mut text = String::new();
    let millions = |work: u64| work as f64 / 1e6;
    for step in steps {
        let (what, nodes, precision) = (&step.what, step.nodes, step.precision());
        writeln!(
            text,
            "{what:<50} {nodes:>4} nodes {:>9.1} M multiply-adds  fused, {isa}, {precision}",
            millions(step.multiply_adds)
        )?;
    }
    if let Some(reason) = fallback {
        writeln!(
            text,
            "{:<50} {:>4} nodes {:>26} tract",
            "not recognized",
            nodes - fused,
            ""
        )?;
        writeln!(text, "why: {reason}")?;
    }
    if int8 > 0 {
        writeln!(text, "{:.1} % of the multiply-adds in int8", 100.0 * int8_share)?;
    }
    let all = format!("{:.1} % of the multiply-adds in fused kernels", 100.0 * share);
    writeln!(
        text,
        "{all:<50} {nodes:>4} nodes {:>9.1} M for a record of 60 s",
        millions(work)
    )?;
    Ok(text)
}

fn text(file: &str, card: &ModelCard, file_sha256: &str) -> String {
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
        let (key, value) = (printable(key), printable(&value.replace('\n', "; ")));
        writeln!(text, "{key:<26} {value}").ok();
    };
    line("network", &card.network);
    line("file", file);
    line("classes", &classes.join(", "));
    line("sampling rate", &format!("{} Hz", card.sampling_rate_hz));
    properties(&mut line, "trained", &card.training);
    properties(&mut line, "measured", &card.metrics);
    line("configuration", card.configuration.trim());
    let narrow = match card.operators.contains_key("Cast") {
        true => "f16 and ",
        false => "",
    };
    line(
        "weights",
        &format!("{} stored numbers, {narrow}{}", card.weights, card.precision),
    );
    properties(&mut line, "quantized", &card.quantization);
    line("operator set", &format!("ai.onnx {}", card.opset));
    line("operators", &operators.join(", "));
    line("weights sha256", &card.weights_sha256);
    line("file sha256", file_sha256);
    line(
        "content sha256",
        &format!("{} (of the file with these digits read as 0)", card.content_sha256),
    );
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
