//! NEON: eight products at a time.

use super::super::lanewise;
use super::super::neon::Neon;
use super::{Integer, pair_bits};
use std::arch::aarch64::*;

impl Integer for Neon {
    type Ints = int32x4_t;
    type Shorts = int16x8_t;
    /// Products of the lower and of the upper four pairs' members, side by side.
    type Sums = [int32x4_t; 2];

    lanewise! {
        fn splat_ints(value: i32) -> int32x4_t = vdupq_n_s32(value);
        fn add_ints(a: int32x4_t, b: int32x4_t) -> int32x4_t = vaddq_s32(a, b);
        fn sub_ints(a: int32x4_t, b: int32x4_t) -> int32x4_t = vsubq_s32(a, b);
        fn mul_ints(a: int32x4_t, b: int32x4_t) -> int32x4_t = vmulq_s32(a, b);
        fn to_floats(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
        fn rounded(a: float32x4_t) -> int32x4_t = vcvtnq_s32_f32(a);
        fn splat_pair(pair: [i16; 2]) -> int16x8_t = vreinterpretq_s16_s32(vdupq_n_s32(pair_bits(pair)));
        fn add_shorts(a: int16x8_t, b: int16x8_t) -> int16x8_t = vaddq_s16(a, b);
        fn sub_shorts(a: int16x8_t, b: int16x8_t) -> int16x8_t = vsubq_s16(a, b);
        fn no_sums() -> [int32x4_t; 2] = [vdupq_n_s32(0); 2];
        fn dot(a: int16x8_t, b: int16x8_t, sums: [int32x4_t; 2]) -> [int32x4_t; 2] = [
            vmlal_s16(sums[0], vget_low_s16(a), vget_low_s16(b)),
            vmlal_high_s16(sums[1], a, b)
        ];
        fn pair_ints(first: int32x4_t, second: int32x4_t) -> int16x8_t =
            vtrn1q_s16(vreinterpretq_s16_s32(first), vreinterpretq_s16_s32(second));
        fn total(sums: [int32x4_t; 2]) -> int32x4_t = vpaddq_s32(sums[0], sums[1]);
    }

    #[inline(always)]
    fn shift_ints<const N: i32>(self, a: int32x4_t) -> int32x4_t {
        // SAFETY: `self` exists only where `detect` has found NEON; registers only.
        unsafe { vshlq_n_s32::<N>(a) }
    }

    #[inline(always)]
    fn shift_shorts<const N: i32>(self, a: int16x8_t) -> int16x8_t {
        // SAFETY: `self` exists only where `detect` has found NEON; registers only.
        unsafe { vshlq_n_s16::<N>(a) }
    }

    #[inline(always)]
    fn load_ints(self, from: &[i32]) -> int32x4_t {
        assert!(from.len() >= 4);
        // SAFETY: NEON is there (`self`), and `from` holds the 4 values read; the load needs an `i32`'s alignment only.
        unsafe { vld1q_s32(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_ints(self, vector: int32x4_t, to: &mut [i32]) {
        assert!(to.len() >= 4);
        // SAFETY: NEON is there (`self`), and `to` holds the 4 values written; the store needs an `i32`'s alignment only.
        unsafe { vst1q_s32(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn store_narrow(self, vector: int32x4_t, to: &mut [i16]) {
        assert!(to.len() >= 4);
        // SAFETY: NEON is there (`self`), and `to` holds the 4 values written; the store needs an `i16`'s alignment only.
        unsafe { vst1_s16(to.as_mut_ptr(), vqmovn_s32(vector)) }
    }

    #[inline(always)]
    fn load_wide(self, from: &[i16]) -> float32x4_t {
        assert!(from.len() >= 4);
        // SAFETY: NEON is there (`self`), and `from` holds the 4 values read; the load needs an `i16`'s alignment only.
        unsafe { vcvtq_f32_s32(vmovl_s16(vld1_s16(from.as_ptr()))) }
    }

    #[inline(always)]
    fn load_shorts(self, from: &[i16]) -> int16x8_t {
        assert!(from.len() >= 8);
        // SAFETY: NEON is there (`self`), and `from` holds the 8 values read; the load needs an `i16`'s alignment only.
        unsafe { vld1q_s16(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_shorts(self, vector: int16x8_t, to: &mut [i16]) {
        assert!(to.len() >= 8);
        // SAFETY: NEON is there (`self`), and `to` holds the 8 values written; the store needs an `i16`'s alignment only.
        unsafe { vst1q_s16(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[i8]) -> int16x8_t {
        assert!(from.len() >= 8);
        // SAFETY: NEON is there (`self`), and `from` holds the 8 bytes read.
        unsafe { vmovl_s8(vld1_s8(from.as_ptr())) }
    }
}
