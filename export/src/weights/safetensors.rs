//! Safetensors, both ways.

use super::element::Element;
use super::{Data, StateDict, Tensor, WeightsError};
use dualnet_engine::pending;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Headers are padded with spaces to a multiple of this, so that the tensors behind them are aligned.
const ALIGNMENT: usize = 8;

/// The element types that are read.
const ELEMENTS: [(Dtype, Element); 10] = [
    (Dtype::F16, Element::F16),
    (Dtype::BF16, Element::BF16),
    (Dtype::F32, Element::F32),
    (Dtype::F64, Element::F64),
    (Dtype::BOOL, Element::Bool),
    (Dtype::U8, Element::U8),
    (Dtype::I8, Element::I8),
    (Dtype::I16, Element::I16),
    (Dtype::I32, Element::I32),
    (Dtype::I64, Element::I64),
];

pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<StateDict, WeightsError> {
    let malformed =
        |cause| WeightsError::format(path, format!("is neither a .pt (zip) nor a safetensors file ({cause})"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let metadata: BTreeMap<String, String> = header
        .metadata()
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(malformed)?.iter() {
        let element = element(view.dtype()).map_err(|message| WeightsError::tensor(path, name, message))?;
        let tensor = Tensor::new(view.shape(), element.decode(view.data()))
            .ok_or_else(|| WeightsError::tensor(path, name, "does not fill its shape"))?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(StateDict { tensors, metadata })
}

fn element(dtype: Dtype) -> Result<Element, String> {
    let known = ELEMENTS.iter().find(|(known, _)| *known == dtype);
    known.map(|(_, element)| *element).ok_or_else(|| {
        let names = ELEMENTS.map(|(dtype, _)| format!("{dtype:?}")).join(", ");
        format!("has element type {dtype:?}; supported are {names}")
    })
}

pub(super) fn write(state: &StateDict, path: &Path) -> Result<(), WeightsError> {
    let header = header(state);
    pending::write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        ordered(state).try_for_each(|(_, tensor)| write_elements(file, &tensor.data))
    })
    .map_err(|cause| WeightsError::io(path, cause))
}

/// The tensors as they lie in the file: the wider elements first, so that all of them are aligned.
fn ordered(state: &StateDict) -> impl Iterator<Item = (&String, &Tensor)> {
    let of = |integers: bool| {
        state
            .tensors
            .iter()
            .filter(move |(_, tensor)| tensor.as_i64().is_some() == integers)
    };
    of(true).chain(of(false))
}

/// The JSON header with sorted keys. (The crate's own writer takes the metadata in hash order, so that its bytes differ
/// from run to run.)
fn header(state: &StateDict) -> Vec<u8> {
    let mut entries = Map::new();
    if !state.metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), json!(state.metadata));
    }
    let mut offset = 0;
    for (name, tensor) in ordered(state) {
        let (dtype, width) = match tensor.data {
            Data::F32(_) => ("F32", 4),
            Data::I64(_) => ("I64", 8),
        };
        let end = offset + tensor.data.len() * width;
        let entry: Value = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [offset, end] });
        entries.insert(name.clone(), entry);
        offset = end;
    }
    let mut bytes = Value::Object(entries).to_string().into_bytes();
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), b' ');
    bytes
}

pub(super) fn write_elements(file: &mut dyn Write, data: &Data) -> std::io::Result<()> {
    match data {
        Data::F32(values) => values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes())),
        Data::I64(values) => values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes())),
    }
}
