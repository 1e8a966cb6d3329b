//! The backward kernels: through the results to the similarities, then through the products to queries and keys.

mod queries_and_keys;
mod similarities;

pub(super) use queries_and_keys::queries_and_keys;
pub(super) use similarities::{Arriving, similarities};

use super::vectors::{get, over_lines};
use dualnet_engine::simd::Simd;

/// The sum of every vector's lanes.
#[inline(always)]
fn totals<S: Simd>(simd: S, vectors: &[f32], lines: usize) -> Vec<f64> {
    let mut totals = vec![0.0; vectors.len() / S::LANES];
    for (index, total) in totals.iter_mut().enumerate() {
        *total = over_lines(simd, get(simd, vectors, index), lines);
    }
    totals
}
