//! Writers of `.mat` and WFDB files for the tests of the record reader, written from the formats' documents.
#![allow(dead_code, missing_docs)]

use std::io::Write;
use std::path::{Path, PathBuf};

use dualnet_engine::record::{OpenOptions, Record, RecordError};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use tempfile::TempDir;

/// A folder that disappears with the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a temporary file");
        path
    }
}

/// A number type of both MATLAB levels: digit of level 4, data type and class of level 5.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub level4: Option<u32>,
    pub element: u32,
    pub class: u32,
    pub encode: fn(f64) -> Vec<u8>,
}

macro_rules! kind {
    ($level4:expr, $element:expr, $class:expr, $number:ty) => {
        Kind {
            level4: $level4,
            element: $element,
            class: $class,
            encode: |v| (v as $number).to_le_bytes().to_vec(),
        }
    };
}

pub const F64: Kind = kind!(Some(0), 9, 6, f64);
pub const F32: Kind = kind!(Some(1), 7, 7, f32);
pub const I32: Kind = kind!(Some(2), 5, 12, i32);
pub const I16: Kind = kind!(Some(3), 3, 10, i16);
pub const U16: Kind = kind!(Some(4), 4, 11, u16);
pub const U8: Kind = kind!(Some(5), 2, 9, u8);
pub const KINDS: [Kind; 10] = [
    F64,
    F32,
    I32,
    I16,
    U16,
    U8,
    kind!(None, 1, 8, i8),
    kind!(None, 6, 13, u32),
    kind!(None, 12, 14, i64),
    kind!(None, 13, 15, u64),
];

/// A matrix to be written; `values` column by column.
#[derive(Clone)]
pub struct Matrix<'a> {
    pub name: &'a str,
    pub rows: u32,
    pub values: &'a [f64],
    pub kind: Kind,
    pub big_endian: bool,
}

impl<'a> Matrix<'a> {
    pub fn row(values: &'a [f64], kind: Kind) -> Self {
        Self {
            name: "val",
            rows: 1,
            values,
            kind,
            big_endian: false,
        }
    }

    fn columns(&self) -> u32 {
        self.values.len() as u32 / self.rows
    }

    fn data(&self) -> Vec<u8> {
        let number = |value: &f64| {
            let mut bytes = (self.kind.encode)(*value);
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        self.values.iter().flat_map(number).collect()
    }

    fn words(&self, words: &[u32]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|word| {
                if self.big_endian {
                    word.to_be_bytes()
                } else {
                    word.to_le_bytes()
                }
            })
            .collect()
    }

    pub fn level4(&self) -> Vec<u8> {
        let kind = 1000 * u32::from(self.big_endian) + 10 * self.kind.level4.expect("a level-4 type");
        let mut bytes = self.words(&[kind, self.rows, self.columns(), 0, self.name.len() as u32 + 1]);
        bytes.extend(self.name.as_bytes());
        bytes.push(0);
        bytes.extend(self.data());
        bytes
    }

