//! Files in the form of Icentia11k, made up: sines for beats, annotations as a test wants them.
#![allow(dead_code, reason = "each test file uses its own part")]

use flate2::Compression;
use flate2::write::GzEncoder;
use half::f16;
use std::io::Write;
use std::path::Path;

pub const SEGMENTS: usize = 50;
/// Little more than the longest crop.
pub const SAMPLES: usize = 22_000;

/// Positions of the six kinds of a segment's `rtype`.
pub type Rhythms = [Vec<i32>; 6];

/// Whole numbers that every supported type holds exactly, other ones for every patient.
pub fn samples(patient: u32) -> Vec<i16> {
    let sample = |index: usize| {
        let (segment, time) = (index / SAMPLES, (index % SAMPLES) as f64 / 250.0);
        let beat = (f64::from(patient % 7) + 6.0 + segment as f64 / 10.0) * time;
        (300.0 * beat.sin() + 90.0 * (7.3 * beat).cos()) as i16 + (index * 7919 % 31) as i16
    };
    (0..SEGMENTS * SAMPLES).map(sample).collect()
}

/// Annotations with every class in turn: nothing but normal, AF, noise, flutter.
pub fn rhythms() -> Vec<Rhythms> {
    let everywhere = || (0..SAMPLES as i32).step_by(250).collect::<Vec<_>>();
    let segment = |index: usize| {
        let mut rhythms = Rhythms::default();
        rhythms[3] = everywhere();
        match index % 4 {
            1 => rhythms[4] = everywhere(),
            2 => rhythms[1] = everywhere(),
            3 => rhythms[5] = everywhere(),
            _ => {}
        }
        rhythms
    };
    (0..SEGMENTS).map(segment).collect()
}

/// The classes of [`rhythms`]: 0 noise, 1 normal, 2 AF, 3 flutter.
pub fn classes() -> Vec<i64> {
    (0..SEGMENTS).map(|index| [1, 2, 0, 3][index % 4]).collect()
}

/// `values` as numpy stores them, little-endian.
pub fn encode(dtype: &str, values: &[i16]) -> Vec<u8> {
    let each = |bytes: &dyn Fn(i16) -> Vec<u8>| values.iter().flat_map(|&value| bytes(value)).collect();
    match dtype {
        "f2" => each(&|value| f16::from_f32(f32::from(value)).to_le_bytes().to_vec()),
        "f4" => each(&|value| f32::from(value).to_le_bytes().to_vec()),
        "f8" => each(&|value| f64::from(value).to_le_bytes().to_vec()),
        "i4" => each(&|value| i32::from(value).to_le_bytes().to_vec()),
        "i8" => each(&|value| i64::from(value).to_le_bytes().to_vec()),
        _ => each(&|value| value.to_le_bytes().to_vec()),
    }
}

/// A pickle of one array.
pub fn array(protocol: u8, dtype: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut pickle = vec![0x80, protocol];
    push_array(&mut pickle, protocol, dtype, shape, bytes);
    pickle.push(b'.');
    pickle
}

/// A pickle of the list of annotations.
pub fn annotations(protocol: u8, segments: &[Rhythms]) -> Vec<u8> {
    let mut pickle = vec![0x80, protocol, b']', b'('];
    for rhythms in segments {
        pickle.extend(b"}(");
        for (key, arrays) in [("btype", &rhythms[..5]), ("rtype", &rhythms[..])] {
            push_text(&mut pickle, protocol, key);
            pickle.extend(b"](");
            for positions in arrays {
                let bytes: Vec<u8> = positions.iter().flat_map(|position| position.to_le_bytes()).collect();
                push_array(&mut pickle, protocol, "i4", &[positions.len()], &bytes);
            }
            pickle.push(b'e');
        }
        pickle.push(b'u');
    }
    pickle.extend(b"e.");
    pickle
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub fn write_samples(folder: &Path, patient: u32, pickle: &[u8]) {
    std::fs::write(folder.join(format!("{patient:05}_batched.pkl.gz")), gzip(pickle)).expect("a file");
}

pub fn write_annotations(folder: &Path, patient: u32, pickle: &[u8]) {
    std::fs::write(folder.join(format!("{patient:05}_batched_lbls.pkl.gz")), gzip(pickle)).expect("a file");
}

/// Both files of a patient, the annotations in protocol 2 as the released ones are.
pub fn write_patient(folder: &Path, patient: u32, protocol: u8, dtype: &str) {
    let bytes = encode(dtype, &samples(patient));
    write_samples(folder, patient, &array(protocol, dtype, &[SEGMENTS, SAMPLES], &bytes));
    write_annotations(folder, patient, &annotations(2, &rhythms()));
}

/// A folder with one patient that trains and one that validates.
pub fn two_patients() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_patient(folder.path(), 3, 2, "i2");
    write_patient(folder.path(), 10_007, 4, "f4");
    folder
}

