//! Weights stored in 16 bits: half the file, one rounding.

use super::check;
use super::error::ExportError;
use super::graph::{Attribute, FLOAT, FLOAT16, bytes_of, floats_of, node};
use super::metadata::{self, Card};
use dualnet_engine::Model;
use half::f16;
use onnx_ir::{GraphProto, Message, ModelProto, TensorProto};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Tensors of fewer values stay as they are: coefficients, numbers and most biases would save nothing worth a rounding.
const FEWEST: usize = 4096;

/// The file `bytes`, which [`super::export`] wrote, with its large tensors as FLOAT16, each followed by a Cast to FLOAT; `path` is what
/// errors call it.
///
/// What computes stays the same, in float32. A tensor with a value that 16 bits cannot hold stays as it is. The entries of `card` go on top of
/// those of the file.
///
/// # Errors
/// [`ExportError::Model`] when `bytes` are not an intact file of this project, [`ExportError::Check`] when the result does not pass its own
/// check.
pub fn store_f16(path: &Path, bytes: &[u8], card: &Card) -> Result<Vec<u8>, ExportError> {
    let wrong = |message: String| ExportError::Model {
        path: path.to_owned(),
        message,
    };
    Model::from_bytes("the file", bytes).map_err(|error| wrong(error.fault().to_string()))?;
    let mut model = ModelProto::parse_from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
    if narrow_graph(model.graph.mut_or_insert_default())? == 0 {
        return Err(wrong(
            "has no weights that are stored in 32 bits and fit into 16".to_owned(),
        ));
    }
    metadata::describe_again(&mut model, card, [])?;
    let bytes = metadata::seal(&model)?;
    check::check(&bytes)?;
    Ok(bytes)
}

/// Narrows the tensors that are large and fit; returns how many.
fn narrow_graph(graph: &mut GraphProto) -> Result<usize, ExportError> {
    let mut halves: HashMap<String, Vec<u8>> = HashMap::new();
    for tensor in &graph.initializer {
        if tensor.data_type == FLOAT
            && let Some(half) = halved(tensor)
        {
            halves.insert(tensor.name.clone(), half);
        }
    }
    let mut wanted: HashSet<String> = HashSet::new();
    let large = |tensor: &&TensorProto| tensor.raw_data.len() >= 4 * FEWEST;
    wanted.extend(graph.initializer.iter().filter(large).map(|tensor| tensor.name.clone()));
    // An LSTM's weights and biases go together: onnx-ir takes all of them as stored, or none.
    for lstm in graph.node.iter().filter(|node| node.op_type == "LSTM") {
        let group = lstm.input.iter().skip(1).filter(|name| !name.is_empty());
        if group.clone().all(|name| halves.contains_key(name)) {
            wanted.extend(group.cloned());
        } else {
            for name in group {
                wanted.remove(name);
            }
        }
    }
    let mut casts = Vec::new();
    for tensor in graph
        .initializer
        .iter_mut()
        .filter(|tensor| wanted.contains(&tensor.name))
    {
        let Some(half) = halves.remove(&tensor.name) else {
            continue;
        };
        let name = tensor.name.clone();
        tensor.name = format!("{name}.f16");
        tensor.data_type = FLOAT16;
        tensor.raw_data = half.into();
        let to = [Attribute::Int("to", i64::from(FLOAT))];
        casts.push(node(&name, "Cast", &[&tensor.name], &[&name], &to));
    }
    let taken = |name: &str| graph.initializer.iter().filter(|tensor| tensor.name == name).count() > 1;
    if let Some(cast) = casts.iter().find(|cast| taken(&cast.input[0])) {
        return Err(ExportError::lowering(&cast.input[0], "is the name of another tensor"));
    }
    let count = casts.len();
    graph.node.splice(0..0, casts);
    Ok(count)
}

