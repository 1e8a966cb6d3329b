//! A compressed pickle, opened and read to its end.

use crate::data::{DataError, regular};
use dualnet_export::pickle::PickleError;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes read, and bytes unpacked, at a time.
const BUFFER: usize = 64 << 10;

/// A gzip file under decompression.
pub(super) type Unpacked = BufReader<MultiGzDecoder<BufReader<File>>>;

/// Opens a gzip file; memory: 64 KiB before and behind the decompressor, whose window has 32 KiB.
pub(super) fn open(path: &Path) -> Result<Unpacked, DataError> {
    let file = regular::open(path).map_err(|error| fault(path, error.to_string()))?;
    let packed = BufReader::with_capacity(BUFFER, file);
    Ok(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(packed)))
}

/// Makes sure that nothing follows the pickle; reading to the end verifies the checksum of all that was unpacked.
pub(super) fn finish(path: &Path, mut unpacked: Unpacked) -> Result<(), DataError> {
    match unpacked.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(fault(path, "goes on behind the end of its pickle".to_owned())),
        Err(error) => Err(fault(path, error.to_string())),
    }
}

/// An error of the whole file.
pub(super) fn fault(path: &Path, problem: String) -> DataError {
    DataError::File {
        path: path.to_owned(),
        problem,
    }
}

/// An error at a byte of the unpacked pickle.
pub(super) fn at(path: &Path, error: PickleError) -> DataError {
    fault(path, format!("unpacked byte {}: {}", error.offset, error.message))
}
