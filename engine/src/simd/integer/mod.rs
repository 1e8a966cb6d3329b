//! Integer lanes: products of 16-bit pairs summed in 32 bits, which is all that exact 8-bit networks need.
//!
//! Every operation wraps, so a sum is exact modulo 2³² on every instruction set, whatever its order.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use super::Simd;

/// The integer operations of an instruction set: vectors of `LANES` 32-bit and `2·LANES` 16-bit numbers.
///
/// As for [`Simd`], code that uses them is `#[inline(always)]` down from [`Kernel::run`](super::Kernel::run).
pub trait Integer: Simd {
    /// `LANES` numbers of 32 bits.
    type Ints: Copy;

    /// `2·LANES` numbers of 16 bits: a pair beside each 32-bit lane.
    type Shorts: Copy;

    /// Running sums of [`Self::dot`].
    type Sums: Copy;

    /// Values in a [`Self::Shorts`].
    const SHORTS: usize = 2 * Self::LANES;

    /// `value` in every lane.
    fn splat_ints(self, value: i32) -> Self::Ints;

    /// The first `LANES` values.
    ///
    /// # Panics
    /// When `from` is shorter.
    fn load_ints(self, from: &[i32]) -> Self::Ints;

    /// Writes the first `LANES` values.
    ///
    /// # Panics
    /// When `to` is shorter.
    fn store_ints(self, vector: Self::Ints, to: &mut [i32]);

