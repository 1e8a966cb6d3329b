//! The operator `PadeActivation` for tract.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_hir::internal::*;

use crate::model::{DOMAIN, PADE_ACTIVATION};
use crate::pau::Pau;

/// Teaches tract the operator. The register knows operators by name only, so the domain is checked when a node is built.
pub(super) fn register(onnx: &mut tract_onnx::Onnx) {
    onnx.op_register.insert(PADE_ACTIVATION, build);
}

fn build(_context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    ensure!(
        node.domain == DOMAIN,
        "{PADE_ACTIVATION} is an operator of the domain {DOMAIN}, not `{}`",
        node.domain
    );
    Ok((expand(PadeActivation), Vec::new()))
}

/// The node as the file has it: inputs `X`, `numerator [m + 1]` and `denominator [n]`, the latter two constant.
#[derive(Clone, Debug)]
struct PadeActivation;

impl Expansion for PadeActivation {
    fn name(&self) -> StaticName {
        PADE_ACTIVATION.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        check_output_arity(outputs, 1)?;
        for value in inputs.iter().chain(outputs) {
            s.equals(&value.datum_type, f32::datum_type())?;
        }
        s.equals(&inputs[1].rank, 1)?;
        s.equals(&inputs[2].rank, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let numerator = coefficients(model, inputs[1])?;
        let denominator = coefficients(model, inputs[2])?;
        let pau = Pau::new(&numerator, &denominator)?;
        model.wire_node(prefix, ElementWiseOp(Box::new(Pade(pau)), None), &inputs[..1])
    }
}

fn coefficients(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<f32>> {
    let constant = model
        .outlet_fact(outlet)?
        .konst
        .as_ref()
        .context("coefficients must be constant")?;
    Ok(constant.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The activation as it runs: one set of coefficients for every element, in place.
#[derive(Clone, Debug, PartialEq)]
struct Pade(Pau);

/// Coefficients are finite, so equality is reflexive.
impl Eq for Pade {}

impl ElementWiseMiniOp for Pade {
    fn name(&self) -> String {
        PADE_ACTIVATION.to_owned()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _out_dt: Option<DatumType>) -> TractResult<()> {
        ensure!(
            tensor.datum_type() == f32::datum_type(),
            "{PADE_ACTIVATION} runs on f32, not {:?}",
            tensor.datum_type()
        );
        self.0
            .forward_in_place(tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
        Ok(())
    }
}
