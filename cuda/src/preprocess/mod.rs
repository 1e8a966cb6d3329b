//! From raw int16 samples at 300 Hz to the network's two inputs, a batch at a time (`preprocess.cu`).

use crate::{Argument, CudaError, Element, Launch};

/// Threads of a block; `THREADS` in `preprocess.cu`.
const THREADS: u32 = 96;
/// Blocks of a record; `TILES` in `preprocess.cu`.
const TILES: u32 = 6;
/// Rows of a grid.
const MOST_RECORDS: usize = 65_535;
/// The fewest samples of a record.
pub const MIN_SAMPLES: usize = 33;
/// Values of a record's windows, `[80, 256]`.
pub const ECG_LEN: usize = 80 * 256;
/// Values of a record's spectrogram, `[563, 33]`.
pub const SPECTROGRAM_LEN: usize = 563 * 33;

/// Where a batch's inputs and outputs lie in device memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch<M> {
    /// int16 `[records, stride]`.
    pub samples: M,
    /// i32 `[records]`: the lengths given to [`preprocess`].
    pub lengths: M,
    /// `[records, 80, 256]`.
    pub ecg: M,
    /// `[records, 563, 33]`.
    pub spectrogram: M,
}

/// One launch for the whole batch; `lengths` are the samples of each record, what a row has beyond them is ignored.
///
/// # Errors
/// [`CudaError::Launch`] when there are no records or more than 65 535, or a length is below 33 or above `stride`.
pub fn preprocess<M>(
    element: Element,
    batch: Batch<M>,
    stride: usize,
    lengths: &[i32],
) -> Result<Launch<M>, CudaError> {
    if lengths.is_empty() || lengths.len() > MOST_RECORDS {
        return Err(CudaError::Launch(format!(
            "a batch of {} records; 1 to {MOST_RECORDS} are supported",
            lengths.len()
        )));
    }
    let fits = |&length: &i32| usize::try_from(length).is_ok_and(|length| (MIN_SAMPLES..=stride).contains(&length));
    if let Some(record) = lengths.iter().position(|length| !fits(length)) {
        return Err(CudaError::Launch(format!(
            "record {record} of the batch has {} samples; {MIN_SAMPLES} to {stride} are supported",
            lengths[record]
        )));
    }
    let stride = i64::try_from(stride).map_err(|_| CudaError::Launch(format!("a stride of {stride} samples")))?;
    Ok(Launch {
        family: "preprocess",
        kernel: format!("preprocess_{}", element.name()),
        blocks: TILES,
        rows: lengths.len() as u32,
        threads: THREADS,
        shared_bytes: 0,
        together: false,
        arguments: vec![
            Argument::Memory(batch.samples),
            Argument::I64(stride),
            Argument::Memory(batch.lengths),
            Argument::Memory(batch.ecg),
            Argument::Memory(batch.spectrogram),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_runs() {
        let batch = Batch {
            samples: 0,
            lengths: 0,
            ecg: 0,
            spectrogram: 0,
        };
        let launch = preprocess(Element::F32, batch, 100, &[33, 100]).expect("two records");
        assert_eq!((launch.blocks, launch.rows), (6, 2));
        for lengths in [&[][..], &[32], &[33, 101], &[-1]] {
            assert!(preprocess(Element::F32, batch, 100, lengths).is_err(), "{lengths:?}");
        }
    }
}
