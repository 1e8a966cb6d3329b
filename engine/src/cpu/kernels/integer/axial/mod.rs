//! Axial attention along one line, for one group of channels, both operands of every product rounded to 8 bits (see
//! [`crate::plan::AxialAttention`] for the formula).
//!
//! Planes are laid out as in [`Group`](super::super::Group). Channels of queries and keys lie side by side in pairs, `[pair][position][2]`,
//! and so do those of their relative embeddings, which are stored reversed.

mod equal;
mod frequency;
mod parts;
#[cfg(test)]
mod tests;
mod time;

use super::quantize::Rounding;
use crate::simd::Integer;
pub(in crate::cpu) use equal::{Contraction, Known, KnownScratch};
pub(in crate::cpu) use frequency::IntegerFrequency;
pub(in crate::cpu) use parts::{PairsOfPlanes, PartRoundings, Planes, RoundParts, Values};
pub(in crate::cpu) use time::{IntegerTimeMaps, IntegerTimeOutputs};

/// Relative embeddings, rounded: rows of `stride` values or pairs, zeros behind the `2·span − 1`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct IntegerEmbeddings<'a> {
    pub(in crate::cpu) stride: usize,
    /// Queries, not reversed: `[pair][offset][2]`.
    pub(in crate::cpu) forward_queries: &'a [i16],
    /// Queries and keys, reversed: `[pair][reversed offset][2]`.
    pub(in crate::cpu) maps: [&'a [i16]; 2],
    /// Values, `gc` rows.
    pub(in crate::cpu) values: &'a [i16],
}

/// One group's rounded parts.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct IntegerGroup<'a> {
    /// Queries and keys, as [`RoundParts`] makes them.
    pub(in crate::cpu) pairs: [&'a [i16]; 2],
    /// Values, likewise.
    pub(in crate::cpu) values: &'a [i16],
    /// Elements between planes.
    pub(in crate::cpu) stride: usize,
    /// `gc`.
    pub(in crate::cpu) channels: usize,
    /// Positions of a line.
    pub(in crate::cpu) span: usize,
    pub(in crate::cpu) embeddings: IntegerEmbeddings<'a>,
    /// What a sum of the query map and of the key map stands for.
    pub(in crate::cpu) map_factors: [f32; 2],
    /// How the maps are rounded for their product.
    pub(in crate::cpu) map_roundings: [Rounding; 2],
    /// Factors of the sums of product, query map and key map in the similarity.
    pub(in crate::cpu) similarity: [f32; 3],
    /// How the softmax is rounded.
    pub(in crate::cpu) weight: Rounding,
    /// Factor of the sums over values, and of those over value embeddings for each channel.
    pub(in crate::cpu) value_factor: f32,
    pub(in crate::cpu) position_factors: &'a [f32],
}

impl<'a> IntegerGroup<'a> {
    fn pairs_of_channels(&self) -> usize {
        (self.channels / 2).div_ceil(2)
    }

    /// The pair of channels of a part at a position.
    #[inline(always)]
    fn pair(&self, part: usize, pair: usize, at: usize) -> [i16; 2] {
        let at = 2 * (pair * self.stride + at);
        [self.pairs[part][at], self.pairs[part][at + 1]]
    }

    /// Row `i` of the query (0) or key (1) map, for the position `at` of the row in a plane, with `P` pairs of channels; 0 is for any number
    /// of them.
    #[inline(always)]
    fn map_row<S: Integer, const P: usize>(&self, simd: S, part: usize, at: usize, i: usize) -> MapRow<'a, S, P> {
        let start = self.span - 1 - i;
        let mut row = MapRow {
            group: *self,
            place: (part, at, start),
            values: [simd.splat_pair([0; 2]); P],
            embeddings: [&[]; P],
        };
        for pair in 0..P {
            row.values[pair] = simd.splat_pair(self.pair(part, pair, at));
            row.embeddings[pair] = &self.embeddings.maps[part][2 * (pair * self.embeddings.stride + start)..];
        }
        row
    }

    /// A sum of a map, rounded for the product.
    #[inline(always)]
    fn rounded<S: Integer>(&self, simd: S, part: usize, sums: S::Ints) -> S::Ints {
        let value = simd.mul(simd.to_floats(sums), simd.splat(self.map_factors[part]));
        self.map_roundings[part].apply(simd, value)
    }
}

/// See [`IntegerGroup::map_row`].
struct MapRow<'a, S: Integer, const P: usize> {
    group: IntegerGroup<'a>,
    /// Part, position in a plane, first column among the embeddings.
    place: (usize, usize, usize),
    values: [S::Shorts; P],
    embeddings: [&'a [i16]; P],
}

impl<S: Integer, const P: usize> MapRow<'_, S, P> {
    /// Sums from column `j` on.
    #[inline(always)]
    fn sums(&self, simd: S, j: usize) -> S::Ints {
        let mut sums = simd.no_sums();
        for pair in 0..P {
            sums = simd.dot(
                self.values[pair],
                simd.load_shorts(&self.embeddings[pair][2 * j..]),
                sums,
            );
        }
        if P == 0 {
            let (part, at, start) = self.place;
            for pair in 0..self.group.pairs_of_channels() {
                let value = simd.splat_pair(self.group.pair(part, pair, at));
                let row = 2 * (pair * self.group.embeddings.stride + start + j);
                sums = simd.dot(value, simd.load_shorts(&self.group.embeddings.maps[part][row..]), sums);
            }
        }
        simd.total(sums)
    }
}
