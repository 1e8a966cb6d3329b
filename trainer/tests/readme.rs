//! Every command of `trainer` that the README shows is one, and every flag of the original program has its place there.

use dualnet_trainer::cli::parses;
use std::collections::{BTreeMap, BTreeSet};

const README: &str = include_str!("../../README.md");

/// The flags of the original `train.py`.
const FLAGS: [&str; 15] = [
    "--cuda_devices",
    "--no_data_aug",
    "--data_parallel",
    "--epochs",
    "--lr",
    "--batch_size",
    "--physio_net",
    "--dataset_path",
    "--network_config",
    "--load_network",
    "--no_signal_encoder",
    "--no_spectrogram_encoder",
    "--icentia11k",
    "--challange",
    "--two_classes",
];

/// What the README says in the place of the original's flags, and what it must name here, in this order; [`NETWORKS`] adds to it.
const MEANT: [(&str, &[&str]); 15] = [
    ("--physio_net", &["--dataset physionet", "--dataset course6000"]),
    ("--icentia11k", &["--dataset icentia11k"]),
    ("--dataset_path DIR", &["--data DIR"]),
    ("--challange", &["--split challenge"]),
    ("--two_classes", &["--two-classes"]),
    ("--epochs N", &["--epochs N"]),
    ("--lr RATE", &["--lr RATE", "--learning-rate RATE"]),
    ("--batch_size N", &["--batch-size N"]),
    (
        "--cuda_devices \"0\"",
        &["--device cuda", "--device cuda:0", "--device cpu"],
    ),
    (
        "--cuda_devices \"0, 1\" --data_parallel",
        &["--devices cuda:0,cuda:1 --data-parallel"],
    ),
    ("--no_data_aug", &["--no-augmentation"]),
    ("--load_network FILE", &["--load FILE"]),
    ("--no_signal_encoder", &["--no-signal-encoder"]),
    ("--no_spectrogram_encoder", &["--no-spectrogram-encoder"]),
    ("config.py", &["--config FILE"]),
];

/// The original's families of networks, ours, and their sizes.
const NETWORKS: [(&str, &str, &[&str]); 2] = [
    ("ECGCNN", "dualnet", &["s", "m", "l", "xl"]),
    ("ECGAttNet", "dualnet-pp", &["s", "m", "l", "xl", "xxl", "130m"]),
];

/// What the original is run with, as the README says it, and what must stand in ours.
const COMMANDS: [(&str, &[&str]); 13] = [
    (
        "`sh run_experiments.sh`",
        &[
            "trainer reproduce dualnet-s dualnet-m dualnet-l dualnet-xl dualnet-pp-s dualnet-pp-m dualnet-pp-l dualnet-pp-xl",
        ],
    ),
    (
        "one line of it: `train.py --physio_net --network_config \"ECGCNN_S\" …`",
        &[
            "trainer train",
            "--network dualnet-s",
            "--epochs 100",
            "--batch-size 24",
        ],
    ),
    (
        "`sh run_ablations.sh` (which ablates L; the paper's text and `trainer ablations` ablate M)",
        &["trainer ablations", "--network dualnet-l"],
    ),
    (
        "`train.py … \"ECGAttNet_130M\" --data_parallel` on four GPUs",
        &[
            "trainer train",
            "--network dualnet-pp-130m",
            "--devices cuda:0,cuda:1,cuda:2,cuda:3 --data-parallel",
        ],
    ),
    (
        "the same on two, `--batch_size 32`",
        &[
            "trainer train",
            "--network dualnet-pp-130m",
            "--batch-size 32",
            "--devices cuda:0,cuda:1 --data-parallel",
        ],
    ),
    (
        "`train.py --icentia11k --batch_size 100 --epochs 20 … \"ECGAttNet_XL\"`",
        &[
            "trainer train",
            "--dataset icentia11k",
            "--network dualnet-pp-xl",
            "--batch-size 100",
            "--epochs 20",
        ],
    ),
    (
        "`train.py --physio_net --load_network …/20.pt … \"ECGCNN_XL\"`",
        &["trainer train", "--network dualnet-xl", "--load 20.pt"],
    ),
    (
        "the same with `--challange`",
        &[
            "trainer train",
            "--network dualnet-xl",
            "--load 20.pt",
            "--split challenge",
        ],
    ),
    (
        "the same with `--challange --two_classes`",
        &[
            "trainer train",
            "--network dualnet-xl",
            "--load 20.pt",
            "--split challenge",
            "--two-classes",
        ],
    ),
    (
        "`predict_pretrained.py`",
        &[
            "trainer predict best_model.pt ../test",
            "--network dualnet-xl --classes 2 --probabilities",
        ],
    ),
    (
        "`predict_trained.py`, its training",
        &[
            "trainer train",
            "--network dualnet-xl",
            "--load best_model.pt",
            "--split challenge",
            "--two-classes",
            "--augmentation 0.4",
            "--dropout 0.05",
            "--run retrained",
        ],
    ),
    (
        "`predict_trained.py`, its answers",
        &["trainer predict retrained ../test", "--probabilities"],
    ),
    (
        "`score.py`",
        &["engine score --predictions PREDICTIONS.csv --reference ../test/REFERENCE.csv"],
    ),
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

/// The rows of the table under this head: the original's cell and ours.
fn rows(head: &str) -> Vec<(&'static str, &'static str)> {
    let table = README
        .lines()
        .skip_while(|line| *line != head)
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = |row: &'static str| match row.split('|').collect::<Vec<_>>().as_slice() {
        &["", original, here, ""] => (original.trim(), here.trim()),
        _ => panic!("not two cells: {row}"),
    };
    table.map(cells).collect()
}

