//! A trained network in 8-bit integers.
//!
//! [`quantize`] runs a float file over calibration records, finds the range of every value that a convolution, a matrix product or an
//! LSTM reads, and writes the same graph in QDQ form: weights as INT8 with a scale per output behind a `DequantizeLinear`, activations
//! through a `QuantizeLinear` → `DequantizeLinear` pair with one scale and zero point. Any runtime of opset 17 runs the file; what a
//! quantized value means is decided by the file alone.
//!
//! A convolution's result is not quantized: scale, shift, shortcut, Padé activation and pooling follow in float, and the next pair
//! stands behind them, so that each activation is rounded once. Small matrices (the conditions and the head) stay float.

mod calibration;
mod operands;
mod range;
mod rewrite;
mod sensitive;

pub use calibration::Recordings;
pub use sensitive::sensitive;

use crate::onnx::{Card, ExportError, check, metadata, store};
use calibration::{Calibration, Ranges};
use dualnet_engine::model::keys;
use dualnet_engine::plan::Plan;
use dualnet_engine::{Model, Precision};
use onnx_ir::{Message, ModelProto};
use operands::Operands;
use serde_json::{Map, Value, json};

/// An int8 file and what was done to get it.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The file.
    pub bytes: Vec<u8>,
    /// Nodes that read 8-bit integers now.
    pub nodes: usize,
    /// Activations that have a scale now.
    pub activations: usize,
    /// Records the ranges were found on.
    pub records: usize,
    /// Why the engine's fused kernels do not run it, if they do not.
    pub unfused: Option<String>,
    /// Why the first of the recordings that were passed over was, if any was.
    pub unreadable: Option<String>,
}

/// Quantizes the float file `bytes`, of which `model` was read, with ranges found on `recordings`.
///
/// A node whose name contains one of `keep_float` is left as it is, and reads what it read. `card` adds entries to the model card; the metrics of the float
/// file become `metrics.f32`, since they were not measured of the result. `progress` is told after each record how many are done.
/// The bytes are a function of the arguments and of the instruction set that the engine runs the records on: with another one, ranges
/// may differ in their last digits.
///
/// # Errors
/// [`ExportError::Quantize`]: a file that is int8 already, a pattern that no node has, recordings none
/// of which can be read, a value that is not finite. [`ExportError::Check`] when the result does not pass its own check.
pub fn quantize(
    model: &Model,
    bytes: &[u8],
    recordings: &Recordings,
    keep_float: &[String],
    card: &Card,
    progress: impl FnMut(usize),
) -> Result<Quantized, ExportError> {
    if model.card().precision != Precision::F32 {
        return Err(ExportError::Quantize(format!(
            "{}: is an {} file already; the float file it was made of is needed",
            model.name(),
            model.card().precision
        )));
    }
    let mut proto = ModelProto::parse_from_bytes(bytes)
        .map_err(|error| ExportError::Quantize(format!("{}: {error}", model.name())))?;
    store::widen_graph(proto.graph.mut_or_insert_default());
    let operands = Operands::of(&proto.graph, keep_float)?;
    let calibration = calibration::run(model, &operands, recordings, progress)?;
    let (nodes, activations) = (operands.nodes(), operands.activations.len());
    let summary = summary(model, &calibration, recordings, keep_float);
    rewrite::rewrite(proto.graph.mut_or_insert_default(), &operands, &calibration.ranges)?;
    let entries = [
        (keys::PRECISION, Precision::Int8.to_string()),
        (keys::QUANTIZATION, Value::Object(summary).to_string()),
    ];
    metadata::describe_again(&mut proto, card, entries)?;
    let bytes = metadata::seal(&proto)?;
    let written = check::check_file(&bytes)?;
    if written.card().precision != Precision::Int8 {
        return Err(ExportError::Check(format!("{} does not say int8", keys::PRECISION)));
    }
    let unfused = Plan::of(&written).err().map(|mismatch| mismatch.to_string());
    Ok(Quantized {
        bytes,
        nodes,
        activations,
        records: calibration.records,
        unfused,
        unreadable: calibration.unreadable,
    })
}

fn summary(
    model: &Model,
    calibration: &Calibration,
    recordings: &Recordings,
    keep_float: &[String],
) -> Map<String, Value> {
    let entries = json!({
        "records": calibration.records,
        "records_sha256": calibration.digest,
        "seed": recordings.seed,
        "ranges": range::METHOD,
        "weights": "per output, symmetric",
        "activations": "per tensor, asymmetric",
        "kept_float": keep_float,
        "float_weights_sha256": model.card().weights_sha256,
    });
    match entries {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}
