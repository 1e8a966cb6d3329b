//! The kernels of the fused network, each written once over [`Simd`](crate::simd::Simd), each with a scalar reference beside
//! it in its tests.
//!
//! Data are channels-last: channels run fastest, padded with zeros to whole panels of [`PANEL`] columns, whatever the vector
//! length, so that packed weights and feature maps have one layout on every instruction set.

// Loops over the vectors of a register tile count: vectors must stay out of iterators and closures, which lose the instruction set.
#![allow(clippy::needless_range_loop)]

mod activate;
mod aligned;
mod axial;
mod gemm;
pub(super) mod integer;
mod lstm;
mod matvec;
mod outer;
mod packed;
mod patches;
mod rows;
mod tally;
#[cfg(test)]
pub(super) mod testing;
mod vecmath;
mod winograd;

pub(super) use activate::{Activate, ActivatePlanes, Affine};
pub use aligned::Aligned;
pub(super) use aligned::Buffer;
pub(super) use axial::{AlongTime, Embeddings, Equal, Frequency, Group, NARROW, along_time_scratch};
pub(super) use gemm::{Gemm, Operand};
pub(super) use lstm::{GATES, Recurrence};
pub(super) use matvec::MatVec;
pub(super) use outer::{Outer, Panelled};
pub(super) use packed::{PANEL, Packed, Panels, padded};
pub(super) use patches::{PAIRED_PATCH, PATCH, patches};
pub(super) use rows::{Gelu, Normalize, Softmax};
pub(super) use tally::executed;
pub use vecmath::{exp, sigmoid, tanh};
pub(super) use winograd::{
    GradientTransform, InputTransform, OutputTransform, PlainTransform, PoolTransform, Scheme, Shortcut,
    StoreTransform, TILE_ROWS, TILES, pack_filters, repack_filters, unpack_gradient,
};
