//! Axial attention along one line, for one group of channels (see [`crate::plan::AxialAttention`] for the formula).
//!
//! Data are planes here: `[channel][column][height]`, the height padded to whole panels. Along time a line's positions lie side by side, and
//! vectors run along them; along frequency lines lie side by side, and vectors run across them. Relative embeddings are stored reversed,
//! so that the row `E[c, i, ·]` is a stretch of them.
//!
//! Each axis is one kernel: [`AlongTime`] for a line, [`Frequency`] for all lines of a group.

mod equal;
mod frequency;
#[cfg(test)]
mod tests;
mod time;

use crate::simd::MAX_LANES;
pub(in crate::cpu) use equal::Equal;
pub(super) use equal::profile_length;
pub(in crate::cpu) use frequency::Frequency;
pub(in crate::cpu) use time::{AlongTime, along_time_scratch};

/// Channels of a group that fill half of the longest vector: up to so many, its values are summed along the positions.
pub(in crate::cpu) const NARROW: usize = MAX_LANES / 2;

/// One group's planes: queries, keys, values.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Group<'a> {
    /// `gc/2`, `gc/2` and `gc` planes.
    pub(in crate::cpu) planes: &'a [f32],
    /// Elements between planes.
    pub(in crate::cpu) stride: usize,
    /// `gc`.
    pub(in crate::cpu) channels: usize,
    /// Positions of a line.
    pub(in crate::cpu) span: usize,
    pub(in crate::cpu) embeddings: Embeddings<'a>,
    /// Factors of product, query map and key map.
    pub(in crate::cpu) similarity: [f32; 3],
}

/// Relative embeddings, their offsets reversed.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Embeddings<'a> {
    /// Queries, then keys, `gc/2` rows each: `[channel][offset]`, rows of `stride`, zeros behind the `2·span − 1` values.
    pub(in crate::cpu) maps: &'a [f32],
    pub(in crate::cpu) stride: usize,
    /// Values times the group's position factors: `[offset][channel]`, rows of whole panels, zeros behind the `gc` values.
    pub(in crate::cpu) values: &'a [f32],
    /// The same of a group of at most [`NARROW`] channels as rows, `[channel][offset]`, of `stride`; otherwise nothing.
    pub(in crate::cpu) value_rows: &'a [f32],
}

impl<'a> Group<'a> {
    /// A plane from an element on.
    #[inline(always)]
    fn plane(&self, channel: usize, first: usize) -> &'a [f32] {
        &self.planes[channel * self.stride + first..]
    }
}