/// Takes back what [`store_f16`] did: every FLOAT16 tensor that a Cast widens becomes the FLOAT tensor of these values.
pub(crate) fn widen_graph(graph: &mut GraphProto) {
    let mut widened: HashMap<String, String> = HashMap::new();
    graph.node.retain(|node| {
        let stored = node.input.first().filter(|_| node.op_type == "Cast");
        let Some(stored) = stored.filter(|name| is_half(&graph.initializer, name)) else {
            return true;
        };
        widened.insert(stored.clone(), node.output[0].clone());
        false
    });
    for tensor in &mut graph.initializer {
        let Some(name) = widened.remove(&tensor.name) else {
            continue;
        };
        let (halves, _) = tensor.raw_data.as_chunks::<2>();
        let floats: Vec<f32> = halves.iter().map(|&le| f16::from_le_bytes(le).to_f32()).collect();
        tensor.raw_data = bytes_of(&floats).into();
        tensor.data_type = FLOAT;
        tensor.name = name;
    }
}

fn is_half(tensors: &[TensorProto], name: &str) -> bool {
    tensors
        .iter()
        .any(|tensor| tensor.name == name && tensor.data_type == FLOAT16)
}

/// The values of a float32 tensor in 16 bits, rounded to nearest, little-endian; `None` where one of them becomes infinite.
fn halved(tensor: &TensorProto) -> Option<Vec<u8>> {
    let halves: Option<Vec<[u8; 2]>> = floats_of(tensor)
        .into_iter()
        .map(f16::from_f32)
        .map(|half| half.is_finite().then(|| half.to_le_bytes()))
        .collect();
    Some(halves?.into_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> TensorProto {
        TensorProto {
            name: "w".to_owned(),
            data_type: FLOAT,
            dims: vec![values.len() as i64],
            raw_data: bytes_of(values).into(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn large_tensors_that_fit_are_narrowed_and_cast_back_under_their_name() {
        let mut graph = GraphProto {
            initializer: vec![tensor(&[0.1; FEWEST])],
            node: vec![node("y", "Abs", &["w"], &["y"], &[])],
            ..GraphProto::default()
        };
        assert_eq!(narrow_graph(&mut graph).unwrap(), 1);
        assert_eq!(graph.initializer[0].raw_data[..2], f16::from_f32(0.1).to_le_bytes());
        let operators: Vec<&str> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
        assert_eq!(operators, ["Cast", "Abs"]);
        assert_eq!(
            (&graph.node[0].input[0], &graph.node[0].output[0]),
            (&"w.f16".to_owned(), &"w".to_owned())
        );
        widen_graph(&mut graph);
        assert_eq!((graph.node.len(), graph.initializer.len()), (1, 1));
        assert_eq!(graph.initializer[0], tensor(&[f16::from_f32(0.1).to_f32(); FEWEST]));
    }

    #[test]
    fn small_tensors_and_large_values_stay() {
        let narrowed = |values: Vec<f32>| {
            let mut graph = GraphProto {
                initializer: vec![tensor(&values)],
                ..GraphProto::default()
            };
            narrow_graph(&mut graph).unwrap()
        };
        assert_eq!(narrowed(vec![0.1; FEWEST - 1]), 0);
        let mut values = vec![0.1; FEWEST];
        values[77] = 65520.0; // rounds beyond the largest finite 65504
        assert_eq!(narrowed(values.clone()), 0);
        values[77] = 65504.0;
        assert_eq!(narrowed(values), 1);
    }

    #[test]
    fn the_tensors_of_an_lstm_are_narrowed_together_or_not_at_all() {
        let named = |name: &str, values: &[f32]| TensorProto {
            name: name.to_owned(),
            ..tensor(values)
        };
        for (bias, count) in [(0.1, 3), (1e6, 0)] {
            let (w, r, b) = (
                named("w", &[0.1; FEWEST]),
                named("r", &[0.1; FEWEST]),
                named("b", &[bias; 8]),
            );
            let mut graph = GraphProto {
                initializer: vec![w, r, b],
                node: vec![node("h", "LSTM", &["x", "w", "r", "b"], &["h"], &[])],
                ..GraphProto::default()
            };
            assert_eq!(narrow_graph(&mut graph).unwrap(), count);
        }
    }

    #[test]
    fn a_name_in_use_is_refused() {
        let mut graph = GraphProto {
            initializer: vec![
                tensor(&[0.1; FEWEST]),
                TensorProto {
                    name: "w.f16".to_owned(),
                    ..tensor(&[0.1])
                },
            ],
            ..GraphProto::default()
        };
        assert!(narrow_graph(&mut graph).is_err());
    }
}
