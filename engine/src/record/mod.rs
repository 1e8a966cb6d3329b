//! Recordings: from a file to the samples of one lead.
//!
//! The content of a file decides how it is read, not its extension:
//!
//! - MATLAB level 4 (every numeric type, either byte order) and level 5 (compressed or not): a matrix called `val`,
//!   or as [`OpenOptions::variable`] says, with one lead per row. A WFDB header of the same stem beside the file
//!   states sampling rate, gain and leads, and must agree with it.
//! - WFDB: a single-segment header (`.hea`), which leads to a signal file of format 16, 24, 32, 61, 80 or 212, raw
//!   (`.dat`) or inside a `.mat` file.
//!
//! ```no_run
//! use dualnet_engine::record::{OpenOptions, Record};
//!
//! let record = Record::open("A00001.mat")?;
//! println!("{}: {:.1} s", record.name(), record.duration_s());
//! let lead = Record::open_with("100.hea", &OpenOptions::new().lead("MLII"))?;
//! # let _ = lead;
//! # Ok::<(), dualnet_engine::record::RecordError>(())
//! ```

mod error;
mod folder;
mod lead;
mod matlab;
mod open;
mod options;
mod quality;
mod source;
mod text;
mod warning;
mod wfdb;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

pub use error::RecordError;
pub(crate) use folder::is_recording;
pub use folder::{left_out_of, recordings_of, records_in};
use lead::{Kept, Lead};
pub use open::record_name;
pub use options::OpenOptions;
pub use source::read_ahead;
pub(crate) use text::one_line;
pub use text::{lossy, printable};
pub use warning::Warning;

use crate::signal::{MAX_RATE_HZ, MIN_RATE_HZ};

/// The shortest lead that is classified, in seconds.
pub const MIN_SECONDS: f64 = 2.0;
/// The shortest recordings in the training data last this long, in seconds; anything shorter gets a warning.
pub const TRAINED_SECONDS: f64 = 9.0;
/// What the networks see of a longer lead: its beginning, in seconds.
pub const MAX_SECONDS: f64 = 60.0;
/// Below this sampling rate the embedded networks are right visibly less often, in Hz; a lower one gets a warning.
pub const LOW_RATE_HZ: f64 = 80.0;
/// Sampling rates that are accepted, in Hz: those that can be brought to the network's.
pub const SAMPLING_RATES_HZ: RangeInclusive<f64> = MIN_RATE_HZ..=MAX_RATE_HZ;
/// The rate of the 2017 challenge, assumed of a `.mat` file when nothing states another, in Hz.
pub const ASSUMED_MAT_RATE_HZ: f64 = 300.0;
/// The rate that WFDB defines for a header without one, in Hz.
pub const ASSUMED_WFDB_RATE_HZ: f64 = 250.0;

/// What a record keeps of a longer lead: its first samples, almost four hours at 300 Hz.
pub const KEPT_SAMPLES: usize = 1 << 22;

/// The most samples of a recording that are decoded, about ten days at 300 Hz.
const MAX_SAMPLES: u64 = 1 << 28;

/// One lead of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    name: String,
    path: Option<PathBuf>,
    lead: Option<String>,
    sampling_rate_hz: f64,
    samples: Vec<f32>,
    recorded: usize,
    gain: Option<f64>,
    warnings: Vec<Warning>,
}

impl Record {
    /// Opens a `.mat` file, a WFDB header, or a WFDB record by its name without extension (`data/A00001`), with the
    /// default [`OpenOptions`]. `-` reads a `.mat` file from standard input.
    ///
    /// # Errors
    /// Every [`RecordError`]: whatever is wrong with the recording is said, never guessed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens a recording as [`Record::open`] does, with `options`.
    ///
    /// # Errors
    /// Every [`RecordError`].
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, RecordError> {
        open::open(path.as_ref(), options)
    }

    /// Reads the content of a `.mat` file; `name` is what messages call it.
    ///
    /// # Errors
    /// Every [`RecordError`]; a WFDB header is [`RecordError::Unsupported`], for it says nothing without its folder.
    pub fn from_bytes(name: &str, bytes: &[u8], options: &OpenOptions) -> Result<Self, RecordError> {
        open::from_bytes(name, bytes, options)
    }

    /// A recording from samples at `sampling_rate_hz`, with the same checks as one from a file.
    ///
    /// # Errors
    /// [`RecordError::NonFinite`], [`RecordError::SamplingRate`], [`RecordError::TooShort`].
    pub fn from_samples(name: &str, samples: Vec<f32>, sampling_rate_hz: f64) -> Result<Self, RecordError> {
        check_finite(&samples).map_err(|sample| RecordError::NonFinite {
            file: name.to_owned(),
            sample,
        })?;
        let options = OpenOptions::new().sampling_rate_hz(sampling_rate_hz);
        Self::from_lead(name.to_owned(), None, name, Lead::of(Kept::all(samples)), &options)
    }

    /// The file's name without folder and extension; `stdin` for standard input.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path it was opened by; `None` for what did not come from a file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The name of the lead, where a header gives one.
    pub fn lead(&self) -> Option<&str> {
        self.lead.as_deref()
    }

