//! Plain Rust in eight 32-bit and sixteen 16-bit lanes.

use super::super::Portable;
use super::super::portable::F32x8;
use super::Integer;

/// Eight lanes.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct I32x8([i32; 8]);

/// Sixteen lanes.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct I16x16([i16; 16]);

impl Integer for Portable {
    type Ints = I32x8;
    type Shorts = I16x16;
    type Sums = I32x8;

    #[inline(always)]
    fn splat_ints(self, value: i32) -> I32x8 {
        I32x8([value; 8])
    }

    #[inline(always)]
    fn load_ints(self, from: &[i32]) -> I32x8 {
        let mut out = I32x8([0; 8]);
        out.0.copy_from_slice(&from[..8]);
        out
    }

    #[inline(always)]
    fn store_ints(self, vector: I32x8, to: &mut [i32]) {
        to[..8].copy_from_slice(&vector.0);
    }

    #[inline(always)]
    fn add_ints(self, a: I32x8, b: I32x8) -> I32x8 {
        let mut out = a;
        for lane in 0..8 {
            out.0[lane] = a.0[lane].wrapping_add(b.0[lane]);
        }
        out
    }

    #[inline(always)]
    fn sub_ints(self, a: I32x8, b: I32x8) -> I32x8 {
        let mut out = a;
        for lane in 0..8 {
            out.0[lane] = a.0[lane].wrapping_sub(b.0[lane]);
        }
        out
    }

    #[inline(always)]
    fn mul_ints(self, a: I32x8, b: I32x8) -> I32x8 {
        let mut out = a;
        for lane in 0..8 {
            out.0[lane] = a.0[lane].wrapping_mul(b.0[lane]);
        }
        out
    }

    #[inline(always)]
    fn shift_ints<const N: i32>(self, a: I32x8) -> I32x8 {
        let mut out = a;
        for lane in 0..8 {
            out.0[lane] = a.0[lane] << N;
        }
        out
    }

    #[inline(always)]
    fn to_floats(self, a: I32x8) -> F32x8 {
        let mut out = F32x8([0.0; 8]);
        for lane in 0..8 {
            out.0[lane] = a.0[lane] as f32;
        }
        out
    }

    #[inline(always)]
    fn rounded(self, a: F32x8) -> I32x8 {
        /// 1.5·2²³: the sum's low bits hold the nearest whole number.
        const ROUND: f32 = 12_582_912.0;
        let mut out = I32x8([0; 8]);
        for lane in 0..8 {
            out.0[lane] = (a.0[lane] + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
        }
        out
    }

    #[inline(always)]
    fn store_narrow(self, vector: I32x8, to: &mut [i16]) {
        for (to, from) in to[..8].iter_mut().zip(vector.0) {
            *to = from as i16;
        }
    }

    #[inline(always)]
    fn load_wide(self, from: &[i16]) -> F32x8 {
        let mut out = F32x8([0.0; 8]);
        for (to, from) in out.0.iter_mut().zip(&from[..8]) {
            *to = f32::from(*from);
        }
        out
    }

    #[inline(always)]
    fn splat_pair(self, [first, second]: [i16; 2]) -> I16x16 {
        let mut out = I16x16([first; 16]);
        for lane in 0..8 {
            out.0[2 * lane + 1] = second;
        }
        out
    }

    #[inline(always)]
    fn load_shorts(self, from: &[i16]) -> I16x16 {
        let mut out = I16x16([0; 16]);
        out.0.copy_from_slice(&from[..16]);
        out
    }

    #[inline(always)]
    fn store_shorts(self, vector: I16x16, to: &mut [i16]) {
        to[..16].copy_from_slice(&vector.0);
    }

    #[inline(always)]
    fn load_bytes(self, from: &[i8]) -> I16x16 {
        let mut out = I16x16([0; 16]);
        for (to, from) in out.0.iter_mut().zip(&from[..16]) {
            *to = i16::from(*from);
        }
        out
    }

    #[inline(always)]
    fn add_shorts(self, a: I16x16, b: I16x16) -> I16x16 {
        let mut out = a;
        for lane in 0..16 {
            out.0[lane] = a.0[lane].wrapping_add(b.0[lane]);
        }
        out
    }

    #[inline(always)]
    fn sub_shorts(self, a: I16x16, b: I16x16) -> I16x16 {
        let mut out = a;
        for lane in 0..16 {
            out.0[lane] = a.0[lane].wrapping_sub(b.0[lane]);
        }
        out
    }

    #[inline(always)]
    fn shift_shorts<const N: i32>(self, a: I16x16) -> I16x16 {
        let mut out = a;
        for lane in 0..16 {
            out.0[lane] = a.0[lane] << N;
        }
        out
    }

    #[inline(always)]
    fn no_sums(self) -> I32x8 {
        I32x8([0; 8])
    }

    #[inline(always)]
    fn dot(self, a: I16x16, b: I16x16, sums: I32x8) -> I32x8 {
        let mut out = sums;
        for lane in 0..8 {
            let first = i32::from(a.0[2 * lane]).wrapping_mul(i32::from(b.0[2 * lane]));
            let second = i32::from(a.0[2 * lane + 1]).wrapping_mul(i32::from(b.0[2 * lane + 1]));
            out.0[lane] = sums.0[lane].wrapping_add(first.wrapping_add(second));
        }
        out
    }

    #[inline(always)]
    fn pair_ints(self, first: I32x8, second: I32x8) -> I16x16 {
        let mut out = I16x16([0; 16]);
        for lane in 0..8 {
            out.0[2 * lane] = first.0[lane] as i16;
            out.0[2 * lane + 1] = second.0[lane] as i16;
        }
        out
    }

    #[inline(always)]
    fn total(self, sums: I32x8) -> I32x8 {
        sums
    }
}
