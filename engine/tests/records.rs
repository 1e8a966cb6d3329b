//! Recordings that are fine: real ones, and every format that is read.
#![allow(missing_docs)]

mod record_files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dualnet_engine::record::{OpenOptions, Record, Warning};
use dualnet_fixtures::{data_dir, golden_dir, records_dir};
use proptest::prelude::*;
use record_files::{Folder, I16, KINDS, Matrix, checksum, doubles, encode, floats, invalid, open_both, triangle};

const FORMATS: [u32; 6] = [16, 24, 32, 61, 80, 212];

fn reference(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("REFERENCE.csv")).expect("REFERENCE.csv");
    let row = |line: &str| {
        line.trim()
            .split_once(',')
            .map(|(name, label)| (name.to_owned(), label.to_owned()))
    };
    text.lines().map(|line| row(line).expect("name,label")).collect()
}

#[test]
fn fixture_records_cover_the_classes_and_open_without_guesses() {
    let reference = reference(&records_dir());
    assert!(reference.len() >= 14);
    assert_eq!(
        reference.values().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["A", "N", "O", "~"])
    );
    for name in reference.keys() {
        let path = records_dir().join(format!("{name}.mat"));
        let record = open_both(&path, &OpenOptions::new()).unwrap();
        assert_eq!(
            (record.name(), record.path(), record.lead()),
            (name.as_str(), Some(path.as_path()), Some("ECG"))
        );
        assert_eq!((record.sampling_rate_hz(), record.gain()), (300.0, Some(1000.0)));
        let size = std::fs::metadata(&path).unwrap().len() as usize;
        assert_eq!(record.samples().len(), (size - 24) / 2, "{name}");
        let warnings = match name.as_str() {
            "A00225" => vec![Warning::InitialValue { stated: 85, found: 1 }],
            "A05736" => vec![Warning::Long {
                seconds: 18286.0 / 300.0,
            }],
            _ => vec![],
        };
        assert_eq!(record.warnings(), warnings, "{name}");
        let by_header = Record::open(path.with_extension("hea")).unwrap();
        let by_name = Record::open(path.with_extension("")).unwrap();
        assert_eq!(
            (by_header.samples(), by_name.samples()),
            (record.samples(), record.samples())
        );
    }
}

