//! The program `export`, as a person calls it.

mod common;
#[path = "common/program.rs"]
mod program;

use common::golden_state;
use dualnet_engine::Model;
use dualnet_engine::model::keys;
use dualnet_export::network::{ClassSet, NetworkConfig, preset};
use dualnet_export::weights::StateDict;
use dualnet_fixtures::golden_dir;
use program::{fail, succeed};
use std::path::Path;

fn folder_with_weights() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(
        golden_dir().join("checkpoints/dualnet-s.pt"),
        folder.path().join("weights.pt"),
    )
    .unwrap();
    folder
}

fn save(state: &StateDict, folder: &Path, name: &str) {
    state.save(folder.join(name)).expect("the temporary folder is writable");
}

#[test]
fn weights_are_stored_in_16_bits_at_once_or_later() {
    let folder = folder_with_weights();
    let path = folder.path();
    succeed(path, &["weights.pt", "-o", "whole.onnx"]);
    succeed(path, &["weights.pt", "-o", "half.onnx", "--store", "f16"]);
    succeed(path, &["whole.onnx", "-o", "later.onnx", "--store=f16"]);
    let bytes = |name: &str| std::fs::read(path.join(name)).expect("it was written");
    assert_eq!(bytes("half.onnx"), bytes("later.onnx"));
    assert!(bytes("half.onnx").len() < bytes("whole.onnx").len() * 6 / 10);
    let carded = succeed(
        path,
        &["whole.onnx", "-o", "card.onnx", "--store=f16", "--card", "seed=3"],
    );
    assert!(carded.starts_with("card.onnx: dualnet-s, 4 classes, "), "{carded}");
    assert!(succeed(path, &["inspect", "card.onnx"]).contains("{\"seed\":3}"));
    for (arguments, reason) in [
        (&["whole.onnx", "-o", "x.onnx"][..], "--store f16"),
        (&["half.onnx", "-o", "x.onnx", "--store=f16"], "no weights"),
        (&["weights.pt", "-o", "x.onnx", "--store=f8"], "f8"),
        (&["whole.onnx", "-o", "whole.onnx", "--store=f16"], "own file"),
    ] {
        let message = fail(path, arguments);
        assert!(message.contains(reason), "{message}");
    }
}

/// They were measured of other weights.
#[test]
fn metrics_of_weights_in_32_bits_are_not_those_of_16() {
    let folder = folder_with_weights();
    let path = folder.path();
    let metrics = |file: &str| Model::open(path.join(file)).expect("a model").card().metrics.clone();
    let mut state = StateDict::open(path.join("weights.pt")).expect("weights");
    state
        .metadata
        .insert(keys::METRICS.to_owned(), r#"{"accuracy":0.84}"#.to_owned());
    save(&state, path, "measured.safetensors");
    let again = ["--card", "metrics.accuracy=0.83"];
    succeed(path, &["measured.safetensors", "-o", "whole.onnx"]);
    assert_eq!(metrics("whole.onnx")["accuracy"], 0.84);
    for source in ["measured.safetensors", "whole.onnx"] {
        succeed(path, &[source, "-o", "half.onnx", "--store=f16"]);
        let found = metrics("half.onnx");
        assert!(
            found.get("accuracy").is_none() && found["f32"]["accuracy"] == 0.84,
            "{found:?}"
        );
        succeed(
            path,
            &[&[source, "-o", "half.onnx", "--store=f16"][..], &again].concat(),
        );
        let found = metrics("half.onnx");
        assert!(
            found["accuracy"] == 0.83 && found["f32"]["accuracy"] == 0.84,
            "{found:?}"
        );
    }
}

/// The number of heads shows in no tensor's shape: another one would give other answers.
#[test]
fn weights_that_know_their_network_are_taken_for_no_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let config = NetworkConfig::from_toml("[network]\npreset = \"dualnet-pp-s\"\nheads = 2\n").expect("a network");
    let mut state = golden_state(&config, "two heads");
    state.metadata.insert(keys::CONFIGURATION.to_owned(), config.to_toml());
    save(&state, path, "two.safetensors");
    std::fs::write(
        path.join("many.toml"),
        "[network]\npreset = \"dualnet-pp-s\"\nheads = 32\n",
    )
    .unwrap();
    std::fs::write(
        path.join("same.toml"),
        "[network]\npreset = \"dualnet-pp-s\"\nheads = 2\nname = \"mine\"\n",
    )
    .unwrap();
    for other in [&["--network", "dualnet-pp-s"][..], &["--config", "many.toml"]] {
        let message = fail(path, &[&["two.safetensors", "-o", "x.onnx"], other].concat());
        assert!(
            message.contains("two.safetensors: the weights say of themselves heads = 2, the command line heads = "),
            "{message}"
        );
    }
    succeed(path, &["two.safetensors", "-o", "two.onnx"]);
    succeed(path, &["two.safetensors", "-o", "same.onnx", "--config", "same.toml"]);
}

