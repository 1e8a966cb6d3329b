//! Plain Rust in eight lanes, for every processor; the compiler vectorizes it with the target's baseline instructions.

use super::{Kernel, Simd};

/// The instruction set every processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// Eight lanes.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct F32x8(pub(super) [f32; 8]);

impl Portable {
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Lane operations that are one scalar expression.
macro_rules! per_lane {
    ($(fn $name:ident($first:ident $(, $other:ident)*) = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $first: F32x8 $(, $other: F32x8)*) -> F32x8 {
            let mut out = F32x8([0.0; 8]);
            for lane in 0..8 {
                let $first = $first.0[lane];
                $(let $other = $other.0[lane];)*
                out.0[lane] = $body;
            }
            out
        }
    )*};
}

impl Simd for Portable {
    type Vector = F32x8;

    const LANES: usize = 8;
    const REGISTERS: usize = 8;

    per_lane! {
        fn add(a, b) = a + b;
        fn sub(a, b) = a - b;
        fn mul(a, b) = a * b;
        fn div(a, b) = a / b;
        fn min(a, b) = if a < b { a } else { b };
        fn max(a, b) = if a > b { a } else { b };
        fn mul_add(a, b, c) = a * b + c;
        fn neg_mul_add(a, b, c) = c - a * b;
        fn abs(a) = a.abs();
        fn power_of_two(shifted) = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        fn with_sign(magnitude, of) = if of == 0.0 { 0.0 } else { magnitude.copysign(of) };
    }

    #[inline(always)]
    fn any_greater(self, a: F32x8, b: F32x8) -> bool {
        let mut any = false;
        for lane in 0..8 {
            any |= a.0[lane] > b.0[lane];
        }
        any
    }

    #[inline(always)]
    fn splat(self, value: f32) -> F32x8 {
        F32x8([value; 8])
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> F32x8 {
        let mut out = F32x8([0.0; 8]);
        out.0.copy_from_slice(&from[..8]);
        out
    }

    #[inline(always)]
    fn store(self, vector: F32x8, to: &mut [f32]) {
        to[..8].copy_from_slice(&vector.0);
    }
}
