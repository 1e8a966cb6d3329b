//! The golden probabilities from exported files, in ONNX Runtime and in the engine: on its fused kernels and on tract.
//!
//! Tolerance: 1e-4 absolute on probabilities, the golden set's own for another fusion of operations (batch norms are
//! folded here); a batch of records against single records 1e-5, on the fused kernels 0.

mod common;

use common::{Rows, engine, fully_recognized, golden_state, onnx_runtime, open, quantized, softmax};
use dualnet_engine::cpu::Runtime;
use dualnet_export::network::{Network, NetworkConfig, preset};
use dualnet_export::onnx::{Card, export, store_f16, write};
use dualnet_fixtures::{GoldenNetwork, golden_dir, largest_difference, network_names, report};
use std::path::{Path, PathBuf};

const TOLERANCE: f64 = 1e-4;
const BATCH_TOLERANCE: f64 = 1e-5;
/// Another processor, or another runtime, on an int8 file: a value that lies between two levels may go either way.
const INT8_TOLERANCE: f64 = 0.02;

/// A variant of a golden network, the salt of its weights and the probabilities it must give.
struct Case {
    name: &'static str,
    config: NetworkConfig,
    salt: String,
    expected: Vec<Vec<f64>>,
}

fn cases(golden: &GoldenNetwork) -> Vec<Case> {
    let published = preset(&golden.name).expect("a golden network is a preset");
    let from_logits = |rows: &Vec<Vec<f64>>| rows.iter().map(|row| softmax(row)).collect();
    let mut cases = vec![Case {
        name: "full",
        config: published.clone(),
        salt: golden.salt.clone(),
        expected: golden.eval.probabilities_float64.clone(),
    }];
    let mut variant = |name, change: &dyn Fn(&mut NetworkConfig), suffix: &str, logits: &Option<Vec<Vec<f64>>>| {
        let Some(logits) = logits else { return };
        let mut config = published.clone();
        change(&mut config);
        cases.push(Case {
            name,
            config,
            salt: format!("{}{suffix}", golden.salt),
            expected: from_logits(logits),
        });
    };
    let eval = &golden.eval;
    variant(
        "no signal encoder",
        &|c| c.signal_encoder = None,
        "",
        &eval.logits_no_signal_encoder,
    );
    variant(
        "no spectrogram encoder",
        &|c| c.spectrogram_encoder = false,
        "",
        &eval.logits_no_spectrogram_encoder,
    );
    variant("two classes", &|c| c.classes = 2, "/two", &eval.logits_two_classes);
    cases
}

/// Exports every variant of the golden network `name` and compares at least `expected` probabilities.
fn hold(name: &str, expected: usize) {
    let golden = GoldenNetwork::read(name);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases = cases(&golden);
    let models: Vec<PathBuf> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let network = Network::new(case.config.clone()).expect("a valid configuration");
            let weights = golden_state(&case.config, &case.salt);
            let bytes = export(&network, &weights, Path::new("golden weights"), &Card::default())
                .unwrap_or_else(|error| panic!("{name}, {}: {error}", case.name));
            let path = folder.path().join(format!("{index}.onnx"));
            write(&path, &bytes).expect("the temporary folder is writable");
            path
        })
        .collect();
    let records = golden.eval.probabilities_float64.len();
    compare(
        name,
        "ONNX Runtime",
        &cases,
        &onnx_runtime(folder.path(), &models, records),
        expected,
    );
    let fused = |model: &PathBuf| {
        let model = open(model);
        fully_recognized(&model);
        engine(Runtime::new(model), records)
    };
    let rows: Vec<Rows> = models.iter().map(fused).collect();
    for Rows { batch, single } in &rows {
        assert_eq!(batch, single, "{name}: a batch is its records, one by one");
    }
    compare(name, "the fused kernels", &cases, &rows, expected);
    let rows: Vec<Rows> = models
        .iter()
        .map(|model| engine(Runtime::on_tract(open(model)), records))
        .collect();
    compare(name, "tract", &cases, &rows, expected);
}

/// Holds what `runtime` computed to the cases and prints how many numbers that were.
fn compare(name: &str, runtime: &str, cases: &[Case], rows: &[Rows], expected: usize) {
    let (mut compared, mut worst) = (0, 0.0_f64);
    for (case, Rows { batch, single }) in cases.iter().zip(rows) {
        let difference = largest_difference(batch, &case.expected);
        assert!(
            difference <= TOLERANCE,
            "{name}, {}, {runtime}: {difference:e}",
            case.name
        );
        let between = largest_difference(batch, single);
        assert!(
            between <= BATCH_TOLERANCE,
            "{name}, {}, {runtime}: batch and single records differ by {between:e}",
            case.name
        );
        compared += case.expected.iter().map(Vec::len).sum::<usize>();
        worst = worst.max(difference);
    }
    report(format_args!(
        "golden {name} on {runtime}: {compared} probabilities compared, largest difference {worst:.1e}"
    ));
    assert!(
        compared >= expected,
        "{name}, {runtime}: {compared} numbers compared, expected at least {expected}"
    );
}

