//! Every command of `trainer` that the README shows is one, and every flag of the original program has its place there.

use dualnet_trainer::cli::parses;

const README: &str = include_str!("../../README.md");

/// Each flag of the original `train.py`, and what it becomes here.
const FLAGS: [(&str, &str); 15] = [
    ("--cuda_devices", "--devices cuda:0,cuda:1 --data-parallel"),
    ("--no_data_aug", "--no-augmentation"),
    ("--data_parallel", "--data-parallel --devices cuda:0,cuda:1"),
    ("--epochs", "--epochs 100"),
    ("--lr", "--lr 1e-3"),
    ("--batch_size", "--batch-size 24"),
    ("--physio_net", "--dataset physionet"),
    ("--dataset_path", "--data training2017"),
    ("--network_config", "--network dualnet-pp-130m"),
    ("--load_network", "--load 20.pt"),
    ("--no_signal_encoder", "--no-signal-encoder"),
    ("--no_spectrogram_encoder", "--no-spectrogram-encoder"),
    ("--icentia11k", "--dataset icentia11k"),
    ("--challange", "--split challenge"),
    ("--two_classes", "--two-classes"),
];

/// Commands in blocks and in spans of code, without their comments.
fn commands() -> Vec<&'static str> {
    let mut is_block = false;
    let mut commands = Vec::new();
    for line in README.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            commands.push(line.split(" #").next().unwrap_or(line).trim());
        } else {
            commands.extend(line.split('`').skip(1).step_by(2));
        }
    }
    commands.retain(|command| command.starts_with("trainer "));
    commands
}

#[test]
fn the_readmes_commands_parse() {
    let mut parsed = 0;
    for command in commands() {
        // A subcommand or an elision in running text is no command line.
        if command.split_whitespace().count() < 3 || command.contains(['…', '|']) || command.ends_with("--help") {
            continue;
        }
        if let Err(error) = parses(command.split_whitespace()) {
            panic!("{command}\n{error}");
        }
        parsed += 1;
    }
    assert!(parsed >= 20, "{parsed} commands");
}

#[test]
fn every_original_flag_and_network_has_its_place() {
    for (flag, ours) in FLAGS {
        assert!(README.contains(flag), "{flag}");
        let base = match ours.contains("--data ") {
            true => "trainer train",
            false => "trainer train --data training2017",
        };
        let line = format!("{base} {ours}");
        parses(line.split_whitespace()).unwrap_or_else(|error| panic!("{flag}: {line}\n{error}"));
    }
    let networks = [
        ("ECGCNN", "dualnet", &["s", "m", "l", "xl"][..]),
        ("ECGAttNet", "dualnet-pp", &["s", "m", "l", "xl", "xxl", "130m"]),
    ];
    for (original, ours, sizes) in networks {
        assert!(README.contains(&format!("--network_config {original}_S")));
        for size in sizes {
            assert!(
                README.contains(&format!("_{}", size.to_uppercase())),
                "{original} {size}"
            );
            let line = format!("trainer train --data training2017 --network {ours}-{size}");
            parses(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}\n{error}"));
        }
    }
}
