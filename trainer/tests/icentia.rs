//! Icentia11k: the pickles as they were released, their crops and classes, files that are not what they should be, and the
//! golden numbers of two patients.

mod icentia_files;

use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_fixtures::{Summary, icentia_dir, json, report};
use dualnet_trainer::data::icentia::{Crop, Draws, Icentia};
use dualnet_trainer::data::{Batch, Classes, Loader, LoaderOptions, Pass, Shard, Source, Workspace};
use icentia_files::{
    Rhythms, SAMPLES, SEGMENTS, annotations, array, classes, encode, gzip, rhythms, samples, two_patients,
    write_annotations, write_patient, write_samples,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

const PASS: Pass = Pass {
    classes: Classes::Four,
    augmentation: None,
    seed: 5,
    epoch: 1,
};

fn load(icentia: &Icentia, unit: u32, epoch: u64) -> Result<Batch, String> {
    let mut batch = Batch::default();
    let pass = Pass { epoch, ..PASS };
    let loaded = icentia.load(unit, &pass, &mut Workspace::default(), &mut batch);
    loaded.map(|()| batch).map_err(|error| error.to_string())
}

fn open(folder: &Path) -> Icentia {
    Icentia::open(folder, None, false).expect("patients")
}

/// What is wrong with a folder, in one line, when it is opened or else when its first patient is read.
fn failure(folder: &Path) -> String {
    let message = match Icentia::open(folder, None, false) {
        Err(error) => error.to_string(),
        Ok(icentia) => {
            let message = load(&icentia, 0, 1).expect_err("the files are faulty");
            let checked = icentia.check(Shard::default(), &mut |_, _| ControlFlow::Continue(()));
            let checked = checked.expect_err("the files are faulty").to_string();
            assert!(checked.contains("cannot be used: "), "{checked}");
            // Of a crop that cannot be prepared the network's own words differ.
            assert!(
                checked.contains(&message) || message.contains("finite"),
                "{checked}; {message}"
            );
            message
        }
    };
    assert!(!message.contains('\n') && message.len() < 1000, "{message}");
    message
}

#[test]
fn each_process_checks_its_share_and_can_be_stopped() {
    let folder = two_patients();
    let icentia = open(folder.path());
    let check = |rank, of| {
        let mut heard = Vec::new();
        let checked = icentia.check(Shard { rank, of }, &mut |done, units| {
            heard.push((done, units));
            ControlFlow::Continue(())
        });
        (checked.map_err(|error| error.to_string()), heard)
    };
    assert_eq!(check(0, 1), (Ok(ControlFlow::Continue(())), vec![(2, 2)]));
    let stopped = icentia.check(Shard::default(), &mut |_, _| ControlFlow::Break(()));
    assert!(matches!(stopped, Ok(ControlFlow::Break(()))), "{stopped:?}");

    let second = folder.path().join("10007_batched.pkl.gz");
    let whole = std::fs::read(&second).expect("a file");
    std::fs::write(&second, &whole[..whole.len() - 9]).expect("a file");
    assert_eq!(check(0, 2), (Ok(ControlFlow::Continue(())), vec![(1, 1)]));
    for (rank, of) in [(1, 2), (0, 1)] {
        let message = check(rank, of).0.expect_err("a damaged file");
        assert!(message.contains("10007_batched.pkl.gz"), "{message}");
    }
}

/// What is done to a folder.
type Damage = Box<dyn Fn(&Path)>;

#[test]
fn every_protocol_and_type_gives_the_same_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [
        (2, "i2"),
        (2, "f8"),
        (3, "f4"),
        (4, "f2"),
        (4, "i4"),
        (5, "i8"),
        (5, "f2"),
    ];
    let bytes = |dtype| encode(dtype, &samples(0));
    for (patient, (protocol, dtype)) in cases.into_iter().enumerate() {
        let pickle = array(protocol, dtype, &[SEGMENTS, SAMPLES], &bytes(dtype));
        write_samples(folder.path(), patient as u32, &pickle);
        write_annotations(folder.path(), patient as u32, &annotations(protocol, &rhythms()));
    }
    let icentia = open(folder.path());
    assert_eq!((icentia.units(), icentia.records_per_unit()), (cases.len(), SEGMENTS));
    let first = load(&icentia, 0, 1).expect("a batch");
    assert_eq!(first.labels, classes());
    assert_eq!(first.ecg.len(), SEGMENTS * ECG_LEN);
    for (unit, case) in cases.iter().enumerate().skip(1) {
        let mut other = load(&icentia, unit as u32, 2).expect("a batch");
        assert_eq!(other.records, vec![unit as u32; SEGMENTS]);
        other.records.clone_from(&first.records);
        assert!(other == first, "{case:?}");
    }
}

