//! What attention reads, rounded: the pixels a projection reads, and the queries, keys and values it gives.

use super::super::super::PANEL;
use super::super::super::activate::Affine;
use super::super::quantize::Rounding;
use crate::pau::rational::Rational;
use crate::simd::{Integer, Kernel};

/// Planes `[channel][position]` of `length` values, whole panels of them.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Planes<'a> {
    /// As they are.
    Floats(&'a [f32]),
    /// `F(scale·sum + shift)`, a factor and a term per plane.
    Sums(&'a [i32], Affine<'a>, &'a Rational<6, 4>),
}

/// Planes rounded, as panels of positions in pairs of channels: `[panel][pair][PANEL][2]`.
pub(in crate::cpu) struct PairsOfPlanes<'a> {
    pub(in crate::cpu) planes: Planes<'a>,
    pub(in crate::cpu) length: usize,
    /// An even number.
    pub(in crate::cpu) channels: usize,
    pub(in crate::cpu) rounding: Rounding,
    pub(in crate::cpu) to: &'a mut [i16],
}

impl Kernel for PairsOfPlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        let panel_length = self.channels * PANEL;
        for pair in 0..self.channels / 2 {
            for at in (0..self.length).step_by(S::LANES) {
                let mut halves = [simd.splat_ints(0); 2];
                for (side, half) in halves.iter_mut().enumerate() {
                    let channel = 2 * pair + side;
                    let value = match self.planes {
                        Planes::Floats(planes) => simd.load(&planes[channel * self.length + at..]),
                        Planes::Sums(sums, affine, pau) => {
                            let sum = simd.to_floats(simd.load_ints(&sums[channel * self.length + at..]));
                            let (scale, shift) = (affine.scale[channel], affine.shift[channel]);
                            let u = simd.mul_add(sum, simd.splat(scale), simd.splat(shift));
                            pau.splat(simd).value(u)
                        }
                    };
                    *half = self.rounding.apply(simd, value);
                }
                let to = at / PANEL * panel_length + (pair * PANEL + at % PANEL) * 2;
                simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut self.to[to..]);
            }
        }
    }
}

/// How queries, keys and values are rounded.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct PartRoundings {
    pub(in crate::cpu) query: Rounding,
    pub(in crate::cpu) key: Rounding,
    pub(in crate::cpu) value: Rounding,
}

/// Where the rounded values go.
pub(in crate::cpu) enum Values<'a> {
    /// Planes.
    Plain(&'a mut [i16]),
    /// Columns in pairs, `[channel][pair][height][2]`; this height.
    Columns(&'a mut [i16], usize),
}

/// The parts of one group of a projection, rounded: `scale·sum + shift` of its `2·gc` planes.
pub(in crate::cpu) struct RoundParts<'a> {
    pub(in crate::cpu) sums: &'a [i32],
    /// Elements of a plane.
    pub(in crate::cpu) stride: usize,
    /// Per plane.
    pub(in crate::cpu) affine: Affine<'a>,
    /// `gc`.
    pub(in crate::cpu) channels: usize,
    pub(in crate::cpu) roundings: PartRoundings,
    /// Queries, then keys: `[pair][position][2]`, as many pairs as half the channels rounded up take.
    pub(in crate::cpu) pairs: [&'a mut [i16]; 2],
    pub(in crate::cpu) values: Values<'a>,
}

impl RoundParts<'_> {
    #[inline(always)]
    fn rounded<S: Integer>(&self, simd: S, plane: usize, at: usize, rounding: Rounding) -> S::Ints {
        let sum = simd.to_floats(simd.load_ints(&self.sums[plane * self.stride + at..]));
        let (scale, shift) = (self.affine.scale[plane], self.affine.shift[plane]);
        rounding.apply(simd, simd.mul_add(sum, simd.splat(scale), simd.splat(shift)))
    }
}

impl Kernel for RoundParts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(mut self, simd: S) {
        let half = self.channels / 2;
        let roundings = [self.roundings.query, self.roundings.key];
        for part in 0..2 {
            for pair in 0..half.div_ceil(2) {
                for at in (0..self.stride).step_by(S::LANES) {
                    let mut halves = [simd.splat_ints(0); 2];
                    for side in 0..2 {
                        if 2 * pair + side < half {
                            let plane = part * half + 2 * pair + side;
                            halves[side] = self.rounded(simd, plane, at, roundings[part]);
                        }
                    }
                    let to = 2 * (pair * self.stride + at);
                    simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut self.pairs[part][to..]);
                }
            }
        }
        let rounding = self.roundings.value;
        match std::mem::replace(&mut self.values, Values::Plain(&mut [])) {
            Values::Plain(to) => {
                for channel in 0..self.channels {
                    for at in (0..self.stride).step_by(S::LANES) {
                        let value = self.rounded(simd, 2 * half + channel, at, rounding);
                        simd.store_narrow(value, &mut to[channel * self.stride + at..]);
                    }
                }
            }
            Values::Columns(to, height) => {
                let columns = self.stride / height;
                let pairs = columns.div_ceil(2);
                for channel in 0..self.channels {
                    for pair in 0..pairs {
                        for at in (0..height).step_by(S::LANES) {
                            let mut halves = [simd.splat_ints(0); 2];
                            for side in 0..2 {
                                let column = 2 * pair + side;
                                if column < columns {
                                    halves[side] =
                                        self.rounded(simd, 2 * half + channel, column * height + at, rounding);
                                }
                            }
                            let to = &mut to[2 * ((channel * pairs + pair) * height + at)..];
                            simd.store_shorts(simd.pair_ints(halves[0], halves[1]), to);
                        }
                    }
                }
            }
        }
    }
}
