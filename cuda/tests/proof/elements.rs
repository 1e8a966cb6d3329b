//! Numbers of the kernels' types.

use dualnet_cuda::Element;
use half::{bf16, f16};

/// The nearest number of a type.
pub fn rounded(element: Element, value: f32) -> f32 {
    match element {
        Element::F32 => value,
        Element::F16 => f16::from_f32(value).to_f32(),
        Element::Bf16 => bf16::from_f32(value).to_f32(),
    }
}

/// By how much of itself rounding to a type changes an f32 at most: half a unit in the last place.
pub fn unit(element: Element) -> f64 {
    match element {
        Element::F32 => 0.0,
        Element::F16 => 2f64.powi(-11),
        Element::Bf16 => 2f64.powi(-8),
    }
}
