//! The kernels of an int8 network.
//!
//! Activations are 16-bit: a value minus its zero point, −255 to 255. Sums are exact in 32 bits (see each kernel for the condition that
//! the weights are held to when they are packed), so they are equal on every instruction set, whatever tiles and batches they are computed
//! in. What follows a sum (scale, shift, activation, pooling) is `f32`, and rounded to 8 bits again where the file says so.

mod axial;
mod epilogue;
mod gemm;
mod lstm;
mod packed;
mod quantize;
mod tiles;
mod winograd;

pub(in crate::cpu) use axial::{
    Contraction, IntegerEmbeddings, IntegerFrequency, IntegerGroup, IntegerTimeMaps, IntegerTimeOutputs, KnownScratch,
    PairsOfPlanes, PartRoundings, Planes, RoundParts, Values,
};
pub(in crate::cpu) use epilogue::Epilogue;
pub(in crate::cpu) use gemm::{Product, Results};
pub(in crate::cpu) use lstm::{IntegerRecurrence, STATE_SCALE};
pub(in crate::cpu) use packed::{PairPanels, Pairs};
pub(in crate::cpu) use quantize::{Quantize, Rounding, Target};
pub(in crate::cpu) use tiles::{Added, Points, Transform};
pub(in crate::cpu) use winograd::{IntegerScheme, PointTransform, integer_weights};
