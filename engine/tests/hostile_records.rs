//! Recordings that are wrong: every one ends in a one-line error that names its file.
#![allow(missing_docs)]

mod record_files;

use std::io::Write;
use std::path::Path;

use dualnet_engine::record::{OpenOptions, Record, RecordError};
use dualnet_fixtures::records_dir;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use record_files::{F32, F64, Folder, I16, Matrix, U8, assert_error, checksum, doubles, encode, open_both, triangle};

fn open(path: &Path) -> Result<Record, RecordError> {
    open_both(path, &OpenOptions::new())
}

fn bytes(file: &[u8]) -> Result<Record, RecordError> {
    Record::from_bytes("r.mat", file, &OpenOptions::new())
}

/// A folder with `r.hea` of this text and `r.dat` of 3000 samples in format 16.
fn header(text: &str) -> (Folder, Result<Record, RecordError>) {
    let folder = Folder::new();
    folder.write("r.dat", encode(16, &triangle(3000)));
    let path = folder.write("r.hea", text);
    let result = open(&path);
    (folder, result)
}

#[test]
fn empty_file() {
    let folder = Folder::new();
    assert_error(open(&folder.write("r.mat", "")), "r.mat", "empty");
    assert_error(bytes(&[]), "r.mat", "empty");
}

#[test]
fn missing_file_and_folder() {
    let folder = Folder::new();
    assert_error(open(&folder.path("absent.mat")), "absent.mat", "No such file");
    assert_error(open(&folder.path("")), "", "is a folder");
}

#[test]
#[cfg(unix)]
fn unreadable_file() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = Folder::new();
    let path = folder.write("closed.mat", std::fs::read(records_dir().join("A05493.mat")).unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // A privileged user reads the file all the same; links that lead to each other refuse everybody.
    if std::fs::File::open(&path).is_err() {
        assert_error(open(&path), "closed.mat", "ermission denied");
    }
    let (one, other) = (folder.path("one.mat"), folder.path("other.mat"));
    symlink(&one, &other).unwrap();
    symlink(&other, &one).unwrap();
    let result = open(&one);
    assert!(matches!(result, Err(RecordError::Io { .. })));
    assert_error(result, "one.mat", "os error");
}

#[test]
#[cfg(unix)]
fn line_breaks_in_the_file_name_stay_out_of_the_message() {
    let folder = Folder::new();
    assert_error(open(&folder.write("a\nb.mat", "text")), "a\\nb.mat", "not a recording");
}

#[test]
fn text_renamed_mat() {
    let folder = Folder::new();
    assert_error(
        open(&folder.write("r.mat", "This is no recording.\n")),
        "r.mat",
        "not a recording",
    );
    assert_error(
        open(&folder.write("s.mat", "1,2,3\n4,5,6\n")),
        "s.mat",
        "not a recording",
    );
    assert_error(
        open(&folder.write("t.mat", "MATLAB is a program.\n")),
        "t.mat",
        "truncated",
    );
}

#[test]
fn truncated_mat() {
    let whole = std::fs::read(records_dir().join("A05493.mat")).unwrap();
    let folder = Folder::new();
    for length in [1, 19, 20, 23, 24, 25, whole.len() - 1] {
        assert!(open(&folder.write("r.mat", &whole[..length])).is_err(), "{length}");
    }
    let result = open(&folder.write("r.mat", &whole[..1000]));
    assert_error(result, "r.mat", "matrix at byte 24 needs 5428 bytes, 976 are there");
    let trailing = [whole.as_slice(), &[0; 3]].concat();
    assert_error(
        open(&folder.write("r.mat", trailing)),
        "r.mat",
        "matrix header at byte 5452",
    );
}

#[test]
fn mat_header_claiming_2_to_the_31_samples() {
    let mut file = Matrix::row(&doubles(&triangle(3000)), I16).level4();
    file[8..12].copy_from_slice(&i32::MAX.to_le_bytes());
    assert_error(bytes(&file), "r.mat", "exceeds the limit");
    file[8..12].copy_from_slice(&(1_u32 << 31).to_le_bytes());
    assert_error(bytes(&file), "r.mat", "negative size");
    file[4..12].copy_from_slice(&[0, 128, 0, 0, 0, 0, 1, 0]);
    assert_error(bytes(&file), "r.mat", "exceeds the limit");
}

