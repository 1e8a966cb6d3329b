//! `export quantize`: the int8 file in ONNX Runtime and in the engine, its form, and everything that stops it.

mod common;
#[path = "common/program.rs"]
mod program;

use common::{golden_file, golden_state, onnx_runtime_on, quantized, sealed};
use dualnet_engine::classifier::prepare_record;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::plan::Plan;
use dualnet_engine::record::records_in;
use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_engine::{Model, Precision, Record};
use dualnet_export::network::{Network, preset};
use dualnet_export::onnx::{Card, export, write};
use dualnet_export::quantize::{Recordings, sensitive};
use dualnet_fixtures::{largest_difference, records_dir, report};
use onnx_ir::{GraphProto, Message, ModelProto};
use program::{fail, run, succeed};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Two runtimes on one int8 file: a value that lies between two levels may go either way.
const RUNTIMES: f64 = 0.02;

fn float_s() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/models/dualnet-s.onnx")
}

fn graph(bytes: &[u8]) -> GraphProto {
    ModelProto::parse_from_bytes(bytes).expect("ONNX").graph.unwrap()
}

/// The inputs of all fixture records.
fn fixture_inputs() -> (Vec<f32>, Vec<f32>, usize) {
    let paths = records_in(&records_dir()).expect("the fixture records");
    let (mut ecg, mut spectrogram) = (
        vec![0.0; paths.len() * ECG_LEN],
        vec![0.0; paths.len() * SPECTROGRAM_LEN],
    );
    let mut preprocessor = Preprocessor::new();
    let rows = ecg
        .chunks_exact_mut(ECG_LEN)
        .zip(spectrogram.chunks_exact_mut(SPECTROGRAM_LEN));
    for (path, (ecg, spectrogram)) in paths.iter().zip(rows) {
        let record = Record::open(path).expect("a record");
        prepare_record(&mut preprocessor, &record, ecg, spectrogram).expect("inputs");
    }
    (ecg, spectrogram, paths.len())
}

fn engine_rows(model: Model, ecg: &[f32], spectrogram: &[f32]) -> Vec<Vec<f64>> {
    let mut runtime = Runtime::new(model);
    let records = ecg.chunks_exact(ECG_LEN).zip(spectrogram.chunks_exact(SPECTROGRAM_LEN));
    records
        .map(|(ecg, spectrogram)| {
            let row = runtime
                .run(ecg, spectrogram, 1)
                .unwrap_or_else(|error| panic!("{error}"));
            row.into_iter().map(f64::from).collect()
        })
        .collect()
}

/// The embedded S and a golden ++ S (attention of both kinds), that with its Transformer in float too, 12 real records.
#[test]
fn engine_and_onnx_runtime_agree_on_int8_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ecg, spectrogram, records) = fixture_inputs();
    assert!(records >= 12, "{records} records");
    let floats = [
        std::fs::read(float_s()).expect("the embedded file"),
        golden_file("dualnet-pp-s"),
    ];
    let files: [(&str, &[u8], &[&str]); 3] = [
        ("s.onnx", &floats[0], &[]),
        ("pp-s.onnx", &floats[1], &[]),
        ("pp-s-float-transformer.onnx", &floats[1], &["ecg_encoder"]),
    ];
    let models = files.map(|(name, float, keep_float)| {
        let path = folder.path().join(name);
        write(&path, &quantized(float, 4, keep_float)).expect("the temporary folder is writable");
        path
    });
    let theirs = onnx_runtime_on(folder.path(), &models, records, &ecg, &spectrogram);
    for (path, theirs) in models.iter().zip(theirs) {
        let model = Model::open(path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(model.card().precision, Precision::Int8);
        let ours = engine_rows(model, &ecg, &spectrogram);
        let difference = largest_difference(&ours, &theirs.single);
        report(format_args!(
            "{}: engine against ONNX Runtime, int8, {records} records: {difference:.1e}",
            path.display()
        ));
        assert!(difference <= RUNTIMES, "{}: {difference}", path.display());
    }
}

