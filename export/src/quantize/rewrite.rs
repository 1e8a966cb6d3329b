//! The float graph in QDQ form.

use super::Ranges;
use super::operands::{Kind, Operands, Stored};
use super::range::{Range, Step};
use crate::onnx::ExportError;
use crate::onnx::graph::{Attribute, FLOAT, INT8, bytes_of, floats_of, node};
use onnx_ir::{GraphProto, NodeProto, TensorProto};
use std::collections::HashMap;

/// The largest magnitude of a quantized weight.
const LARGEST_WEIGHT: f32 = 127.0;

/// Replaces the operands of `graph` by quantized ones. A weight `w` becomes `w_quantized`, `w_scale` and `w_zero_point`, from which the
/// node `w_dequantized` computes `w`; a value `x` becomes `x_quantized` and `x_dequantized` behind the node that computes it.
pub(super) fn rewrite(graph: &mut GraphProto, operands: &Operands, ranges: &Ranges) -> Result<(), ExportError> {
    let mut nodes = Vec::new();
    let mut initializers = Vec::new();
    for tensor in std::mem::take(&mut graph.initializer) {
        match operands.weights.get(&tensor.name) {
            Some(&stored) => {
                let weight = Weight::of(&tensor, stored)?;
                nodes.push(weight.node(&tensor.name, stored.axis));
                initializers.extend(weight.tensors(&tensor.name, &tensor.dims));
            }
            None => initializers.push(tensor),
        }
    }
    let mut readers: HashMap<(&str, usize), &str> = HashMap::new();
    let mut pairs: HashMap<&str, [NodeProto; 2]> = HashMap::new();
    for (value, activation) in &operands.activations {
        let step = match activation.kind {
            Kind::Probability => Step::PROBABILITY,
            kind => {
                let missing = || ExportError::Quantize(format!("`{value}` has no range"));
                step(*ranges.get(value).ok_or_else(missing)?, kind)
            }
        };
        initializers.push(tensor(
            &format!("{value}_scale"),
            FLOAT,
            &[],
            step.scale.to_le_bytes().to_vec(),
        ));
        initializers.push(tensor(
            &format!("{value}_zero_point"),
            INT8,
            &[],
            vec![step.zero_point as u8],
        ));
        pairs.insert(value, pair(value));
        for (reader, position) in activation.readers.iter().flatten() {
            readers.insert((reader, *position), value);
        }
    }
    for input in &graph.input {
        nodes.extend(pairs.remove(input.name.as_str()).into_iter().flatten());
    }
    for mut node in std::mem::take(&mut graph.node) {
        let kept = operands.keeps(&node);
        for (position, input) in node.input.iter_mut().enumerate() {
            let by_all = operands
                .activations
                .get(input)
                .is_some_and(|activation| activation.readers.is_none() && !kept);
            if by_all || readers.contains_key(&(node.name.as_str(), position)) {
                *input = format!("{input}_dequantized");
            }
        }
        let outputs = node.output.clone();
        nodes.push(node);
        for output in &outputs {
            nodes.extend(pairs.remove(output.as_str()).into_iter().flatten());
        }
    }
    if let Some(value) = pairs.keys().next() {
        return Err(ExportError::Quantize(format!("`{value}` is computed by no node")));
    }
    (graph.node, graph.initializer) = (nodes, initializers);
    Ok(())
}

fn step(range: Range, kind: Kind) -> Step {
    match kind {
        Kind::Constant => Step::symmetric(range),
        _ => Step::asymmetric(range),
    }
}

/// `x` to 8 bits and back.
fn pair(value: &str) -> [NodeProto; 2] {
    let [quantized, dequantized, scale, zero_point] =
        ["quantized", "dequantized", "scale", "zero_point"].map(|suffix| format!("{value}_{suffix}"));
    let one =
        |name: &str, operator: &str, input: &str| node(name, operator, &[input, &scale, &zero_point], &[name], &[]);
    [
        one(&quantized, "QuantizeLinear", value),
        one(&dequantized, "DequantizeLinear", &quantized),
    ]
}

fn tensor(name: &str, data_type: i32, dims: &[i64], raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type,
        dims: dims.to_vec(),
        raw_data: raw.into(),
        ..TensorProto::default()
    }
}

/// A weight with a scale for each index of one axis.
struct Weight {
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl Weight {
    fn of(tensor: &TensorProto, Stored { axis, largest_sum }: Stored) -> Result<Self, ExportError> {
        let floats = floats_of(tensor);
        let extents: Vec<usize> = tensor
            .dims
            .iter()
            .map(|&extent| usize::try_from(extent).unwrap_or(0))
            .collect();
        let wrong = || {
            ExportError::Quantize(format!(
                "{}: weights of shape {extents:?} have no axis {axis}",
                tensor.name
            ))
        };
        let outputs = *extents.get(axis).ok_or_else(wrong)?;
        let inner: usize = extents[axis + 1..].iter().product();
        if tensor.data_type != FLOAT || outputs == 0 || inner == 0 {
            return Err(wrong());
        }
        let output = |index: usize| index / inner % outputs;
        let (mut largest, mut sums) = (vec![0.0_f32; outputs], vec![0.0_f64; outputs]);
        for (index, value) in floats.iter().enumerate() {
            largest[output(index)] = largest[output(index)].max(value.abs());
            sums[output(index)] += f64::from(value.abs());
        }
        // Rounding adds half a step to each magnitude at most.
        let room = (f64::from(largest_sum) - 0.5 * (floats.len() / outputs) as f64).max(1.0);
        let scales: Vec<f32> = largest
            .iter()
            .zip(&sums)
            .map(|(largest, sum)| (largest / LARGEST_WEIGHT).max((sum / room) as f32))
            .map(|scale| if scale.is_normal() { scale } else { 1.0 })
            .collect();
        let round = |(index, value): (usize, &f32)| {
            let steps = (value / scales[output(index)]).round_ties_even();
            steps.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT) as i8
        };
        Ok(Self {
            values: floats.iter().enumerate().map(round).collect(),
            scales,
        })
    }