    /// `a + b`, wrapping.
    fn add_ints(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;

    /// `a − b`, wrapping.
    fn sub_ints(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;

    /// `a · b`, wrapping.
    fn mul_ints(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;

    /// `a · 2^N`, wrapping.
    fn shift_ints<const N: i32>(self, a: Self::Ints) -> Self::Ints;

    /// The nearest floats.
    fn to_floats(self, a: Self::Ints) -> Self::Vector;

    /// The nearest whole numbers, ties to even, of numbers within ±2²².
    fn rounded(self, a: Self::Vector) -> Self::Ints;

    /// Writes the first `LANES` values, each within 16 bits.
    ///
    /// # Panics
    /// When `to` is shorter.
    fn store_narrow(self, vector: Self::Ints, to: &mut [i16]);

    /// The first `LANES` values as floats.
    ///
    /// # Panics
    /// When `from` is shorter.
    fn load_wide(self, from: &[i16]) -> Self::Vector;

    /// The pair in every 32-bit lane.
    fn splat_pair(self, pair: [i16; 2]) -> Self::Shorts;

    /// The lanes of `first` and of `second`, each within 16 bits, as pairs.
    fn pair_ints(self, first: Self::Ints, second: Self::Ints) -> Self::Shorts;

    /// The first `2·LANES` values.
    ///
    /// # Panics
    /// When `from` is shorter.
    fn load_shorts(self, from: &[i16]) -> Self::Shorts;

    /// Writes the first `2·LANES` values.
    ///
    /// # Panics
    /// When `to` is shorter.
    fn store_shorts(self, vector: Self::Shorts, to: &mut [i16]);

    /// The first `2·LANES` values, 8-bit ones widened.
    ///
    /// # Panics
    /// When `from` is shorter.
    fn load_bytes(self, from: &[i8]) -> Self::Shorts;

    /// `a + b`, wrapping.
    fn add_shorts(self, a: Self::Shorts, b: Self::Shorts) -> Self::Shorts;

    /// `a − b`, wrapping.
    fn sub_shorts(self, a: Self::Shorts, b: Self::Shorts) -> Self::Shorts;

    /// `a · 2^N`, wrapping.
    fn shift_shorts<const N: i32>(self, a: Self::Shorts) -> Self::Shorts;

    /// Sums of nothing.
    fn no_sums(self) -> Self::Sums;

    /// `sums + a₀·b₀ + a₁·b₁` for the pair beside each 32-bit lane, wrapping.
    fn dot(self, a: Self::Shorts, b: Self::Shorts, sums: Self::Sums) -> Self::Sums;

    /// The sum of each lane.
    fn total(self, sums: Self::Sums) -> Self::Ints;

    /// All of `from`, no longer than a vector, and zeros behind it.
    ///
    /// # Panics
    /// When `from` is longer.
    #[inline(always)]
    fn load_shorts_partial(self, from: &[i16]) -> Self::Shorts {
        let mut values = [0; 2 * super::MAX_LANES];
        values[..from.len()].copy_from_slice(from);
        self.load_shorts(&values)
    }

    /// Fills `to`, no longer than a vector.
    ///
    /// # Panics
    /// When `to` is longer.
    #[inline(always)]
    fn store_shorts_partial(self, vector: Self::Shorts, to: &mut [i16]) {
        let mut values = [0; 2 * super::MAX_LANES];
        self.store_shorts(vector, &mut values);
        to.copy_from_slice(&values[..to.len()]);
    }
}

/// A pair as the 32 bits that hold it in memory.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn pair_bits([first, second]: [i16; 2]) -> i32 {
    (u32::from(first as u16) | u32::from(second as u16) << 16) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel};

    /// Every operation on a few vectors, as bits and whole numbers that all instruction sets must share.
    struct Everything;

    impl Kernel for Everything {
        type Output = Vec<i64>;

        #[inline(always)]
        fn run<S: Integer>(self, simd: S) -> Vec<i64> {
            let shorts: Vec<i16> = (0..64).map(|i: i16| i.wrapping_mul(7919).wrapping_sub(13)).collect();
            let ints: Vec<i32> = (0..32).map(|i: i32| i.wrapping_mul(0x3ade_68b1)).collect();
            let bytes: Vec<i8> = (0..32).map(|i: i8| i.wrapping_mul(37)).collect();
            let floats: Vec<f32> = (0..32).map(|i| (i as f32 - 15.5) * 1.5).collect();
            let mut out: [Vec<i64>; 13] = std::array::from_fn(|_| Vec::new());
            for at in (0..16).step_by(S::LANES) {
                let (a, b) = (simd.load_ints(&ints[at..]), simd.load_ints(&ints[at + 3..]));
                let mut stored = [0; 16];
                for (index, value) in [
                    simd.add_ints(a, b),
                    simd.sub_ints(a, b),
                    simd.mul_ints(a, b),
                    simd.shift_ints::<3>(a),
                    simd.rounded(simd.load(&floats[at..])),
                    simd.add_ints(a, simd.splat_ints(5)),
                ]
                .into_iter()
                .enumerate()
                {
                    simd.store_ints(value, &mut stored);
                    out[index].extend(stored[..S::LANES].iter().map(|&value| i64::from(value)));
                }
                let mut lanes = [0.0; 16];
                simd.store(simd.to_floats(a), &mut lanes);
                out[6].extend(lanes[..S::LANES].iter().map(|value| i64::from(value.to_bits())));
                simd.store(simd.load_wide(&shorts[at..]), &mut lanes);
                out[7].extend(lanes[..S::LANES].iter().map(|value| *value as i64));
                let mut narrow = [0_i16; 16];
                simd.store_narrow(simd.rounded(simd.load(&floats[at..])), &mut narrow);
                out[8].extend(narrow[..S::LANES].iter().map(|&value| i64::from(value)));

                let (a, b) = (
                    simd.load_shorts(&shorts[2 * at..]),
                    simd.load_shorts(&shorts[2 * at + 1..]),
                );
                let mut values = [0_i16; 32];
                let mixed = simd.shift_shorts::<2>(simd.sub_shorts(simd.add_shorts(a, a), b));
                simd.store_shorts(mixed, &mut values);
                out[9].extend(values[..S::SHORTS].iter().map(|&value| i64::from(value)));
                let sums = simd.dot(a, b, simd.no_sums());
                let sums = simd.dot(a, simd.splat_pair([-321, 32_000]), sums);
                let sums = simd.dot(simd.load_bytes(&bytes[2 * at..]), b, sums);
                simd.store_ints(simd.total(sums), &mut stored);
                out[10].extend(stored[..S::LANES].iter().map(|&value| i64::from(value)));
                let halves = [
                    simd.rounded(simd.load(&floats[at..])),
                    simd.rounded(simd.load(&floats[at + 5..])),
                ];
                simd.store_shorts(simd.pair_ints(halves[0], halves[1]), &mut values);
                out[12].extend(values[..S::SHORTS].iter().map(|&value| i64::from(value)));
                let part = simd.load_shorts_partial(&shorts[2 * at..][..S::SHORTS - 1]);
                simd.store_shorts_partial(part, &mut values[..S::SHORTS]);
                let part = &values[..S::SHORTS];
                out[11].extend(part[..S::SHORTS - 1].iter().map(|&value| i64::from(value)));
                assert_eq!(part[S::SHORTS - 1], 0);
                out[11].push(i64::from(shorts[2 * at + S::SHORTS - 1]));
            }
            out.concat()
        }
    }

    /// Against plain arithmetic, and so against each other.
    #[test]
    fn integer_lanes_are_exact() {
        let shorts: Vec<i16> = (0..64).map(|i: i16| i.wrapping_mul(7919).wrapping_sub(13)).collect();
        let ints: Vec<i32> = (0..32).map(|i: i32| i.wrapping_mul(0x3ade_68b1)).collect();
        let bytes: Vec<i8> = (0..32).map(|i: i8| i.wrapping_mul(37)).collect();
        let floats: Vec<f32> = (0..32).map(|i| (i as f32 - 15.5) * 1.5).collect();
        let sum = |i: usize| {
            let pair = |a: [i16; 2], b: usize| {
                i32::from(a[0])
                    .wrapping_mul(i32::from(shorts[b]))
                    .wrapping_add(i32::from(a[1]).wrapping_mul(i32::from(shorts[b + 1])))
            };
            let own = [shorts[2 * i], shorts[2 * i + 1]];
            let constant = i32::from(own[0])
                .wrapping_mul(-321)
                .wrapping_add(i32::from(own[1]).wrapping_mul(32_000));
            let wide = [i16::from(bytes[2 * i]), i16::from(bytes[2 * i + 1])];
            pair(own, 2 * i + 1)
                .wrapping_add(constant)
                .wrapping_add(pair(wide, 2 * i + 1))
        };
        let int = |f: &dyn Fn(usize) -> i32| (0..16).map(|i| i64::from(f(i))).collect::<Vec<i64>>();
        let expected = [
            int(&|i| ints[i].wrapping_add(ints[i + 3])),
            int(&|i| ints[i].wrapping_sub(ints[i + 3])),
            int(&|i| ints[i].wrapping_mul(ints[i + 3])),
            int(&|i| ints[i] << 3),
            int(&|i| floats[i].round_ties_even() as i32),
            int(&|i| ints[i].wrapping_add(5)),
            (0..16).map(|i| i64::from((ints[i] as f32).to_bits())).collect(),
            int(&|i| i32::from(shorts[i])),
            int(&|i| floats[i].round_ties_even() as i32),
            (0..32)
                .map(|i| {
                    let mixed = shorts[i].wrapping_add(shorts[i]).wrapping_sub(shorts[i + 1]);
                    i64::from(mixed << 2)
                })
                .collect(),
            int(&sum),
            (0..32).map(|i| i64::from(shorts[i])).collect(),
            (0..32)
                .map(|i| floats[i / 2 + 5 * (i % 2)].round_ties_even() as i64)
                .collect(),
        ];
        for isa in Isa::available() {
            assert_eq!(isa.run(Everything), expected.concat(), "{isa:?}");
        }
    }
}
