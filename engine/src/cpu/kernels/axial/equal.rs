//! What a stretch of equal positions adds to the product of two maps, at a cost that does not depend on its length.
//!
//! Where queries and keys are the same at the positions `s..e`, their rows of the maps are one row, moved: `Q[r, i] = f(i − r)` and
//! `K[r, j] = g(j − r)`. What these rows add to the product, `P[i, j] = Σ f(i − r)·g(j − r)`, gains one term and loses one from an
//! element to the next on its diagonal: `P[i, j] = P[i−1, j−1] + f(i − s)·g(j − s) − f(i − e)·g(j − e)`.

use super::Group;
use crate::cpu::kernels::{PANEL, padded};
use crate::simd::Simd;

/// Positions of a line, from `start` to before `end`, that all have the same queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cpu) struct Equal {
    pub(in crate::cpu) start: usize,
    pub(in crate::cpu) end: usize,
}

/// Fewer equal positions than this are multiplied like any others.
const LEAST: usize = 8;

impl Equal {
    /// The same positions where they are worth it, otherwise none.
    pub(in crate::cpu) fn if_many(self) -> Self {
        match self.len() < LEAST {
            true => Self::default(),
            false => self,
        }
    }

    pub(in crate::cpu) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Values of scratch that [`equal_sums`] needs for a line of `span` positions.
pub(super) fn equal_scratch(span: usize) -> usize {
    3 * profile_length(span) + PANEL + span * padded(span)
}

/// A profile `f(0 − (span − 1)), …`, whole panels of it, behind a panel that may be read, but not used.
pub(in crate::cpu::kernels) fn profile_length(span: usize) -> usize {
    PANEL + 2 * padded(span)
}

/// `P [span, width]` of one line, whose first element in a plane is `first`; rows of whole panels. Sums run down the diagonals, so an error
/// is that of a sum of as many terms as the line has positions.
#[inline(always)]
pub(super) fn equal_sums<'a, S: Simd>(
    simd: S,
    group: &Group<'_>,
    first: usize,
    equal: Equal,
    scratch: &'a mut [f32],
) -> &'a [f32] {
    let (span, width, length) = (group.span, padded(group.span), profile_length(group.span));
    let (profiles, sums) = scratch.split_at_mut(3 * length);
    let (queries, rest) = profiles.split_at_mut(length);
    let (keys, column) = rest.split_at_mut(length);
    let half = group.channels / 2;
    profile(simd, group, (0, first + equal.start), queries);
    profile(simd, group, (half, first + equal.start), keys);
    // Where f(0) and g(0) lie.
    let origin = PANEL + span - 1;
    let sums = &mut sums[..PANEL + span * width];
    for at in (0..width).step_by(S::LANES) {
        let (mut row, mut below) = (simd.splat(0.0), simd.splat(0.0));
        for r in equal.start..equal.end {
            let (query, key) = (simd.splat(queries[origin - r]), simd.splat(keys[origin - r]));
            row = simd.mul_add(query, simd.load(&keys[origin - r + at..]), row);
            below = simd.mul_add(key, simd.load(&queries[origin - r + at..]), below);
        }
        simd.store(row, &mut sums[PANEL + at..]);
        simd.store(below, &mut column[at..]);
    }
    for i in 1..span {
        let (above, below) = sums.split_at_mut(PANEL + i * width);
        let above = &above[(i - 1) * width + PANEL - 1..];
        let gained = simd.splat(queries[origin + i - equal.start]);
        let lost = simd.splat(queries[origin + i - equal.end]);
        for j in (0..width).step_by(S::LANES) {
            let gain = simd.load(&keys[origin + j - equal.start..]);
            let loss = simd.load(&keys[origin + j - equal.end..]);
            let sum = simd.mul_add(gained, gain, simd.load(&above[j..]));
            simd.store(simd.neg_mul_add(lost, loss, sum), &mut below[j..]);
        }
        below[0] = column[i];
    }
    &sums[PANEL..]
}

/// `to[PANEL + offset] = Σ planes[channel + c, position]·E[channel + c, offset]` over half the group's channels.
#[inline(always)]
fn profile<S: Simd>(simd: S, group: &Group<'_>, (channel, position): (usize, usize), to: &mut [f32]) {
    for at in (0..2 * padded(group.span)).step_by(S::LANES) {
        let mut sum = simd.splat(0.0);
        for c in channel..channel + group.channels / 2 {
            let embedding = simd.load(&group.embeddings.maps[c * group.embeddings.stride + at..]);
            sum = simd.mul_add(simd.splat(group.plane(c, position)[0]), embedding, sum);
        }
        simd.store(sum, &mut to[PANEL + at..]);
    }
}
