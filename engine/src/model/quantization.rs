//! The quantized values of a model file: every `QuantizeLinear` and `DequantizeLinear` has a scale and a zero point that mean something.
//!
//! Weights are stored as INT8 with a scale per output, activations pass a pair of the two operators with one scale. Anything else that
//! ONNX allows there (other integers, scales that are computed) is refused: an int8 file that lost its scales would classify, wrongly.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::{ModelFault, graph, keys, tensors};
use crate::classifier::Precision;

const QUANTIZE: &str = "QuantizeLinear";
const DEQUANTIZE: &str = "DequantizeLinear";

/// Fails unless every quantized value has its scale, and there are some exactly in a file that says so.
pub(super) fn check(graph: &GraphProto, precision: Precision) -> Result<(), ModelFault> {
    let quantized = Quantized {
        tensors: graph
            .initializer
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect(),
        producers: graph
            .node
            .iter()
            .flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)))
            .collect(),
    };
    let mut found = false;
    for node in &graph.node {
        match node.op_type.as_str() {
            QUANTIZE => quantized.parameters(node)?.scalar(node)?,
            DEQUANTIZE => quantized.check_dequantize(node)?,
            _ => continue,
        }
        found = true;
    }
    let problem = match (precision, found) {
        (Precision::Int8, false) => {
            "says int8, but no value of the graph has a scale: `export quantize` writes int8 files"
        }
        (Precision::F32 | Precision::F16, true) => "does not say int8, but values of the graph are quantized",
        _ => return Ok(()),
    };
    Err(ModelFault::Metadata {
        key: keys::PRECISION,
        problem: problem.to_owned(),
    })
}

struct Quantized<'a> {
    tensors: HashMap<&'a str, &'a TensorProto>,
    producers: HashMap<&'a str, &'a NodeProto>,
}

/// The scale and the zero point of a node, and its axis.
struct Parameters<'a> {
    scale: &'a TensorProto,
    zero_point: &'a TensorProto,
    axis: Option<i64>,
}

impl<'a> Quantized<'a> {
    fn parameters(&self, node: &'a NodeProto) -> Result<Parameters<'a>, ModelFault> {
        let [_, scale, zero_point] = node.input.as_slice() else {
            let problem = format!(
                "has {} inputs: a value, its scale and its zero point are needed",
                node.input.len()
            );
            return Err(graph::fault(node, problem));
        };
        let stored = |name: &str, data_type: DataType, what: &str| {
            let tensor = self.tensors.get(name).copied();
            tensor
                .filter(|tensor| tensor.data_type == data_type as i32)
                .ok_or_else(|| {
                    let problem = format!("`{}` is no stored {what}", name.escape_default());
                    graph::fault(node, problem)
                })
        };
        let scale = stored(scale, DataType::Float, "scale of type FLOAT")?;
        let zero_point = stored(zero_point, DataType::Int8, "zero point of type INT8")?;
        if scale.dims != zero_point.dims {
            let problem = format!("has scales {:?} and zero points {:?}", scale.dims, zero_point.dims);
            return Err(graph::fault(node, problem));
        }
        if let Some(bad) = tensors::floats(scale).find(|scale| !(scale.is_normal() && *scale > 0.0)) {
            return Err(graph::fault(
                node,
                format!("has the scale {bad}: scales are positive numbers"),
            ));
        }
        let axis = match node.attribute.as_slice() {
            [] => None,
            [attribute] if attribute.name == "axis" => Some(attribute.i),
            _ => return Err(graph::fault(node, "has attributes other than an axis".to_owned())),
        };
        Ok(Parameters {
            scale,
            zero_point,
            axis,
        })
    }

    fn check_dequantize(&self, node: &'a NodeProto) -> Result<(), ModelFault> {
        let parameters = self.parameters(node)?;
        let input = node.input[0].as_str();
        if let Some(weight) = self.tensors.get(input) {
            if weight.data_type != DataType::Int8 as i32 {
                return Err(graph::fault(
                    node,
                    format!("`{}` is not of type INT8", input.escape_default()),
                ));
            }
            return parameters.fits(node, weight);
        }
        parameters.scalar(node)?;
        let quantize = self
            .producers
            .get(input)
            .filter(|producer| producer.op_type == QUANTIZE);
        let same = quantize.is_some_and(|quantize| quantize.input.get(1..) == node.input.get(1..));
        if same {
            return Ok(());
        }
        let problem = "does not undo a QuantizeLinear of the same scale and zero point".to_owned();
        Err(graph::fault(node, problem))
    }
}

impl Parameters<'_> {
    /// Fails unless there is one scale for the whole value.
    fn scalar(&self, node: &NodeProto) -> Result<(), ModelFault> {
        if self.scale.dims.is_empty() && self.axis.is_none() {
            return Ok(());
        }
        let problem = format!(
            "has scales {:?}: one scale is supported for a value that is computed",
            self.scale.dims
        );
        Err(graph::fault(node, problem))
    }

