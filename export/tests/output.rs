//! Where `export` writes to and reads from: links, devices, pipes, permissions.

#[path = "common/program.rs"]
mod program;

use dualnet_fixtures::golden_dir;
use program::{command, fail, run, succeed};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

fn folder_with_weights() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let weights = golden_dir().join("checkpoints/dualnet-s.pt");
    fs::copy(weights, folder.path().join("weights.pt")).unwrap();
    folder
}

fn is_onnx(path: &Path) -> bool {
    dualnet_engine::Model::open(path).is_ok()
}

#[test]
fn what_a_link_leads_to_is_written_and_keeps_its_permissions() {
    let folder = folder_with_weights();
    let inside = |name: &str| folder.path().join(name);
    fs::write(inside("private.onnx"), "old").unwrap();
    fs::set_permissions(inside("private.onnx"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("private.onnx", inside("link.onnx")).unwrap();
    succeed(folder.path(), &["weights.pt", "-o", "link.onnx"]);
    assert!(inside("link.onnx").is_symlink() && is_onnx(&inside("private.onnx")));
    let mode = fs::metadata(inside("private.onnx")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "nothing is left beside"
    );
}

#[test]
fn pipes_and_devices_are_written_directly() {
    let folder = folder_with_weights();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo starts")
            .success()
    );
    let read = folder.path().join("read.onnx");
    let into = fs::File::create(&read).unwrap();
    let mut reader = Command::new("cat").arg(&pipe).stdout(into).spawn().expect("cat starts");
    succeed(folder.path(), &["weights.pt", "-o", "pipe"]);
    assert!(reader.wait().expect("cat ends").success() && is_onnx(&read));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    symlink("/dev/null", folder.path().join("null")).unwrap();
    succeed(folder.path(), &["weights.pt", "-o", "null"]);
    assert!(
        fs::metadata(folder.path().join("null"))
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

/// What is said of a file must not end up in it.
#[test]
fn standard_output_gets_the_file_and_nothing_else() {
    let folder = folder_with_weights();
    let redirected = folder.path().join("redirected.onnx");
    let output = command(folder.path(), &["weights.pt", "-o", "/dev/stdout"])
        .stdout(fs::File::create(&redirected).unwrap())
        .output()
        .expect("export starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("4 classes"), "{said}");
    succeed(folder.path(), &["weights.pt", "-o", "model.onnx"]);
    let model = fs::read(folder.path().join("model.onnx")).unwrap();
    assert_eq!(fs::read(&redirected).unwrap(), model);
    for name in ["/dev/stdout", "-"] {
        let piped = run(folder.path(), &["weights.pt", "-o", name]);
        assert!(piped.status.success() && piped.stdout == model, "{name}");
    }
    assert!(!folder.path().join("-").exists());
}

#[test]
fn nobody_need_read_what_is_said_of_a_file() {
    let folder = folder_with_weights();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let status = command(folder.path(), &["weights.pt", "-o", "model.onnx"])
        .stdout(closed())
        .status()
        .expect("export starts");
    assert!(status.success() && is_onnx(&folder.path().join("model.onnx")));
    let status = command(folder.path(), &["none.pt", "-o", "model.onnx"])
        .stderr(closed())
        .status()
        .expect("export starts");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn weights_come_from_a_pipe_too() {
    let folder = folder_with_weights();
    let state = dualnet_export::weights::StateDict::open(folder.path().join("weights.pt")).unwrap();
    state.save(folder.path().join("weights.safetensors")).unwrap();
    for weights in ["weights.pt", "weights.safetensors"] {
        let output = command(folder.path(), &["/dev/stdin", "-o", "model.onnx"])
            .stdin(
                Command::new("cat")
                    .arg(folder.path().join(weights))
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
                    .stdout
                    .unwrap(),
            )
            .output()
            .expect("export starts");
        assert!(
            output.status.success(),
            "{weights}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(is_onnx(&folder.path().join("model.onnx")), "{weights}");
        fs::remove_file(folder.path().join("model.onnx")).unwrap();
    }
}

#[test]
fn what_is_read_is_not_overwritten() {
    let folder = folder_with_weights();
    let inside = |name: &str| folder.path().join(name);
    let config = dualnet_export::network::preset("dualnet-s").unwrap().to_toml();
    fs::write(inside("s.toml"), &config).unwrap();
    let message = fail(folder.path(), &["weights.pt", "--config", "s.toml", "-o", "s.toml"]);
    assert!(message.contains("s.toml: is the configuration's own file"), "{message}");
    assert_eq!(fs::read_to_string(inside("s.toml")).unwrap(), config);
    succeed(folder.path(), &["weights.pt", "-o", "model.onnx"]);
    fs::write(inside("names.txt"), "A00001").unwrap();
    let records = dualnet_fixtures::records_dir();
    let records = records.to_str().expect("UTF-8");
    let only = [
        "quantize",
        "model.onnx",
        "--calibrate",
        records,
        "--only",
        "names.txt",
        "-o",
        "names.txt",
    ];
    let message = fail(folder.path(), &only);
    assert!(
        message.contains("names.txt: is the list of records itself"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(inside("names.txt")).unwrap(), "A00001");
    let recording = dualnet_fixtures::records_dir().join("A00001.mat");
    fs::copy(&recording, inside("A00001.mat")).unwrap();
    let message = fail(
        folder.path(),
        &["quantize", "model.onnx", "--calibrate", ".", "-o", "A00001.mat"],
    );
    assert!(message.contains("A00001.mat: is a file of a recording"), "{message}");
    assert_eq!(fs::read(inside("A00001.mat")).unwrap(), fs::read(recording).unwrap());
}

/// A name that comes out of a file is escaped on its way to the terminal, in what is said and in why it failed.
#[test]
fn a_terminal_gets_no_command_from_a_file() {
    let folder = folder_with_weights();
    let mut state = dualnet_export::weights::StateDict::open(folder.path().join("weights.pt")).unwrap();
    let mut config = dualnet_export::network::preset("dualnet-s").unwrap();
    config.name = "red\u{1b}[31m".to_owned();
    let key = dualnet_engine::model::keys::CONFIGURATION;
    state.metadata.insert(key.to_owned(), config.to_toml());
    state.save(folder.path().join("named.safetensors")).unwrap();
    let output = run(folder.path(), &["named.safetensors", "-o", "model.onnx"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(said.contains("red\\u{1b}[31m") && !said.contains('\u{1b}'), "{said:?}");
    state.metadata.insert(key.to_owned(), "\u{1b}[31m = [".to_owned());
    state.save(folder.path().join("broken.safetensors")).unwrap();
    let message = fail(folder.path(), &["broken.safetensors", "-o", "other.onnx"]);
    assert!(
        !message.contains('\u{1b}') && message.trim_end().lines().count() == 1,
        "{message:?}"
    );
}
