//! ONNX Runtime in this process, on one thread, with all its optimizations of the graph: `ort` on the library of the Python wheel.

use dualnet_engine::signal::Inputs;
use dualnet_fixtures::python;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

/// Sessions on the file as it is, on ONNX Runtime's own int8 of it, and on it with Relu for the Padé activation.
pub struct OnnxRuntime {
    sessions: [Session; 3],
    /// Its version.
    pub version: String,
}

impl OnnxRuntime {
    /// What its sessions are called, in the order that [`run`](Self::run) counts them.
    pub const SESSIONS: [&str; 3] = ["float", "int8", "relu"];

    /// On `model`; `folder` has what [`write_inputs`](super::write_inputs) wrote for some records, which the int8 file is calibrated on.
    ///
    /// # Panics
    /// Without the Python of `make venv`, and where ONNX Runtime does not take the file.
    pub fn start(model: &Path, folder: &Path, records: usize) -> Self {
        let output = Command::new(python())
            .arg(script("onnx_runtime_files.py"))
            .args([model, folder])
            .arg(records.to_string())
            .output()
            .expect("Python starts");
        assert!(
            output.status.success(),
            "onnx_runtime_files.py: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let told: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
        let text = |key: &str| told[key].as_str().expect("a text").to_owned();
        let environment = environment(&text("library"));
        let files = [model.to_owned(), folder.join("int8.onnx"), folder.join("relu.onnx")];
        Self {
            sessions: files.map(|file| session(environment, &file)),
            version: text("version"),
        }
    }

    /// The milliseconds of one run in a session, and its probabilities.
    ///
    /// # Panics
    /// Where there is no such session.
    pub fn run(&mut self, session: usize, inputs: &Inputs) -> (f64, Vec<f32>) {
        let ecg = TensorRef::from_array_view(([1_usize, 80, 256], &inputs.ecg[..])).expect("a shape that fits");
        let spectrogram =
            TensorRef::from_array_view(([1_usize, 1, 563, 33], &inputs.spectrogram[..])).expect("a shape that fits");
        let start = Instant::now();
        let outputs = self.sessions[session]
            .run(ort::inputs!["ecg" => ecg, "spectrogram" => spectrogram])
            .expect("probabilities");
        let elapsed = 1e3 * start.elapsed().as_secs_f64();
        let (_, row) = outputs["probabilities"].try_extract_tensor().expect("float32");
        (elapsed, row.to_vec())
    }
}

/// The only one there may be.
fn environment(library: &str) -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let builder = ort::init_from(library).unwrap_or_else(|error| panic!("{library}: {error}"));
        builder.build().expect("an environment")
    })
}

fn session(environment: &Environment, file: &Path) -> Session {
    Session::builder(environment)
        .expect("options")
        .with_optimization_level(GraphOptimizationLevel::All)
        .expect("a level")
        .with_intra_threads(1)
        .expect("a number of threads")
        .with_inter_threads(1)
        .expect("a number of threads")
        .commit_from_file(file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A script of the peers.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}
