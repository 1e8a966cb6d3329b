//! Model files made to do harm: sealed as if `export` had written them, and refused before anything is computed.

mod common;

use common::{golden_state, quantized, sealed};
use dualnet_engine::Model;
use dualnet_engine::cpu::{RunError, Runtime};
use dualnet_engine::plan::Plan;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::{Network, NetworkConfig, preset};
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

/// A file of the golden weights of ECG-DualNet S.
fn golden(config: &NetworkConfig) -> Vec<u8> {
    let network = Network::new(config.clone()).expect("a valid configuration");
    let state = golden_state(config, "golden-1");
    export(&network, &state, Path::new("golden weights"), &Card::default()).expect("an exportable network")
}

/// The first tensor whose name ends so.
fn tensor<'g>(graph: &'g mut GraphProto, end: &str) -> &'g mut TensorProto {
    let mut found = graph.initializer.iter_mut().filter(|tensor| tensor.name.ends_with(end));
    found.next().unwrap_or_else(|| panic!("there is no {end}"))
}

/// ECG-DualNet S without its signal encoder, of these channels, its tensors whose names end so with zeros of other extents.
fn without_signal(channels: &[usize], extents: &[(&str, &[i64])]) -> Model {
    let mut config = preset("dualnet-s").expect("a preset");
    config.ablate_signal_encoder();
    config.channels = channels.to_vec();
    let mut model = ModelProto::parse_from_bytes(&golden(&config)).expect("ONNX");
    for (name, dims) in extents {
        let tensor = tensor(model.graph.mut_or_insert_default(), name);
        *tensor = zeros(&tensor.name.clone(), dims);
    }
    Model::from_bytes("edited.onnx", &sealed(model)).unwrap_or_else(|error| panic!("{error}"))
}

fn run(model: Model) -> Result<Vec<f32>, RunError> {
    Runtime::new(model).run(&vec![0.1; ECG_LEN], &vec![0.1; SPECTROGRAM_LEN], 1)
}

/// A layer nothing passes through has a kernel neither here nor on a GPU.
#[test]
fn a_layer_without_outputs_is_not_fused() {
    let model = without_signal(
        &[2],
        &[
            ("linear_layer_1.0.weight", &[0, 2]),
            ("linear_layer_1.0.bias", &[0]),
            ("linear_layer_2.weight", &[4, 0]),
        ],
    );
    let mismatch = Plan::of(&model).expect_err("a layer without outputs").to_string();
    assert!(mismatch.contains("without inputs or outputs"), "{mismatch}");
}

/// Forty maps of 30 MB, each of which is within the limit, all read once the last is made.
#[test]
fn values_that_would_take_all_memory_together_are_not_allocated() {
    let mut model = embedded();
    let graph = model.graph.mut_or_insert_default();
    graph
        .initializer
        .extend([zeros("channels", &[400, 1, 1]), zeros("classes", &[400, 4])]);
    let [maps, sums] = ["map", "sum"].map(|kind| (0..40).map(|index| format!("{kind}_{index}")).collect::<Vec<_>>());
    let mut nodes: Vec<(&str, Vec<&str>, &str)> = Vec::new();
    for index in 0..40 {
        let before = if index == 0 { "spectrogram" } else { &maps[index - 1] };
        nodes.push(("Mul", vec![before, "channels"], &maps[index]));
    }
    // The last map first.
    for index in 1..40 {
        let before = if index == 1 { &maps[39] } else { &sums[index - 1] };
        nodes.push(("Add", vec![before, &maps[39 - index]], &sums[index]));
    }
    nodes.push(("GlobalAveragePool", vec![&sums[39]], "mean"));
    nodes.push(("Flatten", vec!["mean"], "flat"));
    nodes.push(("MatMul", vec!["flat", "classes"], "nothing"));
    for (index, (operator, inputs, output)) in nodes.into_iter().enumerate() {
        let node = NodeProto {
            name: output.to_owned(),
            op_type: operator.to_owned(),
            input: inputs.into_iter().map(str::to_owned).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        graph.node.insert(index, node);
    }
    before_softmax(graph, "Add", &["{}", "nothing"], Vec::new());
    let model = Model::from_bytes("many.onnx", &sealed(model)).unwrap_or_else(|error| panic!("{error}"));
    let message = run(model).expect_err("values beyond the limit").to_string();
    assert!(message.contains("still needed") && !message.contains('\n'), "{message}");
}

/// Blocks of floats that make numbers beyond all others, before a block of 8-bit integers, which hold no such number.
#[test]
fn what_is_not_finite_is_not_hidden_by_rounding() {
    let config = preset("dualnet-s").expect("a preset");
    let bytes = quantized(
        &golden(&config),
        1,
        &["spectrogram_encoder.0.", "spectrogram_encoder.1."],
    );
    let with = |largest: f32| {
        let mut model = ModelProto::parse_from_bytes(&bytes).expect("ONNX");
        let graph = model.graph.mut_or_insert_default();
        let numerator = [largest, 1.0, 0.0, 0.0, 0.0, largest];
        for block in 0..2 {
            for activation in ["main_mapping_act_1", "final_activation"] {
                for (part, values) in [("numerator", &numerator[..]), ("denominator", &[0.0; 4])] {
                    let name = format!("spectrogram_encoder.{block}.{activation}.weight_{part}");
                    let bytes: Vec<u8> = values.iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
                    tensor(graph, &name).raw_data = bytes.into();
                }
            }
        }
        Model::from_bytes("edited.onnx", &sealed(model)).unwrap_or_else(|error| panic!("{error}"))
    };
    assert_eq!(Plan::of(&with(1.0)).err().map(|mismatch| mismatch.to_string()), None);
    assert!(run(with(0.0)).is_ok());
    let answer = run(with((1 << 20) as f32));
    assert!(matches!(answer, Err(RunError::NotFinite { .. })), "{answer:?}");
}

/// A megabyte of weights between which a map would have 1.5 GB. Nothing runs it: not the fused kernels, not tract.
#[test]
fn a_map_that_would_take_all_memory_is_not_allocated() {
    const WIDE: i64 = 20_000;
    let model = without_signal(
        &[2],
        &[
            ("conv_1.weight", &[WIDE, 1, 3, 3]),
            ("conv_1.bias", &[WIDE]),
            ("conv_2.weight", &[2, WIDE, 3, 3]),
        ],
    );
    let mismatch = Plan::of(&model).expect_err("a map beyond the limit").to_string();
    assert!(mismatch.contains("between two layers"), "{mismatch}");
    let answer = run(model);
    let message = answer.expect_err("a map beyond the limit").to_string();
    assert!(message.contains("elements") && !message.contains('\n'), "{message}");
}