/// An ONNX file says itself what its network is, and why it is refused.
#[test]
fn an_onnx_file_takes_no_options_of_weights() {
    let folder = folder_with_weights();
    let path = folder.path();
    succeed(path, &["weights.pt", "-o", "whole.onnx"]);
    for flag in [
        &["--classes", "2"][..],
        &["--class-set", "icentia11k"],
        &["--no-signal-encoder"],
        &["--no-spectrogram-encoder"],
        &["--config", "none.toml"],
        &["--network", "dualnet-s"],
    ] {
        let message = fail(path, &[&["whole.onnx", "-o", "x.onnx", "--store=f16"], flag].concat());
        assert!(
            message.contains(flag[0]) && message.contains("is for weights"),
            "{message}"
        );
    }
    let bytes = std::fs::read(path.join("whole.onnx")).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(path.join("flipped.bin"), flipped).unwrap();
    std::fs::write(path.join("cut.onnx"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(path.join("int8.onnx"), common::quantized(&bytes, 1, &[])).unwrap();
    for (file, reason) in [
        ("flipped.bin", "is damaged"),
        ("cut.onnx", "truncated"),
        ("int8.onnx", "is an int8 file already"),
    ] {
        let message = fail(path, &[file, "-o", "x.onnx", "--store=f16"]);
        assert!(message.contains(reason) && message.contains(file), "{message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    }
}

#[test]
fn a_pt_is_recognized_and_inspected() {
    let folder = folder_with_weights();
    let said = succeed(folder.path(), &["weights.pt", "-o", "model.onnx", "--card", "seed=1"]);
    assert!(said.starts_with("model.onnx: dualnet-s, 4 classes, "), "{said}");
    let said = succeed(folder.path(), &["inspect", "model.onnx"]);
    for part in [
        "dualnet.network: dualnet-s\n",
        "dualnet.training: {\"seed\":1}\n",
        "PadeActivation",
        "LSTM",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}

#[test]
fn a_checkpoint_knows_its_network() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = preset("dualnet-s").unwrap();
    config.name = "mine".to_owned();
    config.channels = vec![4, 8];
    config.latent = 6;
    config.classes = 2;
    let mut state = golden_state(&config, "golden-1");
    state.metadata.insert(keys::CONFIGURATION.to_owned(), config.to_toml());
    state
        .metadata
        .insert(keys::METRICS.to_owned(), r#"{"accuracy":0.5}"#.to_owned());
    save(&state, folder.path(), "best.safetensors");
    let said = succeed(folder.path(), &["best.safetensors", "-o", "model.onnx"]);
    assert!(said.starts_with("model.onnx: mine, 2 classes, "), "{said}");
    assert!(succeed(folder.path(), &["inspect", "model.onnx"]).contains("dualnet.metrics: {\"accuracy\":0.5}\n"));
    state.metadata.clear();
    save(&state, folder.path(), "best.safetensors");
    std::fs::write(folder.path().join("mine.toml"), config.to_toml()).unwrap();
    succeed(
        folder.path(),
        &["best.safetensors", "-o", "model.onnx", "--config", "mine.toml"],
    );
    assert!(fail(folder.path(), &["best.safetensors", "-o", "other.onnx"]).contains("no network known by name"));
}

#[test]
fn the_classes_of_icentia11k_are_never_called_those_of_the_challenge() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = preset("dualnet-s").unwrap();
    let mut state = golden_state(&config, "golden-1");
    config.class_set = ClassSet::Icentia11k;
    state.metadata.insert(keys::CONFIGURATION.to_owned(), config.to_toml());
    save(&state, folder.path(), "best.safetensors");
    let icentia = "dualnet.classes: [\"~\",\"N\",\"A\",\"F\"]\n";
    std::fs::write(folder.path().join("s.toml"), preset("dualnet-s").unwrap().to_toml()).unwrap();
    for flags in [&[][..], &["--network", "dualnet-s"], &["--config", "s.toml"]] {
        succeed(
            folder.path(),
            &[&["best.safetensors", "-o", "model.onnx"][..], flags].concat(),
        );
        let said = succeed(folder.path(), &["inspect", "model.onnx"]);
        assert!(said.contains(icentia), "{flags:?}: {said}");
    }
    let other = ["best.safetensors", "-o", "other.onnx", "--class-set", "challenge"];
    assert!(fail(folder.path(), &other).contains("--class-set says otherwise"));
    assert!(
        fail(
            folder.path(),
            &["best.safetensors", "-o", "other.onnx", "--classes", "2"]
        )
        .contains("classes = 4")
    );
    // A state dict alone does not say what its classes are.
    state.metadata.clear();
    save(&state, folder.path(), "plain.safetensors");
    succeed(
        folder.path(),
        &["plain.safetensors", "-o", "model.onnx", "--class-set", "icentia11k"],
    );
    assert!(succeed(folder.path(), &["inspect", "model.onnx"]).contains(icentia));
}

#[test]
fn ablations_and_two_classes_are_flags() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let published = preset("dualnet-s").unwrap();
    for (flag, change) in [
        (
            "--no-signal-encoder",
            (|c| c.signal_encoder = None) as fn(&mut dualnet_export::network::NetworkConfig),
        ),
        ("--no-spectrogram-encoder", |c| c.spectrogram_encoder = false),
    ] {
        let mut config = published.clone();
        change(&mut config);
        save(&golden_state(&config, "golden-1"), folder.path(), "weights.safetensors");
        for flags in [&[flag][..], &[]] {
            let said = succeed(
                folder.path(),
                &[&["weights.safetensors", "-o", "model.onnx"][..], flags].concat(),
            );
            assert!(said.contains(&flag[1..]), "{said}");
        }
    }
    let mut config = published;
    config.classes = 2;
    save(
        &golden_state(&config, "golden-1/two"),
        folder.path(),
        "weights.safetensors",
    );
    let said = succeed(folder.path(), &["weights.safetensors", "-o", "model.onnx"]);
    assert!(said.contains("dualnet-s, 2 classes"), "{said}");
    let message = fail(
        folder.path(),
        &[
            "weights.safetensors",
            "-o",
            "four.onnx",
            "--network",
            "dualnet-s",
            "--classes",
            "4",
        ],
    );
    assert!(message.contains("linear_layer_2"), "{message}");
}

#[test]
fn flags_do_not_make_another_network_of_recognized_weights() {
    let folder = folder_with_weights();
    for flags in [
        &["--classes", "2"][..],
        &["--no-signal-encoder"],
        &["--no-spectrogram-encoder"],
    ] {
        let message = fail(
            folder.path(),
            &[&["weights.pt", "-o", "other.onnx"][..], flags].concat(),
        );
        let expected = format!(
            "the tensors are those of dualnet-s with 4 classes; {} says otherwise",
            flags[0]
        );
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn the_folder_of_a_run_stands_for_its_best_epoch_and_an_altered_file_is_inspected_with_a_word() {
    let folder = folder_with_weights();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    save(
        &golden_state(&preset("dualnet-s").unwrap(), "golden-1"),
        &run,
        "best.safetensors",
    );
    succeed(folder.path(), &["run", "-o", "model.onnx"]);
    let refused = "the engine refuses it: ";
    assert!(!succeed(folder.path(), &["inspect", "model.onnx"]).contains(refused));
    let mut bytes = std::fs::read(folder.path().join("model.onnx")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.path().join("altered.onnx"), bytes).unwrap();
    let said = succeed(folder.path(), &["inspect", "altered.onnx"]);
    assert!(said.contains(refused) && said.contains("is damaged"), "{said}");
}

#[test]
fn failures_are_one_line_and_leave_nothing() {
    let folder = folder_with_weights();
    let message_of = |arguments: &[&str]| {
        let message = fail(folder.path(), arguments);
        assert!(
            message.starts_with("export: ") && message.trim_end().lines().count() == 1,
            "{message}"
        );
        message
    };
    assert!(message_of(&["none.pt", "-o", "model.onnx"]).contains("none.pt"));
    assert!(message_of(&["weights.pt", "-o", "weights.pt"]).contains("would be lost"));
    assert!(message_of(&["weights.pt", "-o", "none/model.onnx"]).contains("none/model.onnx"));
    assert!(message_of(&["weights.pt", "-o", "model.onnx", "--network", "dualnet-xs"]).contains("dualnet-pp-130m"));
    let wrong = message_of(&["weights.pt", "-o", "model.onnx", "--network", "dualnet-m"]);
    assert!(
        wrong.contains("weights.pt: ") && wrong.contains("wrong shape"),
        "{wrong}"
    );
    assert!(message_of(&["weights.pt", "-o", "model.onnx", "--config", "none.toml"]).contains("none.toml"));
    assert!(message_of(&["weights.pt", "-o", "model.onnx", "--card", "seed"]).contains("key=value"));
    assert!(message_of(&["inspect", "weights.pt"]).contains("holds weights (PyTorch)"));
}

#[test]
fn wrong_usage_is_status_2_and_help_teaches() {
    let folder = folder_with_weights();
    for arguments in [
        &[][..],
        &["weights.pt"],
        &["weights.pt", "-o", "a", "--bogus"],
        &["inspect"],
    ] {
        assert!(fail(folder.path(), arguments).contains("Usage"), "{arguments:?}");
    }
    let help = succeed(folder.path(), &["--help"]);
    for part in ["Examples", "inspect", "--network", "--no-signal-encoder", "Exit status"] {
        assert!(help.contains(part), "{part}");
    }
}