    /// Samples per second.
    pub fn sampling_rate_hz(&self) -> f64 {
        self.sampling_rate_hz
    }

    /// The samples of the lead, in ADC units as stored; a lead that is stored upside down, with a negative gain, stands upright. Gaps
    /// are interpolated, beyond [`MAX_SECONDS`] however long. Of a longer file there are the first [`KEPT_SAMPLES`].
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// How many samples the lead has, those included that are not kept.
    pub fn recorded_samples(&self) -> usize {
        self.recorded
    }

    /// The samples that are classified: the first [`MAX_SECONDS`], or all of a shorter lead.
    pub fn classified_samples(&self) -> &[f32] {
        beginning(&self.samples, self.sampling_rate_hz)
    }

    /// The samples, without a copy.
    pub fn into_samples(self) -> Vec<f32> {
        self.samples
    }

    /// ADC units per millivolt, where a header gives it; never negative, for [`Record::samples`] are upright.
    pub fn gain(&self) -> Option<f64> {
        self.gain
    }

    /// Duration of the whole lead, in seconds.
    pub fn duration_s(&self) -> f64 {
        self.recorded as f64 / self.sampling_rate_hz
    }

    /// What makes a classification of this recording less certain.
    ///
    /// Gaps are counted, and held against their limits, in the samples that are classified. Two warnings follow a rule, applied to these too. *Clipped*: the lead stays at its highest
    /// or lowest value for at least 20 ms (and 5 samples) at a time, and all such stays add up to 0.1 s or more; no
    /// recording of the 2017 challenge comes near. *Flat*: of its whole seconds, more than half span at most 1 % of
    /// what the lead spans, which includes a constant lead.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Judges a decoded lead; `file` is what messages call its origin.
    fn from_lead(
        name: String,
        path: Option<PathBuf>,
        file: &str,
        lead: Lead,
        options: &OpenOptions,
    ) -> Result<Self, RecordError> {
        let Lead {
            samples: Kept {
                mut samples,
                length: recorded,
            },
            name: lead_name,
            gain,
            header,
            mut warnings,
            invalid_code,
        } = lead;
        let stated = header.as_ref().and_then(|header| header.hz);
        let sampling_rate_hz = match (stated, options.sampling_rate_hz, &header) {
            (Some(hz), Some(wanted), Some(header)) if (hz - wanted).abs() > 1e-6 * hz.abs() => {
                let reason = format!("it states {hz} Hz, the caller {wanted} Hz");
                return Err(RecordError::Contradiction {
                    file: header.file.clone(),
                    reason,
                });
            }
            (Some(hz), ..) | (None, Some(hz), _) => hz,
            (None, None, Some(_)) => {
                warnings.push(Warning::AssumedSamplingRate {
                    hz: ASSUMED_WFDB_RATE_HZ,
                    missing: "its header states none",
                });
                ASSUMED_WFDB_RATE_HZ
            }
            (None, None, None) => {
                warnings.push(Warning::AssumedSamplingRate {
                    hz: ASSUMED_MAT_RATE_HZ,
                    missing: "there is no header beside it",
                });
                ASSUMED_MAT_RATE_HZ
            }
        };
        if !SAMPLING_RATES_HZ.contains(&sampling_rate_hz) {
            return Err(RecordError::SamplingRate {
                file: file.to_owned(),
                hz: sampling_rate_hz,
            });
        }
        if sampling_rate_hz < LOW_RATE_HZ {
            warnings.push(Warning::LowSamplingRate { hz: sampling_rate_hz });
        }
        let seconds = recorded as f64 / sampling_rate_hz;
        if seconds < MIN_SECONDS {
            return Err(RecordError::TooShort {
                file: file.to_owned(),
                samples: recorded,
                sampling_rate_hz,
            });
        }
        warnings.extend(quality::fill_gaps(file, &mut samples, sampling_rate_hz)?);
        warnings.extend(invalid_code.and_then(|code| quality::marked(beginning(&samples, sampling_rate_hz), code)));
        if seconds < TRAINED_SECONDS {
            warnings.push(Warning::Short { seconds });
        } else if seconds > MAX_SECONDS {
            warnings.push(Warning::Long { seconds });
        }
        warnings.extend(quality::inspect(
            beginning(&samples, sampling_rate_hz),
            sampling_rate_hz,
        ));
        Ok(Self {
            name,
            path,
            lead: lead_name,
            sampling_rate_hz,
            samples,
            recorded,
            gain,
            warnings,
        })
    }
}

/// The first [`MAX_SECONDS`] of `samples`.
fn beginning(samples: &[f32], sampling_rate_hz: f64) -> &[f32] {
    &samples[..samples.len().min((MAX_SECONDS * sampling_rate_hz).ceil() as usize)]
}

/// The first of `samples` that is infinite or undefined, as the error.
fn check_finite(samples: &[f32]) -> Result<(), usize> {
    samples
        .iter()
        .position(|sample| !sample.is_finite())
        .map_or(Ok(()), Err)
}
