//! The two SHA-256 digests a model file carries: of its weights, and of the file itself.

use sha2::{Digest, Sha256};
use std::ops::Range;

/// The metadata key under which [`weights_sha256`] is kept.
pub const WEIGHTS_SHA256: &str = "dualnet.weights_sha256";
/// The metadata key under which [`file_sha256`] is kept.
pub const FILE_SHA256: &str = "dualnet.file_sha256";

/// Hexadecimal digits of a SHA-256.
pub const DIGITS: usize = 64;

/// A constant tensor of an ONNX graph, as far as the digest of the weights is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Initializer<'a> {
    /// `TensorProto.name`.
    pub name: &'a str,
    /// `TensorProto.data_type`.
    pub data_type: i32,
    /// `TensorProto.dims`.
    pub dims: &'a [i64],
    /// `TensorProto.raw_data`.
    pub raw_data: &'a [u8],
}

/// SHA-256 over the initializers sorted by name, as 64 lower-case hexadecimal digits.
///
/// Each contributes its name, a zero byte, its data type (int32), every extent (int64), all little-endian, and its raw data.
pub fn weights_sha256<'a>(initializers: impl IntoIterator<Item = Initializer<'a>>) -> String {
    let mut sorted: Vec<Initializer<'a>> = initializers.into_iter().collect();
    sorted.sort_by_key(|initializer| initializer.name);
    let mut hasher = Sha256::new();
    for initializer in sorted {
        hasher.update(initializer.name.as_bytes());
        hasher.update([0]);
        hasher.update(initializer.data_type.to_le_bytes());
        for dim in initializer.dims {
            hasher.update(dim.to_le_bytes());
        }
        hasher.update(initializer.raw_data);
    }
    hexadecimal(&hasher.finalize())
}

/// SHA-256 over the whole file with the digits at `digits` read as `0`, or `None` when `digits` lies outside the file.
///
/// Any byte that changes changes it, so a file that carries its own digest is known to be intact.
pub fn file_sha256(bytes: &[u8], digits: Range<usize>) -> Option<String> {
    bytes.get(digits.clone())?;
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..digits.start]);
    hasher.update(vec![b'0'; digits.len()]);
    hasher.update(&bytes[digits.end..]);
    Some(hexadecimal(&hasher.finalize()))
}

/// SHA-256 of `bytes`, as 64 lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Where the 64 digits of [`FILE_SHA256`] stand in an ONNX file, or `None` when it carries none.
///
/// They are a protobuf string of 64 bytes (field 2) right behind the key; the last such place counts.
pub fn file_digest_position(bytes: &[u8]) -> Option<Range<usize>> {
    const STRING_FIELD_2: u8 = 0x12;
    let mut marker = FILE_SHA256.as_bytes().to_vec();
    marker.extend([STRING_FIELD_2, DIGITS as u8]);
    let start = bytes.windows(marker.len()).rposition(|window| window == marker)? + marker.len();
    let digits = start..start.checked_add(DIGITS)?;
    bytes.get(digits.clone()).map(|_| digits)
}

/// Two lower-case digits for each byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initializer<'a>(name: &'a str, dims: &'a [i64], raw_data: &'a [u8]) -> Initializer<'a> {
        Initializer {
            name,
            data_type: 1,
            dims,
            raw_data,
        }
    }

    #[test]
    fn weights_do_not_depend_on_their_order() {
        let (a, b) = (
            initializer("a", &[1], &[0, 0, 128, 63]),
            initializer("b", &[], &[0, 0, 0, 64]),
        );
        assert_eq!(weights_sha256([a, b]), weights_sha256([b, a]));
        assert_ne!(weights_sha256([a, b]), weights_sha256([a]));
    }

    #[test]
    fn weights_of_a_stated_tensor() {
        // printf 'w\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\200\77' | sha256sum
        let digest = weights_sha256([initializer("w", &[1], &[0, 0, 128, 63])]);
        assert_eq!(
            digest,
            "d25b5a5f42b83c549c72c898347005f9254d8912d099847b04a8cbe115a1d9aa"
        );
    }

    #[test]
    fn the_file_digest_ignores_only_its_own_digits() {
        let mut file = b"before dualnet.file_sha256\x12\x40".to_vec();
        file.extend([b'0'; DIGITS]);
        file.extend(b"behind");
        let digits = file_digest_position(&file).unwrap();
        let digest = file_sha256(&file, digits.clone()).unwrap();
        file[digits.clone()].copy_from_slice(digest.as_bytes());
        assert_eq!(file_sha256(&file, digits.clone()).unwrap(), digest);
        for position in (0..file.len()).filter(|position| !digits.contains(position)) {
            let mut flipped = file.clone();
            flipped[position] ^= 1;
            assert_ne!(
                file_sha256(&flipped, digits.clone()).unwrap(),
                digest,
                "byte {position}"
            );
        }
    }

    #[test]
    fn a_file_without_digits_or_cut_within_them_has_no_position() {
        assert_eq!(file_digest_position(b""), None);
        assert_eq!(file_digest_position(b"dualnet.file_sha256\x12\x40 cut"), None);
        assert_eq!(file_sha256(b"short", 2..66), None);
    }
}
