//! The logs that other programs read, decoded here by other code than wrote them.

use dualnet_trainer::logs::{EpochRecord, JsonLines, RunLogs};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// CRC-32C bit by bit (polynomial 0x1EDC6F41, reflected).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The known answers of RFC 3720, section B.4, and the check value of the CRC catalogue.
#[test]
fn the_checksum_of_this_test_gives_the_published_values() {
    let rising: Vec<u8> = (0..32).collect();
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(&rising), 0x46dd_794e);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The records of an event file as far as they are whole.
fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_at_checked(12) {
        let length = number(&header[..8]) as usize;
        assert_eq!(
            number(&header[8..]),
            u64::from(masked(&header[..8])),
            "checksum of the length"
        );
        let Some((content, after)) = after.split_at_checked(length) else {
            break;
        };
        let Some((checksum, after)) = after.split_at_checked(4) else {
            break;
        };
        assert_eq!(number(checksum), u64::from(masked(content)), "checksum of the content");
        found.push(content.to_vec());
        rest = after;
    }
    found
}

/// The fields of a protobuf message: number and content, integers as eight bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).expect("an end") + 1;
        let (digits, rest) = bytes.split_at(end);
        *bytes = rest;
        digits
            .iter()
            .rev()
            .fold(0, |value, &digit| value << 7 | u64::from(digit & 0x7f))
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (content, rest) = bytes.split_at(length);
        found.push((key >> 3, content.to_vec()));
        bytes = rest;
    }
    found
}

fn field(fields: &[(u64, Vec<u8>)], wanted: u64) -> Option<&[u8]> {
    fields
        .iter()
        .find(|(number, _)| *number == wanted)
        .map(|(_, content)| content.as_slice())
}

/// Step, tag and value of every scalar.
fn scalars(bytes: &[u8]) -> Vec<(u64, String, f32)> {
    let mut found = Vec::new();
    for record in records(bytes) {
        let event = fields(&record);
        let time = field(&event, 1).expect("a wall time").try_into().expect("eight bytes");
        assert!(f64::from_le_bytes(time) > 1.7e9, "seconds since 1970");
        let step = number(field(&event, 2).expect("a step"));
        for (_, value) in fields(field(&event, 5).unwrap_or_default()) {
            let value = fields(&value);
            let tag = String::from_utf8(field(&value, 1).expect("a tag").to_vec()).expect("text");
            let number = field(&value, 2).expect("a value").try_into().expect("four bytes");
            found.push((step, tag, f32::from_le_bytes(number)));
        }
    }
    found
}

fn event_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("/events.out.tfevents."))
        .collect();
    files.sort();
    files
}

fn record(epoch: usize, accuracy: Option<f64>) -> EpochRecord {
    serde_json::from_value(json!({
        "epoch": epoch, "learning_rate": 0.001, "train_loss": 1.25, "records_per_second": 40.5,
        "accuracy": accuracy, "f1_macro": accuracy.map(|a| a / 2.0), "f1_challenge": accuracy.map(|a| a / 4.0),
    }))
    .expect("a record")
}

/// Two epochs of three steps, the first not validated.
fn run(folder: &Path) {
    let mut logs = RunLogs::open(folder, 0, 0).expect("logs");
    for epoch in [1, 2] {
        for step in 1..=3 {
            let step = (epoch as u64 - 1) * 3 + step;
            logs.step(epoch, step, 1.0 / step as f64, 0.001).expect("a step");
        }
        logs.epoch(&record(epoch, (epoch == 2).then_some(0.5)))
            .expect("an epoch");
    }
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(JsonLines::NAME)).expect("a log");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn tensorboard_finds_every_scalar_with_its_step() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let files = event_files(folder.path());
    assert_eq!(files.len(), 1);
    let name = files[0].file_name().expect("a name").to_string_lossy().into_owned();
    let parts: Vec<&str> = name.splitn(5, '.').collect();
    assert!(
        parts[3].len() == 10 && parts[3].parse::<u64>().is_ok() && !parts[4].is_empty(),
        "{name}"
    );

    let bytes = std::fs::read(&files[0]).expect("the file");
    let all = records(&bytes);
    assert_eq!(all.len(), 2 + 6 + 2);
    assert_eq!(field(&fields(&all[0]), 3), Some(&b"brain.Event:2"[..]));
    let mut expected: Vec<(u64, &str, f32)> = (1..=3).map(|step| (step, "loss/step", 1.0 / step as f32)).collect();
    let training = |epoch| {
        [
            (epoch, "learning_rate", 0.001),
            (epoch, "loss/train", 1.25),
            (epoch, "speed/records_per_second", 40.5),
        ]
    };
    expected.extend(training(1));
    expected.extend((4..=6).map(|step| (step, "loss/step", 1.0 / step as f32)));
    expected.extend(training(2));
    expected.extend([
        (2, "validation/accuracy", 0.5),
        (2, "validation/f1_macro", 0.25),
        (2, "validation/f1_challenge", 0.125),
    ]);
    let mut found = scalars(&bytes);
    // The order of the fields in a record is free.
    let key = |(step, tag, _): &(u64, String, f32)| (*step, tag.clone());
    found.sort_by_key(key);
    let mut expected: Vec<_> = expected
        .into_iter()
        .map(|(step, tag, value)| (step, tag.to_owned(), value))
        .collect();
    expected.sort_by_key(key);
    assert_eq!(found, expected);
}