#[test]
fn fixture_records_hold_the_golden_samples() {
    let text = std::fs::read_to_string(golden_dir().join("preprocessing.json")).expect("golden numbers");
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for (name, golden) in golden.as_object().unwrap() {
        let Some(sum) = golden["raw_sum"].as_i64() else {
            continue;
        };
        let record = Record::open(records_dir().join(name)).unwrap();
        assert_eq!(
            record.samples().len() as i64,
            golden["samples"].as_i64().unwrap(),
            "{name}"
        );
        assert_eq!(
            record.samples().iter().map(|sample| *sample as i64).sum::<i64>(),
            sum,
            "{name}"
        );
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn beyond_a_minute_only_the_beginning_is_classified() {
    let record = Record::open(records_dir().join("A05736.mat")).unwrap();
    assert_eq!(
        (record.samples().len(), record.classified_samples().len()),
        (18286, 18000)
    );
    let record = Record::from_samples("r", floats(&triangle(9000)), 128.5).unwrap();
    assert_eq!(record.classified_samples().len(), 7710);
}

#[test]
#[ignore = "needs the full data set in ECG_DATA_DIR: make test-data"]
fn the_whole_data_set_opens() {
    let reference = reference(&data_dir());
    assert_eq!(reference.len(), 8528);
    let mut warnings = BTreeMap::<_, usize>::new();
    for name in reference.keys() {
        let record = Record::open(data_dir().join(format!("{name}.mat"))).unwrap();
        assert_eq!((record.sampling_rate_hz(), record.lead()), (300.0, Some("ECG")));
        for warning in record.warnings() {
            let kind = match warning {
                Warning::InitialValue { .. } => "initial value",
                Warning::Long { .. } => "long",
                other => panic!("{name}: {other}"),
            };
            *warnings.entry(kind).or_default() += 1;
        }
    }
    assert_eq!(warnings["initial value"], 565);
    assert!(warnings["long"] > 0, "{warnings:?}");
}

#[test]
fn every_matlab_number_type_in_both_byte_orders_and_levels() {
    let samples: Vec<i32> = triangle(3000).iter().map(|sample| (sample + 70) / 2).collect();
    let values = doubles(&samples);
    let options = OpenOptions::new().sampling_rate_hz(300.0);
    let mut files = 0;
    for kind in KINDS {
        for big_endian in [false, true] {
            let matrix = Matrix {
                big_endian,
                ..Matrix::row(&values, kind)
            };
            let level4 = kind.level4.map(|_| matrix.level4());
            for file in [Some(matrix.level5(false)), Some(matrix.level5(true)), level4]
                .into_iter()
                .flatten()
            {
                let record = Record::from_bytes("r", &file, &options).unwrap();
                assert_eq!(record.samples(), floats(&samples), "{kind:?}");
                assert_eq!(record.warnings(), []);
                files += 1;
            }
        }
    }
    assert_eq!(files, 2 * (2 * 10 + 6));
}

#[test]
fn level_5_doubles_may_be_stored_as_smaller_integers() {
    let samples = triangle(3000);
    let values = doubles(&samples);
    let matrix = Matrix::row(&values, KINDS[0]);
    let file = matrix.level5_file(&[matrix.level5_element(0, I16)], false);
    assert_eq!(
        Record::from_bytes("r", &file, &OpenOptions::new()).unwrap().samples(),
        floats(&samples)
    );
}

#[test]
fn another_variable_behind_the_first_and_a_column_vector() {
    let (wanted, other) = (triangle(3000), vec![7.0; 700]);
    let values = doubles(&wanted);
    let other = Matrix {
        name: "other",
        ..Matrix::row(&other, I16)
    };
    let ecg = Matrix {
        name: "ecg",
        rows: 3000,
        ..Matrix::row(&values, I16)
    };
    let level5 = [other.level5_element(0, I16), ecg.level5_element(0, I16)];
    let files = [
        [other.level4(), ecg.level4()].concat(),
        ecg.level5_file(&level5, false),
        ecg.level5_file(&level5, true),
    ];
    for file in files {
        let record = Record::from_bytes("r", &file, &OpenOptions::new().variable("ecg")).unwrap();
        assert_eq!(record.samples(), floats(&wanted));
    }
}

/// Frames of 3 numbers fit no power of two.
#[test]
fn leads_of_a_long_matrix_are_put_together_from_its_pieces() {
    let leads = [1, -1, 2].map(|factor| {
        triangle(40_001)
            .iter()
            .map(|sample| factor * sample)
            .collect::<Vec<_>>()
    });
    let values: Vec<f64> = (0..40_001)
        .flat_map(|frame| leads.each_ref().map(|lead| f64::from(lead[frame])))
        .collect();
    for kind in [I16, KINDS[2], KINDS[0]] {
        let matrix = Matrix {
            rows: 3,
            ..Matrix::row(&values, kind)
        };
        for file in [matrix.level4(), matrix.level5(false), matrix.level5(true)] {
            let folder = Folder::new();
            let path = folder.write("r.mat", &file);
            let opened = |lead: usize| open_both(&path, &OpenOptions::new().lead(lead.to_string())).unwrap();
            for (lead, samples) in leads.iter().enumerate() {
                assert_eq!(opened(lead).samples(), floats(samples));
            }
            if matches!(kind.level4, Some(3)) || file.starts_with(b"MATLAB") {
                let line =
                    |lead: &Vec<i32>| format!("r.mat 16+24 1 16 0 {} {}\n", lead[0], checksum(lead.iter().copied()));
                let lines: String = leads.iter().map(line).collect();
                folder.write("r.hea", format!("r 3 300 40001\n{lines}"));
                for (lead, samples) in leads.iter().enumerate() {
                    assert_eq!(opened(lead).samples(), floats(samples));
                }
            }
        }
    }
}

#[test]
fn rows_of_a_bare_matrix_are_leads() {
    let (first, second) = (
        triangle(3000),
        triangle(3000).iter().map(|sample| -2 * sample).collect::<Vec<_>>(),
    );
    let values: Vec<f64> = first
        .iter()
        .zip(&second)
        .flat_map(|(a, b)| [f64::from(*a), f64::from(*b)])
        .collect();
    let file = Matrix {
        rows: 2,
        ..Matrix::row(&values, I16)
    }
    .level4();
    for (lead, expected) in [("0", &first), ("1", &second)] {
        let record = Record::from_bytes("r", &file, &OpenOptions::new().lead(lead)).unwrap();
        assert_eq!(record.samples(), floats(expected));
    }
}

#[test]
fn every_wfdb_format_with_three_interleaved_leads() {
    let frames = 3001;
    let leads: [Vec<i32>; 3] = [1, -1, 2].map(|factor| triangle(frames).iter().map(|s| s * factor / 2).collect());
    let interleaved: Vec<i32> = (0..frames)
        .flat_map(|frame| leads.each_ref().map(|lead| lead[frame]))
        .collect();
    for format in FORMATS {
        for (offset, count) in [(0, "3001"), (24, "3001"), (5, "0")] {
            let folder = Folder::new();
            folder.write("r.dat", [vec![b'#'; offset], encode(format, &interleaved)].concat());
            let mut header = format!("# made by a test\r\nr 3 500/1000(3) {count} 12:00:00\r\n\r\n");
            for (name, lead) in ["I", "II", "a V R"].iter().zip(&leads) {
                let (first, sum) = (lead[0], checksum(lead.iter().copied()));
                header += &format!("r.dat {format}x1+{offset} 200.5(-3)/mV 12 0 {first} {sum} 0 {name}\r\n");
            }
            let path = folder.write("r.hea", header);
            for (index, name) in ["I", "II", "a V R"].iter().enumerate() {
                let record = open_both(&path, &OpenOptions::new().lead(*name)).unwrap();
                assert_eq!(record.samples(), floats(&leads[index]), "format {format}");
                assert_eq!(
                    (record.lead(), record.gain(), record.sampling_rate_hz()),
                    (Some(*name), Some(200.5), 500.0)
                );
                assert_eq!(
                    record.warnings(),
                    [Warning::Short {
                        seconds: 3001.0 / 500.0
                    }]
                );
                let by_index = Record::open_with(&path, &OpenOptions::new().lead(index.to_string())).unwrap();
                assert_eq!(by_index, record);
            }
        }
    }
}

#[test]
fn leads_in_files_of_their_own_and_a_skewed_one() {
    let folder = Folder::new();
    let (first, second) = (
        triangle(3000),
        triangle(3000).iter().map(|sample| 3 * sample).collect::<Vec<_>>(),
    );
    folder.write("a.dat", encode(16, &first));
    folder.write("b.dat", encode(212, &second));
    let path = folder.write("r.hea", "r 2 300 3000\na.dat 16 100/uV 16 0 80 0 0 I\nb.dat 212:7 0\n");
    let record = Record::open_with(&path, &OpenOptions::new().lead("I")).unwrap();
    assert_eq!(
        (record.samples(), record.gain()),
        (floats(&first).as_slice(), Some(100_000.0))
    );
    let record = Record::open_with(&path, &OpenOptions::new().lead("1")).unwrap();
    assert_eq!(
        (record.samples(), record.gain(), record.lead()),
        (&floats(&second)[7..], None, None)
    );
}

#[test]
fn leads_inside_a_mat_file_with_a_header() {
    let (first, second) = (
        triangle(3000),
        triangle(3000).iter().map(|sample| 3 * sample).collect::<Vec<_>>(),
    );
    let values: Vec<f64> = first
        .iter()
        .zip(&second)
        .flat_map(|(a, b)| [f64::from(*a), f64::from(*b)])
        .collect();
    let matrix = Matrix {
        rows: 2,
        ..Matrix::row(&values, I16)
    };
    for file in [matrix.level4(), matrix.level5(true)] {
        let folder = Folder::new();
        let path = folder.write("r.mat", file);
        let sums = [&first, &second].map(|lead| checksum(lead.iter().copied()));
        let line = |lead: usize, first: i32| format!("r.mat 16x1+24 1000/mV 16 0 {first} {} 0 L{lead}\n", sums[lead]);
        folder.write(
            "r.hea",
            format!("r 2 300 3000\n{}{}", line(0, first[0]), line(1, second[0])),
        );
        for path in [path.clone(), path.with_extension("hea"), path.with_extension("")] {
            let record = open_both(&path, &OpenOptions::new().lead("L1")).unwrap();
            assert_eq!(
                (record.samples(), record.lead()),
                (floats(&second).as_slice(), Some("L1"))
            );
            assert_eq!(record.warnings(), []);
        }
    }
}

/// WFDB's physical value is (sample − baseline) / gain.
#[test]
fn a_lead_of_negative_gain_stands_upright() {
    for format in FORMATS {
        let mut stored = triangle(3000);
        stored[1500] = invalid(format);
        let sum = checksum(stored.iter().copied());
        let open = |gain: &str| {
            let folder = Folder::new();
            folder.write("r.dat", encode(format, &stored));
            let header = format!("r 1 300 3000\nr.dat {format} {gain} 12 0 80 {sum} 0 II\n");
            Record::open(folder.write("r.hea", header)).unwrap()
        };
        let negated = |record: &Record| record.samples().iter().map(|sample| -sample).collect::<Vec<_>>();
        let upright = open("200(5)/mV");
        assert!(matches!(upright.warnings(), [Warning::Interpolated { samples: 1, .. }]));
        for (gain, per_mv) in [("-200(5)/mV", 200.0), ("-0.2/uV", 200.0), ("-200", 200.0)] {
            let turned = open(gain);
            assert_eq!(negated(&turned), upright.samples(), "format {format}, {gain}");
            assert_eq!(turned.gain(), Some(per_mv), "{gain}");
            assert_eq!(turned.warnings(), upright.warnings());
        }
        assert_eq!(negated(&open("-3/mmHg")), upright.samples());
        for gain in ["0/mV", "-inf/mV", "nan"] {
            assert_eq!((open(gain).samples(), open(gain).gain()), (upright.samples(), None));
        }
    }
}

#[test]
fn a_mat_file_whose_header_has_a_negative_gain_stands_upright() {
    let stored = triangle(3000);
    let (values, sum) = (doubles(&stored), checksum(stored.iter().copied()));
    for file in [
        Matrix::row(&values, I16).level4(),
        Matrix::row(&values, KINDS[0]).level5(true),
    ] {
        let folder = Folder::new();
        let path = folder.write("r.mat", file);
        let header = folder.write(
            "r.hea",
            format!("r 1 300 3000\nr.mat 16+24 -1000/mV 16 0 80 {sum} 0 ECG\n"),
        );
        for path in [path, header] {
            let record = open_both(&path, &OpenOptions::new()).unwrap();
            let upright: Vec<f32> = stored.iter().map(|sample| -*sample as f32).collect();
            assert_eq!((record.samples(), record.gain()), (upright.as_slice(), Some(1000.0)));
            assert_eq!(record.warnings(), []);
        }
    }
}

#[test]
fn a_volt_has_many_spellings() {
    for (unit, per_mv) in [
        ("", 2.0),
        ("/", 2.0),
        ("/mV", 2.0),
        ("/MV", 2.0),
        ("/V", 0.002),
        ("/nV", 2e6),
    ]
    .into_iter()
    .chain(["/uV", "/\u{b5}V", "/\u{3bc}V", "/\u{3bc}v"].map(|micro| (micro, 2e3)))
    {
        let folder = Folder::new();
        folder.write("r.dat", encode(16, &triangle(3000)));
        let record = Record::open(folder.write("r.hea", format!("r 1 300 3000\nr.dat 16 2{unit}\n"))).unwrap();
        assert_eq!(
            (record.gain(), record.warnings()),
            (Some(per_mv), &[] as &[_]),
            "{unit}"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_is_read_like_a_file() {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    let bytes = std::fs::read(records_dir().join("A05493.mat")).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let content = bytes.clone();
    let writing = std::thread::spawn(move || writer.write_all(&content).unwrap());
    let piped = Record::open(format!("/proc/self/fd/{}", reader.as_raw_fd())).unwrap();
    writing.join().unwrap();
    assert_eq!(
        piped.samples(),
        Record::from_bytes("A05493", &bytes, &OpenOptions::new())
            .unwrap()
            .samples()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn format_212_round_trips(samples in prop::collection::vec(-2047..=2047_i32, 600..1000), leads in 1..4_usize) {
        let samples = &samples[..samples.len() / leads * leads];
        let folder = Folder::new();
        folder.write("r.dat", encode(212, samples));
        let frames = samples.len() / leads;
        let path = folder.write("r.hea", format!("r {leads} 100 {frames}\n{}", "r.dat 212 200\n".repeat(leads)));
        for lead in 0..leads {
            let expected: Vec<i32> = samples.iter().copied().skip(lead).step_by(leads).collect();
            let record = Record::open_with(&path, &OpenOptions::new().lead(lead.to_string())).unwrap();
            prop_assert_eq!(record.samples(), floats(&expected));
        }
    }
}
