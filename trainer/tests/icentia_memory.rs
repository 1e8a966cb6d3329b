//! Icentia11k in files as long as the released ones: a patient's samples are never in memory as a whole.
#![cfg(target_os = "linux")]

mod common;
mod icentia_files;

use common::peak_kib;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_trainer::data::icentia::Icentia;
use dualnet_trainer::data::{Batch, Classes, Pass, Shard, Source, Workspace};
use flate2::read::MultiGzDecoder;
use icentia_files::{SEGMENTS, annotations, array, gzip, rhythms, write_annotations};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Samples of each segment, of two bytes.
const SAMPLES: usize = 1_048_577;
/// Bytes of all segments, 105 MB.
const BYTES: usize = SEGMENTS * SAMPLES * 2;
/// The samples as a text, as bytes, and as bytes that come before their layout, for which the file is read twice.
const PROTOCOLS: [u8; 3] = [2, 4, 5];
/// What reading a file may take, in MB: 8 for its batch, as much again while that grows, and buffers.
const ALLOWED: f64 = 32.0;

fn path(folder: &Path, patient: u32) -> PathBuf {
    folder.join(format!("{patient:05}_batched.pkl.gz"))
}

/// Both files of a patient, made without the samples being in memory as a whole.
fn write_patient(folder: &Path, patient: u32, protocol: u8) {
    const MARK: &[u8] = b"samples";
    let short = array(protocol, "i2", &[SEGMENTS, SAMPLES], MARK);
    let at = short.windows(MARK.len()).position(|bytes| bytes == MARK);
    let at = at.expect("the array's bytes");
    // Of the number of bytes, which stands before them.
    let width = if protocol == 5 { 8 } else { 4 };
    let head = [&short[..at - width], &(BYTES as u64).to_le_bytes()[..width]].concat();
    // One beat a second, of bytes that are the same in UTF-8.
    let segment: Vec<u8> = (0..SAMPLES)
        .flat_map(|time| ((time % 250 / 2) as i16).to_le_bytes())
        .collect();
    // A file of several gzip members unpacks to all of them.
    let segments = gzip(&segment).repeat(SEGMENTS);
    let file = [gzip(&head), segments, gzip(&short[at + MARK.len()..])].concat();
    std::fs::write(path(folder, patient), file).expect("a file");
    write_annotations(folder, patient, &annotations(2, &rhythms()));
}

/// The most memory that the process has had, in MB.
fn peak() -> f64 {
    peak_kib("self").expect("the process's peak") * 1024.0 / 1e6
}

#[test]
fn a_patients_samples_are_never_in_memory_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    for (patient, protocol) in (0..).zip(PROTOCOLS) {
        write_patient(folder.path(), patient, protocol);
    }
    // Of crops drawn anew every sample is looked at beforehand.
    let [icentia, fresh] =
        [false, true].map(|fresh_crops| Icentia::open(folder.path(), None, fresh_crops).expect("patients"));
    let pass = Pass {
        classes: Classes::Four,
        augmentation: None,
        seed: 5,
        epoch: 1,
    };
    let before = peak();
    for source in [&icentia, &fresh] {
        let checked = source.check(Shard::default(), &mut |_, _| ControlFlow::Continue(()));
        assert!(matches!(checked, Ok(ControlFlow::Continue(()))), "{checked:?}");
        let grown = peak() - before;
        assert!(grown < ALLOWED, "checking all: {grown} MB more");
    }
    for (unit, protocol) in (0..).zip(PROTOCOLS) {
        let mut batch = Batch::default();
        icentia
            .load(unit, &pass, &mut Workspace::default(), &mut batch)
            .expect("a batch");
        assert_eq!(batch.labels.len(), SEGMENTS);
        assert_eq!(batch.ecg.len(), SEGMENTS * ECG_LEN);
        assert_eq!(batch.spectrogram.len(), SEGMENTS * SPECTROGRAM_LEN);
        let grown = peak() - before;
        assert!(grown < ALLOWED, "protocol {protocol}: {grown} MB more");
    }

    // The measure does see a reader that unpacks a file whole.
    let mut whole = Vec::new();
    let file = File::open(path(folder.path(), 0)).expect("a file");
    MultiGzDecoder::new(file).read_to_end(&mut whole).expect("unpacked");
    assert!(whole.len() > BYTES);
    let grown = peak() - before;
    assert!(grown > 2.0 * ALLOWED, "{grown} MB more");
}
