//! The composites that this interpreter overrides, held to their default bodies.

use super::error::ExportError;
use super::fold::Affine;
use super::graph::Value;
use super::lowering::Lowering;
use super::{evaluate, model_of, write};
use crate::network::{LstmSite, Network, Ops, preset};
use crate::weights::StateDict;
use dualnet_fixtures::largest_difference;
use onnx_ir::Message;
use std::borrow::{Borrow, BorrowMut};
use std::path::PathBuf;

#[path = "../../tests/common/mod.rs"]
mod common;

/// Writes the same primitives as [`Lowering`], but every composite by its default body and every norm as a product and a sum.
struct Primitives<'a>(Lowering<'a>);

impl<'a> Borrow<Lowering<'a>> for Primitives<'a> {
    fn borrow(&self) -> &Lowering<'a> {
        &self.0
    }
}

impl<'a> BorrowMut<Lowering<'a>> for Primitives<'a> {
    fn borrow_mut(&mut self) -> &mut Lowering<'a> {
        &mut self.0
    }
}

macro_rules! delegate {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(fn $name(&mut self, $($argument: $kind),*) -> Result<Value, ExportError> {
            self.0.$name($($argument),*)
        })*
    };
}

impl Ops for Primitives<'_> {
    type Tensor = Value;
    type Error = ExportError;

    fn invalid(&self, reason: &str) -> ExportError {
        self.0.invalid(reason)
    }

    fn batch_norm(&mut self, x: &Value, norm: &str) -> Result<Value, ExportError> {
        let affine = Affine::of(self.0.weights, norm)?;
        Ok(self.0.affine(x, norm, &affine))
    }

    delegate! {
        conv2d(x: &Value, weight: &str, padding: usize);
        pointwise_conv1d(x: &Value, weight: &str);
        linear(x: &Value, weight: &str, bias: Option<&str>);
        layer_norm(x: &Value, norm: &str);
        modulate(x: &Value, scale_bias: &Value);
        pau(x: &Value, site: &str);
        gelu(x: &Value);
        softmax(x: &Value);
        add(a: &Value, b: &Value);
        multiply(x: &Value, factor: f64);
        einsum(equation: &str, a: &Value, b: &Value);
        reshape(x: &Value, shape: &[i64]);
        permute(x: &Value, axes: &[usize]);
        narrow(x: &Value, axis: usize, start: usize, length: usize);
        concat(parts: &[&Value], axis: usize);
        sum(x: &Value, axis: usize);
        mean(x: &Value, axis: usize);
        average_pool(x: &Value);
        global_average_pool(x: &Value);
        dropout(x: &Value);
        spectrogram_dropout(x: &Value);
        add_positional(x: &Value, embedding: &str);
        relative_embeddings(name: &str, span: usize);
        lstm_layer(x: &Value, site: &LstmSite, layer: usize);
    }
}

/// Folding moves roundings about: 1e-5 on probabilities.
const TOLERANCE: f64 = 1e-5;

#[test]
fn overrides_compute_what_the_default_bodies_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let network = Network::new(preset(name).expect("a preset")).expect("it is valid");
        let weights: StateDict = common::golden_state(network.config(), "golden-1");
        let save = |lowering: Lowering<'_>, suffix: &str| -> PathBuf {
            let path = folder.path().join(format!("{name}-{suffix}.onnx"));
            let model = model_of(lowering.graph.finish(), network.config());
            write(&path, &model.write_to_bytes().expect("it is a message")).expect("the temporary folder is writable");
            path
        };
        let mut fused = Lowering::new(name, &weights);
        evaluate(&network, &mut fused).expect("it is lowered");
        let mut plain = Primitives(Lowering::new(name, &weights));
        evaluate(&network, &mut plain).expect("it is lowered");
        let models = [save(fused, "fused"), save(plain.0, "plain")];
        let rows = common::onnx_runtime(folder.path(), &models, 4);
        let difference = largest_difference(&rows[0].batch, &rows[1].batch);
        println!("{name}: overrides and default bodies differ by {difference:.1e} on 16 probabilities");
        assert!(difference <= TOLERANCE, "{name}: {difference:e}");
    }
}
