//! Weights of a plan as the kernels' launchers take them.

use dualnet_cuda::{Element, Matrix, Precision, Quantization, residual};

use crate::plan;

/// In which numbers a network computes on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gpu) enum Numbers {
    /// f32 throughout.
    F32,
    /// Values and weights of 16 bits, sums of f32.
    F16,
    /// What the file says: 8 bits where it rounds, f32 elsewhere.
    Int8,
}

impl Numbers {
    /// Those of a precision that a user asks for.
    pub(in crate::gpu) fn of(precision: crate::Precision) -> Self {
        match precision {
            crate::Precision::F32 => Self::F32,
            crate::Precision::F16 => Self::F16,
            crate::Precision::Int8 => Self::Int8,
        }
    }

    /// The network's inputs, and maps that are not rounded.
    pub(in crate::gpu) fn element(self) -> Element {
        match self {
            Self::F32 | Self::Int8 => Element::F32,
            Self::F16 => Element::F16,
        }
    }

    /// What is multiplied, in a layer that rounds its input or does not.
    pub(super) fn products(self, rounding: Option<plan::Quantization>) -> Precision {
        match rounding {
            Some(_) => Precision::Int8,
            None => Precision::Float(self.element()),
        }
    }
}

/// Row-major weights `[outputs, …]` on their own.
pub(super) enum Owned {
    Floats(Vec<f32>),
    Bytes { values: Vec<i8>, scales: Vec<f32> },
}

impl Owned {
    /// Of a tensor whose first axis, or the one behind a leading 1, is `outputs`.
    pub(super) fn of(weights: plan::Weights<'_>, outputs: usize) -> Self {
        if !weights.is_int8() {
            return Self::Floats(floats(weights));
        }
        Self::Bytes {
            values: (0..weights.len()).map(|index| weights.byte(index)).collect(),
            scales: scales(weights, outputs),
        }
    }

    /// `[outputs, inputs]`, however the file has them.
    pub(super) fn of_linear(linear: &plan::Linear<'_>) -> Self {
        match linear.input {
            None => Self::Floats(rows(linear)),
            Some(_) => Self::Bytes {
                values: places(linear)
                    .map(|(output, input)| linear.byte(output, input).0)
                    .collect(),
                scales: (0..linear.outputs).map(|output| linear.byte(output, 0).1).collect(),
            },
        }
    }

    /// For the signal encoders' kernels.
    pub(super) fn matrix(&self) -> Matrix<'_> {
        match self {
            Self::Floats(values) => Matrix::Floats(values),
            Self::Bytes { values, scales } => Matrix::Bytes { values, scales },
        }
    }

    /// For a convolution whose input is rounded like this; the plan has seen to it that both operands are rounded or none is.
    pub(super) fn filters(&self, input: Option<plan::Quantization>) -> residual::Filters<'_> {
        match (self, input) {
            (Self::Bytes { values, scales }, Some(input)) => residual::Filters::Int8(values, scales, rounding(input)),
            (Self::Bytes { values, scales }, None) => residual::Filters::Int8(
                values,
                scales,
                Quantization {
                    scale: 1.0,
                    zero_point: 0,
                },
            ),
            (Self::Floats(values), _) => residual::Filters::Float(values),
        }
    }
}

/// Outputs and inputs of a linear map's weights, row by row.
fn places(linear: &plan::Linear<'_>) -> impl Iterator<Item = (usize, usize)> {
    let inputs = linear.inputs;
    (0..linear.outputs).flat_map(move |output| (0..inputs).map(move |input| (output, input)))
}

/// `[outputs, inputs]`, however the file has them.
pub(super) fn rows(linear: &plan::Linear<'_>) -> Vec<f32> {
    places(linear)
        .map(|(output, input)| linear.weight(output, input))
        .collect()
}

/// The scale of every output.
fn scales(weights: plan::Weights<'_>, outputs: usize) -> Vec<f32> {
    let inner = weights.len() / outputs.max(1);
    (0..outputs).map(|output| weights.scale_at(output * inner)).collect()
}

/// What a sum of each output is multiplied by, in 8 bits; nothing for floats.
pub(super) fn factors(convolution: &plan::Convolution<'_>) -> Vec<f32> {
    let scales = scales(convolution.weight, convolution.outputs);
    let times = |input: plan::Quantization| scales.iter().map(|scale| input.scale * scale).collect();
    convolution.input.map_or_else(Vec::new, times)
}

/// A linear map's bias, zeros where there is none.
pub(super) fn bias(linear: &plan::Linear<'_>) -> Vec<f32> {
    linear.bias.map_or_else(|| vec![0.0; linear.outputs], floats)
}

/// All values.
pub(super) fn floats(weights: plan::Weights<'_>) -> Vec<f32> {
    weights.iter().collect()
}

/// As device memory has them.
pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// As device memory has them.
pub(super) fn integer_bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The launchers' word for it.
pub(super) fn rounding(quantization: plan::Quantization) -> Quantization {
    Quantization {
        scale: quantization.scale,
        zero_point: quantization.zero_point,
    }
}
