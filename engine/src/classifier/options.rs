//! Where and how precisely a classifier computes.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::Serialize;

use crate::Error;

/// What a [`Classifier`](crate::Classifier) is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Where to compute.
    pub device: Device,
    /// How precisely; `None` leaves it to the model file.
    pub precision: Option<Precision>,
    /// Below this probability, from 0 to 1, the class of a prediction is `?`.
    pub min_confidence: f32,
    /// Records, or excerpts of records, that run through the network together on a GPU, 1 to [`Options::MAX_BATCH_SIZE`]; [`Options::BATCH_SIZE`] unless given. The
    /// CPU runs them one after the other.
    pub batch_size: Option<NonZeroUsize>,
    /// Whether the network reads each record three times, as its [excerpts](crate::signal::Excerpt) say, and the mean of its probabilities
    /// counts: three times the work.
    pub excerpts: bool,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU where there is one that this build and this model can use, otherwise the processor; an error only with a precision that
    /// the processor does not have.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// Arithmetic of weights and activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point, on CUDA only.
    F16,
    /// 8-bit integers, for model files quantized by `export quantize`.
    Int8,
}

impl Device {
    /// Every device there is a name for.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Cpu, Self::Cuda];

    /// The name used on command lines and in predictions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl Precision {
    /// Every precision there is a name for.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// The name used on command lines and in predictions.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("there is no device `{name}`: auto, cpu and cuda are known");
        Self::ALL
            .into_iter()
            .find(|device| device.name() == name)
            .ok_or_else(unknown)
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("there is no precision `{name}`: f32, f16 and int8 are known");
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(unknown)
    }
}

impl Options {
    /// Records that run together on a GPU, unless another number is asked for.
    pub const BATCH_SIZE: usize = 64;
    /// The most records that run together on a GPU.
    pub const MAX_BATCH_SIZE: usize = 4096;

    /// Fails for what no device has.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.min_confidence) {
            return Err(Error::MinConfidence(self.min_confidence));
        }
        match self.batch_size() {
            1..=Self::MAX_BATCH_SIZE => Ok(()),
            other => Err(Error::BatchSize(other)),
        }
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size.map_or(Self::BATCH_SIZE, NonZeroUsize::get)
    }

    /// The precision on `device`, which is not [`Device::Auto`], of a model whose weights are of the precision `stored`.
    pub(super) fn precision_on(&self, device: Device, model: &str, stored: Precision) -> Result<Precision, Error> {
        let precision = self.precision.unwrap_or(stored);
        let reason = match precision {
            same if same == stored => return Ok(same),
            Precision::F16 if stored == Precision::F32 && device == Device::Cuda => return Ok(precision),
            Precision::F32 => "its weights are int8; the file that `export quantize` made it of runs in f32",
            Precision::F16 if stored == Precision::Int8 => {
                "its weights are int8; the file that `export quantize` made it of runs in f16, on the device cuda"
            }
            Precision::F16 => "f16 arithmetic exists on the device cuda only; the device cpu has f32 and int8",
            Precision::Int8 => "its weights are f32; `export quantize` makes an int8 file of it",
        };
        Err(Error::Precision {
            model: model.to_owned(),
            precision,
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(device: Device, precision: Option<Precision>, stored: Precision) -> Result<Precision, String> {
        let options = Options {
            precision,
            ..Options::default()
        };
        options
            .precision_on(device, "m.onnx", stored)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_decides_between_f32_and_int8() {
        for device in [Device::Cpu, Device::Cuda] {
            for stored in [Precision::F32, Precision::Int8] {
                assert_eq!(on(device, None, stored), Ok(stored));
                assert_eq!(on(device, Some(stored), stored), Ok(stored));
            }
            let refused = on(device, Some(Precision::F32), Precision::Int8).unwrap_err();
            assert!(refused.contains("weights are int8"), "{refused}");
            let refused = on(device, Some(Precision::Int8), Precision::F32).unwrap_err();
            assert!(refused.contains("export quantize"), "{refused}");
        }
    }

    #[test]
    fn f16_is_arithmetic_of_cuda_on_a_float_file() {
        let f16 = Some(Precision::F16);
        assert_eq!(on(Device::Cuda, f16, Precision::F32), Ok(Precision::F16));
        let refused = on(Device::Cpu, f16, Precision::F32).unwrap_err();
        assert!(refused.contains("device cuda only"), "{refused}");
        for device in [Device::Cpu, Device::Cuda] {
            let refused = on(device, f16, Precision::Int8).unwrap_err();
            assert!(
                refused.contains("weights are int8") && refused.contains("cuda"),
                "{refused}"
            );
        }
    }

    #[test]
    fn names_are_read_back() {
        assert!(Device::ALL.iter().all(|device| device.name().parse() == Ok(*device)));
        assert!(
            Precision::ALL
                .iter()
                .all(|precision| precision.name().parse() == Ok(*precision))
        );
        assert!("gpu".parse::<Device>().unwrap_err().contains("cuda"));
        assert!("f64".parse::<Precision>().unwrap_err().contains("int8"));
    }

    #[test]
    fn confidences_are_probabilities_and_batches_have_a_limit() {
        for min_confidence in [-0.1, 1.1, f32::NAN] {
            let options = Options {
                min_confidence,
                ..Options::default()
            };
            assert!(options.check().is_err());
        }
        for (size, fits) in [(1, true), (4096, true), (4097, false), (usize::MAX, false)] {
            let options = Options {
                batch_size: NonZeroUsize::new(size),
                ..Options::default()
            };
            assert_eq!(options.check().is_ok(), fits, "{size}");
        }
        assert!(Options::default().check().is_ok());
    }
}