    fn element(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = match body.len() {
            1..=4 => self.words(&[(body.len() as u32) << 16 | kind]),
            _ => self.words(&[kind, body.len() as u32]),
        };
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// A level-5 matrix element with `flags` beside the class, its numbers stored as those of `stored`.
    pub fn level5_element(&self, flags: u32, stored: Kind) -> Vec<u8> {
        let numbers = Matrix {
            kind: stored,
            ..self.clone()
        }
        .data();
        let body = [
            self.element(6, &self.words(&[flags | self.kind.class, 0])),
            self.element(5, &self.words(&[self.rows, self.columns()])),
            self.element(1, self.name.as_bytes()),
            self.element(stored.element, &numbers),
        ]
        .concat();
        [self.words(&[14, body.len() as u32]), body].concat()
    }

    pub fn level5_file(&self, elements: &[Vec<u8>], compressed: bool) -> Vec<u8> {
        let mut bytes = b"MATLAB 5.0 MAT-file, written by a test".to_vec();
        bytes.resize(124, b' ');
        bytes.extend(if self.big_endian {
            *b"\x01\x00MI"
        } else {
            *b"\x00\x01IM"
        });
        for element in elements {
            if compressed {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(element).expect("memory");
                let deflated = encoder.finish().expect("memory");
                bytes.extend(self.words(&[15, deflated.len() as u32]));
                bytes.extend(deflated);
            } else {
                bytes.extend(element);
            }
        }
        bytes
    }

    pub fn level5(&self, compressed: bool) -> Vec<u8> {
        self.level5_file(&[self.level5_element(0, self.kind)], compressed)
    }
}

/// Writes interleaved samples in a WFDB format.
pub fn encode(format: u32, samples: &[i32]) -> Vec<u8> {
    match format {
        16 => samples
            .iter()
            .flat_map(|sample| (*sample as i16).to_le_bytes())
            .collect(),
        24 => samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes().into_iter().take(3))
            .collect(),
        32 => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        61 => samples
            .iter()
            .flat_map(|sample| (*sample as i16).to_be_bytes())
            .collect(),
        80 => samples.iter().map(|sample| (sample + 128) as u8).collect(),
        212 => {
            let pair = |pair: &[i32]| {
                let (first, second) = (pair[0] & 0xfff, pair.get(1).map(|second| second & 0xfff));
                let middle = first >> 8 | second.unwrap_or(0) >> 8 << 4;
                [Some(first as u8), Some(middle as u8), second.map(|second| second as u8)]
                    .into_iter()
                    .flatten()
            };
            samples.chunks(2).flat_map(pair).collect()
        }
        _ => panic!("no writer for format {format}"),
    }
}

/// The lowest value of a format, which marks invalid samples.
pub fn invalid(format: u32) -> i32 {
    match format {
        16 | 61 => -32768,
        24 => -(1 << 23),
        32 => i32::MIN,
        80 => -128,
        212 => -2048,
        _ => panic!("no format {format}"),
    }
}

pub fn checksum(samples: impl IntoIterator<Item = i32>) -> i16 {
    samples
        .into_iter()
        .fold(0, |sum: i16, sample| sum.wrapping_add(sample as i16))
}

/// A lead that triggers no warning: a triangle wave from −70 to 80 of a second at 300 Hz, within the range of every
/// format, whose checksum is not 0.
pub fn triangle(samples: usize) -> Vec<i32> {
    (0..samples)
        .map(|index| ((index % 300) as i32 - 150).abs() - 70)
        .collect()
}

pub fn floats(samples: &[i32]) -> Vec<f32> {
    samples.iter().map(|sample| *sample as f32).collect()
}

pub fn doubles(samples: &[i32]) -> Vec<f64> {
    samples.iter().map(|sample| f64::from(*sample)).collect()
}

/// Opens mapped and read, which must agree.
pub fn open_both(path: &Path, options: &OpenOptions) -> Result<Record, RecordError> {
    let mapped = Record::open_with(path, &options.clone().memory_map(true));
    let read = Record::open_with(path, &options.clone().memory_map(false));
    assert_eq!(
        mapped.as_ref().map_err(ToString::to_string),
        read.as_ref().map_err(ToString::to_string)
    );
    mapped
}

/// The message of an error that must come: one line that names `file`.
pub fn error_of(result: Result<Record, RecordError>, file: &str) -> String {
    let message = result
        .map(|record| record.duration_s())
        .expect_err("an error")
        .to_string();
    assert!(message.contains(file), "{message:?} does not name {file}");
    assert!(!message.chars().any(char::is_control), "{message:?} is not one line");
    message
}

/// Asserts that the message of the error contains `expected`.
pub fn assert_error(result: Result<Record, RecordError>, file: &str, expected: &str) {
    let message = error_of(result, file);
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
}