/// Of the released patients some have fewer segments than 50: draws, labels and the places of records in a batch follow from what a file has.
#[test]
fn a_patient_may_have_fewer_segments() {
    const FEW: usize = 7;
    let folder = two_patients();
    for protocol in [2, 5] {
        let bytes = encode("i2", &samples(5)[..FEW * SAMPLES]);
        write_samples(folder.path(), 5, &array(protocol, "i2", &[FEW, SAMPLES], &bytes));
        write_annotations(folder.path(), 5, &annotations(2, &rhythms()[..FEW]));
        let icentia = open(folder.path());
        let records: Vec<usize> = (0..3).map(|unit| icentia.records_in(unit)).collect();
        assert_eq!((records, icentia.records_per_unit()), (vec![50, FEW, 50], 50));
        assert_eq!(load(&icentia, 1, 1).expect("a batch").labels, classes()[..FEW]);
        let few = Icentia::open(folder.path(), Some(8), false).expect("patients");
        assert_eq!([0, 1, 2].map(|unit| few.records_in(unit)), [8, FEW, 8]);
        assert_eq!(load(&few, 1, 1).expect("a batch").labels, classes()[..FEW]);
    }
    // Draws are as many as the file's segments: all starts come first.
    let (all, few) = (
        Draws::Published.crops(50, SAMPLES as u32),
        Draws::Published.crops(FEW, SAMPLES as u32),
    );
    assert!((0..FEW).all(|segment| all[segment].start == few[segment].start));
    assert_ne!(all[0].length, few[0].length);

    let source: Arc<dyn Source> = Arc::new(open(folder.path()));
    let batch = |shard| {
        let options = LoaderOptions {
            shard,
            ..LoaderOptions::validation(150, Classes::Four, 1)
        };
        let mut loader = Loader::new(Arc::clone(&source), &[1, 0, 2], options).expect("a loader");
        loader.next().expect("a batch").expect("a batch")
    };
    let whole = batch(Shard::default());
    assert_eq!((whole.labels.len(), whole.global_records), (107, 107));
    let [first, second] = [0, 1].map(|rank| batch(Shard { rank, of: 2 }));
    for (part, first_record, records) in [(&first, 0, FEW), (&second, FEW, 100)] {
        assert_eq!((part.first_record, part.labels.len()), (first_record, records));
        assert_eq!((part.global_records, part.smallest_shard), (107, FEW));
    }
    assert_eq!([first.ecg, second.ecg].concat(), whole.ecg);

    write_annotations(folder.path(), 5, &annotations(2, &rhythms()));
    let error = load(&open(folder.path()), 1, 1)
        .expect_err("other annotations")
        .to_string();
    assert!(
        error.contains("annotates 50 segments; the file of the samples has 7"),
        "{error}"
    );
}

