//! What is predicted for one record, in the form `engine classify --format ndjson` writes it.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::{Device, Precision, Probabilities};
use crate::record::lossy;

/// The class of a prediction that is not confident enough.
pub const UNDECIDED: &str = "?";

/// The rhythm of one record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Name of the record.
    pub record: String,
    /// Where it was read from, if from a file.
    #[serde(serialize_with = "lossy")]
    pub path: Option<PathBuf>,
    /// The most probable class, or [`UNDECIDED`] when its probability is below the confidence asked for.
    pub class: String,
    /// The probability of every class.
    pub probabilities: Probabilities,
    /// Samples in the record, as recorded.
    pub samples: usize,
    /// Sampling rate of the record, in Hz.
    #[serde(serialize_with = "shortest")]
    pub sampling_rate_hz: f64,
    /// Length of the record, in seconds.
    pub duration_s: f64,
    /// The network and its weights, such as `dualnet-s@5f2a90c1b3d4`, then `+excerpts` where it read excerpts, and where the beats were read `+beats@` and digits of the
    /// forest's file.
    pub model: String,
    /// Where it was computed.
    pub device: Device,
    /// How precisely.
    pub precision: Precision,
    /// From decoded samples to probabilities, in milliseconds; of the whole batch when it was one of several.
    pub latency_ms: f64,
    /// What is unusual about the record, one sentence each.
    pub warnings: Vec<String>,
}

/// Writes whole numbers without a fraction.
fn shortest<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = (1u64 << 53) as f64;
    if value.fract() == 0.0 && (0.0..EXACT).contains(value) {
        serializer.serialize_u64(*value as u64)
    } else {
        serializer.serialize_f64(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_the_contracts() {
        let prediction = Prediction {
            record: "A00001".to_owned(),
            path: Some("data/A00001.mat".into()),
            class: "A".to_owned(),
            probabilities: Probabilities::new(&["N".to_owned(), "A".to_owned()], &[0.25, 0.75]),
            samples: 9000,
            sampling_rate_hz: 300.0,
            duration_s: 30.0,
            model: "dualnet-s@0".to_owned(),
            device: Device::Cpu,
            precision: Precision::F32,
            latency_ms: 1.5,
            warnings: vec![],
        };
        let expected = concat!(
            r#"{"record":"A00001","path":"data/A00001.mat","class":"A","probabilities":{"N":0.25,"A":0.75},"#,
            r#""samples":9000,"sampling_rate_hz":300,"duration_s":30.0,"model":"dualnet-s@0","device":"cpu","#,
            r#""precision":"f32","latency_ms":1.5,"warnings":[]}"#
        );
        assert_eq!(serde_json::to_string(&prediction).unwrap(), expected);
    }

    #[test]
    fn fractional_rates_keep_their_fraction() {
        let json = |rate: f64| shortest(&rate, serde_json::value::Serializer).unwrap().to_string();
        assert_eq!([json(128.5), json(257.0)], ["128.5", "257"]);
    }
}
