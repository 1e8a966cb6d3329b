//! One lead, decoded but not yet judged, and how a caller chooses it.

use super::text::one_line;
use super::{KEPT_SAMPLES, RecordError, Warning};

/// A decoded lead.
pub(super) struct Lead {
    /// As stored, but upright; NaN stands for a sample that its format marks as invalid.
    pub(super) samples: Kept,
    pub(super) name: Option<String>,
    /// ADC units per mV.
    pub(super) gain: Option<f64>,
    pub(super) header: Option<HeaderRate>,
    pub(super) warnings: Vec<Warning>,
    /// The value that would mark a sample as invalid if there were a header.
    pub(super) invalid_code: Option<f32>,
}

impl Lead {
    /// Samples about which nothing else is known.
    pub(super) fn of(samples: Kept) -> Self {
        Self {
            samples,
            name: None,
            gain: None,
            header: None,
            warnings: Vec::new(),
            invalid_code: None,
        }
    }
}

/// The samples of a lead that are kept, and how many it has.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) samples: Vec<f32>,
    pub(super) length: usize,
}

impl Kept {
    /// All of `samples`, however many.
    pub(super) fn all(samples: Vec<f32>) -> Self {
        let length = samples.len();
        Self { samples, length }
    }

    /// Takes the next sample, which is kept if it is one of the first [`KEPT_SAMPLES`].
    pub(super) fn push(&mut self, sample: f32) {
        self.length += 1;
        if self.samples.len() < KEPT_SAMPLES {
            self.samples.push(sample);
        }
    }
}

/// What a WFDB header says about the sampling rate.
pub(super) struct HeaderRate {
    /// The header, for messages.
    pub(super) file: String,
    pub(super) hz: Option<f64>,
}

/// Names for `count` leads that have none.
pub(super) fn unnamed(count: usize) -> Vec<Option<String>> {
    vec![None; count]
}

/// The index of the lead that `wanted` names: its name first, then its index from 0. A single lead needs no choice.
pub(super) fn choose(
    file: &str,
    what: &str,
    names: &[Option<String>],
    wanted: Option<&str>,
) -> Result<usize, RecordError> {
    let leads = || {
        let lead = |(index, name): (usize, &Option<String>)| match name {
            Some(name) => format!("{index} ({})", one_line(name)),
            None => index.to_string(),
        };
        names.iter().enumerate().map(lead).collect()
    };
    let Some(wanted) = wanted else {
        return match names.len() {
            1 => Ok(0),
            _ => Err(RecordError::LeadRequired {
                file: file.to_owned(),
                what: what.to_owned(),
                leads: leads(),
            }),
        };
    };
    let mut called = names
        .iter()
        .enumerate()
        .filter(|(_, name)| name.as_deref() == Some(wanted));
    match (called.next(), called.next(), wanted.parse::<usize>()) {
        (Some((index, _)), None, _) => Ok(index),
        (None, _, Ok(index)) if index < names.len() => Ok(index),
        _ => Err(RecordError::NoSuchLead {
            file: file.to_owned(),
            lead: one_line(wanted),
            leads: leads(),
        }),
    }
}