/// The rule of the crops and of the interpolation, computed in float64 on the whole array. Float32 positions are off by up to
/// 1e-3 of a sample, and so the windows by less than 1e-3 of their norm.
#[test]
fn inputs_are_those_of_the_drawn_crops() {
    let folder = tempfile::tempdir().expect("a folder");
    write_patient(folder.path(), 4, 4, "f2");
    let batch = load(&open(folder.path()), 0, 1).expect("a batch");
    let all = samples(4);
    let mut preprocessor = Preprocessor::new();
    for (segment, crop) in Draws::Published.crops(SEGMENTS, SAMPLES as u32).into_iter().enumerate() {
        let start = segment * SAMPLES + crop.start as usize;
        let lead = &all[start..start + crop.length as usize];
        let read = |j: usize| {
            let position = ((j as f64 + 0.5) / 1.2 - 0.5).max(0.0);
            let before = (position as usize).min(lead.len() - 1);
            let after = (before + 1).min(lead.len() - 1);
            let weight = position - before as f64;
            ((1.0 - weight) * f64::from(lead[before]) + weight * f64::from(lead[after])) as f32
        };
        let stretched: Vec<f32> = (0..(1.2 * lead.len() as f64) as usize).map(read).collect();
        let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
        preprocessor
            .prepare_uncut(&stretched, &mut ecg, &mut spectrogram)
            .expect("inputs");
        let ours = &batch.ecg[segment * ECG_LEN..][..ECG_LEN];
        let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
        let difference = squares(&mut ours.iter().zip(&ecg).map(|(a, b)| a - b));
        let error = (difference / squares(&mut ecg.iter().copied())).sqrt();
        assert!(error < 1e-3, "segment {segment}: {error}");
    }
}

#[test]
fn an_annotation_at_either_end_of_a_crop_counts_and_the_gravest_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    write_patient(folder.path(), 0, 4, "i2");
    let crops = Draws::Published.crops(SEGMENTS, SAMPLES as u32);
    let mut segments = vec![Rhythms::default(); SEGMENTS];
    let ends = |crop: &Crop| [crop.start as i32, (crop.start + crop.length) as i32];
    for (index, (rhythms, crop)) in segments.iter_mut().zip(&crops).enumerate() {
        let [first, last] = ends(crop);
        match index {
            0 => rhythms[5] = vec![first],
            1 => rhythms[5] = vec![last],
            2 => rhythms[5] = vec![first - 1, last + 1],
            3 => (rhythms[0], rhythms[4], rhythms[5]) = (vec![first], vec![first], vec![first]),
            4 => (rhythms[2], rhythms[3], rhythms[4]) = (vec![first], vec![first], vec![last]),
            5 => (rhythms[2], rhythms[3]) = (vec![first], vec![first]),
            6 => rhythms[3] = vec![first],
            _ => {}
        }
    }
    write_annotations(folder.path(), 0, &annotations(2, &segments));
    let labels = load(&open(folder.path()), 0, 1).expect("a batch").labels;
    assert_eq!(labels[..8], [3, 3, 1, 3, 2, 0, 1, 1]);
}

#[test]
fn a_limit_takes_the_first_segments_and_batches_move_in_its_steps() {
    let folder = two_patients();
    let whole = load(&open(folder.path()), 1, 1).expect("a batch");
    let icentia = Icentia::open(folder.path(), Some(8), false).expect("patients");
    let part = load(&icentia, 1, 1).expect("a batch");
    assert_eq!(part.labels, whole.labels[..8]);
    assert!(part.ecg == whole.ecg[..8 * ECG_LEN] && part.spectrogram == whole.spectrogram[..8 * SPECTROGRAM_LEN]);
    let icentia: Arc<dyn Source> = Arc::new(icentia);
    let batches = |batch_size| {
        let options = LoaderOptions::validation(batch_size, Classes::Four, 2);
        Loader::new(Arc::clone(&icentia), &[1, 0, 1], options).map(|loader| {
            let units = loader.map(|batch| batch.expect("a batch").records);
            units.collect::<Vec<_>>()
        })
    };
    assert_eq!(batches(8).expect("batches").len(), 3);
    let [two, one] = batches(16).expect("batches").try_into().expect("two batches");
    assert_eq!((two, one), ([[1; 8], [0; 8]].concat(), vec![1; 8]));
    assert!(batches(12).expect_err("no multiple").to_string().contains("steps of 8"));
}

