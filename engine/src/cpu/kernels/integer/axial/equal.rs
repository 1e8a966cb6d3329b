//! What a stretch of equal positions adds to the product of two maps along time: the float kernel's sums down the diagonals (see
//! [`Equal`](super::super::super::Equal)), exact here.

use super::super::super::axial::profile_length;
use super::super::super::{Equal, PANEL, padded};
use super::IntegerGroup;
use crate::simd::Integer;

/// The positions of a line that a product of maps is summed over: all, or all but a stretch of equal ones that starts and ends between two
/// pairs.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct Contraction {
    span: usize,
    pub(super) equal: Equal,
}

/// Where [`Known`] is computed.
pub(in crate::cpu) struct KnownScratch<'a> {
    /// [`Contraction::profiles`] values.
    pub(in crate::cpu) profiles: &'a mut [i16],
    /// [`Contraction::sums`] values.
    pub(in crate::cpu) sums: &'a mut [i32],
}

/// What the positions that are not summed over add to the product: `[span, width]`, or nothing.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Known<'a>(&'a [i32]);

impl Contraction {
    /// For a line of `span` positions, those of `equal` with equal queries and keys.
    pub(in crate::cpu) fn new(span: usize, equal: Equal) -> Self {
        let start = equal.start.next_multiple_of(2);
        let end = if equal.end < span { equal.end / 2 * 2 } else { span };
        let equal = Equal {
            start,
            end: end.max(start),
        };
        Self {
            span,
            equal: equal.if_many(),
        }
    }

    /// Pairs of positions.
    pub(in crate::cpu) fn pairs(self) -> usize {
        (self.span - self.equal.len()).div_ceil(2)
    }

    /// Where the position `index` of those summed over lies, at most `span` if that is not even.
    pub(super) fn position(self, index: usize) -> usize {
        index
            + match index < self.equal.start {
                true => 0,
                false => self.equal.len(),
            }
    }

    /// Values of [`KnownScratch::profiles`].
    pub(in crate::cpu) fn profiles(self) -> usize {
        2 * profile_length(self.span) + 2 * padded(self.span)
    }

    /// Values of [`KnownScratch::sums`].
    pub(in crate::cpu) fn sums(self) -> usize {
        PANEL + (self.span + 1) * padded(self.span)
    }

    /// What the sums in `scratch` are.
    pub(in crate::cpu) fn known(self, scratch: &[i32]) -> Known<'_> {
        Known(match self.equal.len() {
            0 => &[],
            _ => &scratch[PANEL..],
        })
    }
}

impl<'a> Known<'a> {
    /// Row `i` of them.
    #[inline(always)]
    pub(super) fn row(self, i: usize, width: usize) -> Option<&'a [i32]> {
        (!self.0.is_empty()).then(|| &self.0[i * width..][..width])
    }
}

/// What [`Contraction::known`] shows of a line whose first element in a plane is `first`.
#[inline(always)]
pub(super) fn equal_sums<S: Integer>(
    simd: S,
    group: &IntegerGroup<'_>,
    first: usize,
    contraction: Contraction,
    scratch: KnownScratch<'_>,
) {
    let (span, width, length) = (group.span, padded(group.span), profile_length(group.span));
    let Equal { start, end } = contraction.equal;
    let (queries, rest) = scratch.profiles.split_at_mut(length);
    let (keys, pairs) = rest.split_at_mut(length);
    for (part, to) in [&mut *queries, &mut *keys].into_iter().enumerate() {
        let row = group.map_row::<S, 0>(simd, part, first + start, span - 1);
        for offset in (0..2 * width).step_by(S::LANES) {
            let sums = row.sums(simd, offset);
            simd.store_narrow(group.rounded(simd, part, sums), &mut to[PANEL + offset..]);
        }
    }
    // Where f(0) and g(0) lie.
    let origin = PANEL + span - 1;
    let (sums, column) = scratch.sums.split_at_mut(PANEL + span * width);
    for at in (0..width).step_by(S::LANES) {
        let (mut row, mut below) = (simd.splat_ints(0), simd.splat_ints(0));
        for r in start..end {
            let query = simd.splat_ints(queries[origin - r].into());
            let key = simd.splat_ints(keys[origin - r].into());
            let across = simd.rounded(simd.load_wide(&keys[origin - r + at..]));
            let down = simd.rounded(simd.load_wide(&queries[origin - r + at..]));
            row = simd.add_ints(row, simd.mul_ints(query, across));
            below = simd.add_ints(below, simd.mul_ints(key, down));
        }
        simd.store_ints(row, &mut sums[PANEL + at..]);
        simd.store_ints(below, &mut column[at..]);
    }
    // The keys of what is gained and of what is lost, side by side.
    for (j, pair) in pairs.as_chunks_mut::<2>().0.iter_mut().enumerate().take(width) {
        *pair = [keys[origin + j - start], keys[origin + j - end]];
    }
    for i in 1..span {
        let (above, below) = sums.split_at_mut(PANEL + i * width);
        let above = &above[(i - 1) * width + PANEL - 1..];
        let factors = simd.splat_pair([queries[origin + i - start], -queries[origin + i - end]]);
        for j in (0..width).step_by(S::LANES) {
            let change = simd.dot(factors, simd.load_shorts(&pairs[2 * j..]), simd.no_sums());
            let sum = simd.add_ints(simd.load_ints(&above[j..]), simd.total(change));
            simd.store_ints(sum, &mut below[j..]);
        }
        below[0] = column[i];
    }
}
