//! AVX-512F and BW: sixteen lanes.

use super::{Kernel, Simd, lanewise};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512F and BW, and VNNI where `VNNI` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512<const VNNI: bool>(());

impl<const VNNI: bool> Avx512<VNNI> {
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && (!VNNI || is_x86_feature_detected!("avx512vnni"));
        found.then_some(Self(()))
    }

    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn compiled<K: Kernel, const VNNI: bool>(simd: Avx512<VNNI>, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn with_vnni<K: Kernel, const VNNI: bool>(simd: Avx512<VNNI>, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists only where `detect` has found AVX-512F and BW, and with `VNNI` that too.
        unsafe {
            if VNNI {
                with_vnni(self, kernel)
            } else {
                compiled(self, kernel)
            }
        }
    }
}

/// The mask of the first `lanes` lanes, `lanes` ≤ 16.
#[inline(always)]
fn first(lanes: usize) -> __mmask16 {
    ((1u32 << lanes) - 1) as __mmask16
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    type Vector = __m512;

    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    lanewise! {
        fn splat(value: f32) -> __m512 = _mm512_set1_ps(value);
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        fn abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
        fn any_greater(a: __m512, b: __m512) -> bool = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) != 0;
    }

    #[inline(always)]
    fn power_of_two(self, shifted: __m512) -> __m512 {
        // SAFETY: `self` exists only where `detect` has found AVX-512F; registers only.
        unsafe {
            let biased = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
    }

    #[inline(always)]
    fn with_sign(self, magnitude: __m512, of: __m512) -> __m512 {
        // SAFETY: `self` exists only where `detect` has found AVX-512F; registers only.
        unsafe {
            let sign = _mm512_and_si512(_mm512_castps_si512(of), _mm512_set1_epi32(i32::MIN));
            let signed = _mm512_or_si512(_mm512_castps_si512(magnitude), sign);
            let nonzero = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(of, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(nonzero, _mm512_castsi512_ps(signed))
        }
    }

    #[inline(always)]
    fn prefetch(self, from: &[f32], index: usize) {
        // SAFETY: a hint, which neither reads nor faults whatever the address; `wrapping_add` makes it without a claim on it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.as_ptr().wrapping_add(index).cast()) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        assert!(from.len() >= Self::LANES);
        // SAFETY: AVX-512F is there (`self`), and `from` holds the 16 values read; the load takes any alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: AVX-512F is there (`self`), and `to` holds the 16 values written; the store takes any alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> __m512 {
        assert!(from.len() <= Self::LANES);
        // SAFETY: AVX-512F is there (`self`); masked lanes are not read, and the mask covers exactly `from`.
        unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
    }

    #[inline(always)]
    fn store_partial(self, vector: __m512, to: &mut [f32]) {
        assert!(to.len() <= Self::LANES);
        // SAFETY: AVX-512F is there (`self`); masked lanes are not written, and the mask covers exactly `to`.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), vector) }
    }
}