#[test]
fn crops_are_the_same_in_every_epoch_unless_fresh_ones_are_asked_for() {
    let folder = two_patients();
    let plain = open(folder.path());
    assert!(load(&plain, 0, 1) == load(&plain, 0, 2));
    let fresh = Icentia::open(folder.path(), None, true).expect("patients");
    let first = load(&fresh, 0, 1).expect("a batch");
    assert!(first == load(&fresh, 0, 1).expect("the same again"));
    assert!(
        first.ecg != load(&fresh, 0, 2).expect("a batch").ecg,
        "other crops in epoch 2"
    );
    assert!(
        load(&fresh, 1, 1) == load(&plain, 1, 2),
        "validation keeps the published crops"
    );
}

#[test]
fn patients_are_divided_by_their_numbers() {
    let folder = two_patients();
    let split = open(folder.path()).split().expect("a split");
    assert_eq!((split.train, split.validation), (vec![0], vec![1]));
    let alone = tempfile::tempdir().expect("a folder");
    write_patient(alone.path(), 9999, 4, "i2");
    let message = open(alone.path()).split().expect_err("none validates").to_string();
    assert!(message.contains("no patient of 10000 to 10999"), "{message}");
}

#[test]
fn what_is_missing_or_of_another_shape_is_named_before_anything_is_trained() {
    let named = |change: &dyn Fn(&Path)| {
        let folder = two_patients();
        change(folder.path());
        Icentia::open(folder.path(), None, false)
            .expect_err("the folder is faulty")
            .to_string()
    };
    let remove = |file: &'static str| move |folder: &Path| std::fs::remove_file(folder.join(file)).expect("a file");
    let put = |pickle: Vec<u8>| move |folder: &Path| write_samples(folder, 3, &pickle);
    let shape = |shape: [usize; 2]| array(4, "i2", &shape, &vec![0; shape[0] * shape[1] * 2]);
    let cases: [(Damage, &[&str]); 8] = [
        (
            Box::new(remove("00003_batched_lbls.pkl.gz")),
            &["00003_batched_lbls.pkl.gz is missing", "1 of 2"],
        ),
        (
            Box::new(remove("10007_batched.pkl.gz")),
            &["10007_batched.pkl.gz is missing"],
        ),
        (
            Box::new(put(shape([51, SAMPLES]))),
            &["00003_batched.pkl.gz", "51 segments; a file has 1 to 50"],
        ),
        (Box::new(put(shape([SEGMENTS, 21_600]))), &["segments of 21600 samples"]),
        (
            Box::new(put(array(4, "i2", &[SEGMENTS, SAMPLES], &[0; 70_000]))),
            &["with 70000 bytes"],
        ),
        (
            Box::new(put(array(4, "c8", &[SEGMENTS, SAMPLES], &[]))),
            &["type \"c8\"; supported are"],
        ),
        (Box::new(put(b"\x80\x02](NNe.".to_vec())), &["holds no array"]),
        (
            Box::new(|folder: &Path| {
                std::fs::write(folder.join("00003_batched_lbls.pkl.gz"), b"no gzip").expect("a file")
            }),
            &["00003_batched_lbls.pkl.gz"],
        ),
    ];
    for (change, expected) in cases {
        let message = named(&change);
        for part in expected {
            assert!(message.contains(part) && !message.contains('\n'), "{part}: {message}");
        }
    }
    let empty = tempfile::tempdir().expect("a folder");
    assert!(failure(empty.path()).contains("no file of Icentia11k"));
    assert!(failure(&empty.path().join("none")).contains("No such file"));
}

