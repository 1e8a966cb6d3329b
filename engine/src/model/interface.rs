//! The inputs and the output every model file has.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Extent;
use tract_onnx::pb::type_proto::Value as ValueType;
use tract_onnx::pb::{GraphProto, ValueInfoProto};

use super::ModelFault;
use crate::signal::{BINS, FRAMES, WINDOW, WINDOWS};

/// Name of the input `[N, 80, 256]`: windows of the standardized lead.
pub const ECG: &str = "ecg";
/// Name of the input `[N, 1, 563, 33]`: log-spectrogram.
pub const SPECTROGRAM: &str = "spectrogram";
/// Name of the output `[N, classes]`.
pub const PROBABILITIES: &str = "probabilities";

/// Fails unless the graph has exactly the contract's inputs and output, for `classes` classes.
pub(super) fn check(graph: &GraphProto, classes: usize) -> Result<(), ModelFault> {
    let inputs: [(&str, &[usize]); 2] = [(ECG, &[WINDOWS, WINDOW]), (SPECTROGRAM, &[1, FRAMES, BINS])];
    check_values("input", &graph.input, &inputs)?;
    check_values("output", &graph.output, &[(PROBABILITIES, &[classes])])
}

/// `expected` holds names and extents after the batch's.
fn check_values(
    role: &'static str,
    values: &[ValueInfoProto],
    expected: &[(&str, &[usize])],
) -> Result<(), ModelFault> {
    for (index, (name, extents)) in expected.iter().enumerate() {
        let fault = |problem: String| ModelFault::Interface {
            role,
            name: (*name).to_owned(),
            problem,
        };
        let Some(value) = values.get(index) else {
            return Err(fault("is missing".to_owned()));
        };
        if value.name != *name {
            return Err(fault(format!(
                "expected as number {}, found `{}`",
                index + 1,
                value.name.escape_default()
            )));
        }
        let found = describe(value);
        let wanted = shape_text("N", extents.iter().map(|extent| extent.to_string()));
        if found != wanted {
            return Err(fault(format!("is {found}: {wanted} is expected")));
        }
    }
    match values.get(expected.len()) {
        Some(extra) => {
            let problem = "is one too many".to_owned();
            Err(ModelFault::Interface {
                role,
                name: extra.name.escape_default().to_string(),
                problem,
            })
        }
        None => Ok(()),
    }
}

/// Element type and shape in words; whatever a symbolic batch is called, it reads `N`.
fn describe(value: &ValueInfoProto) -> String {
    let Some(ValueType::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return "of no type".to_owned();
    };
    if tensor.elem_type != DataType::Float as i32 {
        return format!("of {}", super::tensors::type_name(tensor.elem_type));
    }
    let Some(shape) = &tensor.shape else {
        return "of no shape".to_owned();
    };
    let mut extents = shape.dim.iter().map(|dimension| match &dimension.value {
        Some(Extent::DimValue(extent)) => extent.to_string(),
        Some(Extent::DimParam(_)) => "N".to_owned(),
        None => "?".to_owned(),
    });
    match extents.next() {
        Some(batch) => shape_text(&batch, extents),
        None => "a scalar".to_owned(),
    }
}

fn shape_text(batch: &str, extents: impl Iterator<Item = String>) -> String {
    let mut text = format!("[{batch}");
    for extent in extents {
        text.push_str(", ");
        text.push_str(&extent);
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::tensor_shape_proto::Dimension;
    use tract_onnx::pb::{TensorShapeProto, TypeProto, type_proto};

    fn value(name: &str, extents: &[i64]) -> ValueInfoProto {
        let batch = Dimension {
            value: Some(Extent::DimParam("batch".to_owned())),
            ..Dimension::default()
        };
        let fixed = |extent: &i64| Dimension {
            value: Some(Extent::DimValue(*extent)),
            ..Dimension::default()
        };
        let dim = std::iter::once(batch).chain(extents.iter().map(fixed)).collect();
        let tensor = type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(TensorShapeProto { dim }),
        };
        let kind = TypeProto {
            value: Some(ValueType::TensorType(tensor)),
            ..TypeProto::default()
        };
        ValueInfoProto {
            name: name.to_owned(),
            r#type: Some(kind),
            ..ValueInfoProto::default()
        }
    }

    fn graph() -> GraphProto {
        GraphProto {
            input: vec![value(ECG, &[80, 256]), value(SPECTROGRAM, &[1, 563, 33])],
            output: vec![value(PROBABILITIES, &[4])],
            ..GraphProto::default()
        }
    }

    #[test]
    fn the_contracts_values_are_accepted() {
        check(&graph(), 4).unwrap();
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let changed = |change: fn(&mut GraphProto)| {
            let mut graph = graph();
            change(&mut graph);
            check(&graph, 4).unwrap_err().to_string()
        };
        assert!(
            check(&graph(), 2)
                .unwrap_err()
                .to_string()
                .contains("[N, 4]: [N, 2] is expected")
        );
        assert!(changed(|graph| graph.input[1] = value(SPECTROGRAM, &[1, 562, 33])).contains("[N, 1, 563, 33]"));
        assert!(changed(|graph| graph.input.swap(0, 1)).contains("found `spectrogram`"));
        assert!(changed(|graph| graph.input[0].name = "image".to_owned()).contains("found `image`"));
        assert!(changed(|graph| graph.input[0].r#type = None).contains("no type"));
        assert!(changed(|graph| graph.input.push(value("more", &[1]))).contains("too many"));
        assert!(changed(|graph| graph.input.truncate(1)).contains("missing"));
        assert!(changed(|graph| graph.output.clear()).contains("missing"));
        assert!(changed(|graph| graph.output.push(value("latent", &[128]))).contains("too many"));
    }

    #[test]
    fn a_fixed_batch_is_refused() {
        let mut fixed = graph();
        let Some(ValueType::TensorType(tensor)) = fixed.input[0].r#type.as_mut().and_then(|kind| kind.value.as_mut())
        else {
            panic!("a tensor")
        };
        tensor.shape.as_mut().unwrap().dim[0].value = Some(Extent::DimValue(1));
        assert!(check(&fixed, 4).unwrap_err().to_string().contains("[1, 80, 256]"));
    }
}