/// Four records of four classes, the same for both ablations, and four of two classes.
const WITH_VARIANTS: usize = 4 * 4 * 3 + 4 * 2;
/// Two records of four classes; the largest networks have no golden variants.
const FULL_ONLY: usize = 2 * 4;

#[test]
fn golden_dualnet_s() {
    hold("dualnet-s", WITH_VARIANTS);
}

#[test]
fn golden_dualnet_m() {
    hold("dualnet-m", WITH_VARIANTS);
}

#[test]
fn golden_dualnet_pp_s() {
    hold("dualnet-pp-s", WITH_VARIANTS);
}

#[test]
fn golden_dualnet_pp_m() {
    hold("dualnet-pp-m", WITH_VARIANTS);
}

/// Weights of 16 bits are rounded once, in the file: every runtime computes the same from it. The rounding itself moves golden probabilities by
/// less than 5e-3 (seen: 1e-3), and not by nothing.
#[test]
fn weights_in_16_bits_give_the_same_in_every_runtime() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let golden = GoldenNetwork::read(name);
        let network = Network::preset(name).expect("a preset");
        let weights = golden_state(network.config(), &golden.salt);
        let whole = export(&network, &weights, Path::new("golden weights"), &Card::default()).expect("it exports");
        let path = folder.path().join(format!("{name}.onnx"));
        let half = store_f16(&path, &whole, &Card::default()).expect("a file of this project");
        assert!(
            half.len() < whole.len() * 6 / 10,
            "{name}: {} of {}",
            half.len(),
            whole.len()
        );
        write(&path, &half).expect("the temporary folder is writable");
        let model = open(&path);
        fully_recognized(&model);
        let records = golden.eval.probabilities_float64.len();
        let peer = onnx_runtime(folder.path(), std::slice::from_ref(&path), records);
        for runtime in [Runtime::new(model.clone()), Runtime::on_tract(model)] {
            let rows = engine(runtime, records);
            let between = largest_difference(&rows.batch, &peer[0].batch);
            assert!(between <= TOLERANCE, "{name}: {between:e} from ONNX Runtime");
            let rounding = largest_difference(&rows.batch, &golden.eval.probabilities_float64);
            assert!(rounding > 1e-7 && rounding <= 5e-3, "{name}: {rounding:e} by rounding");
        }
    }
}

/// Writes golden networks, each with the answers it must give, for `exported_files` of the engine on another processor.
#[test]
#[ignore = "writes files into ECG_MODEL_DIR: make test-aarch64"]
fn files_for_another_processor() {
    let folder = std::env::var_os("ECG_MODEL_DIR").map(PathBuf::from);
    let folder = folder.expect("ECG_MODEL_DIR names a folder to write to");
    let put = |name: &str, model: &[u8], tolerance: f64, rows: &[Vec<f64>]| {
        let path = folder.join(name).with_extension("onnx");
        write(&path, model).expect("the folder is writable");
        let answers = serde_json::json!({ "tolerance": tolerance, "probabilities": rows });
        std::fs::write(path.with_extension("json"), answers.to_string()).expect("the folder is writable");
        path
    };
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let golden = GoldenNetwork::read(name);
        let network = Network::preset(name).expect("a preset");
        let weights = golden_state(network.config(), &golden.salt);
        let whole = export(&network, &weights, Path::new("golden weights"), &Card::default()).expect("it exports");
        let rows = &golden.eval.probabilities_float64;
        put(name, &whole, TOLERANCE, rows);
        let half = store_f16(Path::new(name), &whole, &Card::default()).expect("a file of this project");
        let int8 = quantized(&whole, 4, &[]);
        // Held to what this processor answers, in place of the golden numbers: the weights are rounded.
        for (rounded, bytes, tolerance) in [("f16", half, TOLERANCE), ("int8", int8, INT8_TOLERANCE)] {
            let rounded = format!("{name}-{rounded}");
            let path = put(&rounded, &bytes, tolerance, rows);
            let rows = engine(Runtime::new(open(&path)), rows.len()).single;
            put(&rounded, &bytes, tolerance, &rows);
        }
    }
}

#[test]
#[ignore = "minutes and gigabytes: make test-golden"]
fn golden_of_all_networks() {
    let names = network_names();
    assert!(names.len() >= 10, "{}: {names:?}", golden_dir().display());
    for name in names {
        let large = matches!(name.as_str(), "dualnet-pp-xxl" | "dualnet-pp-130m");
        hold(&name, if large { FULL_ONLY } else { WITH_VARIANTS });
    }
}