#[test]
fn wfdb_header_claiming_2_to_the_31_samples() {
    assert_error(
        header("r 1 300 2147483648\nr.dat 16\n").1,
        "r.dat",
        "needs 4294967296 bytes, 6000 are there",
    );
    assert_error(
        header("r 1 300 18446744073709551615\nr.dat 16\n").1,
        "r.dat",
        "truncated",
    );
    assert_error(
        header("r 1 300 18446744073709551616\nr.dat 16\n").1,
        "r.hea, line 1",
        "not a number",
    );
}

#[test]
fn several_rows_of_a_bare_matrix() {
    let matrix = doubles(&triangle(3600));
    let rows = Matrix {
        rows: 12,
        ..Matrix::row(&matrix, I16)
    };
    for file in [rows.level4(), rows.level5(true)] {
        assert_error(
            bytes(&file),
            "r.mat",
            "val (12 rows) has 12 leads; choose one with --lead: 0, 1, 2",
        );
        let wrong = Record::from_bytes("r.mat", &file, &OpenOptions::new().lead("12"));
        assert_error(wrong, "r.mat", "no single lead is called 12");
    }
    let columns = Matrix {
        rows: 1800,
        ..Matrix::row(&matrix, I16)
    };
    assert_error(
        bytes(&columns.level4()),
        "r.mat",
        "1800 rows and 2 columns is not supported",
    );
}

#[test]
fn complex_text_and_sparse_variables() {
    let values = doubles(&triangle(3000));
    let matrix = Matrix::row(&values, F64);
    let mut complex = matrix.level4();
    complex[12] = 1;
    complex.extend(vec![0; 24_000]);
    assert_error(
        bytes(&complex),
        "r.mat",
        "variable val (complex matrix) is not supported",
    );
    for (digit, kind) in [(1, "text"), (2, "sparse matrix")] {
        let mut file = matrix.level4();
        file[0] = digit;
        assert_error(bytes(&file), "r.mat", kind);
    }
    for (flags, kind) in [(0x0800, "complex matrix"), (0x0200, "logical matrix")] {
        for compressed in [false, true] {
            let file = matrix.level5_file(&[matrix.level5_element(flags, F64)], compressed);
            assert_error(bytes(&file), "r.mat", kind);
        }
    }
    for (class, kind) in [
        (1, "cell array"),
        (2, "structure"),
        (3, "object"),
        (4, "text"),
        (5, "sparse matrix"),
        (17, "not numeric"),
    ] {
        let other = Matrix {
            kind: record_files::Kind { class, ..F64 },
            ..matrix.clone()
        };
        assert_error(
            bytes(&other.level5(false)),
            "r.mat",
            &format!("variable val ({kind}) is not supported; supported are"),
        );
    }
}

#[test]
fn no_variable_of_that_name() {
    let values = doubles(&triangle(3000));
    let matrix = Matrix {
        name: "ecg",
        ..Matrix::row(&values, I16)
    };
    for file in [matrix.level4(), matrix.level5(false), matrix.level5(true)] {
        assert_error(bytes(&file), "r.mat", "no variable val; the file holds ecg");
    }
    let strange = Matrix { name: "a\nb", ..matrix };
    assert_error(bytes(&strange.level4()), "r.mat", "the file holds a b");
}

#[test]
fn non_finite_samples() {
    let mut values = doubles(&triangle(3000));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        values[1234] = bad;
        for kind in [F32, F64] {
            for file in [
                Matrix::row(&values, kind).level4(),
                Matrix::row(&values, kind).level5(true),
            ] {
                assert_error(bytes(&file), "r.mat", "sample 1234 is not a finite number");
            }
        }
    }
    let samples = vec![f32::NAN; 3000];
    assert_error(Record::from_samples("r", samples, 300.0), "r", "sample 0");
}

#[test]
fn samples_beyond_32_bit_floats() {
    let mut values = doubles(&triangle(2 * 9000));
    for (value, said) in [(1e39, "1e39"), (-f64::MAX, "-1.7976931348623157e308")] {
        values[2 * 8765 + 1] = value;
        for big_endian in [false, true] {
            let matrix = Matrix {
                rows: 2,
                big_endian,
                ..Matrix::row(&values, F64)
            };
            for file in [matrix.level4(), matrix.level5(false), matrix.level5(true)] {
                assert_error(
                    Record::from_bytes("r.mat", &file, &OpenOptions::new().lead("1")),
                    "r.mat",
                    &format!("sample 8765 is {said}; samples must fit 32-bit floats"),
                );
            }
        }
    }
}