/// Every operand of every convolution, matrix product and LSTM comes from integers; nothing else changed but that no weight is stored in 16 bits.
#[test]
fn the_form_is_qdq_with_a_scale_per_output() {
    for (name, float) in [
        ("dualnet-s", std::fs::read(float_s()).expect("the embedded file")),
        ("dualnet-pp-s", golden_file("dualnet-pp-s")),
    ] {
        let (before, after) = (graph(&float), graph(&quantized(&float, 1, &[])));
        let dequantized: HashSet<&str> = after
            .node
            .iter()
            .filter(|node| node.op_type == "DequantizeLinear")
            .map(|node| node.output[0].as_str())
            .collect();
        let mut operands = 0;
        for node in &after.node {
            let inputs = match node.op_type.as_str() {
                "Conv" | "MatMul" => &node.input[..2],
                "LSTM" => &node.input[..3],
                _ => continue,
            };
            for input in inputs {
                assert!(
                    dequantized.contains(input.as_str()),
                    "{name}: {} reads {input}",
                    node.name
                );
                operands += 1;
            }
        }
        assert!(operands >= 30, "{name}: {operands} operands");
        let others = |graph: &GraphProto| -> Vec<(String, String)> {
            let kept = graph
                .node
                .iter()
                .filter(|node| !node.op_type.ends_with("uantizeLinear") && node.op_type != "Cast");
            kept.map(|node| (node.op_type.clone(), node.name.clone())).collect()
        };
        assert_eq!(others(&before), others(&after), "{name}");
    }
}

#[test]
fn the_file_is_a_function_of_the_arguments() {
    let float = std::fs::read(float_s()).expect("the embedded file");
    let first = quantized(&float, 2, &[]);
    assert!(first == quantized(&float, 2, &[]));
    // The embedded file has its weights in 16 bits.
    assert!(
        first.len() < float.len() * 4 / 5,
        "{} bytes of {}",
        first.len(),
        float.len()
    );
    let card = |bytes: &[u8]| Model::from_bytes("int8", bytes).expect("a model file").card().clone();
    let (two, three) = (card(&first), card(&quantized(&float, 3, &["ecg_encoder"])));
    assert_eq!(
        (&two.quantization["records"], &three.quantization["records"]),
        (&2.into(), &3.into())
    );
    assert_ne!(two.quantization["records_sha256"], three.quantization["records_sha256"]);
    assert_eq!(three.quantization["kept_float"], serde_json::json!(["ecg_encoder"]));
    let original = card(&float);
    assert_eq!(
        two.quantization["float_weights_sha256"],
        original.weights_sha256.as_str()
    );
    assert_ne!(two.weights_sha256, original.weights_sha256);
    assert_eq!(two.training, original.training);
    assert_eq!(two.metrics["f32"]["validation"], original.metrics["validation"]);
    assert!(!two.metrics.contains_key("validation"), "not measured yet");
}

#[test]
fn nodes_are_kept_float_by_part_of_their_name() {
    let float = std::fs::read(float_s()).expect("the embedded file");
    let graph = graph(&quantized(&float, 1, &["ecg_encoder", "encoder.0."]));
    let stored: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    for node in graph
        .node
        .iter()
        .filter(|node| matches!(node.op_type.as_str(), "Conv" | "LSTM"))
    {
        let kept = node.name.contains("ecg_encoder") || node.name.contains("encoder.0.");
        assert_eq!(stored.contains(node.input[1].as_str()), kept, "{}", node.name);
    }
}

