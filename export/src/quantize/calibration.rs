//! The ranges of a network's values on real records.

use super::operands::{Kind, Operands};
use super::range::{Histogram, Range};
use crate::onnx::ExportError;
use dualnet_engine::classifier::prepare_record;
use dualnet_engine::cpu::Probe;
use dualnet_engine::model::digest::hexadecimal;
use dualnet_engine::record::{record_name, records_in};
use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_engine::{Model, Record};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Numbers of one value and record that are counted; of larger values, evenly spaced ones. Their range is always that of all.
const COUNTED: usize = 1 << 16;

/// Ranges by the name of the value.
pub(super) type Ranges = BTreeMap<String, Range>;

/// Records that may be drawn for calibration, in the order in which a seed draws them.
#[derive(Clone, Debug)]
pub struct Recordings {
    /// The seed.
    pub seed: u64,
    /// How many are to be used.
    pub count: usize,
    folder: PathBuf,
    paths: Vec<PathBuf>,
}

/// What calibration found.
pub(super) struct Calibration {
    /// Records it was found on.
    pub(super) records: usize,
    /// SHA-256 over the names and samples of the records, sorted by name.
    pub(super) digest: String,
    /// Why the first of the recordings that were passed over was.
    pub(super) unreadable: Option<String>,
    /// The range of every value that is not known beforehand.
    pub(super) ranges: Ranges,
}

impl Recordings {
    /// Draws `count` of the records in `folder`, only those named by `only` if it is given.
    ///
    /// The order is that of SHA-256 over seed and name, so that a record's turn does not depend on which others are there.
    ///
    /// # Errors
    /// [`ExportError::Io`] when the folder cannot be read, [`ExportError::Quantize`] when it holds no record, or none of that name.
    pub fn draw(folder: &Path, only: Option<&[String]>, count: usize, seed: u64) -> Result<Self, ExportError> {
        let mut paths = records_in(folder).map_err(|cause| ExportError::Io {
            path: folder.to_owned(),
            cause,
        })?;
        if paths.is_empty() {
            let folder = folder.display();
            return Err(ExportError::Quantize(format!(
                "{folder}: holds no recording (.mat or .hea) to calibrate with"
            )));
        }
        if let Some(only) = only {
            let names: HashSet<String> = paths.iter().map(|path| record_name(path)).collect();
            if let Some(absent) = only.iter().find(|name| !names.contains(*name)) {
                return Err(ExportError::Quantize(format!(
                    "{}: holds no record {absent}",
                    folder.display()
                )));
            }
            let only: HashSet<&str> = only.iter().map(String::as_str).collect();
            paths.retain(|path| only.contains(record_name(path).as_str()));
        }
        paths.sort_by_cached_key(|path| {
            let mut hasher = Sha256::new();
            hasher.update(seed.to_le_bytes());
            hasher.update(record_name(path).as_bytes());
            <[u8; 32]>::from(hasher.finalize())
        });
        Ok(Self {
            seed,
            count,
            folder: folder.to_owned(),
            paths,
        })
    }

    /// How many will be used if all of them can be read.
    pub fn len(&self) -> usize {
        self.count.min(self.paths.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Runs `model` over the recordings, passing over those that cannot be read.
pub(super) fn run(
    model: &Model,
    operands: &Operands,
    recordings: &Recordings,
    mut progress: impl FnMut(usize),
) -> Result<Calibration, ExportError> {
    let values: Vec<String> = operands
        .activations
        .iter()
        .filter(|(_, activation)| activation.kind != Kind::Probability)
        .map(|(name, _)| name.clone())
        .collect();
    let mut probe = Probe::new(model, &values).map_err(|error| ExportError::Quantize(error.to_string()))?;
    let mut histograms = vec![Histogram::default(); values.len()];
    let mut preprocessor = Preprocessor::new();
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    let mut digests = BTreeMap::new();
    let (mut records, mut unreadable) = (0, None);
    for path in &recordings.paths {
        if records == recordings.count {
            break;
        }
        let prepared = Record::open(path)
            .map_err(|error| error.to_string())
            .and_then(|record| {
                let done = prepare_record(&mut preprocessor, &record, &mut ecg, &mut spectrogram);
                done.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(record)
            });
        let record = match prepared {
            Ok(record) => record,
            Err(error) => {
                unreadable.get_or_insert(error);
                continue;
            }
        };
        let mut bad = None;
        let see = |index: usize, numbers: &[f32]| {
            if let Err(value) = histograms[index].add(numbers, numbers.len().div_ceil(COUNTED) | 1) {
                bad.get_or_insert((index, value));
            }
        };
        let failed = |what: String| ExportError::Quantize(format!("{}: {what}", path.display()));
        probe
            .run(&ecg, &spectrogram, see)
            .map_err(|error| failed(error.to_string()))?;
        if let Some((index, value)) = bad {
            return Err(failed(format!(
                "`{}` has the value {value}: ranges are those of finite numbers",
                values[index]
            )));
        }
        digests.insert(record_name(path), digest(&record));
        records += 1;
        progress(records);
    }
    if records == 0 {
        let reason = unreadable.map_or_else(
            || "no record is asked for".to_owned(),
            |error| format!("the first is {error}"),
        );
        return Err(ExportError::Quantize(format!(
            "{}: no record can be calibrated with; {reason}",
            recordings.folder.display()
        )));
    }
    let mut hasher = Sha256::new();
    for (name, digest) in &digests {
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update(digest);
    }
    let digest = hexadecimal(&hasher.finalize());
    let range = |(name, histogram): (String, Histogram)| {
        let constant = operands
            .activations
            .get(&name)
            .is_some_and(|activation| activation.kind == Kind::Constant);
        let range = if constant { histogram.range() } else { histogram.best() };
        (name, range)
    };
    let ranges = values.into_iter().zip(histograms).map(range).collect();
    Ok(Calibration {
        records,
        digest,
        unreadable,
        ranges,
    })
}

fn digest(record: &Record) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for sample in record.samples() {
        hasher.update(sample.to_le_bytes());
    }
    hasher.finalize().into()
}
