//! `engine info`: the model card, and what runs where.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dualnet_engine::plan::Plan;
use dualnet_engine::simd::Isa;
use dualnet_engine::{Model, ModelCard};
use serde_json::{Map, Value, json};

use super::text::rhythm;
use super::{Format, Outcome, destination::Destination, model};

/// Print a model's card: network, training, measured accuracy, checksums, operators. With --plan, print what runs where instead.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file; without it, the embedded ECG-DualNet S.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Which nodes run on the fused kernels, which on tract, and the share of multiply-adds in the fused kernels.
    #[arg(long)]
    plan: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let model = model(arguments.model.as_deref())?;
    let text = match arguments.format {
        _ if arguments.plan => plan(&model, arguments.format)?,
        Format::Text => text(model.name(), model.card()),
        Format::Json => serde_json::to_string_pretty(model.card())? + "\n",
    };
    let mut output = Destination::open(None)?;
    output.write(text.as_bytes())?;
    output.finish()?;
    Ok(Outcome::Complete)
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
    if matches!(format, Format::Json) {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| json!({"what": step.what, "runs_on": "fused", "nodes": step.nodes, "multiply_adds": step.multiply_adds}))
            .collect();
        let report = json!({
            "isa": isa, "steps": steps, "nodes_fused": fused, "nodes_on_tract": nodes - fused,
            "share_fused": share, "fallback": fallback,
        });
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    let mut text = String::new();
    let millions = |work: u64| work as f64 / 1e6;
    for step in steps {
        let (what, nodes) = (&step.what, step.nodes);
        writeln!(
            text,
            "{what:<50} {nodes:>4} nodes {:>9.1} M multiply-adds  fused, {isa}",
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
    let all = format!("{:.1} % of the multiply-adds in fused kernels", 100.0 * share);
    writeln!(
        text,
        "{all:<50} {nodes:>4} nodes {:>9.1} M for a record of 60 s",
        millions(work)
    )?;
    Ok(text)
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
    let narrow = if card.operators.contains_key("Cast") {
        "f16 and "
    } else {
        ""
    };
    line("weights", &format!("{} stored numbers, {narrow}f32", card.weights));
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
