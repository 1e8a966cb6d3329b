//! What a reader of the result should know about a recording that was read.

use std::fmt;

use serde::{Serialize, Serializer};

/// Something about a recording that makes its classification less certain. Serializes as its message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Nothing states the sampling rate.
    AssumedSamplingRate {
        /// The rate that was assumed.
        hz: f64,
        /// Where it should have been stated.
        missing: &'static str,
    },
    /// Below [`super::LOW_RATE_HZ`].
    LowSamplingRate {
        /// The rate.
        hz: f64,
    },
    /// Samples marked invalid were interpolated.
    Interpolated {
        /// Separate gaps.
        gaps: usize,
        /// Samples in all of them.
        samples: usize,
        /// The longest gap.
        longest_s: f64,
    },
    /// Samples without a header hold what a header's format would mark as invalid.
    InvalidCode {
        /// How many of those that are classified.
        samples: usize,
        /// The value.
        code: f32,
    },
    /// The header gives the lead a unit that is no voltage.
    NoVoltage {
        /// The unit.
        unit: String,
    },
    /// Shorter than [`super::TRAINED_SECONDS`].
    Short {
        /// Duration of the lead.
        seconds: f64,
    },
    /// Longer than [`super::MAX_SECONDS`].
    Long {
        /// Duration of the lead.
        seconds: f64,
    },
    /// The lead rests at its highest or lowest value ([`super::Record::warnings`] states the rule).
    Clipped {
        /// Time spent there.
        seconds: f64,
    },
    /// Most of the lead is flat ([`super::Record::warnings`] states the rule).
    Flat {
        /// The flat part of the lead, 0 to 1.
        fraction: f64,
    },
    /// The lead lies so far from zero that rounding its samples to float32 shows.
    Rounded {
        /// The sample farthest from zero.
        level: f32,
        /// From the lowest to the highest sample.
        span: f32,
    },
    /// The samples are so small that the 1e-8 which [`crate::signal::standardize`] adds to their deviation shows.
    Tiny {
        /// Their standard deviation.
        deviation: f64,
    },
    /// A header without a checksum states another first sample than the signal file holds.
    InitialValue {
        /// What the header says.
        stated: i64,
        /// What the file holds.
        found: i64,
    },
    /// The signal file continues after the samples its header announces.
    Surplus {
        /// The bytes that were not read.
        bytes: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AssumedSamplingRate { hz, missing } => {
                write!(
                    f,
                    "sampling rate assumed to be {hz} Hz ({missing}); state it with --sampling-rate"
                )
            }
            Self::LowSamplingRate { hz } => {
                write!(
                    f,
                    "recorded at {hz} Hz; below {} Hz the networks are right less often",
                    super::LOW_RATE_HZ
                )
            }
            Self::Interpolated {
                gaps,
                samples,
                longest_s,
            } => {
                let plural = if *gaps == 1 { "" } else { "s" };
                write!(
                    f,
                    "{samples} invalid samples in {gaps} gap{plural} interpolated, the longest {longest_s:.3} s"
                )
            }
            Self::InvalidCode { samples, code } => {
                let (plural, verb) = if *samples == 1 { ("", "s") } else { ("s", "") };
                write!(
                    f,
                    "{samples} sample{plural} hold{verb} {code}, WFDB's code for an invalid one; a header beside the file would make such samples gaps"
                )
            }
            Self::NoVoltage { unit } => write!(f, "the lead is measured in {unit}, which is no voltage"),
            Self::Short { seconds } => {
                // Rounded down, so that it never reads "9.0 s is shorter than the 9 s".
                write!(
                    f,
                    "{:.1} s is shorter than the {} s the networks are trained on",
                    (seconds * 10.0).floor() / 10.0,
                    super::TRAINED_SECONDS
                )
            }
            Self::Long { seconds } => {
                write!(
                    f,
                    "{:.1} s is longer than {} s; only the beginning is classified",
                    (seconds * 10.0).ceil() / 10.0,
                    super::MAX_SECONDS
                )
            }
            Self::Clipped { seconds } => write!(f, "the lead is clipped for {seconds:.2} s"),
            Self::Flat { fraction } => write!(f, "the lead is flat for {:.0} % of its length", fraction * 100.0),
            Self::Rounded { level, span } => {
                write!(
                    f,
                    "the samples reach {level:e} and span only {span:e}, which 24 binary digits keep coarsely; take their offset off"
                )
            }
            Self::Tiny { deviation } => {
                write!(
                    f,
                    "the samples have a standard deviation of only {deviation:.1e}, beside which the 1e-8 that standardization adds is felt; give them in a smaller unit"
                )
            }
            Self::InitialValue { stated, found } => {
                write!(
                    f,
                    "the header gives {stated} as the first sample, the file begins with {found}"
                )
            }
            Self::Surplus { bytes } => {
                write!(
                    f,
                    "the signal file holds {bytes} bytes more than its header announces; they are not read"
                )
            }
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