#[test]
fn faulty_annotations_are_refused() {
    let folder = two_patients();
    let refused = |pickle: &[u8], expected: &str| {
        write_annotations(folder.path(), 3, pickle);
        let message = failure(folder.path());
        assert!(
            message.contains("00003_batched_lbls.pkl.gz") && message.contains(expected),
            "{expected}: {message}"
        );
    };
    let with = |position: i32| {
        let mut segments = rhythms();
        segments[7][4] = vec![5, position];
        annotations(2, &segments)
    };
    refused(&with(-1), "segment 7: rtype[4]: position -1 is in no segment");
    refused(
        &with(i32::MAX),
        "position 2147483647 is in no segment of 1048577 samples",
    );
    refused(&annotations(2, &rhythms()[1..]), "annotates 49 segments");
    refused(
        &[annotations(2, &rhythms()), b"N.".to_vec()].concat(),
        "goes on behind the end",
    );
    refused(b"\x80\x02N.", "None where a tuple is expected");
    let floats = array(2, "f4", &[1], &1.5_f32.to_le_bytes());
    let one = [
        b"\x80\x02](}(X\x05\0\0\0rtype](".as_slice(),
        &floats[2..floats.len() - 1],
        b"NNNNNeue.",
    ]
    .concat();
    refused(&one, "annotates 1 segments");
    let many = [b"\x80\x02](".as_slice(), &b"}".repeat(50), b"e."].concat();
    refused(&many, "segment 0: not one entry \"rtype\"");
    // Positions out of order occur in released files and change nothing.
    let mut segments = rhythms();
    segments.iter_mut().flatten().for_each(|positions| positions.reverse());
    write_annotations(folder.path(), 3, &annotations(2, &segments));
    assert_eq!(load(&open(folder.path()), 0, 1).expect("a batch").labels, classes());
}

/// Attacks by size, depth, repetition and names; the message says where in the pickle.
#[test]
fn hostile_pickles_are_refused_where_they_turn_hostile() {
    let folder = two_patients();
    let header = |shape: &[usize]| {
        let mut pickle = array(3, "i2", shape, &[]);
        pickle.truncate(pickle.len() - 2 - 1 - 5);
        pickle
    };
    let claimed = |shape: &[usize], length: u32| [header(shape), vec![b'B'], length.to_le_bytes().to_vec()].concat();
    let samples: [(&str, Vec<u8>, &str); 9] = [
        (
            "huge shape",
            claimed(&[SEGMENTS, 2_000_000_000], u32::MAX),
            "are the most",
        ),
        (
            "huge bytes",
            claimed(&[SEGMENTS, SAMPLES], u32::MAX),
            "with 4294967295 bytes",
        ),
        (
            "negative shape",
            claimed(&[SEGMENTS, 1 << 31], u32::MAX),
            "extent -2147483648",
        ),
        (
            "cut behind the header",
            claimed(&[SEGMENTS, SAMPLES], 2_200_000),
            "in the middle",
        ),
        (
            "foreign name",
            b"\x80\x02cos\nsystem\n(tR.".to_vec(),
            "`os.system` is not allowed",
        ),
        (
            "deep",
            [b"\x80\x02)".as_slice(), &[0x85; 2_000_000]].concat(),
            "more instructions",
        ),
        (
            "bomb of nothing",
            [b"\x80\x02".as_slice(), &[b'N'; 2_000_000]].concat(),
            "more instructions",
        ),
        (
            "long text",
            [b"\x80\x02X\xff\xff\xff\xff".as_slice(), &[b'a'; 100]].concat(),
            "long bytes where",
        ),
        (
            "endless name",
            [b"\x80\x02c".as_slice(), &[b'a'; 5000]].concat(),
            "a name of more than",
        ),
    ];
    for (attack, pickle, expected) in samples {
        write_samples(folder.path(), 3, &pickle);
        let message = failure(folder.path());
        let is_placed = message.contains("00003_batched.pkl.gz") && message.contains("unpacked byte");
        assert!(is_placed && message.contains(expected), "{attack}: {message}");
    }
    write_patient(folder.path(), 3, 4, "i2");
    let bomb = |text: usize, copies: usize| {
        let mut pickle = b"\x80\x02(c_codecs\nencode\nq\x01X".to_vec();
        pickle.extend((text as u32).to_le_bytes());
        pickle.extend(vec![b'a'; text]);
        pickle.extend(b"q\x02X\x06\0\0\0latin1q\x03");
        pickle.extend(b"h\x01h\x02h\x03\x86R".repeat(copies));
        pickle
    };
    let annotations: [(&str, Vec<u8>, &str); 4] = [
        ("memo bomb", bomb(1 << 20, 10_000), "more bytes than"),
        (
            "gzip bomb",
            [b"\x80\x02X\xff\xff\xff\xff".as_slice(), &vec![b'a'; 80 << 20]].concat(),
            "more bytes than",
        ),
        (
            "instructions",
            [b"\x80\x02".as_slice(), &vec![b'N'; 2_000_000]].concat(),
            "more instructions",
        ),
        (
            "a cycle",
            [b"\x80\x02]q\0(".as_slice(), &b"h\0".repeat(50), b"e."].concat(),
            "a dict is expected",
        ),
    ];
    for (attack, pickle, expected) in annotations {
        write_annotations(folder.path(), 3, &pickle);
        let message = failure(folder.path());
        assert!(
            message.contains("00003_batched_lbls.pkl.gz") && message.contains(expected),
            "{attack}: {message}"
        );
    }
}