#[test]
fn matlab_7_3_and_other_machines() {
    let mut file = Matrix::row(&doubles(&triangle(3000)), I16).level5(false);
    file[124..126].copy_from_slice(&[0, 2]);
    assert_error(
        bytes(&file),
        "r.mat",
        "MATLAB 7.3 (HDF5) file is not supported; save it with -v7",
    );
    let mut vax = Matrix::row(&doubles(&triangle(3000)), I16).level4();
    vax[..4].copy_from_slice(&2030_u32.to_le_bytes());
    assert_error(bytes(&vax), "r.mat", "not a recording in a known format");
}

#[test]
fn corrupt_compressed_element() {
    let whole = Matrix::row(&doubles(&triangle(3000)), I16).level5(true);
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_error(bytes(&flipped), "r.mat", "damaged at byte 128");
    let mut early = whole[..whole.len() - 9].to_vec();
    let length = u32::from_le_bytes(early[132..136].try_into().unwrap()) - 9;
    early[132..136].copy_from_slice(&length.to_le_bytes());
    assert_error(
        bytes(&early),
        "r.mat",
        "damaged at byte 128: the compressed element ends early",
    );
    assert_error(bytes(&whole[..whole.len() - 9]), "r.mat", "truncated: element");
}

/// Two of its three elements stand for more numbers than a recording may have: the third is not read.
#[test]
fn compressed_elements_of_more_than_a_recording() {
    const MIB: u32 = 1100;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(&[1_u32, MIB << 20].map(u32::to_le_bytes).concat())
        .expect("memory");
    for _ in 0..MIB {
        encoder.write_all(&[0; 1 << 20]).expect("memory");
    }
    let deflated = encoder.finish().expect("memory");
    let tag = [15, deflated.len() as u32].map(u32::to_le_bytes).concat();
    let mut file = Matrix::row(&doubles(&triangle(3000)), I16).level5_file(&[], true);
    let second = file.len() + tag.len() + deflated.len();
    for _ in 0..3 {
        file.extend(tag.iter().chain(&deflated));
    }
    let place = format!(
        "the compressed elements up to that at byte {second}, counted in bytes, exceeds the limit of 2147483776"
    );
    assert_error(bytes(&file), "r.mat", &place);
}

#[test]
fn one_second_record() {
    let second = doubles(&triangle(300));
    assert_error(
        bytes(&Matrix::row(&second, I16).level4()),
        "r.mat",
        "300 samples at 300 Hz last 1.000 s; at least 2 s",
    );
    assert_error(bytes(&Matrix::row(&[], U8).level4()), "r.mat", "at least 2 s");
}

#[test]
fn missing_and_short_signal_file() {
    let folder = Folder::new();
    let path = folder.write("r.hea", "r 1 300 3000\nr.dat 212\n");
    assert_error(open(&path), "r.dat", "No such file");
    folder.write("r.dat", &encode(212, &triangle(3000))[1..]);
    assert_error(
        open(&path),
        "r.dat",
        "truncated: the signal of 3000 samples in 1 leads at byte 0 needs 4500 bytes, 4499 are there",
    );
    folder.write("r.dat", "");
    assert_error(open(&path), "r.dat", "empty");
    assert_error(
        header("r 1 300 3000\nr.dat 16+24\n").1,
        "r.dat",
        "at byte 24 needs 6000 bytes, 5976 are there",
    );
    assert_error(header("r 1 300 3000\nr.dat 16+9999999999\n").1, "r.dat", "0 are there");
}

#[test]
fn signal_file_cut_in_mid_sample() {
    for (leads, format, whole, cut) in [
        (1, 16, 3000, 1),
        (1, 24, 3000, 2),
        (1, 32, 3000, 3),
        (1, 61, 3000, 1),
        (1, 212, 3000, 1),
        (2, 16, 3000, 2),
        (2, 212, 3000, 1),
        (3, 80, 3000, 2),
    ] {
        let folder = Folder::new();
        let text = format!("r {leads} 300\n{}", format!("r.dat {format}\n").repeat(leads));
        let (path, options) = (folder.write("r.hea", text), OpenOptions::new().lead("0"));
        let bytes = encode(format, &triangle(whole * leads));
        folder.write("r.dat", &bytes);
        assert_eq!(open_both(&path, &options).unwrap().samples().len(), whole);
        for more in [cut, 1] {
            folder.write("r.dat", [bytes.as_slice(), &vec![0; more]].concat());
            assert_error(
                open_both(&path, &options),
                "r.dat",
                &format!(
                    "truncated: sample {whole} of {leads} leads at byte {} needs",
                    bytes.len()
                ),
            );
        }
    }
    // Whoever writes samples in pairs fills the last one up.
    let folder = Folder::new();
    let path = folder.write("r.hea", format!("r 3 300\n{}", "r.dat 212\n".repeat(3)));
    folder.write("r.dat", [encode(212, &triangle(3 * 2001)), vec![0]].concat());
    let record = open_both(&path, &OpenOptions::new().lead("0")).unwrap();
    assert_eq!((record.samples().len(), record.warnings().len()), (2001, 1));
}

