//! Attention along time: one line of one group.

use super::super::super::PANEL;
use super::super::super::rows::{exponentials, sum_of_lanes};
use super::super::super::tally;
use super::equal::equal_sums;
use super::{Contraction, IntegerGroup, Known, KnownScratch};
use crate::simd::{Integer, Kernel, MAX_LANES};

/// The two maps of a line along time, for a [`Product`](super::super::Product) over the positions of a contraction: `query_map [i, r]` of
/// `qe[r, i]`, rows of `width`, and `ke` in panels of its columns, pairs of rows. Beside them, what the other positions add to that product.
pub(in crate::cpu) struct IntegerTimeMaps<'a> {
    pub(in crate::cpu) group: IntegerGroup<'a>,
    pub(in crate::cpu) contraction: Contraction,
    /// The line's first element in a plane.
    pub(in crate::cpu) first: usize,
    /// The span in whole panels.
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) query_map: &'a mut [i16],
    pub(in crate::cpu) key_map: &'a mut [i16],
    pub(in crate::cpu) known: KnownScratch<'a>,
}

impl Kernel for IntegerTimeMaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let (group, contraction) = (self.group, self.contraction);
        let span = group.span;
        tally::count(2 * span * self.width * 2 * group.pairs_of_channels());
        for (i, row) in self.query_map.chunks_exact_mut(self.width).take(span).enumerate() {
            let (before, after) = row.split_at_mut(contraction.equal.start);
            group.query_column(simd, self.first, (self.width, i, 0), before);
            let rest = span - contraction.equal.end;
            group.query_column(
                simd,
                self.first,
                (self.width, i, contraction.equal.end),
                &mut after[..rest],
            );
        }
        match group.pairs_of_channels() {
            1 => group.key_map::<S, 1>(simd, self.first, contraction, self.key_map),
            2 => group.key_map::<S, 2>(simd, self.first, contraction, self.key_map),
            _ => group.key_map::<S, 0>(simd, self.first, contraction, self.key_map),
        }
        if contraction.equal.len() > 0 {
            equal_sums(simd, &group, self.first, contraction, self.known);
        }
    }
}

impl IntegerGroup<'_> {
    /// `ke`, rounded, in panels of its columns; pairs of a contraction's positions.
    #[inline(always)]
    fn key_map<S: Integer, const P: usize>(&self, simd: S, first: usize, contraction: Contraction, to: &mut [i16]) {
        let panel_length = contraction.pairs() * 2 * PANEL;
        for pair in 0..contraction.pairs() {
            let before = contraction.position(2 * pair);
            let after = contraction.position(2 * pair + 1);
            let row = self.map_row::<S, P>(simd, 1, first + before, before);
            let is_pair = after < self.span;
            let next = if is_pair { after } else { before };
            let next = self.map_row::<S, P>(simd, 1, first + next, next);
            for (panel, to) in to.chunks_exact_mut(panel_length).enumerate() {
                let to = &mut to[pair * 2 * PANEL..][..2 * PANEL];
                for v in (0..PANEL).step_by(S::LANES) {
                    let j = panel * PANEL + v;
                    let value = self.rounded(simd, 1, row.sums(simd, j));
                    let mut other = simd.splat_ints(0);
                    if is_pair {
                        other = self.rounded(simd, 1, next.sums(simd, j));
                    }
                    simd.store_shorts(simd.pair_ints(value, other), &mut to[2 * v..]);
                }
            }
        }
    }

    /// `qe[r, i]`, rounded, for as many positions `r` from `from` on as `to` takes; planes are `width` high.
    #[inline(always)]
    fn query_column<S: Integer>(&self, simd: S, first: usize, (width, i, from): (usize, usize, usize), to: &mut [i16]) {
        let mut whole = to.chunks_exact_mut(S::LANES);
        let mut r = from;
        for to in &mut whole {
            simd.store_narrow(self.query_vector(simd, first, i, r), to);
            r += S::LANES;
        }
        let to = whole.into_remainder();
        if !to.is_empty() {
            // No vector reads beyond the line.
            let start = r.min(width - S::LANES);
            let mut lanes = [0; MAX_LANES];
            simd.store_narrow(self.query_vector(simd, first, i, start), &mut lanes);
            to.copy_from_slice(&lanes[r - start..][..to.len()]);
        }
    }

    #[inline(always)]
    fn query_vector<S: Integer>(&self, simd: S, first: usize, i: usize, r: usize) -> S::Ints {
        let mut sums = simd.no_sums();
        for pair in 0..self.pairs_of_channels() {
            let query = simd.load_shorts(&self.pairs[0][2 * (pair * self.stride + first + r)..]);
            let at = 2 * (pair * self.embeddings.stride + self.span - 1 - i + r);
            sums = simd.dot(query, simd.load_shorts(&self.embeddings.forward_queries[at..]), sums);
        }
        self.rounded(simd, 0, simd.total(sums))
    }
}

