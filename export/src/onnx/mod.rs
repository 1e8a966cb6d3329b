//! A trained network as one ONNX file.
//!
//! [`export`] interprets [`crate::network`] with nodes instead of numbers: evaluation only, dropout gone, every batch norm
//! folded in float64. The Padé activation is the operator `PadeActivation` in the domain `ecg.dualnet`, with a
//! model-local function body, so that any runtime of opset 17 runs the file without a plugin. The result is read back as the
//! engine and onnx-ir read it before anyone sees it.

mod attention;
mod axial;
pub(crate) mod check;
#[cfg(test)]
mod default_bodies;
mod error;
mod fold;
pub(crate) mod graph;
mod inspect;
mod lowering;
mod lstm;
pub(crate) mod metadata;
mod operations;
mod pade;
pub(crate) mod store;

pub use error::ExportError;
pub use inspect::{Inspection, Operator};
pub use metadata::Card;
pub use store::store_f16;

use crate::network::{Network, NetworkConfig, Ops};
use crate::weights::StateDict;
use dualnet_engine::model::{DOMAIN, ECG, PROBABILITIES, SPECTROGRAM};
use dualnet_engine::pending;
use dualnet_engine::signal::{BINS, FRAMES, WINDOW, WINDOWS};
use graph::{Attribute, Dim, Value};
use lowering::Lowering;
use onnx_ir::{GraphProto, ModelProto};
use std::borrow::BorrowMut;
use std::path::Path;

/// The version of the standard operator set that is written.
pub const OPSET: i64 = 17;
/// The version of ONNX's own format that is written, the first with model-local functions.
pub const IR_VERSION: i64 = 8;

/// Lowers `network` with `weights`, which were read from `source`, to the bytes of an ONNX file.
///
/// Inputs `ecg [N, 80, 256]` and `spectrogram [N, 1, 563, 33]`, output `probabilities [N, classes]`. The bytes are a
/// function of the arguments alone.
///
/// # Errors
/// [`ExportError::Weights`] when the weights are not this network's, [`ExportError::Check`] when the result is no
/// file that the engine runs: weights that a folded batch norm makes too large for 32 bits, for instance.
pub fn export(network: &Network, weights: &StateDict, source: &Path, card: &Card) -> Result<Vec<u8>, ExportError> {
    weights.check(source, &network.parameters())?;
    let config = network.config();
    let mut lowering = Lowering::new(&config.name, weights);
    evaluate(network, &mut lowering)?;
    let mut model = model_of(lowering.graph.finish(), config);
    metadata::describe(&mut model, config, card);
    let bytes = metadata::seal(&model)?;
    check::check(&bytes)?;
    Ok(bytes)
}

/// Writes the whole graph: inputs, the network's nodes, and the softmax over its logits.
fn evaluate<'a, O>(network: &Network, ops: &mut O) -> Result<(), ExportError>
where
    O: Ops<Tensor = Value, Error = ExportError> + BorrowMut<Lowering<'a>>,
{
    let known = |extents: &[usize]| -> Vec<Dim> {
        std::iter::once(Dim::Batch(1))
            .chain(extents.iter().map(|&extent| Dim::Known(extent)))
            .collect()
    };
    let ecg = ops.borrow_mut().graph.input(ECG, &known(&[WINDOWS, WINDOW]));
    let spectrogram = ops.borrow_mut().graph.input(SPECTROGRAM, &known(&[1, FRAMES, BINS]));
    let logits = network.forward(ops, &ecg, &spectrogram)?.logits;
    let graph = &mut ops.borrow_mut().graph;
    let attributes = [Attribute::Int("axis", -1)];
    let probabilities = graph.add(
        PROBABILITIES,
        "Softmax",
        &[logits.name()],
        &attributes,
        logits.shape.clone(),
    );
    graph.output(&probabilities);
    Ok(())
}

/// A model around a graph, with the operator sets and functions it needs and no metadata.
fn model_of(graph: GraphProto, config: &NetworkConfig) -> ModelProto {
    let mut model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "dualnet-export".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph).into(),
        ..ModelProto::default()
    };
    import(&mut model, "", OPSET);
    if model.graph.node.iter().any(|node| node.domain == DOMAIN) {
        import(&mut model, DOMAIN, pade::DOMAIN_VERSION);
        pade::add_function(
            &mut model,
            OPSET,
            config.pau.numerator.len(),
            config.pau.denominator.len(),
        );
    }
    model
}

/// Writes an exported file: beside `path` first, then renamed.
///
/// # Errors
/// [`ExportError::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    pending::write(path, bytes).map_err(|cause| ExportError::io(path, cause))
}

fn import(model: &mut ModelProto, domain: &str, version: i64) {
    model.opset_import.push(Default::default());
    if let Some(import) = model.opset_import.last_mut() {
        import.domain = domain.to_owned();
        import.version = version;
    }
}
