//! `trainer convert`: to the files that Python opens, and back.

use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::golden_dir;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

fn convert(arguments: &[&dyn AsRef<OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command
        .arg("convert")
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn done(arguments: &[&dyn AsRef<OsStr>]) -> String {
    let output = convert(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn refused(arguments: &[&dyn AsRef<OsStr>]) -> String {
    let output = convert(arguments);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// The golden weights with what a checkpoint adds.
fn checkpoint(path: &Path) -> StateDict {
    let mut state = StateDict::open(golden_dir().join("checkpoints/dualnet-s.pt")).expect("the golden checkpoint");
    let moment = Tensor::f32(&[2], vec![0.5, 1.5]).expect("two elements");
    state
        .tensors
        .insert("optimizer.first.linear_layer_2.bias".to_owned(), moment);
    for key in ["dualnet.configuration", "dualnet.progress"] {
        state.metadata.insert(key.to_owned(), "{}".to_owned());
    }
    state.save(path).expect("written");
    state
}

#[test]
fn a_checkpoint_goes_to_pt_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let whole = checkpoint(&path("last.safetensors"));
    let mut bare = whole.clone();
    bare.tensors.retain(|name, _| !name.starts_with("optimizer."));
    bare.metadata.remove("dualnet.progress");
    assert_eq!(bare.tensors.len() + 1, whole.tensors.len());
    let open = |name: &str| StateDict::open(path(name)).expect("a state dict");

    let said = done(&[&path("last.safetensors"), &path("bare.pt")]);
    assert!(
        said.contains("109 tensors") && said.contains("dualnet.configuration"),
        "{said}"
    );
    assert_eq!(&std::fs::read(path("bare.pt")).expect("bytes")[..2], b"PK");
    assert_eq!(open("bare.pt").tensors, bare.tensors);
    done(&[&path("last.safetensors"), &path("whole.PT"), &"--with-optimizer"]);
    assert_eq!(open("whole.PT").tensors, whole.tensors);
    done(&[&path("bare.pt"), &path("back.safetensors")]);
    assert_eq!(open("back.safetensors").tensors, bare.tensors);
    done(&[&path("last.safetensors"), &path("bare.safetensors")]);
    assert_eq!(open("bare.safetensors"), bare);
    done(&[
        &path("last.safetensors"),
        &path("whole.safetensors"),
        &"--with-optimizer",
    ]);
    assert_eq!(open("whole.safetensors"), whole);
}

#[test]
fn the_folder_of_a_run_stands_for_its_best_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let (run, output) = (folder.path().join("run"), folder.path().join("best.pt"));
    std::fs::create_dir(&run).expect("a folder");
    assert!(refused(&[&run, &output]).contains("best.safetensors"));
    let state = checkpoint(&run.join("best.safetensors"));
    done(&[&run, &output]);
    let name = "linear_layer_2.bias";
    let converted = StateDict::open(&output).expect("the weights");
    assert_eq!(
        converted.get(name).expect("a tensor"),
        state.get(name).expect("a tensor")
    );
}

#[test]
fn what_is_there_stays_without_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in.safetensors"), folder.path().join("out.pt"));
    checkpoint(&input);
    std::fs::write(&output, b"precious").expect("a file");
    let message = refused(&[&input, &output]);
    assert!(message.contains("out.pt") && message.contains("--force"), "{message}");
    assert_eq!(std::fs::read(&output).expect("the file"), b"precious");
    done(&[&input, &output, &"--force"]);
    StateDict::open(&output).expect("overwritten");
}

#[test]
fn a_wrong_file_or_extension_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    checkpoint(&path("in.safetensors"));
    for name in ["out", "out.pth", "out.onnx", ".pt"] {
        let message = refused(&[&path("in.safetensors"), &path(name)]);
        assert!(message.contains(".pt or .safetensors"), "{message}");
        assert!(!path(name).exists());
    }
    std::fs::write(path("text.pt"), "no weights at all").expect("a file");
    // Nor is there an optimizer's state in a network alone.
    done(&[&path("in.safetensors"), &path("bare.safetensors")]);
    let message = refused(&[&path("bare.safetensors"), &path("out.pt"), &"--with-optimizer"]);
    assert!(
        message.contains("bare.safetensors: has nothing of an optimizer"),
        "{message}"
    );
    let message = refused(&[&path("text.pt"), &path("out.pt")]);
    assert!(message.contains("text.pt"), "{message}");
    let message = refused(&[&path("in.safetensors"), &path("missing/out.pt")]);
    assert!(message.contains("out.pt"), "{message}");
    assert!(!path("out.pt").exists());
}