/// From the maps' product to the outputs of a line along time: `products [span, width]`; `out`: the group's `gc` planes.
pub(in crate::cpu) struct IntegerTimeOutputs<'a> {
    pub(in crate::cpu) group: IntegerGroup<'a>,
    pub(in crate::cpu) first: usize,
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) products: &'a [i32],
    /// What is to be added to the products.
    pub(in crate::cpu) known: Known<'a>,
    /// As long as a row.
    pub(in crate::cpu) row: &'a mut [f32],
    /// Likewise.
    pub(in crate::cpu) weights: &'a mut [i16],
    pub(in crate::cpu) out: &'a mut [f32],
}

impl Kernel for IntegerTimeOutputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let group = self.group;
        let (span, width) = (group.span, self.width);
        tally::count(2 * span * width * (2 * group.pairs_of_channels() + group.channels));
        let (row, weights) = (&mut self.row[..width], &mut self.weights[..width]);
        for (i, products) in self.products.chunks_exact(width).take(span).enumerate() {
            let place = (self.first + i, i);
            match group.pairs_of_channels() {
                1 => group.scores::<S, 1>(simd, place, products, self.known, row),
                2 => group.scores::<S, 2>(simd, place, products, self.known, row),
                _ => group.scores::<S, 0>(simd, place, products, self.known, row),
            }
            let rounding = group.weight.of(exponentials(simd, row, span));
            for j in (0..width).step_by(S::LANES) {
                simd.store_narrow(rounding.apply(simd, simd.load(&row[j..])), &mut weights[j..]);
            }
            let mut c = 0;
            while c < group.channels {
                if S::REGISTERS >= 16 && group.channels - c >= 4 {
                    group.outputs::<S, 4>(simd, (self.first, i, c), weights, self.out);
                    c += 4;
                } else {
                    group.outputs::<S, 2>(simd, (self.first, i, c), weights, self.out);
                    c += 2;
                }
            }
        }
    }
}

impl IntegerGroup<'_> {
    /// The similarities of row `i`, whose position in a plane is `at`.
    #[inline(always)]
    fn scores<S: Integer, const P: usize>(
        &self,
        simd: S,
        (at, i): (usize, usize),
        products: &[i32],
        known: Known<'_>,
        to: &mut [f32],
    ) {
        let [product_factor, query_factor, key_factor] = self.similarity.map(|factor| simd.splat(factor));
        let query = self.map_row::<S, P>(simd, 0, at, i);
        let key = self.map_row::<S, P>(simd, 1, at, i);
        let known = known.row(i, to.len());
        for j in (0..to.len()).step_by(S::LANES) {
            let mut product = simd.load_ints(&products[j..]);
            if let Some(known) = known {
                product = simd.add_ints(product, simd.load_ints(&known[j..]));
            }
            let mut sum = simd.mul(product_factor, simd.to_floats(product));
            sum = simd.mul_add(query_factor, simd.to_floats(query.sums(simd, j)), sum);
            sum = simd.mul_add(key_factor, simd.to_floats(key.sums(simd, j)), sum);
            simd.store(sum, &mut to[j..]);
        }
    }

    /// Outputs of the channels `c..c + C` at position `i` of a line.
    #[inline(always)]
    fn outputs<S: Integer, const C: usize>(
        &self,
        simd: S,
        (first, i, c): (usize, usize, usize),
        weights: &[i16],
        out: &mut [f32],
    ) {
        let width = weights.len();
        let (mut values, mut embeddings): ([&[i16]; C], [&[i16]; C]) = ([&[]; C], [&[]; C]);
        for k in 0..C {
            values[k] = &self.values[(c + k) * self.stride + first..][..width];
            let row = (c + k) * self.embeddings.stride + self.span - 1 - i;
            embeddings[k] = &self.embeddings.values[row..][..width];
        }
        let mut by_value = [simd.no_sums(); C];
        let mut by_position = [simd.no_sums(); C];
        let whole = width / S::SHORTS * S::SHORTS;
        for j in (0..whole).step_by(S::SHORTS) {
            let weight = simd.load_shorts(&weights[j..]);
            for k in 0..C {
                by_value[k] = simd.dot(weight, simd.load_shorts(&values[k][j..]), by_value[k]);
                by_position[k] = simd.dot(weight, simd.load_shorts(&embeddings[k][j..]), by_position[k]);
            }
        }
        if whole < width {
            let weight = simd.load_shorts_partial(&weights[whole..]);
            for k in 0..C {
                by_value[k] = simd.dot(weight, simd.load_shorts_partial(&values[k][whole..]), by_value[k]);
                let embedding = simd.load_shorts_partial(&embeddings[k][whole..]);
                by_position[k] = simd.dot(weight, embedding, by_position[k]);
            }
        }
        let value_factor = simd.splat(self.value_factor);
        for k in 0..C {
            let position_factor = simd.splat(self.position_factors[c + k]);
            let value = simd.mul(simd.to_floats(simd.total(by_value[k])), value_factor);
            let sum = simd.mul_add(simd.to_floats(simd.total(by_position[k])), position_factor, value);
            out[(c + k) * self.stride + first + i] = sum_of_lanes(simd, sum);
        }
    }
}
