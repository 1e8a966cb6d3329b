//! Builds host programs from kernels; what was built of the same sources before is not built again.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// How a program is compiled.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Build {
    /// Under the address and undefined-behaviour sanitizers.
    Sanitized,
    /// Without them, for the many runs of mutations; the checks of the host build itself are in both.
    Plain,
}

/// The folder of the kernels' crate, from the folder of any crate beside it.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cuda")
}

/// The source of a family of kernels.
pub fn family(name: &str) -> String {
    let path = folder().join(format!("src/{name}/{name}.cu"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program that runs the kernels of `source`, which is compiled as if it were `name`.
pub fn build(name: &str, source: &str, build: Build) -> PathBuf {
    let mut arguments: Vec<OsString> = ["host/main.cpp", "host/scheduler.cpp"]
        .into_iter()
        .map(|file| {
            let path = folder().join(file);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            compile(file.trim_start_matches("host/"), &text, build, &["-c".into()]).into()
        })
        .collect();
    // Objects come before the source, whose language is given for it and what follows.
    arguments.extend(["-x", "c++"].map(OsString::from));
    compile(&format!("{name}.cu"), source, build, &arguments)
}

/// What the compiler makes of `source`, which is called `file`, with more arguments before it.
fn compile(file: &str, source: &str, build: Build, arguments: &[OsString]) -> PathBuf {
    let flags = flags(build);
    // Objects are named by their hashes; where they lie does not matter.
    let names: Vec<Option<&OsStr>> = arguments.iter().map(|a| Path::new(a).file_name()).collect();
    let mut hasher = DefaultHasher::new();
    (file, source, &flags, names, common_sources(), compiler(), version()).hash(&mut hasher);
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    fs::create_dir_all(&made).expect("a folder for programs");
    let result = made.join(format!("{file}-{:016x}.o", hasher.finish()));
    // Tests that want the same wait for the first.
    static COMPILING: Mutex<()> = Mutex::new(());
    let _guard = COMPILING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if result.exists() {
        return result;
    }
    let workspace = tempfile::tempdir_in(&made).expect("a folder for a build");
    let path = workspace.path().join(file);
    fs::write(&path, source).expect("a source file");
    let fresh = workspace.path().join("result");
    let mut command = Command::new(compiler());
    command
        .args(flags)
        .args(["host", "src/device"].map(|part| format!("-I{}", folder().join(part).display())))
        .args(arguments)
        .arg(&path)
        .arg("-o")
        .arg(&fresh);
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{} cannot be run ({error}): the kernels' host build needs a C++ compiler, or CXX naming one",
            compiler()
        )
    });
    assert!(
        output.status.success(),
        "{file} does not compile for the host:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(fresh, &result).expect("a finished program");
    result
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

/// What it says of itself; nothing when it cannot be run, which compiling then reports.
fn version() -> &'static [u8] {
    static VERSION: OnceLock<Vec<u8>> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new(compiler()).arg("--version").output();
        output.map_or_else(|_| Vec::new(), |output| output.stdout)
    })
}

/// Everything that the compiler is told but for files and folders.
fn flags(build: Build) -> Vec<&'static str> {
    let mut flags = vec![
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-parameter",
        "-ffp-contract=off",
        "-O1",
    ];
    // Fused multiply-adds are slow in software; x86 compilers use the instruction only when told to.
    if cfg!(target_arch = "x86_64") {
        flags.push("-march=native");
    }
    if build == Build::Sanitized {
        flags.extend([
            "-g",
            "-fno-omit-frame-pointer",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
        ]);
    }
    flags
}

/// Every file that a host program is made of beside the kernels, by its name.
fn common_sources() -> &'static Vec<(OsString, Vec<u8>)> {
    static SOURCES: OnceLock<Vec<(OsString, Vec<u8>)>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut files = Vec::new();
        for part in ["host", "src/device"] {
            for entry in fs::read_dir(folder().join(part)).expect("a source folder") {
                let entry = entry.expect("a source file");
                let text = fs::read(entry.path()).expect("a source file");
                files.push((entry.file_name(), text));
            }
        }
        files.sort();
        files
    })
}
