//! Every bad model file, and every wrong flag, ends in exit code 2 and one line that names it.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use dualnet_engine::Model;
use dualnet_engine::model::digest::{Initializer, file_digest_position, file_sha256, weights_sha256};
use tract_onnx::prelude::Framework;

/// The embedded model file with every `from` replaced by `to` of the same length, and its checksums computed again:
/// what somebody would write who knows the format.
fn forged(from: &[u8], to: &[u8]) -> Vec<u8> {
    forged_of(Model::EMBEDDED_FILE, from, to)
}

/// The same for another file.
fn forged_of(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = file.to_vec();
    let positions: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|&position| bytes[position..].starts_with(from))
        .collect();
    assert!(!positions.is_empty(), "nothing to replace");
    for position in positions {
        bytes[position..][..to.len()].copy_from_slice(to);
    }
    sign(bytes)
}

fn sign(mut bytes: Vec<u8>) -> Vec<u8> {
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut bytes.as_slice())
        .expect("still protobuf");
    let stated = proto
        .metadata_props
        .iter()
        .find(|entry| entry.key == "dualnet.weights_sha256")
        .unwrap()
        .value
        .clone();
    let digest = weights_sha256(proto.graph.unwrap().initializer.iter().map(|tensor| Initializer {
        name: &tensor.name,
        data_type: tensor.data_type,
        dims: &tensor.dims,
        raw_data: &tensor.raw_data,
    }));
    let position = bytes
        .windows(stated.len())
        .rposition(|window| window == stated.as_bytes())
        .unwrap();
    bytes[position..][..digest.len()].copy_from_slice(digest.as_bytes());
    let digits = file_digest_position(&bytes).unwrap();
    let digest = file_sha256(&bytes, digits.clone()).unwrap();
    bytes[digits].copy_from_slice(digest.as_bytes());
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    let message = Model::from_bytes("bad.onnx", bytes)
        .expect_err("a bad model file")
        .to_string();
    assert!(
        message.starts_with("model bad.onnx: ") && !message.contains('\n'),
        "{message}"
    );
    message
}