/// What the spans of code in a cell stand for: `--network dualnet-s` (`-m`) is also `--network dualnet-m`, `--device cuda` (`cuda:0`)
/// also `--device cuda:0`; names of tables such as `[train]` are left out.
fn spelled_out(cell: &str) -> Vec<String> {
    let mut whole = "";
    let mut lines: Vec<String> = Vec::new();
    for span in cell.split('`').skip(1).step_by(2) {
        let before = move |joint: char| whole.rsplit_once(joint).map_or("", |(before, _)| before);
        lines.push(match span.chars().next() {
            Some('[') => continue,
            _ if whole.is_empty() || span.starts_with("--") => {
                whole = span;
                span.to_owned()
            }
            Some(joint @ ('-' | '_')) => format!("{}{span}", before(joint)),
            _ => format!("{} {span}", before(' ')),
        });
    }
    lines
}

/// What must stand in the README and what it must name.
fn meant() -> BTreeMap<String, Vec<String>> {
    let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    let mut meant: BTreeMap<String, Vec<String>> = MEANT
        .iter()
        .map(|(flag, ours)| ((*flag).to_owned(), owned(ours)))
        .collect();
    for (original, ours, sizes) in NETWORKS {
        for size in sizes {
            meant.insert(
                format!("--network_config {original}_{}", size.to_uppercase()),
                vec![format!("--network {ours}-{size}")],
            );
        }
    }
    meant
}

/// A word of the README with an example in a placeholder's place.
fn example(word: &str) -> &str {
    match word {
        "N" => "12",
        "RATE" => "1e-3",
        "DIR" => "training2017",
        "FILE" => "20.pt",
        word => word,
    }
}

#[test]
fn every_original_flag_and_network_has_its_place() {
    let meant = meant();
    let mut seen = BTreeSet::new();
    for (original, here) in rows("| original flag | here |") {
        let offered = spelled_out(here);
        for flags in &offered {
            let mut words = vec!["trainer", "train"];
            if !flags.starts_with("--data ") {
                words.extend(["--data", "training2017"]);
            }
            words.extend(flags.split_whitespace().map(example));
            let line = words.join(" ");
            parses(words).unwrap_or_else(|error| panic!("{here}: {line}\n{error}"));
        }
        let mut offered = offered.iter();
        let mut originals = spelled_out(original);
        originals.dedup();
        for flag in originals {
            let named = meant.get(&flag).unwrap_or_else(|| panic!("{flag:?}: what is it here?"));
            for ours in named {
                assert!(offered.any(|offer| offer == ours), "{flag} is {ours}, not {here}");
            }
            seen.insert(flag);
        }
    }
    assert_eq!(seen, meant.into_keys().collect::<BTreeSet<_>>());
    let words: BTreeSet<&str> = seen.iter().flat_map(|flags| flags.split_whitespace()).collect();
    let flags: BTreeSet<&str> = words.into_iter().filter(|word| word.starts_with("--")).collect();
    assert_eq!(flags, BTreeSet::from(FLAGS));
}

#[test]
fn every_original_command_has_its_place() {
    let found = rows("| original command | here |");
    let originals: Vec<&str> = found.iter().map(|&(original, _)| original).collect();
    assert_eq!(originals, COMMANDS.map(|(original, _)| original));
    for ((original, here), (_, named)) in found.into_iter().zip(COMMANDS) {
        let command = here.strip_prefix('`').and_then(|here| here.strip_suffix('`'));
        let command = command.filter(|command| !command.contains('`'));
        let command = command.unwrap_or_else(|| panic!("{original}: not one command: {here}"));
        for words in named {
            let whole = format!(" {command} ");
            assert!(
                whole.contains(&format!(" {words} ")),
                "{original}: {words} is not in {command}"
            );
        }
        // The parser of `engine` is the program's own; its row is held word by word.
        if !command.starts_with("engine ") {
            parses(command.split_whitespace()).unwrap_or_else(|error| panic!("{command}\n{error}"));
        }
    }
}

#[test]
fn cells_are_spelled_out() {
    let network = "`--network dualnet-pp-s` (`-m`, `-130m`)";
    let names = [
        "--network dualnet-pp-s",
        "--network dualnet-pp-m",
        "--network dualnet-pp-130m",
    ];
    assert_eq!(spelled_out(network), names);
    let original = "`--network_config ECGCNN_S` (`_XL`)";
    assert_eq!(
        spelled_out(original),
        ["--network_config ECGCNN_S", "--network_config ECGCNN_XL"]
    );
    let device = "`--device cuda` (or `cuda:0`) or `--quiet`, `[train]`";
    assert_eq!(spelled_out(device), ["--device cuda", "--device cuda:0", "--quiet"]);
}
