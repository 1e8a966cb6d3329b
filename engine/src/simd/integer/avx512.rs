//! AVX-512: 32 products at a time, summed by the same instruction where the processor has VNNI.

use super::super::avx512::Avx512;
use super::super::lanewise;
use super::{Integer, pair_bits};
use std::arch::x86_64::*;

impl<const VNNI: bool> Integer for Avx512<VNNI> {
    type Ints = __m512i;
    type Shorts = __m512i;
    type Sums = __m512i;

    lanewise! {
        fn splat_ints(value: i32) -> __m512i = _mm512_set1_epi32(value);
        fn add_ints(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        fn sub_ints(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        fn mul_ints(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        fn to_floats(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        fn rounded(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        fn splat_pair(pair: [i16; 2]) -> __m512i = _mm512_set1_epi32(pair_bits(pair));
        fn add_shorts(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi16(a, b);
        fn sub_shorts(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi16(a, b);
        fn no_sums() -> __m512i = _mm512_setzero_si512();
    }

    #[inline(always)]
    fn dot(self, a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
        // SAFETY: `self` exists only where `detect` has found AVX-512F and BW, and with `VNNI` that too; registers only.
        unsafe {
            if VNNI {
                _mm512_dpwssd_epi32(sums, a, b)
            } else {
                _mm512_add_epi32(sums, _mm512_madd_epi16(a, b))
            }
        }
    }

    #[inline(always)]
    fn pair_ints(self, first: __m512i, second: __m512i) -> __m512i {
        // SAFETY: `self` exists only where `detect` has found AVX-512F and BW; registers only.
        unsafe { _mm512_mask_blend_epi16(0xaaaa_aaaa, first, _mm512_slli_epi32::<16>(second)) }
    }

    #[inline(always)]
    fn total(self, sums: __m512i) -> __m512i {
        sums
    }

    #[inline(always)]
    fn shift_ints<const N: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` exists only where `detect` has found AVX-512F; registers only.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    fn shift_shorts<const N: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` exists only where `detect` has found AVX-512BW; registers only.
        unsafe { _mm512_sll_epi16(a, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    fn load_ints(self, from: &[i32]) -> __m512i {
        assert!(from.len() >= 16);
        // SAFETY: AVX-512F is there (`self`), and `from` holds the 16 values read; the load takes any alignment.
        unsafe { _mm512_loadu_epi32(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_ints(self, vector: __m512i, to: &mut [i32]) {
        assert!(to.len() >= 16);
        // SAFETY: AVX-512F is there (`self`), and `to` holds the 16 values written; the store takes any alignment.
        unsafe { _mm512_storeu_epi32(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn store_narrow(self, vector: __m512i, to: &mut [i16]) {
        assert!(to.len() >= 16);
        // SAFETY: AVX-512F is there (`self`), and `to` holds the 16 values (32 bytes) written; the store takes any alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtsepi32_epi16(vector)) }
    }

    #[inline(always)]
    fn load_wide(self, from: &[i16]) -> __m512 {
        assert!(from.len() >= 16);
        // SAFETY: AVX-512F is there (`self`), and `from` holds the 16 values (32 bytes) read; the load takes any alignment.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(from.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn load_shorts(self, from: &[i16]) -> __m512i {
        assert!(from.len() >= 32);
        // SAFETY: AVX-512BW is there (`self`), and `from` holds the 32 values read; the load takes any alignment.
        unsafe { _mm512_loadu_epi16(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_shorts(self, vector: __m512i, to: &mut [i16]) {
        assert!(to.len() >= 32);
        // SAFETY: AVX-512BW is there (`self`), and `to` holds the 32 values written; the store takes any alignment.
        unsafe { _mm512_storeu_epi16(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[i8]) -> __m512i {
        assert!(from.len() >= 32);
        // SAFETY: AVX-512BW is there (`self`), and `from` holds the 32 bytes read; the load takes any alignment.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_shorts_partial(self, from: &[i16]) -> __m512i {
        assert!(from.len() <= 32);
        // SAFETY: AVX-512BW is there (`self`); masked lanes are not read, and the mask covers exactly `from`.
        unsafe { _mm512_maskz_loadu_epi16(first(from.len()), from.as_ptr()) }
    }

    #[inline(always)]
    fn store_shorts_partial(self, vector: __m512i, to: &mut [i16]) {
        assert!(to.len() <= 32);
        // SAFETY: AVX-512BW is there (`self`); masked lanes are not written, and the mask covers exactly `to`.
        unsafe { _mm512_mask_storeu_epi16(to.as_mut_ptr(), first(to.len()), vector) }
    }
}

/// The mask of the first `lanes` lanes, `lanes` ≤ 32.
#[inline(always)]
fn first(lanes: usize) -> __mmask32 {
    ((1u64 << lanes) - 1) as __mmask32
}
