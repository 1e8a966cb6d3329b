//! AVX2 with FMA: eight lanes.

use super::{Kernel, Simd, lanewise};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn compiled<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists only where `detect` has found AVX2 and FMA.
        unsafe { compiled(self, kernel) }
    }
}

impl Simd for Avx2 {
    type Vector = __m256;

    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    lanewise! {
        fn splat(value: f32) -> __m256 = _mm256_set1_ps(value);
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        fn abs(a: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        fn any_greater(a: __m256, b: __m256) -> bool = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) != 0;
    }

    #[inline(always)]
    fn power_of_two(self, shifted: __m256) -> __m256 {
        // SAFETY: `self` exists only where `detect` has found AVX2; registers only.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
    }

    #[inline(always)]
    fn with_sign(self, magnitude: __m256, of: __m256) -> __m256 {
        // SAFETY: `self` exists only where `detect` has found AVX2; registers only.
        unsafe {
            let signed = _mm256_or_ps(magnitude, _mm256_and_ps(of, _mm256_set1_ps(-0.0)));
            _mm256_and_ps(signed, _mm256_cmp_ps::<_CMP_NEQ_UQ>(of, _mm256_setzero_ps()))
        }
    }

    #[inline(always)]
    fn prefetch(self, from: &[f32], index: usize) {
        // SAFETY: a hint, which neither reads nor faults whatever the address; `wrapping_add` makes it without a claim on it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.as_ptr().wrapping_add(index).cast()) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        assert!(from.len() >= Self::LANES);
        // SAFETY: AVX2 is there (`self`), and `from` holds the 8 values read; the load takes any alignment.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m256, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: AVX2 is there (`self`), and `to` holds the 8 values written; the store takes any alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) }
    }
}
