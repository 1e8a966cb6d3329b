//! AVX2: 16 products at a time.

use super::super::avx2::Avx2;
use super::super::lanewise;
use super::{Integer, pair_bits};
use std::arch::x86_64::*;

impl Integer for Avx2 {
    type Ints = __m256i;
    type Shorts = __m256i;
    type Sums = __m256i;

    lanewise! {
        fn splat_ints(value: i32) -> __m256i = _mm256_set1_epi32(value);
        fn add_ints(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        fn sub_ints(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        fn mul_ints(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        fn to_floats(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        fn rounded(a: __m256) -> __m256i = _mm256_cvtps_epi32(a);
        fn splat_pair(pair: [i16; 2]) -> __m256i = _mm256_set1_epi32(pair_bits(pair));
        fn add_shorts(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi16(a, b);
        fn sub_shorts(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi16(a, b);
        fn no_sums() -> __m256i = _mm256_setzero_si256();
        fn dot(a: __m256i, b: __m256i, sums: __m256i) -> __m256i = _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
    }

    #[inline(always)]
    fn pair_ints(self, first: __m256i, second: __m256i) -> __m256i {
        // SAFETY: `self` exists only where `detect` has found AVX2; registers only.
        unsafe { _mm256_blend_epi16::<0xaa>(first, _mm256_slli_epi32::<16>(second)) }
    }

    #[inline(always)]
    fn total(self, sums: __m256i) -> __m256i {
        sums
    }

    #[inline(always)]
    fn shift_ints<const N: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` exists only where `detect` has found AVX2; registers only.
        unsafe { _mm256_slli_epi32::<N>(a) }
    }

    #[inline(always)]
    fn shift_shorts<const N: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` exists only where `detect` has found AVX2; registers only.
        unsafe { _mm256_slli_epi16::<N>(a) }
    }

    #[inline(always)]
    fn load_ints(self, from: &[i32]) -> __m256i {
        assert!(from.len() >= 8);
        // SAFETY: AVX2 is there (`self`), and `from` holds the 8 values read; the load takes any alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_ints(self, vector: __m256i, to: &mut [i32]) {
        assert!(to.len() >= 8);
        // SAFETY: AVX2 is there (`self`), and `to` holds the 8 values written; the store takes any alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn store_narrow(self, vector: __m256i, to: &mut [i16]) {
        assert!(to.len() >= 8);
        // SAFETY: AVX2 is there (`self`), and `to` holds the 8 values (16 bytes) written; the store takes any alignment.
        unsafe {
            let packed = _mm_packs_epi32(_mm256_castsi256_si128(vector), _mm256_extracti128_si256::<1>(vector));
            _mm_storeu_si128(to.as_mut_ptr().cast(), packed);
        }
    }

    #[inline(always)]
    fn load_wide(self, from: &[i16]) -> __m256 {
        assert!(from.len() >= 8);
        // SAFETY: AVX2 is there (`self`), and `from` holds the 8 values (16 bytes) read; the load takes any alignment.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(from.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn load_shorts(self, from: &[i16]) -> __m256i {
        assert!(from.len() >= 16);
        // SAFETY: AVX2 is there (`self`), and `from` holds the 16 values read; the load takes any alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_shorts(self, vector: __m256i, to: &mut [i16]) {
        assert!(to.len() >= 16);
        // SAFETY: AVX2 is there (`self`), and `to` holds the 16 values written; the store takes any alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[i8]) -> __m256i {
        assert!(from.len() >= 16);
        // SAFETY: AVX2 is there (`self`), and `from` holds the 16 bytes read; the load takes any alignment.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())) }
    }
}