/// A kept convolution reads the value itself, the shortcut beside it the rounded one. The engine's kernels have no such block.
#[test]
fn a_kept_node_reads_what_it_read() {
    let float = std::fs::read(float_s()).expect("the embedded file");
    let kept = "spectrogram_encoder.1.main_mapping_conv_1";
    let input = |graph: &GraphProto, name: &str| {
        let node = graph.node.iter().find(|node| node.name == name);
        node.unwrap_or_else(|| panic!("there is no {name}")).input[0].clone()
    };
    let (before, after) = (graph(&float), graph(&quantized(&float, 1, &[kept])));
    assert_eq!(input(&after, kept), input(&before, kept));
    let beside = "spectrogram_encoder.1.residual_mapping";
    assert_eq!(input(&after, beside), format!("{}_dequantized", input(&before, beside)));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (float, records) = (float_s(), records_dir());
    let arguments = [
        "quantize",
        float.to_str().unwrap(),
        "--records=1",
        "-o",
        "mixed.onnx",
        "--calibrate",
    ];
    let said = |more: &[&str]| {
        let output = run(
            folder.path(),
            &[&arguments[..], &[records.to_str().unwrap()], more].concat(),
        );
        assert!(output.status.success());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let note = said(&["--keep-float", kept]);
    assert!(
        note.starts_with("export: note: ") && note.contains("slower than the float one"),
        "{note}"
    );
    assert_eq!(said(&["--keep-float", "spectrogram_encoder.1."]), "");
}

/// At least nine tenths of the multiply-adds stay in 8 bits, as `info --plan` counts them.
#[test]
fn a_transformer_that_is_a_small_part_stays_float() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let records = records_dir();
    let records = records.to_str().expect("UTF-8");
    std::fs::write(folder.path().join("pp-s.onnx"), golden_file("dualnet-pp-s")).unwrap();
    for (flag, kept) in [(None, true), (Some("--round-transformer"), false)] {
        let mut arguments = vec!["quantize", "pp-s.onnx", "--calibrate", records, "--records", "1"];
        arguments.extend(flag);
        arguments.extend(["-o", "int8.onnx"]);
        let said = succeed(folder.path(), &arguments);
        assert_eq!(said.contains("left in float: ecg_encoder\n"), kept, "{said}");
        let model = Model::open(folder.path().join("int8.onnx")).expect("a model file");
        let plan = Plan::of(&model).expect("a recognized network");
        let int8: u64 = plan.steps().iter().map(|step| step.int8_multiply_adds).sum();
        let share = int8 as f64 / plan.multiply_adds() as f64;
        assert!(share >= if kept { 0.9 } else { 0.99 }, "{share}");
        assert_eq!(plan.steps()[0].int8_multiply_adds == 0, kept);
    }
    let mut alone = preset("dualnet-pp-s").expect("a preset");
    alone.ablate_spectrogram_encoder();
    let all_of_it = Network::new(alone.clone()).expect("a valid configuration");
    let state = golden_state(&alone, "alone");
    let all_of_it = export(&all_of_it, &state, Path::new("golden weights"), &Card::default()).expect("a file");
    let open = |bytes: &[u8]| Model::from_bytes("golden", bytes).expect("a model file");
    assert!(sensitive(&open(&all_of_it)).is_empty(), "a Transformer by itself");
    let lstm = std::fs::read(float_s()).expect("the embedded file");
    assert!(sensitive(&open(&lstm)).is_empty(), "an LSTM");
}

#[test]
fn seeds_draw_other_records_and_the_same_again() {
    let draw = |count, seed| Recordings::draw(&records_dir(), None, count, seed).expect("the fixture records");
    assert_eq!(format!("{:?}", draw(3, 7)), format!("{:?}", draw(3, 7)));
    assert_ne!(format!("{:?}", draw(3, 7)), format!("{:?}", draw(3, 8)));
    assert!(draw(1000, 0).len() >= 12, "no more than there are");
}

/// `float` with the first numbers of its largest weight replaced, sealed as `export` would have.
fn with_weights(float: &[u8], value: f32) -> Vec<u8> {
    let mut model = ModelProto::parse_from_bytes(float).expect("ONNX");
    let graph = model.graph.mut_or_insert_default();
    let largest = graph
        .initializer
        .iter_mut()
        .filter(|tensor| tensor.name.contains("main_mapping_conv_1"))
        .max_by_key(|tensor| tensor.raw_data.len())
        .expect("a convolution");
    let mut raw = largest.raw_data.to_vec();
    raw.chunks_exact_mut(4)
        .for_each(|bytes| bytes.copy_from_slice(&value.to_le_bytes()));
    largest.raw_data = raw.into();
    sealed(model)
}

