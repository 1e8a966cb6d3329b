//! `trainer data verify`: folders that are whole, and what is named where they are not; the 6000-record course set.

mod icentia_files;

use dualnet_fixtures::{data_dir, records_dir};
use dualnet_trainer::data::icentia::{self, Released};
use dualnet_trainer::data::verify::{Findings, Kind, verify};
use dualnet_trainer::data::{KnownDataset, Labels, physionet};
use dualnet_trainer::train::{Records, TrainOptions};
use std::path::Path;
use std::process::{Command, Output};

fn verify_by_program(folder: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["data", "verify"])
        .arg(folder)
        .output()
        .expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn found(known: KnownDataset, folder: &Path) -> Findings {
    assert_eq!(KnownDataset::of(folder).expect("a data set"), known);
    verify(known, folder, &|| {}).expect("findings")
}

fn of(findings: &Findings, kind: Kind) -> Vec<&str> {
    findings.faults_of(kind).collect()
}

/// The fixture records are 22 of the 8528.
fn fixtures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(records_dir()).expect("the fixtures") {
        let entry = entry.expect("a file");
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
    }
    folder
}

/// A pipe or a device has no end that would come by itself; all that read a data set refuse them.
#[test]
fn what_is_no_regular_file_keeps_nobody_waiting() {
    let folder = fixtures();
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        let _ = std::fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo starts");
        assert!(made.success());
        path
    };
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("A00002.mat")).expect("a link");
    pipe("A00005.hea");
    let findings = found(KnownDataset::Physionet, folder.path());
    assert_eq!(
        of(&findings, Kind::Damaged),
        ["A00002.mat: is no regular file", "A00005.hea: is no regular file"]
    );
    let error = physionet::read(folder.path(), Labels::Released)
        .expect_err("a pipe")
        .to_string();
    assert!(error.contains("A00005.hea: is no regular file"), "{error}");

    pipe("REFERENCE.csv");
    let error = physionet::read(folder.path(), Labels::Released)
        .expect_err("a pipe")
        .to_string();
    assert!(
        error.contains("REFERENCE.csv") && error.contains("is no regular file"),
        "{error}"
    );
    assert_eq!(
        KnownDataset::of(folder.path()).expect("a data set"),
        KnownDataset::Physionet
    );

    let patients = icentia_files::two_patients();
    let samples = patients.path().join("00003_batched.pkl.gz");
    std::fs::remove_file(&samples).expect("a file");
    let made = Command::new("mkfifo").arg(&samples).status().expect("mkfifo starts");
    assert!(made.success());
    let error = icentia::Icentia::open(patients.path(), None, false)
        .expect_err("a pipe")
        .to_string();
    assert!(
        error.contains("00003_batched.pkl.gz") && error.contains("is no regular file"),
        "{error}"
    );
}

