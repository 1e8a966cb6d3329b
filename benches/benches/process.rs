//! From the start of a process to its answer, for one record of 30 s: the program `engine` with its embedded networks, and a Python process that does
//! no more than load ONNX Runtime, open the same file and run it on inputs prepared for it. They take turns.
//!
//! The program is `target/dist/engine` (`make engine`), or `ECG_ENGINE` names another.

use dualnet_benches::{inputs, processor, publish, script, write_inputs};
use dualnet_engine::Model;
use dualnet_fixtures::{median, python, records_dir};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const RECORD: &str = "A00001";
const TURNS: usize = 20;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("model.onnx");
    std::fs::write(&model, Model::EMBEDDED_FILE).expect("the temporary folder is writable");
    write_inputs(folder.path(), &[inputs(RECORD, 9000)]);
    let engine = program();
    let classify = |precision: &str| {
        let mut command = Command::new(&engine);
        command.args(["classify", "--precision", precision]);
        command.arg(records_dir().join(RECORD).with_extension("mat"));
        command
    };
    let mut peer = Command::new(python());
    peer.arg(script("one_run.py")).args([&model, &folder.path().to_owned()]);
    let mut commands = [classify("f32"), classify("int8"), peer];
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..TURNS {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            let start = Instant::now();
            let status = command.stdout(Stdio::null()).status().expect("it starts");
            times.push(1e3 * start.elapsed().as_secs_f64());
            assert!(status.success(), "{command:?}");
        }
    }
    let bytes = std::fs::metadata(&engine).expect("a program").len();
    let rows = [
        "engine classify, float",
        "engine classify, int8",
        "Python, ONNX Runtime, float",
    ]
    .iter()
    .zip(times)
    .map(|(name, times)| {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        vec![
            (*name).to_owned(),
            format!("{least:.1}"),
            format!("{:.1}", median(times)),
        ]
    });
    let notes = format!(
        "{}; a record of 30 s, {TURNS} turns; `{}` has {:.1} MB",
        processor(),
        shown(&engine),
        bytes as f64 / 1e6
    );
    publish(
        "Whole process",
        &notes,
        &["process", "least ms", "median ms"],
        &rows.collect::<Vec<_>>(),
    );
}

/// The last folders of a path, which say how the program was built: `dist/engine`.
fn shown(program: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", program.parent().map(name).unwrap_or_default(), name(program))
}

/// The program to time.
fn program() -> PathBuf {
    let built = || {
        let this = std::env::current_exe().expect("a path");
        // <target>/release/deps/process-…
        this.ancestors().nth(3).expect("a target folder").join("dist/engine")
    };
    let program = std::env::var_os("ECG_ENGINE").map_or_else(built, PathBuf::from);
    assert!(
        program.is_file(),
        "{} is missing: `make engine` builds it",
        program.display()
    );
    program
}