#[test]
fn what_cannot_be_quantized_is_one_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let float = std::fs::read(float_s()).expect("the embedded file");
    std::fs::write(path("float.onnx"), &float).unwrap();
    std::fs::write(path("int8.onnx"), quantized(&float, 1, &[])).unwrap();
    let single = golden_file("dualnet-s");
    std::fs::write(path("nan.onnx"), with_weights(&single, f32::NAN)).unwrap();
    std::fs::write(path("huge.onnx"), with_weights(&single, 3e38)).unwrap();
    std::fs::write(path("cut.onnx"), &float[..float.len() / 2]).unwrap();
    std::fs::write(path("names.txt"), "A00001 A99999").unwrap();
    std::fs::write(path("nobody.txt"), "\n").unwrap();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::create_dir(path("bad")).unwrap();
    std::fs::write(path("bad/a.mat"), "no recording").unwrap();
    let records = records_dir();
    let records = records.to_str().expect("UTF-8");
    let message = |model: &str, calibrate: &str, more: &[&str]| {
        let arguments = [
            "quantize",
            model,
            "--calibrate",
            calibrate,
            "-o",
            "out.onnx",
            "--records",
            "1",
        ];
        let message = fail(folder.path(), &[&arguments[..], more].concat());
        assert!(
            message.starts_with("export: ") && message.trim_end().lines().count() == 1,
            "{message}"
        );
        message
    };
    assert!(message("int8.onnx", records, &[]).contains("int8 file already"));
    assert!(message("nan.onnx", records, &[]).contains("not a finite number"));
    let huge = message("huge.onnx", records, &[]);
    assert!(huge.contains("finite") && huge.contains(".mat"), "{huge}");
    assert!(message("cut.onnx", records, &[]).contains("cut.onnx"));
    assert!(message("none.onnx", records, &[]).contains("none.onnx"));
    assert!(message("float.onnx", "none", &[]).contains("none"));
    assert!(message("float.onnx", "empty", &[]).contains("no recording"));
    let bad = message("float.onnx", "bad", &[]);
    assert!(
        bad.contains("no record can be calibrated with") && bad.contains("a.mat"),
        "{bad}"
    );
    assert!(message("float.onnx", records, &["--only", "names.txt"]).contains("A99999"));
    assert!(message("float.onnx", records, &["--only", "nobody.txt"]).contains("names no record"));
    assert!(message("float.onnx", records, &["--keep-float", "lstm"]).contains("ecg_encoder"));
    assert!(message("float.onnx", records, &["--keep-float", "c"]).contains("nothing to be quantized"));
    assert!(message("float.onnx", records, &["--card", "seed"]).contains("key=value"));
    assert!(message("float.onnx", records, &["--round-transformer"]).contains("has no Transformer"));
    let same = ["quantize", "float.onnx", "--calibrate", records, "-o", "float.onnx"];
    assert!(fail(folder.path(), &same).contains("would be lost"));
    for wrong in [
        &["quantize", "float.onnx", "-o", "out.onnx"][..],
        &["quantize", "float.onnx", "--calibrate", records],
        &[
            "quantize",
            "float.onnx",
            "--calibrate",
            records,
            "-o",
            "out.onnx",
            "--records",
            "0",
        ],
        &[
            "quantize",
            "float.onnx",
            "--calibrate",
            records,
            "-o",
            "out.onnx",
            "--keep-float",
            "",
        ],
    ] {
        fail(folder.path(), wrong);
    }
}

#[test]
fn the_program_says_what_it_did_and_teaches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (float, records) = (float_s(), records_dir());
    let (float, records) = (float.to_str().expect("UTF-8"), records.to_str().expect("UTF-8"));
    std::fs::write(folder.path().join("names.txt"), "A00001\nA00004\n").unwrap();
    let arguments = [
        "quantize",
        float,
        "--calibrate",
        records,
        "--only",
        "names.txt",
        "-o",
        "int8.onnx",
    ];
    let said = succeed(folder.path(), &arguments);
    assert!(said.starts_with("int8.onnx: int8, 2 of 2 records, 17 nodes"), "{said}");
    let said = succeed(folder.path(), &["inspect", "int8.onnx"]);
    for part in [
        "dualnet.precision: int8\n",
        "\"records\":2",
        "QuantizeLinear",
        "PadeActivation",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let help = succeed(folder.path(), &["quantize", "--help"]);
    for part in [
        "Examples",
        "--calibrate",
        "--only",
        "--keep-float",
        "256",
        "Exit status",
    ] {
        assert!(help.contains(part), "{part}");
    }
}
