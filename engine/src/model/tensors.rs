//! The tensors stored in a model file.

use std::collections::HashSet;

use half::f16;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

use super::ModelFault;

/// Checks every initializer and returns how many numbers they hold that were trained, in floating point or quantized.
pub(super) fn check(graph: &GraphProto) -> Result<u64, ModelFault> {
    if !graph.sparse_initializer.is_empty() {
        return Err(ModelFault::Unsupported {
            part: "sparse initializers",
        });
    }
    let mut names = HashSet::new();
    let mut weights = 0;
    for tensor in &graph.initializer {
        if !names.insert(tensor.name.as_str()) {
            return Err(fault(tensor, "is there twice".to_owned()));
        }
        weights += check_tensor(tensor)?;
    }
    Ok(weights)
}

/// Fails unless the tensor lies in the file, as long as its shape says, finite, in a type this engine reads. Returns how
/// many numbers of type FLOAT or INT8 it holds.
pub(super) fn check_tensor(tensor: &TensorProto) -> Result<u64, ModelFault> {
    if tensor.data_location.is_some_and(|location| location != 0) || !tensor.external_data.is_empty() {
        return Err(fault(
            tensor,
            "lies in another file: only tensors inside the model file are read".to_owned(),
        ));
    }
    let elsewhere = !tensor.float_data.is_empty()
        || !tensor.double_data.is_empty()
        || !tensor.int32_data.is_empty()
        || !tensor.int64_data.is_empty()
        || !tensor.string_data.is_empty()
        || tensor.segment.is_some();
    if elsewhere {
        return Err(fault(tensor, "is not stored as raw data".to_owned()));
    }
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float16) => 2,
        Ok(DataType::Float) => 4,
        Ok(DataType::Int64) => 8,
        Ok(DataType::Int8) => 1,
        _ => {
            let problem = format!(
                "holds {}: FLOAT, FLOAT16, INT64 and INT8 are supported",
                type_name(tensor.data_type)
            );
            return Err(fault(tensor, problem));
        }
    };
    let elements = elements(tensor)?;
    if elements.checked_mul(size) != Some(tensor.raw_data.len()) {
        let problem = format!(
            "has {} bytes for {elements} elements of shape {:?}",
            tensor.raw_data.len(),
            tensor.dims
        );
        return Err(fault(tensor, problem));
    }
    let raw = &tensor.raw_data;
    let not_finite = match size {
        2 => raw
            .as_chunks()
            .0
            .iter()
            .position(|le| !f16::from_le_bytes(*le).is_finite()),
        4 => floats(tensor).position(|value| !value.is_finite()),
        1 => return Ok(elements as u64),
        _ => return Ok(0),
    };
    match not_finite {
        Some(index) => Err(fault(tensor, format!("element {index} is not a finite number"))),
        None => Ok(elements as u64),
    }
}

/// The values of a tensor of type FLOAT.
pub(super) fn floats(tensor: &TensorProto) -> impl Iterator<Item = f32> {
    tensor
        .raw_data
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
}

/// ONNX's name of an element type.
pub(super) fn type_name(data_type: i32) -> String {
    match DataType::try_from(data_type) {
        Ok(known) => known.as_str_name().to_owned(),
        Err(_) => format!("an unknown type ({data_type})"),
    }
}

fn elements(tensor: &TensorProto) -> Result<usize, ModelFault> {
    tensor
        .dims
        .iter()
        .try_fold(1usize, |product, &extent| {
            product.checked_mul(usize::try_from(extent).ok()?)
        })
        .ok_or_else(|| fault(tensor, format!("has the impossible shape {:?}", tensor.dims)))
}

fn fault(tensor: &TensorProto, problem: String) -> ModelFault {
    ModelFault::Tensor {
        name: tensor.name.escape_default().to_string(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::StringStringEntryProto;

    fn tensor(data_type: DataType, dims: &[i64], raw_data: &[u8]) -> TensorProto {
        TensorProto {
            name: "w".to_owned(),
            data_type: data_type as i32,
            dims: dims.to_vec(),
            raw_data: raw_data.to_vec(),
            ..TensorProto::default()
        }
    }

    fn problem(tensor: &TensorProto) -> String {
        let message = check_tensor(tensor).unwrap_err().to_string();
        assert!(
            message.starts_with("tensor `w`: ") && !message.contains('\n'),
            "{message}"
        );
        message
    }

    #[test]
    fn stored_floats_are_counted() {
        assert_eq!(check_tensor(&tensor(DataType::Float, &[2], &[0; 8])).unwrap(), 2);
        assert_eq!(check_tensor(&tensor(DataType::Float16, &[3], &[0; 6])).unwrap(), 3);
        assert_eq!(check_tensor(&tensor(DataType::Int64, &[1], &[0; 8])).unwrap(), 0);
        assert_eq!(check_tensor(&tensor(DataType::Float, &[], &[0; 4])).unwrap(), 1);
        assert_eq!(check_tensor(&tensor(DataType::Int8, &[2, 2], &[0x80; 4])).unwrap(), 4);
    }

    #[test]
    fn every_non_finite_weight_is_found() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bytes = [[0; 4], bad.to_le_bytes()].concat();
            assert!(problem(&tensor(DataType::Float, &[2], &bytes)).contains("element 1"));
            let bytes = [[0; 2], f16::from_f32(bad).to_le_bytes()].concat();
            assert!(problem(&tensor(DataType::Float16, &[2], &bytes)).contains("element 1"));
        }
    }

    #[test]
    fn shapes_that_do_not_fit_the_bytes_are_refused_before_allocating() {
        for dims in [
            &[3][..],
            &[],
            &[-1],
            &[i64::MAX, i64::MAX],
            &[i64::MAX / 4 + 1],
            &[1 << 32, 1 << 32],
        ] {
            problem(&tensor(DataType::Float, dims, &[0; 8]));
            problem(&tensor(DataType::Float16, dims, &[0; 8]));
        }
    }

    #[test]
    fn other_types_and_places_are_refused() {
        for data_type in [
            DataType::String,
            DataType::Bfloat16,
            DataType::Double,
            DataType::Uint8,
            DataType::Undefined,
        ] {
            assert!(problem(&tensor(data_type, &[1], &[0; 8])).contains("FLOAT16, INT64 and INT8"));
        }
        problem(&TensorProto {
            data_type: 77,
            ..tensor(DataType::Float, &[1], &[0; 4])
        });
        let entry = StringStringEntryProto {
            key: "location".to_owned(),
            value: "/etc/passwd".to_owned(),
        };
        let external = TensorProto {
            external_data: vec![entry],
            ..tensor(DataType::Float, &[1], &[0; 4])
        };
        assert!(problem(&external).contains("another file"));
        problem(&TensorProto {
            data_location: Some(1),
            ..tensor(DataType::Float, &[1], &[0; 4])
        });
        problem(&TensorProto {
            float_data: vec![1.0],
            ..tensor(DataType::Float, &[1], &[])
        });
        problem(&TensorProto {
            int64_data: vec![1],
            ..tensor(DataType::Int64, &[1], &[])
        });
    }

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let one = tensor(DataType::Float, &[1], &[0; 4]);
        let graph = GraphProto {
            initializer: vec![one.clone(), one],
            ..GraphProto::default()
        };
        assert!(check(&graph).unwrap_err().to_string().contains("twice"));
    }
}