#[test]
fn a_resumed_run_begins_a_new_event_file_that_takes_back_the_later_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let first = event_files(folder.path()).remove(0);
    let before = std::fs::read(&first).expect("the file");
    // Within the same second twice.
    for _ in 0..2 {
        RunLogs::open(folder.path(), 1, 4).expect("logs");
    }
    let files = event_files(folder.path());
    assert_eq!(files.len(), 3);
    assert_eq!(files[0], first, "later files come later in the alphabet");
    assert_eq!(std::fs::read(&first).expect("the file"), before);
    let start = fields(&records(&std::fs::read(&files[2]).expect("the file"))[1]);
    assert_eq!(
        field(&start, 2).map(number),
        Some(5),
        "steps from here on are written again"
    );
    assert_eq!(field(&start, 7), Some(&[0x08, 1][..]), "SessionLog.START");
}

#[test]
fn a_cut_off_event_file_keeps_what_was_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let bytes = std::fs::read(&event_files(folder.path())[0]).expect("the file");
    let whole = records(&bytes).len();
    for cut in 0..bytes.len() {
        let left = records(&bytes[..cut]).len();
        assert!(left < whole, "{cut}");
    }
    assert_eq!(records(&bytes[..bytes.len() - 1]).len(), whole - 1);
}

#[test]
fn json_lines_name_their_event() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let lines = lines(folder.path());
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        events,
        [
            "step",
            "step",
            "step",
            "epoch",
            "step",
            "step",
            "step",
            "epoch",
            "validation"
        ]
    );
    assert_eq!(lines[1]["step"], 2);
    assert_eq!(lines[1]["loss"], 0.5);
    assert_eq!(lines[3]["train_loss"], 1.25);
    assert!(lines[3].get("accuracy").is_none(), "{}", lines[3]);
    assert_eq!(lines[8]["epoch"], 2);
    assert_eq!(lines[8]["f1_challenge"], 0.125);
    assert!(lines.iter().all(|line| line["time"].as_f64() > Some(1.7e9)));
}

#[test]
fn a_resumed_run_drops_the_lines_that_its_checkpoint_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let path = folder.path().join(JsonLines::NAME);
    let whole = std::fs::read(&path).expect("the log");
    // (epochs done, steps done, lines kept): within the second epoch, at its end, and of a run without a checkpoint.
    for (epoch, steps, kept) in [
        (1, 5, 6),
        (1, 3, 4),
        (2, 6, 9),
        (1, 6, 7),
        (0, 0, 0),
        (usize::MAX, u64::MAX, 9),
    ] {
        std::fs::write(&path, &whole).expect("a log");
        drop(JsonLines::open(&path, epoch, steps).expect("a log"));
        assert_eq!(lines(folder.path()).len(), kept, "epoch {epoch}, step {steps}");
    }
    // Killed while writing: wherever the last line ends, the others stay and the next is whole.
    let last = whole.len()
        - 1
        - whole[..whole.len() - 1]
            .iter()
            .rev()
            .position(|&byte| byte == b'\n')
            .expect("a line");
    for cut in last..whole.len() {
        std::fs::write(&path, &whole[..cut]).expect("a log");
        let mut log = JsonLines::open(&path, 2, 6).expect("a log");
        log.append("epoch", serde_json::Map::new()).expect("a line");
        assert_eq!(lines(folder.path()).len(), 9, "cut at {cut}");
    }
}

#[test]
fn a_file_that_is_no_log_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(JsonLines::NAME);
    for foreign in [&b"{}\nnot JSON\n{}\n"[..], b"{}\n[1]\n", b"{}\n\xff\xfe\n", b"{}\n\n"] {
        std::fs::write(&path, foreign).expect("a file");
        let error = RunLogs::open(folder.path(), 1, 0).expect_err("refused").to_string();
        assert!(error.contains("log.jsonl") && error.contains("line 2"), "{error}");
        assert_eq!(std::fs::read(&path).expect("the file"), foreign);
    }
    assert_eq!(event_files(folder.path()).len(), 0);
    RunLogs::open(&folder.path().join("missing"), 0, 0).expect_err("there is no folder");
}

#[test]
fn a_loss_that_is_no_number_is_null() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut logs = RunLogs::open(folder.path(), 0, 0).expect("logs");
    logs.step(1, 1, f64::NAN, 0.001).expect("a step");
    assert!(lines(folder.path())[0]["loss"].is_null());
}

/// Files are read in the order of their names: what was written by a machine whose clock is ahead comes before what is written now.
#[test]
fn a_new_event_file_comes_after_those_of_a_clock_that_was_ahead() {
    let folder = tempfile::tempdir().expect("a folder");
    let ahead = folder.path().join("events.out.tfevents.9000000000.elsewhere");
    std::fs::write(&ahead, b"").expect("a file");
    std::fs::write(folder.path().join("events.out.tfevents.x.elsewhere"), b"").expect("a file");
    RunLogs::open(folder.path(), 0, 0).expect("logs");
    let files = event_files(folder.path());
    assert_eq!(files[0], ahead);
    let name = files[1].file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with("events.out.tfevents.9000000001."), "{name}");
}