fn push_array(pickle: &mut Vec<u8>, protocol: u8, dtype: &str, shape: &[usize], bytes: &[u8]) {
    if protocol == 5 {
        push_global(pickle, protocol, "numpy._core.numeric", "_frombuffer");
        pickle.push(b'(');
        push_length(pickle, 0x96, bytes.len(), 8);
        pickle.extend(bytes);
        push_dtype(pickle, protocol, dtype);
        push_shape(pickle, shape);
        push_text(pickle, protocol, "C");
        pickle.extend(b"tR");
        return;
    }
    let module = if protocol == 2 {
        "numpy.core.multiarray"
    } else {
        "numpy._core.multiarray"
    };
    push_global(pickle, protocol, module, "_reconstruct");
    push_global(pickle, protocol, "numpy", "ndarray");
    pickle.extend(b"K\0\x85");
    push_bytes(pickle, protocol, b"b");
    pickle.extend(b"\x87R(K\x01");
    push_shape(pickle, shape);
    push_dtype(pickle, protocol, dtype);
    pickle.push(0x89);
    push_bytes(pickle, protocol, bytes);
    pickle.extend(b"tb");
}

fn push_dtype(pickle: &mut Vec<u8>, protocol: u8, dtype: &str) {
    push_global(pickle, protocol, "numpy", "dtype");
    push_text(pickle, protocol, dtype);
    pickle.extend(b"\x89\x88\x87R(K\x03");
    push_text(pickle, protocol, "<");
    pickle.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb");
}

fn push_shape(pickle: &mut Vec<u8>, shape: &[usize]) {
    pickle.push(b'(');
    for &extent in shape {
        pickle.push(b'J');
        pickle.extend((extent as i32).to_le_bytes());
    }
    pickle.push(b't');
}

fn push_global(pickle: &mut Vec<u8>, protocol: u8, module: &str, name: &str) {
    if protocol < 4 {
        pickle.extend(format!("c{module}\n{name}\n").bytes());
    } else {
        push_text(pickle, protocol, module);
        push_text(pickle, protocol, name);
        pickle.push(0x93);
    }
}

fn push_text(pickle: &mut Vec<u8>, protocol: u8, text: &str) {
    match protocol {
        2 | 3 => push_length(pickle, b'X', text.len(), 4),
        _ => push_length(pickle, 0x8c, text.len(), 1),
    }
    pickle.extend(text.bytes());
}

/// Bytes, which protocol 2 knows only as an encoded text.
fn push_bytes(pickle: &mut Vec<u8>, protocol: u8, bytes: &[u8]) {
    if protocol > 2 {
        push_length(pickle, b'B', bytes.len(), 4);
        pickle.extend(bytes);
        return;
    }
    if bytes.is_empty() {
        pickle.extend(b"c__builtin__\nbytes\n)R");
        return;
    }
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    push_global(pickle, protocol, "_codecs", "encode");
    push_text(pickle, protocol, &text);
    push_text(pickle, protocol, "latin1");
    pickle.extend(b"\x86R");
}

fn push_length(pickle: &mut Vec<u8>, code: u8, length: usize, width: usize) {
    pickle.push(code);
    pickle.extend(&(length as u64).to_le_bytes()[..width]);
}