    /// Fails unless there is one scale for every index of the axis of `weight`, all around zero.
    fn fits(&self, node: &NodeProto, weight: &TensorProto) -> Result<(), ModelFault> {
        let extent = self.axis.and_then(|axis| weight.dims.get(usize::try_from(axis).ok()?));
        if extent.is_none() || self.scale.dims.as_slice() != extent.map(std::slice::from_ref).unwrap_or_default() {
            let problem = format!(
                "has scales {:?} along axis {:?} of a weight {:?}: one for every output is needed",
                self.scale.dims, self.axis, weight.dims
            );
            return Err(graph::fault(node, problem));
        }
        if self.zero_point.raw_data.iter().any(|&zero| zero != 0) {
            return Err(graph::fault(node, "has a weight whose zero point is not 0".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::AttributeProto;

    fn tensor(name: &str, data_type: DataType, dims: &[i64], raw_data: &[u8]) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            data_type: data_type as i32,
            dims: dims.to_vec(),
            raw_data: raw_data.to_vec(),
            ..TensorProto::default()
        }
    }

    fn node(operator: &str, inputs: &[&str], output: &str, axis: Option<i64>) -> NodeProto {
        let attribute = |axis| AttributeProto {
            name: "axis".to_owned(),
            r#type: 2,
            i: axis,
            ..AttributeProto::default()
        };
        NodeProto {
            op_type: operator.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            attribute: axis.map(attribute).into_iter().collect(),
            ..NodeProto::default()
        }
    }

    /// A quantized weight `[2, 3]`, a quantized activation.
    fn graph() -> GraphProto {
        let scales = [0.5_f32, 0.25].map(f32::to_le_bytes).concat();
        GraphProto {
            initializer: vec![
                tensor("w_quantized", DataType::Int8, &[2, 3], &[1; 6]),
                tensor("w_scale", DataType::Float, &[2], &scales),
                tensor("w_zero_point", DataType::Int8, &[2], &[0; 2]),
                tensor("x_scale", DataType::Float, &[], &0.1_f32.to_le_bytes()),
                tensor("x_zero_point", DataType::Int8, &[], &[0x85]),
            ],
            node: vec![
                node(DEQUANTIZE, &["w_quantized", "w_scale", "w_zero_point"], "w", Some(0)),
                node(QUANTIZE, &["x", "x_scale", "x_zero_point"], "x_quantized", None),
                node(
                    DEQUANTIZE,
                    &["x_quantized", "x_scale", "x_zero_point"],
                    "x_dequantized",
                    None,
                ),
            ],
            ..GraphProto::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut GraphProto)) -> String {
        let mut graph = graph();
        change(&mut graph);
        let message = check(&graph, Precision::Int8).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    #[test]
    fn what_export_writes_is_accepted() {
        check(&graph(), Precision::Int8).unwrap();
        check(&GraphProto::default(), Precision::F32).unwrap();
    }

    #[test]
    fn precision_and_graph_contradict_each_other() {
        assert!(refusal(|graph| graph.node.clear()).contains("export quantize"));
        let message = check(&graph(), Precision::F32).unwrap_err().to_string();
        assert!(message.contains(keys::PRECISION), "{message}");
    }

    #[test]
    fn scales_and_zero_points_must_be_there() {
        for index in 0..5 {
            refusal(|graph| drop(graph.initializer.remove(index)));
        }
        for index in 0..3 {
            assert!(refusal(|graph| graph.node[index].input.truncate(2)).contains("scale"));
        }
        assert!(refusal(|graph| graph.node[1].input[1] = "x".to_owned()).contains("no stored scale"));
    }

    #[test]
    fn scales_are_positive_numbers() {
        for bad in [0.0_f32, -0.5, f32::NAN, f32::INFINITY, 1e-40] {
            let bytes = bad.to_le_bytes();
            assert!(refusal(|graph| graph.initializer[1].raw_data[4..].copy_from_slice(&bytes)).contains("positive"));
            assert!(refusal(|graph| graph.initializer[3].raw_data = bytes.to_vec()).contains("positive"));
        }
    }

    #[test]
    fn other_forms_of_quantization_are_refused() {
        refusal(|graph| graph.initializer[2].raw_data[1] = 1);
        refusal(|graph| graph.initializer[0].data_type = DataType::Uint8 as i32);
        refusal(|graph| graph.initializer[4].data_type = DataType::Uint8 as i32);
        refusal(|graph| graph.node[0].attribute[0].i = 1);
        refusal(|graph| graph.node[0].attribute[0].i = -2);
        refusal(|graph| graph.node[0].attribute.clear());
        refusal(|graph| graph.node[1].attribute = graph.node[0].attribute.clone());
        refusal(|graph| graph.node[0].attribute[0].name = "block_size".to_owned());
        refusal(|graph| graph.node[2].input[0] = "x".to_owned());
        refusal(|graph| {
            graph
                .initializer
                .push(tensor("other", DataType::Float, &[], &0.2_f32.to_le_bytes()));
            graph.node[2].input[1] = "other".to_owned();
        });
    }
}