    fn node(&self, name: &str, axis: usize) -> NodeProto {
        let [quantized, scale, zero_point] =
            ["quantized", "scale", "zero_point"].map(|suffix| format!("{name}_{suffix}"));
        node(
            &format!("{name}_dequantized"),
            "DequantizeLinear",
            &[&quantized, &scale, &zero_point],
            &[name],
            &[Attribute::Int("axis", axis as i64)],
        )
    }

    fn tensors(self, name: &str, dims: &[i64]) -> [TensorProto; 3] {
        let outputs = self.scales.len();
        let values = self.values.iter().map(|&value| value as u8).collect();
        let scales = bytes_of(&self.scales);
        [
            tensor(&format!("{name}_quantized"), INT8, dims, values),
            tensor(&format!("{name}_scale"), FLOAT, &[outputs as i64], scales),
            tensor(&format!("{name}_zero_point"), INT8, &[outputs as i64], vec![0; outputs]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(dims: &[i64], values: &[f32]) -> TensorProto {
        tensor("w", FLOAT, dims, bytes_of(values))
    }

    const LARGEST_SUM: f32 = 526_344.0;

    fn stored(axis: usize) -> Stored {
        Stored {
            axis,
            largest_sum: LARGEST_SUM,
        }
    }

    #[test]
    fn every_output_has_its_own_scale() {
        let weight = Weight::of(&floats(&[2, 3], &[1.0, -2.0, 0.5, 0.0, 0.0, 0.0]), stored(0)).unwrap();
        assert_eq!(weight.scales, [2.0 / 127.0, 1.0]);
        assert_eq!(weight.values, [64, -127, 32, 0, 0, 0]);
        let weight = Weight::of(&floats(&[1, 2, 2], &[1.0, 0.5, -0.1, 0.2]), stored(1)).unwrap();
        assert_eq!(weight.scales, [1.0 / 127.0, 0.2 / 127.0]);
        let weight = Weight::of(&floats(&[2, 2], &[1.0, 0.5, -0.1, 0.2]), stored(1)).unwrap();
        assert_eq!(weight.scales, [1.0 / 127.0, 0.5 / 127.0]);
        assert_eq!(weight.values, [127, 127, -13, 51]);
    }

    /// 18 432 weights of one magnitude, as the widest published convolution has them, would sum up to 2 340 864 at 127 each.
    #[test]
    fn sums_stay_within_what_the_engine_adds_up_exactly() {
        let weight = Weight::of(
            &floats(&[2, 18_432], &[[0.5; 18_432], [0.1; 18_432]].concat()),
            stored(0),
        )
        .unwrap();
        for (row, scale) in weight.values.chunks(18_432).zip(&weight.scales) {
            let sum: f32 = row.iter().map(|&value| f32::from(value.unsigned_abs())).sum();
            assert!((0.95 * LARGEST_SUM..=LARGEST_SUM).contains(&sum), "{sum}");
            assert!(*scale > 0.1 / 127.0);
        }
    }

    /// A row of 520 recurrent weights of one magnitude would sum up to 66 040.
    #[test]
    fn sums_of_a_wide_lstm_stay_within_the_room_of_its_state() {
        let recurrent = Stored {
            largest_sum: 65_535.0,
            ..stored(1)
        };
        let weight = Weight::of(&floats(&[1, 1, 520], &[0.5; 520]), recurrent).unwrap();
        let sum: u32 = weight.values.iter().map(|value| u32::from(value.unsigned_abs())).sum();
        assert!((62_000..=65_535).contains(&sum), "{sum}");
    }

    #[test]
    fn a_weight_without_that_axis_is_refused() {
        assert!(Weight::of(&floats(&[3], &[1.0; 3]), stored(1)).is_err());
        assert!(Weight::of(&floats(&[0, 3], &[]), stored(0)).is_err());
    }

    /// Half a step at most, where nothing is clipped.
    #[test]
    fn rounding_errs_by_half_a_step() {
        let values: Vec<f32> = (0..1000)
            .map(|index| ((index * 7919 % 1000) as f32 - 500.0) / 317.0)
            .collect();
        let weight = Weight::of(&floats(&[4, 250], &values), stored(0)).unwrap();
        for (index, value) in values.iter().enumerate() {
            let scale = weight.scales[index / 250];
            let error = (f32::from(weight.values[index]) * scale - value).abs();
            assert!(error <= 0.5001 * scale, "{value}: {error}");
        }
    }
}
