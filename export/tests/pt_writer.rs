//! The `.pt` files we write: read again by our reader and by Python's own zip and pickle modules.

mod common;

use common::run_python;
use dualnet_export::weights::{Data, StateDict, Tensor};
use dualnet_fixtures::{golden_dir, report};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn golden() -> StateDict {
    StateDict::open(golden_dir().join("checkpoints/dualnet-s.pt")).expect("the golden checkpoint")
}

/// What must survive: special values, no elements, scalars, many axes, and names of any text.
fn awkward() -> StateDict {
    let mut state = StateDict::default();
    let mut insert = |name: &str, tensor: Option<Tensor>| {
        state.tensors.insert(name.to_owned(), tensor.expect("a filled shape"));
    };
    let special = [
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE,
        1e-45,
        f32::MAX,
    ];
    insert("special", Tensor::f32(&[2, 2, 1, 1, 2], special.to_vec()));
    insert("scalar", Tensor::i64(&[], vec![i64::MIN]));
    insert("", Tensor::f32(&[], vec![1.5]));
    insert("none", Tensor::f32(&[3, 0, 2], vec![]));
    insert("no integers", Tensor::i64(&[0], vec![]));
    insert("é\n\"quoted\"\u{1f600}", Tensor::i64(&[3], vec![-1, 0, i64::MAX]));
    insert(
        "storage",
        Tensor::f32(&[256], (0..256).map(|value| value as f32).collect()),
    );
    insert("long", Tensor::f32(&[70_000, 1], vec![0.25; 70_000]));
    state
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    match tensor.data() {
        Data::F32(values) => values.iter().map(|value| u64::from(value.to_bits())).collect(),
        Data::I64(values) => values.iter().map(|&value| value as u64).collect(),
    }
}

/// Equal bit by bit, NaN included.
fn assert_same(left: &StateDict, right: &StateDict) {
    assert!(left.tensors.keys().eq(right.tensors.keys()));
    for (name, tensor) in &left.tensors {
        let other = &right.tensors[name];
        assert_eq!(tensor.shape(), other.shape(), "{name}");
        assert_eq!(tensor.as_i64().is_some(), other.as_i64().is_some(), "{name}");
        assert_eq!(bits(tensor), bits(other), "{name}");
    }
}

fn written(state: &StateDict, path: &Path) -> StateDict {
    state.save_pt(path).expect("written");
    StateDict::open(path).expect("read")
}

#[test]
fn what_is_written_is_read_with_stable_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first.pt"), folder.path().join("second.pt"));
    for mut state in [golden(), awkward(), StateDict::default()] {
        state.metadata.insert("dualnet.training".to_owned(), "{}".to_owned());
        let read = written(&state, &first);
        assert_same(&read, &state);
        assert!(read.metadata.is_empty(), "the format has no metadata");
        written(&read, &second);
        assert!(std::fs::read(&first).expect("bytes") == std::fs::read(&second).expect("bytes"));
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        2,
        "nothing is left beside"
    );
    golden()
        .save_pt(folder.path().join("missing/weights.pt"))
        .expect_err("there is no such folder");
}

/// Python's pickler groups entries by a thousand, and gives a single one another instruction.
#[test]
fn any_number_of_tensors_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for count in [1_i64, 2, 999, 1000, 1001, 1002, 2001] {
        let tensor = |index| {
            (
                format!("tensor {index}"),
                Tensor::i64(&[1], vec![index]).expect("one element"),
            )
        };
        let state = StateDict {
            tensors: (0..count).map(tensor).collect(),
            ..StateDict::default()
        };
        assert_same(&written(&state, &folder.path().join("many.pt")), &state);
    }
}

#[test]
fn python_reads_every_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let many = StateDict {
        tensors: (0..1001)
            .map(|index| {
                (
                    format!("{index}"),
                    Tensor::f32(&[2], vec![index as f32; 2]).expect("two elements"),
                )
            })
            .collect(),
        ..StateDict::default()
    };
    let mut compared = 0;
    for state in [golden(), awkward(), many] {
        let path = folder.path().join("weights.pt");
        state.save_pt(&path).expect("written");
        let answer: Value = serde_json::from_str(&run_python("state_dict.py", &[path.into()])).expect("JSON");
        let names: Vec<&String> = state.tensors.keys().collect();
        assert_eq!(answer["names"], json!(names));
        assert_eq!(
            answer["misaligned"],
            json!([]),
            "the data of every file begin at a multiple of 64"
        );
        assert_eq!(answer["stored"], true);
        for (name, tensor) in &state.tensors {
            let found = &answer["tensors"][name];
            assert_eq!(found["shape"], json!(tensor.shape()), "{name}");
            let stride =
                |axis: usize| -> usize { tensor.shape()[axis + 1..].iter().map(|&extent| extent.max(1)).product() };
            let strides: Vec<usize> = (0..tensor.shape().len()).map(stride).collect();
            assert_eq!(found["strides"], json!(strides), "{name}");
            let (kind, width) = match tensor.data() {
                Data::F32(_) => ("FloatStorage", 4),
                Data::I64(_) => ("LongStorage", 8),
            };
            assert_eq!(found["type"], kind, "{name}");
            let bytes = bits(tensor)
                .into_iter()
                .flat_map(|value| value.to_le_bytes().into_iter().take(width));
            let expected: String = bytes.map(|byte| format!("{byte:02x}")).collect();
            assert!(found["bits"] == expected.as_str(), "{name}");
            compared += tensor.data().len();
        }
    }
    report(format_args!(
        "{compared} numbers of .pt files compared with what Python reads"
    ));
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(0_usize..5, 0..5);
    (shape, any::<bool>(), any::<u64>()).prop_map(|(shape, integers, seed)| {
        let count: usize = shape.iter().product();
        let mix = |index: usize| (seed ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let tensor = match integers {
            true => Tensor::i64(&shape, (0..count).map(|index| mix(index) as i64).collect()),
            false => Tensor::f32(
                &shape,
                (0..count).map(|index| f32::from_bits(mix(index) as u32)).collect(),
            ),
        };
        tensor.expect("a filled shape")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_state_dict_comes_back_bit_by_bit(tensors in prop::collection::btree_map("[a-z0-9._é ]{0,12}", tensor(), 0..12)) {
        prop_assume!(tensors.keys().all(|name| !name.starts_with("module.")));
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDict { tensors, ..StateDict::default() };
        assert_same(&written(&state, &folder.path().join("any.pt")), &state);
    }
}
