//! Model files made to do harm: sealed as if `export` had written them, and refused before anything is computed.

mod common;

use common::{golden_state, sealed};
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::{Network, preset};
use dualnet_export::onnx::{Card, export};
use onnx_ir::{AttributeProto, AttributeType, GraphProto, Message, ModelProto, NodeProto, TensorProto};
use std::path::Path;

const FLOAT: i32 = 1;

fn embedded() -> ModelProto {
    ModelProto::parse_from_bytes(Model::EMBEDDED_FILE).expect("ONNX")
}

/// What the engine says of an edited file.
fn refusal(edit: impl FnOnce(&mut GraphProto)) -> String {
    let mut model = embedded();
    edit(model.graph.mut_or_insert_default());
    let error = Model::from_bytes("edited.onnx", &sealed(model)).expect_err("a file made to do harm");
    let message = error.to_string();
    assert!(
        message.starts_with("model edited.onnx: node `") && !message.contains('\n'),
        "{message}"
    );
    message
}

fn first<'g>(graph: &'g mut GraphProto, operator: &str) -> &'g mut NodeProto {
    let node = graph.node.iter_mut().find(|node| node.op_type == operator);
    node.unwrap_or_else(|| panic!("there is no {operator}"))
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        type_: kind.into(),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: value,
        ..attribute(name, AttributeType::INT)
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, AttributeType::INTS)
    }
}

fn zeros(name: &str, dims: &[i64]) -> TensorProto {
    let elements: i64 = dims.iter().product();
    TensorProto {
        name: name.to_owned(),
        data_type: FLOAT,
        dims: dims.to_vec(),
        raw_data: vec![0; 4 * elements as usize].into(),
        ..TensorProto::default()
    }
}

/// Puts a node between the last values and their softmax; `{}` among its inputs is what the softmax read.
fn before_softmax(graph: &mut GraphProto, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
    let softmax = graph
        .node
        .iter()
        .position(|node| node.op_type == "Softmax")
        .expect("a softmax");
    let logits = std::mem::replace(&mut graph.node[softmax].input[0], "between".to_owned());
    let node = NodeProto {
        name: "between".to_owned(),
        op_type: operator.to_owned(),
        input: inputs.iter().map(|input| input.replace("{}", &logits)).collect(),
        output: vec!["between".to_owned()],
        attribute: attributes,
        ..NodeProto::default()
    };
    graph.node.insert(softmax, node);
}

#[test]
fn the_embedded_file_sealed_again_is_accepted() {
    Model::from_bytes("sealed again", &sealed(embedded())).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn attributes_that_would_be_ignored_are_named() {
    let reverse = AttributeProto {
        s: b"reverse".to_vec().into(),
        ..attribute("direction", AttributeType::STRING)
    };
    let clip = AttributeProto {
        f: 0.1,
        ..attribute("clip", AttributeType::FLOAT)
    };
    let activations = AttributeProto {
        strings: ["Relu", "Tanh", "Tanh"]
            .map(|name| name.as_bytes().to_vec().into())
            .to_vec(),
        ..attribute("activations", AttributeType::STRINGS)
    };
    for attribute in [reverse, clip, activations, int("input_forget", 1)] {
        let name = attribute.name.clone();
        let message = refusal(|graph| first(graph, "LSTM").attribute.push(attribute));
        assert!(message.contains(&name) && message.contains("hidden_size"), "{message}");
    }
    let message = refusal(|graph| first(graph, "Softmax").attribute = vec![int("axis", 99)]);
    assert!(message.contains("`axis`") && message.contains("-1 is"), "{message}");
}

#[test]
fn attributes_that_would_take_all_memory_are_refused() {
    for perm in [&[0, 0][..], &[1, 1], &[0, 1, 2, 3, 4, 5, 6, 7, 8]] {
        let message = refusal(|graph| before_softmax(graph, "Transpose", &["{}"], vec![ints("perm", perm)]));
        assert!(message.contains("permutation"), "{message}");
    }
    let message = refusal(|graph| {
        graph.initializer.push(zeros("scale", &[4]));
        before_softmax(graph, "LayerNormalization", &["{}", "scale"], vec![int("axis", -99)]);
    });
    assert!(message.contains("-1 is"), "{message}");
    let message = refusal(|graph| first(graph, "AveragePool").attribute = vec![ints("kernel_shape", &[2, i64::MAX])]);
    assert!(message.contains("[2, 2]"), "{message}");
}

/// 400 kB that a runtime would make 10 GB of.
#[test]
fn stored_values_are_not_multiplied_with_each_other() {
    for operator in ["Add", "MatMul"] {
        let message = refusal(|graph| {
            graph
                .initializer
                .extend([zeros("column", &[52_000, 1]), zeros("row", &[1, 52_000])]);
            before_softmax(graph, operator, &["column", "row"], Vec::new());
        });
        assert!(message.contains("stored values alone"), "{message}");
    }
}

/// A megabyte of weights between which a map would have 1.5 GB. Nothing runs it: not the fused kernels, not tract.
#[test]
fn a_map_that_would_take_all_memory_is_not_allocated() {
    const WIDE: i64 = 20_000;
    let mut config = preset("dualnet-s").expect("a preset");
    config.ablate_signal_encoder();
    config.channels = vec![2];
    let network = Network::new(config.clone()).expect("a valid configuration");
    let state = golden_state(&config, "golden-1");
    let bytes = export(&network, &state, Path::new("golden weights"), &Card::default()).expect("an exportable network");
    let mut model = ModelProto::parse_from_bytes(&bytes).expect("ONNX");
    let graph = model.graph.mut_or_insert_default();
    for (name, dims) in [
        ("conv_1.weight", &[WIDE, 1, 3, 3][..]),
        ("conv_1.bias", &[WIDE]),
        ("conv_2.weight", &[2, WIDE, 3, 3]),
    ] {
        let mut found = graph
            .initializer
            .iter_mut()
            .filter(|tensor| tensor.name.ends_with(name));
        let tensor = found.next().unwrap_or_else(|| panic!("there is no {name}"));
        *tensor = zeros(&tensor.name.clone(), dims);
    }
    let model = Model::from_bytes("wide.onnx", &sealed(model)).unwrap_or_else(|error| panic!("{error}"));
    let mismatch = Plan::of(&model).expect_err("a map beyond the limit").to_string();
    assert!(mismatch.contains("between two layers"), "{mismatch}");
    let answer = Runtime::new(model).run(&vec![0.1; ECG_LEN], &vec![0.1; SPECTROGRAM_LEN], 1);
    let message = answer.expect_err("a map beyond the limit").to_string();
    assert!(message.contains("elements") && !message.contains('\n'), "{message}");
}
