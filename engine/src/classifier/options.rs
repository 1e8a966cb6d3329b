//! Where and how precisely a classifier computes.

use std::fmt;
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
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The best device there is; never an error.
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
    /// The device and precision this build uses for a model whose weights are of the precision `stored`.
    pub(super) fn resolve(&self, model: &str, stored: Precision) -> Result<(Device, Precision), Error> {
        if !(0.0..=1.0).contains(&self.min_confidence) {
            return Err(Error::MinConfidence(self.min_confidence));
        }
        if self.device == Device::Cuda {
            return Err(Error::Cuda(crate::gpu::refusal()));
        }
        let precision = self.precision.unwrap_or(stored);
        let reason = match precision {
            same if same == stored => return Ok((Device::Cpu, stored)),
            Precision::F32 => "its weights are int8; the file that `export quantize` made it of runs in f32",
            Precision::F16 => "f16 arithmetic exists on the device cuda only; this build has cpu with f32 and int8",
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

    fn resolve(device: Device, precision: Option<Precision>) -> Result<(Device, Precision), String> {
        of_file(device, precision, Precision::F32)
    }

    fn of_file(device: Device, precision: Option<Precision>, stored: Precision) -> Result<(Device, Precision), String> {
        let options = Options {
            device,
            precision,
            ..Options::default()
        };
        options.resolve("m.onnx", stored).map_err(|error| error.to_string())
    }

    #[test]
    fn auto_and_no_precision_are_what_the_build_has() {
        let default = Ok((Device::Cpu, Precision::F32));
        assert_eq!(resolve(Device::Auto, None), default);
        assert_eq!(resolve(Device::Cpu, Some(Precision::F32)), default);
    }

    #[test]
    fn the_file_decides_between_f32_and_int8() {
        let int8 = Ok((Device::Cpu, Precision::Int8));
        assert_eq!(of_file(Device::Auto, None, Precision::Int8), int8);
        assert_eq!(of_file(Device::Cpu, Some(Precision::Int8), Precision::Int8), int8);
        let refused = of_file(Device::Auto, Some(Precision::F32), Precision::Int8).unwrap_err();
        assert!(refused.contains("weights are int8"), "{refused}");
    }

    #[test]
    fn what_does_not_exist_names_what_does() {
        assert!(resolve(Device::Cuda, None).unwrap_err().contains("cpu"));
        assert!(
            resolve(Device::Auto, Some(Precision::F16))
                .unwrap_err()
                .contains("cuda")
        );
        assert!(
            resolve(Device::Cpu, Some(Precision::Int8))
                .unwrap_err()
                .contains("export quantize")
        );
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
    fn confidences_are_probabilities() {
        for min_confidence in [-0.1, 1.1, f32::NAN] {
            assert!(
                Options {
                    min_confidence,
                    ..Options::default()
                }
                .resolve("m.onnx", Precision::F32)
                .is_err()
            );
        }
    }
}