#[test]
fn header_naming_a_file_outside_its_folder() {
    let folder = Folder::new();
    folder.write("secret.dat", encode(16, &triangle(3000)));
    std::fs::create_dir(folder.path("inner")).unwrap();
    let absolute = folder.path("secret.dat").display().to_string();
    for name in [
        "../secret.dat",
        &absolute,
        "..",
        ".",
        "-",
        "sub/r.dat",
        "..\\secret.dat",
        "C:secret.dat",
    ] {
        let path = folder.write("inner/r.hea", format!("r 1 300 3000\n{name} 16\n"));
        let result = open(&path);
        assert!(
            matches!(result, Err(RecordError::OutsideFolder { line: 2, .. })),
            "{name}"
        );
        assert_error(result, "r.hea, line 2", "not a plain name");
    }
}

#[test]
fn several_leads_need_a_choice_of_one() {
    let text = "r 3 300 1000\nr.dat 16 1 16 0 0 0 0 II\nr.dat 16 1 16 0 0 0 0 V\nr.dat 16 1 16 0 0 0 0 V\n";
    let (folder, result) = header(text);
    assert_error(
        result,
        "r.hea",
        "the record has 3 leads; choose one with --lead: 0 (II), 1 (V), 2 (V)",
    );
    for wrong in ["V", "aVR", "3", "-1", ""] {
        let result = Record::open_with(folder.path("r.hea"), &OpenOptions::new().lead(wrong));
        assert_error(result, "r.hea", "there are 0 (II), 1 (V), 2 (V)");
    }
}

#[test]
fn headers_that_make_no_sense() {
    for (text, expected) in [
        (
            "r/3 1 300 3000\nr_1 1000\n",
            "a record of several segments is not supported",
        ),
        ("r 0 300 3000\n", "0 signals are announced, 0 are described"),
        ("r 2 300 3000\nr.dat 16\n", "2 signals are announced, 1 are described"),
        (
            "r 1 300 3000\nr.dat 16\nr.dat 16\n",
            "1 signals are announced, 2 are described",
        ),
        ("r 4000000000 300 3000\nr.dat 16\n", "4000000000 signals are announced"),
        (
            "r 1 fast 3000\nr.dat 16\n",
            "line 1: the sampling rate is not a number: fast",
        ),
        (
            "r 1 300 -5\nr.dat 16\n",
            "line 1: the number of samples is not a number",
        ),
        ("r 1 300 3000\nr.dat\n", "line 2: a signal without a format"),
        ("r 1 300 3000\nr.dat x\n", "line 2"),
        ("r 1 300 3000\nr.dat 16:q\n", "line 2: the skew is not a number"),
        (
            "r 1 300 3000\nr.dat 8\n",
            "supported are the formats 16, 24, 32, 61, 80 and 212",
        ),
        (
            "r 1 300 3000\nr.dat 16x4\n",
            "4 samples per frame (line 2) is not supported",
        ),
        (
            "r 1 300 3000\nr.dat 16 1 16 zero\n",
            "line 2: the ADC zero is not a number: zero",
        ),
        (
            "r 2 300 1000\nr.dat 16\nr.dat 16+2\n",
            "line 3: leads of r.dat differ in format or byte offset",
        ),
    ] {
        let (folder, _) = header(text);
        let result = Record::open_with(folder.path("r.hea"), &OpenOptions::new().lead("0"));
        assert_error(result, "r.hea", expected);
    }
    let (folder, _) = header("");
    assert_error(
        open(&folder.write("r.hea", "# only a comment\n")),
        "r.hea",
        "not a recording",
    );
}

