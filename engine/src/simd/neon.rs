//! NEON: four lanes.

use super::{Kernel, Simd, lanewise};
use std::arch::aarch64::*;

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn compiled<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists only where `detect` has found NEON.
        unsafe { compiled(self, kernel) }
    }
}

impl Simd for Neon {
    type Vector = float32x4_t;

    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    lanewise! {
        fn splat(value: f32) -> float32x4_t = vdupq_n_f32(value);
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vminnmq_f32(a, b);
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmaxnmq_f32(a, b);
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        fn neg_mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmsq_f32(c, a, b);
        fn abs(a: float32x4_t) -> float32x4_t = vabsq_f32(a);
        fn any_greater(a: float32x4_t, b: float32x4_t) -> bool = vmaxvq_u32(vcgtq_f32(a, b)) != 0;
    }

    #[inline(always)]
    fn power_of_two(self, shifted: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists only where `detect` has found NEON; registers only.
        unsafe {
            let biased = vaddq_u32(vreinterpretq_u32_f32(shifted), vdupq_n_u32(127));
            vreinterpretq_f32_u32(vshlq_n_u32::<23>(biased))
        }
    }

    #[inline(always)]
    fn with_sign(self, magnitude: float32x4_t, of: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists only where `detect` has found NEON; registers only.
        unsafe {
            let bits = vreinterpretq_u32_f32(of);
            let sign = vandq_u32(bits, vdupq_n_u32(1 << 31));
            let signed = vorrq_u32(vreinterpretq_u32_f32(magnitude), sign);
            vreinterpretq_f32_u32(vbicq_u32(signed, vceqzq_f32(of)))
        }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> float32x4_t {
        assert!(from.len() >= Self::LANES);
        // SAFETY: NEON is there (`self`), and `from` holds the 4 values read; the load needs an `f32`'s alignment only.
        unsafe { vld1q_f32(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: float32x4_t, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: NEON is there (`self`), and `to` holds the 4 values written; the store needs an `f32`'s alignment only.
        unsafe { vst1q_f32(to.as_mut_ptr(), vector) }
    }
}