#[test]
fn every_truncation_and_a_flipped_byte_are_noticed() {
    let folder = two_patients();
    for file in ["00003_batched.pkl.gz", "00003_batched_lbls.pkl.gz"] {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).expect("a file");
        let cuts = [
            0,
            1,
            9,
            10,
            20,
            whole.len() / 3,
            whole.len() / 2,
            whole.len() - 9,
            whole.len() - 8,
            whole.len() - 1,
        ];
        for cut in cuts {
            std::fs::write(&path, &whole[..cut]).expect("a file");
            assert!(failure(folder.path()).contains(file), "cut at {cut}");
        }
        let mut flipped = whole.clone();
        let crc = whole.len() - 8;
        flipped[crc] ^= 1;
        std::fs::write(&path, flipped).expect("a file");
        assert!(failure(folder.path()).contains("checksum"), "{file}");
        std::fs::write(&path, &whole).expect("a file");
    }
    let path = folder.path().join("00003_batched.pkl.gz");
    let pickle = array(4, "i2", &[SEGMENTS, SAMPLES], &encode("i2", &samples(3)));
    std::fs::write(&path, [gzip(&pickle), gzip(b"more")].concat()).expect("a file");
    assert!(failure(folder.path()).contains("goes on behind the end"));
}

#[test]
fn a_sample_that_is_no_number_is_named_with_its_segment() {
    let folder = two_patients();
    let mut bytes = encode("f4", &samples(3));
    let crop = Draws::Published.crops(SEGMENTS, SAMPLES as u32)[31];
    let at = (31 * SAMPLES + crop.start as usize + 5) * 4;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    write_samples(folder.path(), 3, &array(3, "f4", &[SEGMENTS, SAMPLES], &bytes));
    let message = failure(folder.path());
    assert!(
        message.contains("00003_batched.pkl.gz") && message.contains("segment 31"),
        "{message}"
    );
}