#[test]
fn header_without_its_folder() {
    let result = Record::from_bytes("stdin", b"r 1 300 3000\nr.dat 16\n", &OpenOptions::new());
    assert_error(
        result,
        "stdin",
        "a WFDB header without its folder is not supported; give the path of the .hea file",
    );
}

#[test]
fn header_that_contradicts_its_mat_file() {
    let samples = triangle(3000);
    let sum = checksum(samples.iter().copied());
    let folder = Folder::new();
    let path = folder.write("r.mat", Matrix::row(&doubles(&samples), I16).level4());
    for (text, expected) in [
        ("r 1 300 2999\nr.mat 16+24\n".to_owned(), "it announces 2999 samples"),
        (
            "r 1 300 3000\nother.mat 16+24\n".to_owned(),
            "it describes other.mat, not r.mat",
        ),
        (
            "r 2 300 3000\nr.mat 16+24\nr.mat 16+24\n".to_owned(),
            "it describes 2 leads",
        ),
        (
            "r 1 300 3000\nr.mat 80+24\n".to_owned(),
            "it says format 80 from byte 24 on",
        ),
        (
            "r 1 300 3000\nr.mat 212+24\n".to_owned(),
            "it says format 212 from byte 24 on",
        ),
        (
            "r 1 300 3000\nr.mat 16+20\n".to_owned(),
            "it says format 16 from byte 20 on",
        ),
        (
            "r 1 300 3000\nr.mat 16\n".to_owned(),
            "it says format 16 from byte 0 on",
        ),
        (
            format!("r 1 300 3000\nr.mat 16+24 1 16 0 80 {} 0 I\n", sum.wrapping_add(1)),
            "the checksum of line 2",
        ),
        (
            format!("r 1 300 3000\nr.mat 16+24 1 16 0 79 {sum} 0 I\n"),
            "line 2 gives 79 as the first sample",
        ),
    ] {
        folder.write("r.hea", &text);
        for path in [path.clone(), path.with_extension("hea")] {
            // Opened by the header, another file's name leads to that file.
            let named_other = text.contains("other.mat") && path.extension().is_some_and(|e| e == "hea");
            let (file, expected) = if named_other {
                ("other.mat", "No such file")
            } else {
                ("r.hea", expected)
            };
            assert_error(Record::open_with(&path, &OpenOptions::new().lead("0")), file, expected);
        }
    }
    folder.write("r.hea", "nonsense");
    assert_error(open(&path), "r.hea, line 1", "not a WFDB header");
}

#[test]
fn mat_file_whose_numbers_its_header_cannot_mean() {
    let folder = Folder::new();
    folder.write("r.hea", "r 1 300 3000\nr.mat 16+24 1000/mV\n");
    let millivolts: Vec<f64> = triangle(3000)
        .iter()
        .map(|sample| f64::from(*sample) / 1000.0)
        .collect();
    let mut too_large = doubles(&triangle(3000));
    too_large[7] = 32_768.0;
    for (values, expected) in [
        (&millivolts, "it says format 16, sample 0 of "),
        (&too_large, "is 32768"),
    ] {
        let path = folder.write("r.mat", Matrix::row(values, F64).level5(false));
        for path in [path.clone(), path.with_extension("hea")] {
            assert_error(open(&path), "r.hea", expected);
        }
    }
}

#[test]
fn header_of_a_mat_file_that_is_text() {
    let folder = Folder::new();
    let text = "Dear reader, this is not a recording. ".repeat(200);
    for name in ["r.mat", "r.MAT"] {
        folder.write(name, &text);
        let header = folder.write("r.hea", format!("r 1 300 3000\n{name} 16+24 1000/mV\n"));
        assert_error(open(&header), name, "not a recording in a known format");
    }
}

#[test]
fn checksum_of_a_signal_file() {
    let samples = triangle(3000);
    let sum = checksum(samples.iter().copied());
    assert!(header(&format!("r 1 300 3000\nr.dat 16 200 12 0 80 {sum}\n")).1.is_ok());
    assert!(
        header(&format!(
            "r 1 300 3000\nr.dat 16 200 12 0 80 {}\n",
            i64::from(sum) + 65536
        ))
        .1
        .is_ok()
    );
    let result = header(&format!("r 1 300 3000\nr.dat 16 200 12 0 80 {}\n", sum ^ 4)).1;
    assert_error(result, "r.hea", "the checksum of line 2 is not that of");
}
