//! Which files make a record, whatever the case of their names and whatever else lies in the folder.
#![allow(missing_docs)]

mod record_files;

use std::path::PathBuf;

use dualnet_engine::record::{OpenOptions, Record, record_name, records_in};
use record_files::{Folder, I16, Matrix, assert_error, doubles, encode, triangle};

fn mat() -> Vec<u8> {
    Matrix::row(&doubles(&triangle(3000)), I16).level4()
}

fn names(folder: &Folder) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    records_in(&folder.path("")).unwrap().into_iter().map(name).collect()
}

#[test]
fn a_header_is_found_in_any_case() {
    for (data, header, stated) in [
        ("A00004.MAT", "A00004.HEA", "A00004.mat"),
        ("A00004.MAT", "A00004.HEA", "A00004.MAT"),
        ("A00004.mat", "A00004.HEA", "A00004.mat"),
        ("A00004.MAT", "A00004.hea", "A00004.mat"),
        ("A00004.Mat", "A00004.Hea", "A00004.mat"),
    ] {
        let folder = Folder::new();
        let data = folder.write(data, mat());
        let header = folder.write(header, format!("A00004 1 500 3000\n{stated} 16+24\n"));
        for path in [data, header, folder.path("A00004")] {
            let record = Record::open(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(record.sampling_rate_hz(), 500.0, "{}", path.display());
            assert_eq!(record.name(), "A00004");
        }
        assert_eq!(names(&folder).len(), 1);
    }
}

#[test]
fn a_signal_file_is_found_in_any_case() {
    let folder = Folder::new();
    folder.write("R.DAT", encode(16, &triangle(3000)));
    let path = folder.write("R.HEA", "R 1 250 3000\nR.dat 16\n");
    assert_eq!(Record::open(&path).unwrap().samples().len(), 3000);
}

#[test]
fn only_a_header_stands_for_its_data_file() {
    let folder = Folder::new();
    for name in ["r.mat", "r.MAT", "r.hea", "s.HEA", "t.MAT", "t.hea"] {
        folder.write(name, b"");
    }
    assert_eq!(names(&folder), ["r.MAT", "r.mat", "s.HEA", "t.MAT"]);
}

#[test]
fn a_header_is_that_of_the_file_it_names() {
    let folder = Folder::new();
    let (other, own) = (folder.write("r.MAT", mat()), folder.write("r.mat", mat()));
    folder.write("r.hea", "r 1 500 3000\nr.mat 16+24\n");
    assert_eq!(Record::open(&own).unwrap().sampling_rate_hz(), 500.0);
    assert_error(Record::open(&other), "r.hea", "it describes r.mat, not r.MAT");
}

#[test]
fn a_record_has_one_name_whether_it_can_be_read_or_not() {
    let folder = Folder::new();
    folder.write("rec.1.dat", encode(16, &triangle(3000)));
    folder.write("rec.1.hea", "rec.1 1 300 3000\nrec.1.dat 16\n");
    assert_eq!(Record::open(folder.path("rec.1")).unwrap().name(), "rec.1");
    assert_eq!(record_name(&folder.path("rec.1")), "rec.1");
    assert_eq!(record_name(&folder.path("rec.1.hea")), "rec.1");
    assert_eq!(record_name(&folder.path("none.mat")), "none");
}

#[test]
fn a_raw_signal_that_looks_like_a_matlab_header_is_read() {
    for mark in [b"IM", b"MI"] {
        let mut bytes = encode(16, &triangle(3000));
        bytes[126..128].copy_from_slice(mark);
        let folder = Folder::new();
        folder.write("r.dat", bytes);
        let path = folder.write("r.hea", "r 1 300 3000\nr.dat 16\n");
        assert_eq!(Record::open(&path).unwrap().samples().len(), 3000);
    }
}

#[test]
fn hidden_files_of_a_folder_are_no_records() {
    let folder = Folder::new();
    folder.write("A00067.mat", mat());
    folder.write("._A00067.mat", "Mac OS X        ");
    folder.write(".b.hea", "b 1 300 3000\nb.dat 16\n");
    let named = folder.write(".c.mat", mat());
    assert_eq!(names(&folder), ["A00067.mat"]);
    assert_eq!(Record::open(named).unwrap().samples().len(), 3000);
}

/// Waits for nobody.
#[cfg(unix)]
#[test]
fn pipes_in_a_folder_are_no_records() {
    let folder = Folder::new();
    for name in ["p.mat", "p.hea", "q.dat", "s.hea"] {
        let made = std::process::Command::new("mkfifo").arg(folder.path(name)).status();
        assert!(made.unwrap().success());
    }
    std::os::unix::fs::symlink("nowhere", folder.path("link.mat")).unwrap();
    let data = folder.write("s.mat", mat());
    let header = folder.write("q.hea", "q 1 300 3000\nq.dat 16\n");
    assert_eq!(names(&folder), ["link.mat", "q.hea", "s.mat"]);
    assert_error(Record::open(&header), "q.dat", "regular files");
    assert_error(Record::open_with(&data, &OpenOptions::new()), "s.hea", "regular files");
}

#[cfg(unix)]
#[test]
fn a_header_that_leads_nowhere_is_no_absent_header() {
    let folder = Folder::new();
    let path = folder.write("r.mat", mat());
    std::os::unix::fs::symlink("elsewhere/r.hea", folder.path("r.hea")).unwrap();
    let refusal = Record::open(path).unwrap_err().to_string();
    assert!(refusal.contains("r.hea: "), "{refusal}");
}

#[test]
fn a_header_may_begin_with_a_byte_order_mark() {
    let folder = Folder::new();
    folder.write("r.mat", mat());
    let header = folder.write("r.hea", "\u{feff}r 1 250\r\nr.mat 16+24 200 16\r\n");
    assert_eq!(Record::open(header).unwrap().sampling_rate_hz(), 250.0);
}
