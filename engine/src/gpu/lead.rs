//! A record on its way to a GPU.

use crate::signal::{ECG_LEN, MAX_SAMPLES, Preprocessor, SPECTROGRAM_LEN, SignalError};

/// The inputs of one record, or of a part of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lead {
    /// Raw samples at 300 Hz, which the GPU prepares itself.
    Samples(Vec<i16>),
    /// What the network reads, made here because the samples are no 16-bit integers, as those of a lead brought to 300 Hz from another rate hardly are.
    Prepared {
        /// `[80, 256]`.
        ecg: Vec<f32>,
        /// `[563, 33]`.
        spectrogram: Vec<f32>,
    },
}

/// The form of a batch: all its records have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// [`Lead::Samples`].
    Samples,
    /// [`Lead::Prepared`].
    Prepared,
}

impl Lead {
    /// The inputs of samples at 300 Hz.
    pub(super) fn of(samples: &[f32], preprocessor: &mut Preprocessor) -> Result<Self, SignalError> {
        let kept = &samples[..samples.len().min(MAX_SAMPLES)];
        if kept.len() >= Preprocessor::MIN_SAMPLES
            && let Some(samples) = integers(kept)
        {
            return Ok(Self::Samples(samples));
        }
        let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
        preprocessor.prepare(kept, &mut ecg, &mut spectrogram)?;
        Ok(Self::Prepared { ecg, spectrogram })
    }

    /// Inputs that are prepared, `ecg [records, 80, 256]` and `spectrogram [records, 563, 33]`, record by record.
    pub(super) fn prepared(ecg: &[f32], spectrogram: &[f32]) -> Vec<Self> {
        ecg.chunks_exact(ECG_LEN)
            .zip(spectrogram.chunks_exact(SPECTROGRAM_LEN))
            .map(|(ecg, spectrogram)| Self::Prepared {
                ecg: ecg.to_vec(),
                spectrogram: spectrogram.to_vec(),
            })
            .collect()
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Samples(_) => Form::Samples,
            Self::Prepared { .. } => Form::Prepared,
        }
    }
}

/// The samples as 16-bit integers, if that is what they are.
fn integers(samples: &[f32]) -> Option<Vec<i16>> {
    let integer = |&sample: &f32| {
        let integer = sample as i16;
        (f32::from(integer) == sample).then_some(integer)
    };
    samples.iter().map(integer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::lead_at_300_hz;
    use crate::record::Record;

    #[test]
    fn only_what_is_an_integer_travels_as_one() {
        assert_eq!(integers(&[-32768.0, 0.0, 32767.0]), Some(vec![-32768, 0, 32767]));
        for other in [0.5, 32768.0, -32769.0, f32::NAN, f32::INFINITY] {
            assert_eq!(integers(&[1.0, other]), None, "{other}");
        }
    }

    #[test]
    fn the_form_of_a_lead_follows_its_samples() {
        let form = |samples: Vec<f32>| Lead::of(&samples, &mut Preprocessor::new()).expect("inputs");
        let wave: Vec<f32> = (0..20_000).map(|i| (i % 97) as f32).collect();
        let Lead::Samples(samples) = form(wave.clone()) else {
            panic!("raw samples")
        };
        assert_eq!((samples.len(), samples[96]), (MAX_SAMPLES, 96));
        let at_250_hz = Record::from_samples("r", wave.clone(), 250.0).expect("a record");
        let lead = lead_at_300_hz(&at_250_hz).expect("a lead").into_owned();
        assert_eq!(form(lead).form(), Form::Prepared);
        let halves = wave.iter().map(|sample| sample / 2.0).collect();
        let Lead::Prepared { ecg, spectrogram } = form(halves) else {
            panic!("prepared inputs")
        };
        assert_eq!((ecg.len(), spectrogram.len()), (ECG_LEN, SPECTROGRAM_LEN));
        assert!(ecg.iter().any(|&value| value != 0.0));
    }
}
