//! Vectors of `f32` lanes: one trait, one thin file per instruction set, one run-time choice.
//!
//! A kernel is written once, generic over [`Simd`] (or [`Integer`], which adds integer lanes), and started by [`Isa::run`], which compiles it once per instruction set
//! and calls the copy for the chosen one. The vector types are tokens' types: a token such as [`Portable`] or the AVX-512
//! one exists only where its instructions do, which is what makes every lane operation a safe call.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod integer;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

pub use integer::Integer;
pub use isa::{Isa, IsaError};
pub use portable::Portable;

/// The most lanes any instruction set has.
pub const MAX_LANES: usize = 16;

/// One instruction set's operations on a vector of [`Simd::LANES`] `f32` values.
///
/// Operations follow IEEE 754 per lane unless said otherwise. Implementations inline into their caller, so generic code that
/// uses them must be `#[inline(always)]` itself, down from [`Kernel::run`], and keep vectors out of closures.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of `LANES` values.
    type Vector: Copy;

    /// Lanes of a vector, at most [`MAX_LANES`].
    const LANES: usize;

    /// Vectors that registers hold at the same time.
    const REGISTERS: usize;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Vector;

    /// The first `LANES` values of `from`, of any alignment.
    ///
    /// # Panics
    /// When `from` is shorter than a vector.
    fn load(self, from: &[f32]) -> Self::Vector;

    /// Writes a vector to the first `LANES` values of `to`, of any alignment.
    ///
    /// # Panics
    /// When `to` is shorter than a vector.
    fn store(self, vector: Self::Vector, to: &mut [f32]);

    /// All of `from`, which is no longer than a vector; zeros in the lanes after it.
    ///
    /// # Panics
    /// When `from` is longer than [`MAX_LANES`].
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::Vector {
        let mut lanes = [0.0; MAX_LANES];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }

    /// Fills `to`, which is no longer than a vector, from the first lanes.
    ///
    /// # Panics
    /// When `to` is longer than [`MAX_LANES`].
    #[inline(always)]
    fn store_partial(self, vector: Self::Vector, to: &mut [f32]) {
        to.copy_from_slice(&self.lanes(vector)[..to.len()]);
    }

    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a − b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a · b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The smaller of `a` and `b`; `b` where `a` is NaN, either where `b` is.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The larger of `a` and `b`; `b` where `a` is NaN, either where `b` is.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a · b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `c − a · b`, rounded once where the instruction set can.
    fn neg_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `|a|`.
    fn abs(self, a: Self::Vector) -> Self::Vector;

    /// `magnitude · sign(of)` for magnitudes ≥ 0, with `sign(±0) = 0`.
    fn with_sign(self, magnitude: Self::Vector, of: Self::Vector) -> Self::Vector;

    /// `2^n` where a lane is `1.5·2²³ + n` for a whole `n` of −126 to 127, the sum that rounds a small number to `n`.
    fn power_of_two(self, shifted: Self::Vector) -> Self::Vector;

    /// Whether `a > b` in any lane (never for a NaN).
    fn any_greater(self, a: Self::Vector, b: Self::Vector) -> bool;

    /// Asks for the cache line of `from[index]`, which need not exist, where the instruction set can: nothing changes but time.
    #[inline(always)]
    fn prefetch(self, from: &[f32], index: usize) {
        let _ = (from, index);
    }

    /// The lanes, then zeros.
    #[inline(always)]
    fn lanes(self, vector: Self::Vector) -> [f32; MAX_LANES] {
        let mut lanes = [0.0; MAX_LANES];
        self.store(vector, &mut lanes);
        lanes
    }

    /// The sum of the lanes in `f64`, from the first to the last.
    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f64 {
        let lanes = self.lanes(vector);
        let mut sum = 0.0;
        for lane in &lanes[..Self::LANES] {
            sum += f64::from(*lane);
        }
        sum
    }
}

/// A computation generic over the instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;

    /// Computes with the instructions of `simd`. Implementations are `#[inline(always)]`, or they run without those instructions.
    fn run<S: Integer>(self, simd: S) -> Self::Output;
}

/// Lane operations that are one expression of intrinsics.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! lanewise {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),*) -> $output {
            // SAFETY: `self` exists only where `detect` has found these instructions, and the expression reads and writes
            // no memory.
            unsafe { $body }
        }
    )*};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use lanewise;