#[test]
fn missing_damaged_altered_and_extra_files_are_told_apart() {
    let folder = fixtures();
    let path = |file: &str| folder.path().join(file);
    let before = found(KnownDataset::Physionet, folder.path());
    assert_eq!(before.records, 22);
    assert_eq!(of(&before, Kind::Damaged), [""; 0]);
    // The fixtures' labels are those of 22 records.
    let [altered] = of(&before, Kind::Altered).try_into().expect("the labels alone");
    assert!(str::contains(altered, "REFERENCE.csv: labels N "), "{altered}");
    assert_eq!(of(&before, Kind::Missing).len(), 1 + 2 * (8528 - 22));
    assert_eq!(of(&before, Kind::Missing)[..2], ["REFERENCE-v3.csv", "A00002.mat"]);

    let mut bytes = std::fs::read(path("A00001.mat")).expect("a record");
    bytes[100] ^= 1;
    std::fs::write(path("A00001.mat"), bytes).expect("a file");
    std::fs::write(path("A00004.mat"), b"").expect("a file");
    std::fs::remove_file(path("A00005.hea")).expect("a file");
    std::fs::write(path("A09000.mat"), b"").expect("a file");
    let after = found(KnownDataset::Physionet, folder.path());
    assert_eq!(of(&after, Kind::Altered)[1..], ["A00001.mat"]);
    let [damaged] = of(&after, Kind::Damaged).try_into().expect("one file");
    assert!(str::contains(damaged, "A00004.mat"), "{damaged}");
    assert!(of(&after, Kind::Missing).contains(&"A00005.hea"));
    assert_eq!(after.extra, ["A09000.mat"]);

    let (code, said, error) = verify_by_program(folder.path());
    assert_eq!(code, Some(1));
    for part in [
        "PhysioNet/CinC 2017",
        "22 found: not whole",
        "1 damaged:",
        "and 17004 more",
        "1 extra:\n  A09000.mat",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_folder_of_nothing_that_is_known_is_wrong_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().to_owned(), folder.path().join("none")] {
        let (code, said, error) = verify_by_program(&path);
        assert_eq!((code, said.as_str()), (Some(2), ""));
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// The whole set, then with one sample of one record changed.
#[test]
#[ignore = "reads all 8528 records; needs ECG_DATA_DIR"]
fn data_of_physionet_is_whole_as_released() {
    let (code, said, error) = verify_by_program(&data_dir());
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.contains("8528 found: whole"), "{said}");
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(data_dir()).expect("the data set") {
        let entry = entry.expect("a file");
        let source = entry.path().canonicalize().expect("a path");
        std::os::unix::fs::symlink(source, folder.path().join(entry.file_name())).expect("a link");
    }
    let changed = folder.path().join("A04242.mat");
    let mut bytes = std::fs::read(&changed).expect("a record");
    *bytes.last_mut().expect("a sample") ^= 1;
    std::fs::remove_file(&changed).expect("a link");
    std::fs::write(&changed, bytes).expect("a file");
    let (code, said, _) = verify_by_program(folder.path());
    assert_eq!(code, Some(1));
    assert!(
        said.contains("1 altered:\n  A04242.mat\n") && !said.contains("missing"),
        "{said}"
    );
}

/// A record of 2 s in the released form: MATLAB level 4, int16.
fn record(first: i16) -> Vec<u8> {
    let samples = (0..600_i16).map(|index| first.wrapping_add(index % 97));
    let header = [30_i32, 1, 600, 0, 4].into_iter().flat_map(i32::to_le_bytes);
    header
        .chain(*b"val\0")
        .chain(samples.flat_map(i16::to_le_bytes))
        .collect()
}

/// 6000 records of 2 s and their labels.
fn course() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut reference = String::new();
    for number in 1..=6000_usize {
        let name = format!("train_ecg_{number:05}");
        std::fs::write(folder.path().join(format!("{name}.mat")), record(number as i16)).expect("a file");
        reference += &format!("{name},{}\n", ["N", "O", "A", "~"][number % 4]);
    }
    std::fs::write(folder.path().join("REFERENCE.csv"), reference).expect("a file");
    folder
}