#[derive(Deserialize)]
struct GoldenPatient {
    classes: Vec<i64>,
    ecg_norm: Vec<f64>,
    ecg_probe: Vec<f64>,
    spectrogram_norm: Vec<f64>,
    spectrogram_probe: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenDraws {
    low: Vec<u32>,
    length: Vec<u32>,
}

#[derive(Deserialize)]
struct Golden {
    draws: GoldenDraws,
    #[serde(flatten)]
    patients: BTreeMap<String, GoldenPatient>,
}

/// What the published loader makes of the two development patients. Classes and draws are exact; the published code adds up
/// in another order and takes a faster Fourier transform, hence 2e-5 and 5e-4 of the norm for norm and probe of the windows,
/// 1e-3 and 2e-2 for those of the logarithmic spectrogram.
#[test]
#[ignore = "needs ECG_GOLDEN_DIR with icentia11k.json and ECG_ICENTIA_DIR; `make test-icentia` runs it"]
fn icentia11k_crops_are_the_published_ones() {
    let golden: Golden = json("icentia11k.json");
    let folder = icentia_dir();
    let icentia = open(&folder);
    let mut worst = [0.0_f64; 4];
    let mut compared = 0;
    for (unit, (name, patient)) in golden.patients.iter().enumerate() {
        assert!(folder.join(format!("{name}_batched.pkl.gz")).is_file(), "{name}");
        let batch = load(&icentia, unit as u32, 1).expect("a batch");
        assert_eq!(batch.labels, patient.classes, "{name}");
        for segment in 0..SEGMENTS {
            let ecg = Summary::of("ecg", &batch.ecg[segment * ECG_LEN..][..ECG_LEN]);
            let range = segment * SPECTROGRAM_LEN..(segment + 1) * SPECTROGRAM_LEN;
            let spectrogram = Summary::of("spectrogram", &batch.spectrogram[range]);
            let (ecg_scale, spectrogram_scale) = (patient.ecg_norm[segment], patient.spectrogram_norm[segment]);
            let errors = [
                (ecg.norm - ecg_scale).abs() / ecg_scale,
                (ecg.probe - patient.ecg_probe[segment]).abs() / ecg_scale,
                (spectrogram.norm - spectrogram_scale).abs() / spectrogram_scale,
                (spectrogram.probe - patient.spectrogram_probe[segment]).abs() / spectrogram_scale,
            ];
            for ((error, worst), tolerance) in errors.into_iter().zip(&mut worst).zip([2e-5, 5e-4, 1e-3, 2e-2]) {
                assert!(error <= tolerance, "{name}, segment {segment}: {errors:?}");
                *worst = worst.max(error);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, golden.patients.len() * SEGMENTS * 4);
    let crops = Draws::Published.crops(SEGMENTS, 65_537);
    assert_eq!(
        crops.iter().map(|crop| crop.start).collect::<Vec<_>>(),
        golden.draws.low
    );
    assert_eq!(
        crops.iter().map(|crop| crop.length).collect::<Vec<_>>(),
        golden.draws.length
    );
    let worst = worst.map(|error| format!("{error:.1e}")).join(", ");
    report(format_args!(
        "icentia11k: {compared} golden summaries, {} draws; largest errors {worst}",
        2 * crops.len()
    ));
}

/// Crops that are drawn anew come upon any sample: one that is no number is found before the first epoch, wherever it lies in a patient that trains.
#[test]
fn fresh_crops_are_checked_by_whole_segments() {
    let folder = two_patients();
    let published = Draws::Published.crops(SEGMENTS, SAMPLES as u32)[0];
    let beside = match published.start {
        0 => published.length as usize,
        _ => 0,
    };
    let damage = |patient: u32| {
        let mut bytes = encode("f4", &samples(patient));
        bytes[4 * beside..4 * beside + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        write_samples(folder.path(), patient, &array(2, "f4", &[SEGMENTS, SAMPLES], &bytes));
    };
    let check = |fresh_crops: bool| {
        let icentia = Icentia::open(folder.path(), None, fresh_crops).expect("patients");
        let checked = icentia.check(Shard::default(), &mut |_, _| ControlFlow::Continue(()));
        checked.map(drop).map_err(|error| error.to_string())
    };
    // Those that validate have the published crops in any case.
    damage(10_007);
    assert_eq!((check(false), check(true)), (Ok(()), Ok(())));
    damage(3);
    assert_eq!(check(false), Ok(()));
    let fault = check(true).expect_err("a sample that is no number");
    assert!(
        fault.contains("00003") && fault.contains("not a finite number"),
        "{fault}"
    );
}
