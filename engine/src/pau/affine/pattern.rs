//! Values per channel, repeated so that whole vectors cover them whatever the number of channels.

use crate::simd::MAX_LANES;

/// The shortest period worth a loop of its own.
const LEAST: usize = 256;

/// The period of channels-last data in vectors: a multiple of `channels` and of every vector's length.
pub(super) fn period(channels: usize) -> usize {
    let channels = channels.max(1);
    let common = channels / greatest_common_divisor(channels, MAX_LANES) * MAX_LANES;
    common * LEAST.div_ceil(common)
}

/// One value per channel, repeated over one period, or over `elements` when they are fewer.
pub(super) fn repeat(values: &[f32], elements: usize) -> Vec<f32> {
    let length = period(values.len()).min(elements);
    let mut repeated = Vec::with_capacity(length);
    while repeated.len() < length && !values.is_empty() {
        let rest = values.len().min(length - repeated.len());
        repeated.extend_from_slice(&values[..rest]);
    }
    repeated
}

/// Adds sums per element of the period to sums per channel.
pub(super) fn fold(per_element: &[f32], per_channel: &mut [f64]) {
    for row in per_element.chunks(per_channel.len().max(1)) {
        for (sum, &value) in per_channel.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