#[test]
fn the_course_set_is_verified_and_divided_into_5000_and_1000() {
    let folder = course();
    let (code, said, error) = verify_by_program(folder.path());
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(
        said.contains("6000-record course set") && said.contains("6000 found: whole"),
        "{said}"
    );
    let options = TrainOptions {
        dataset: KnownDataset::Course6000,
        split: "course6000".to_owned(),
        ..TrainOptions::default()
    };
    let records = Records::open(&options, folder.path(), 1).expect("records");
    assert_eq!(
        (records.split.train.len(), records.split.validation.len()),
        (5000, 1000)
    );
    assert!(records.data.starts_with("6000-record course set"), "{}", records.data);
    let dataset = records.dataset.expect("recordings");
    assert_eq!(dataset.recordings[5999].name, "train_ecg_06000");
    assert_eq!(dataset.recordings[41].samples[..2], [42.0, 43.0]);

    let path = |file: &str| folder.path().join(file);
    std::fs::remove_file(path("train_ecg_00007.mat")).expect("a file");
    std::fs::write(path("train_ecg_00009.mat"), b"damage").expect("a file");
    std::fs::write(path("notes.txt"), b"").expect("a file");
    let reference = std::fs::read_to_string(path("REFERENCE.csv")).expect("labels");
    std::fs::write(path("REFERENCE.csv"), reference.replace("train_ecg_00003,~\n", "")).expect("a file");
    let findings = found(KnownDataset::Course6000, folder.path());
    assert_eq!(of(&findings, Kind::Missing), ["train_ecg_00007.mat"]);
    assert!(of(&findings, Kind::Damaged)[0].contains("train_ecg_00009"));
    assert_eq!(
        of(&findings, Kind::Altered),
        ["REFERENCE.csv: 1 records have no label, train_ecg_00003 the first"]
    );
    assert_eq!(findings.extra, ["notes.txt"]);
    let refusal = Records::open(&options, folder.path(), 1)
        .expect_err("damage")
        .to_string();
    assert!(
        refusal.contains("2 of 5999 records cannot be used") && refusal.contains("train_ecg_00007"),
        "{refusal}"
    );
    std::fs::write(path("train_ecg_00007.mat"), record(7)).expect("a file");
    std::fs::write(path("train_ecg_00009.mat"), record(9)).expect("a file");
    let refusal = Records::open(&options, folder.path(), 1)
        .expect_err("a label less")
        .to_string();
    assert!(
        refusal.contains("divides 6000 records; the data set has 5999"),
        "{refusal}"
    );
}

#[test]
fn patients_of_icentia11k_are_read_to_their_end() {
    let folder = icentia_files::two_patients();
    let released = Released {
        patients: 4,
        samples: icentia_files::SAMPLES as u32,
    };
    let found = |folder: &Path| icentia::verify(folder, released, &|| {}).expect("findings");
    let findings = found(folder.path());
    assert_eq!(findings.records, 2);
    assert_eq!(
        of(&findings, Kind::Missing),
        ["patient 00000", "patient 00001", "patient 00002"]
    );
    assert_eq!(findings.faults.len(), 3);

    for patient in 0..3 {
        icentia_files::write_patient(folder.path(), patient, 4, "f2");
    }
    assert!(found(folder.path()).is_whole());
    let path = folder.path().join("00001_batched.pkl.gz");
    let mut bytes = std::fs::read(&path).expect("a file");
    let last = bytes.len() - 8;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).expect("a file");
    std::fs::remove_file(folder.path().join("00002_batched_lbls.pkl.gz")).expect("a file");
    std::fs::write(folder.path().join("20000_batched.pkl.gz"), b"").expect("a file");
    let findings = found(folder.path());
    let [damaged] = of(&findings, Kind::Damaged).try_into().expect("one file");
    assert!(
        str::contains(damaged, "00001_batched.pkl.gz") && damaged.contains("checksum"),
        "{damaged}"
    );
    assert_eq!(of(&findings, Kind::Missing), ["00002_batched_lbls.pkl.gz"]);
    assert_eq!(findings.extra, ["20000_batched.pkl.gz"]);

    // All samples of the first segment are NaN, so that its crop has some.
    let (segments, samples) = (icentia_files::SEGMENTS, icentia_files::SAMPLES);
    let mut values = vec![0_u8; 4 * segments * samples];
    for value in values[..4 * samples].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    let pickle = icentia_files::array(4, "f4", &[segments, samples], &values);
    icentia_files::write_samples(folder.path(), 1, &pickle);
    let findings = found(folder.path());
    let [damaged] = of(&findings, Kind::Damaged).try_into().expect("one file");
    assert!(
        str::contains(damaged, "00001_batched.pkl.gz") && damaged.contains("not a finite number"),
        "{damaged}"
    );

    let (code, said, _) = verify_by_program(folder.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("segments of 22000 samples, not 1048577"), "{said}");
}