/// Runs the program with `bytes` as its model; one line, exit code 2, nothing on standard output.
fn refused_by_the_program(bytes: &[u8], word: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "bad.onnx", bytes);
    for command in ["classify", "info"] {
        let mut arguments = vec![PathBuf::from(command), "--model".into(), path.clone()];
        if command == "classify" {
            arguments.push(fixture("A00001.mat"));
        }
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let line = only_line(&output);
        assert!(line.contains("bad.onnx") && line.contains(word), "{line}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn the_embedded_files_pass_every_check() {
    let model = Model::from_bytes("embedded", Model::EMBEDDED_FILE).unwrap();
    assert_eq!(model.card(), Model::embedded().unwrap().card());
    let model = Model::from_bytes("embedded", Model::EMBEDDED_INT8_FILE).unwrap();
    assert_eq!(model.card(), Model::embedded_int8().unwrap().card());
    assert!(forged(b"dualnet.format_version", b"dualnet.format_version") == Model::EMBEDDED_FILE);
}

#[test]
fn what_is_not_onnx() {
    refused_by_the_program(b"", "empty");
    refused_by_the_program(b"Dear reader,\nthis is not a network.\n", "not an ONNX file");
    refusal(&[0xff; 100]);
    refusal(&std::fs::read(fixture("A00001.mat")).unwrap());
}

#[test]
fn a_truncated_file() {
    let whole = Model::EMBEDDED_FILE;
    refused_by_the_program(&whole[..whole.len() / 2], "ONNX");
    for step in 0..60 {
        refusal(&whole[..whole.len() * step / 60]);
    }
    for missing in 1..200.min(whole.len()) {
        refusal(&whole[..whole.len() - missing]);
    }
}

#[test]
fn a_flipped_byte() {
    let whole = Model::EMBEDDED_FILE;
    let samples = (0..whole.len())
        .step_by(whole.len() / 40)
        .chain(whole.len() - 400..whole.len());
    for (round, position) in samples.enumerate() {
        let mut flipped = whole.to_vec();
        flipped[position] ^= 1 << (round % 8);
        refusal(&flipped);
    }
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    refused_by_the_program(&flipped, "damaged");
}

#[test]
fn bytes_behind_the_end() {
    refusal(&[Model::EMBEDDED_FILE, &[0x28, 0x01]].concat());
}

#[test]
fn the_shapes_of_another_network() {
    let (frames_563, frames_562) = (
        b"\x0a\x03\x08\xb3\x04\x0a\x02\x08\x21",
        b"\x0a\x03\x08\xb2\x04\x0a\x02\x08\x21",
    );
    refused_by_the_program(&forged(frames_563, frames_562), "[N, 1, 563, 33] is expected");
    let classes = refusal(&forged(br#"["N","O","A","~"]"#, br#"["N","O","A"]    "#));
    assert!(classes.contains("[N, 3] is expected"), "{classes}");
}

#[test]
fn another_operator() {
    let message = refusal(&forged(b"GlobalAveragePool", b"GlobalAveragePoop"));
    assert!(
        message.contains("GlobalAveragePoop") && message.contains("GlobalAveragePool"),
        "{message}"
    );
    let message = refusal(&forged(b"ecg.dualnet", b"ecg.duelnet"));
    assert!(message.contains("ecg.duelnet"), "{message}");
}

#[test]
fn metadata_of_another_version() {
    let message = refusal(&forged(
        b"dualnet.format_version\x12\x011",
        b"dualnet.format_version\x12\x012",
    ));
    assert!(message.contains("version 1"), "{message}");
    let message = refusal(&forged(br#""window_step":224"#, br#""window_step":256"#));
    assert!(message.contains("dualnet.preprocessing"), "{message}");
}

#[test]
fn a_weight_that_is_not_a_number() {
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut &*Model::EMBEDDED_FILE)
        .unwrap();
    let initializers = &proto.graph.as_ref().unwrap().initializer;
    let tensor = initializers
        .iter()
        .find(|tensor| tensor.data_type == 1 && tensor.raw_data.len() > 64)
        .unwrap();
    let mut poisoned = tensor.raw_data[..64].to_vec();
    poisoned[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
    let bytes = forged(&tensor.raw_data[..64], &poisoned);
    let message = refusal(&bytes);
    assert!(
        message.contains(&format!("tensor `{}`", tensor.name)) && message.contains("finite"),
        "{message}"
    );
    refused_by_the_program(&bytes, "finite");
}

/// The first 64 bytes of a stored vector of scales, and what the tensor is called.
fn scales() -> (Vec<u8>, String) {
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut &*Model::EMBEDDED_INT8_FILE)
        .unwrap();
    let initializers = proto.graph.unwrap().initializer;
    let scales = initializers
        .into_iter()
        .find(|tensor| tensor.name.ends_with("_scale") && tensor.raw_data.len() >= 64)
        .expect("a scale per output");
    (scales.raw_data[..64].to_vec(), scales.name)
}

#[test]
fn an_int8_file_with_scales_that_mean_nothing() {
    let (scales, name) = scales();
    for (bad, word) in [(f32::NAN, "not a finite number"), (0.0, "positive"), (-1.0, "positive")] {
        let mut poisoned = scales.clone();
        poisoned[12..16].copy_from_slice(&bad.to_le_bytes());
        let bytes = forged_of(Model::EMBEDDED_INT8_FILE, &scales, &poisoned);
        let message = refusal(&bytes);
        assert!(message.contains(word), "{message}");
        refused_by_the_program(&bytes, name.trim_end_matches("_scale"));
    }
}

#[test]
fn an_int8_file_without_its_scales() {
    // The tensor's own name (field 8 of TensorProto), not what the nodes call it.
    let (_, name) = scales();
    let own = |name: &str| [&[0x42, name.len() as u8], name.as_bytes()].concat();
    let other = format!("{}E", &name[..name.len() - 1]);
    let bytes = forged_of(Model::EMBEDDED_INT8_FILE, &own(&name), &own(&other));
    refused_by_the_program(&bytes, &name);
}

#[test]
fn an_int8_file_of_unknown_precision() {
    let bytes = forged_of(
        Model::EMBEDDED_INT8_FILE,
        b"dualnet.precision\x12\x04int8",
        b"dualnet.precision\x12\x04int4",
    );
    refused_by_the_program(&bytes, "f32 and int8 are supported");
}

#[test]
fn the_precision_of_a_file_is_not_that_of_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let float = write(folder.path(), "float.onnx", Model::EMBEDDED_FILE);
    let int8 = write(folder.path(), "int8.onnx", Model::EMBEDDED_INT8_FILE);
    for (model, precision, words) in [
        (&float, "int8", ["float.onnx", "export quantize"]),
        (&int8, "f32", ["int8.onnx", "weights are int8"]),
        (&int8, "f16", ["int8.onnx", "cuda"]),
    ] {
        let output = run([
            Path::new("classify"),
            Path::new("--precision"),
            Path::new(precision),
            Path::new("--model"),
            model,
            &fixture("A00001.mat"),
        ]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let line = only_line(&output);
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

/// A matrix turned on its side passes every check of the file; that it does not fit is found by the runtime, whether it
/// says so or panics.
#[test]
fn weights_that_do_not_fit_each_other() {
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut &*Model::EMBEDDED_FILE)
        .unwrap();
    let initializers = proto.graph.unwrap().initializer;
    let matrix = |tensor: &&tract_onnx::pb::TensorProto| {
        tensor.data_type == 1 && tensor.dims.len() == 2 && tensor.dims[0] != tensor.dims[1]
    };
    let dims = &initializers
        .iter()
        .find(matrix)
        .expect("a matrix that is not square")
        .dims;
    let shape = |first: i64, second: i64| {
        let (first, second) = (varint(first), varint(second));
        let packed = [
            &[0x0a, (first.len() + second.len()) as u8],
            &first[..],
            &second,
            &[0x10, 1],
        ]
        .concat();
        let unpacked = [&[0x08], &first[..], &[0x08], &second, &[0x10, 1]].concat();
        [packed, unpacked]
    };
    let (upright, turned) = (shape(dims[0], dims[1]), shape(dims[1], dims[0]));
    let is_there = |pattern: &&Vec<u8>| {
        Model::EMBEDDED_FILE
            .windows(pattern.len())
            .any(|window| window == **pattern)
    };
    let encoding = upright
        .iter()
        .position(|pattern| is_there(&pattern))
        .expect("its shape");
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "bad.onnx", forged(&upright[encoding], &turned[encoding]));
    let output = run([
        Path::new("classify"),
        Path::new("--model"),
        &path,
        &fixture("A00001.mat"),
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let line = only_line(&output);
    assert!(
        line.contains("bad.onnx") && line.contains("cannot be prepared"),
        "{line}"
    );
}

fn varint(mut value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn a_missing_model_file() {
    let output = run([
        Path::new("classify"),
        Path::new("--model=none.onnx"),
        &fixture("A00001.mat"),
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(only_line(&output).contains("none.onnx"));
}

#[test]
fn devices_and_precisions_that_do_not_exist_name_what_does() {
    for (flag, word) in [("--device=cuda", "cpu"), ("--precision=f16", "cuda")] {
        let output = run([Path::new("classify"), Path::new(flag), &fixture("A00001.mat")]);
        assert_eq!(output.status.code(), Some(2), "{flag}");
        let line = only_line(&output);
        assert!(line.contains(word), "{flag}: {line}");
    }
}

/// Where no GPU can be used: the class comes from the CPU, and whoever asked for a device hears why.
#[test]
fn an_automatic_device_that_is_the_cpu_says_so_when_it_was_asked_for() {
    for (flag, said) in [(Some("--device=auto"), true), (None, cfg!(feature = "cuda"))] {
        let record = fixture("A00001.mat");
        let mut arguments = vec![Path::new("classify"), Path::new("--format=ndjson")];
        arguments.extend(flag.map(Path::new));
        arguments.push(&record);
        let output = run(arguments);
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{flag:?}: {errors}");
        let device = objects(&output)[0]["device"].clone();
        if cfg!(feature = "cuda") && device == "cuda" {
            dualnet_fixtures::report(format_args!(
                "skipped: this machine's GPU was used; what is said where there is none is not tested"
            ));
            return;
        }
        assert_eq!(device, "cpu", "{flag:?}");
        assert_eq!(
            errors.contains("note: the records are classified on the CPU: "),
            said,
            "{flag:?}: {errors}"
        );
    }
}

#[test]
fn wrong_usage() {
    let record = fixture("A00001.mat");
    let record = record.to_str().unwrap();
    let wrong: [&[&str]; 19] = [
        &[],
        &["diagnose", record],
        &["classify"],
        &["classify", "--no-such-flag", record],
        &["classify", "--format", "xml", record],
        &["classify", "--threads", "0", record],
        &["classify", "--batch-size", "0", record],
        &["classify", "--batch-size", "4097", record],
        &["classify", "--min-confidence", "1.5", record],
        &["classify", "--min-confidence", "NaN", record],
        &["classify", "--sampling-rate", "0", record],
        &["classify", "--sampling-rate", "49", record],
        &["classify", "--device", "gpu", record],
        &["classify", "--precision", "int4", record],
        &["info", "--precision", "f16"],
        &["info", "--precision", "int8", "--model", "none.onnx"],
        &["classify", "--output", "/no/such/folder/out.csv", record],
        &["classify", "-", "-"],
        &["score", "--reference", "none.csv", "--predictions", "none.csv"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr(&output).is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}
