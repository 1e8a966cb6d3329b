//! From floats to 8-bit values, and where the results of a layer go.

use crate::plan::Quantization;
use crate::simd::{Integer, Kernel};

/// `round(x/scale)` between the ends of 8 bits, minus the zero point throughout: `QuantizeLinear`, centred. Ties go to the even number. `x`
/// is multiplied by `1/scale`, which may round a number within 2⁻²³ of a tie the other way than a division does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cpu) struct Rounding {
    factor: f32,
    low: f32,
    high: f32,
}

impl Rounding {
    /// For a scale whose inverse is finite.
    pub(in crate::cpu) fn new(scale: f32, zero_point: i8) -> Self {
        Self {
            factor: 1.0 / scale,
            low: -128.0 - f32::from(zero_point),
            high: 127.0 - f32::from(zero_point),
        }
    }

    /// The rounding of `factor·x`.
    #[inline(always)]
    pub(super) fn of(self, factor: f32) -> Self {
        Self {
            factor: self.factor * factor,
            ..self
        }
    }

    #[inline(always)]
    pub(super) fn apply<S: Integer>(self, simd: S, x: S::Vector) -> S::Ints {
        let scaled = simd.mul(x, simd.splat(self.factor));
        let bounded = simd.max(simd.min(scaled, simd.splat(self.high)), simd.splat(self.low));
        simd.rounded(bounded)
    }
}

impl From<Quantization> for Rounding {
    fn from(quantization: Quantization) -> Self {
        Self::new(quantization.scale, quantization.zero_point)
    }
}

/// `to = rounding(from)`, equally long.
pub(in crate::cpu) struct Quantize<'a> {
    pub(in crate::cpu) from: &'a [f32],
    pub(in crate::cpu) to: &'a mut [i16],
    pub(in crate::cpu) rounding: Rounding,
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, simd: S) {
        assert_eq!(self.from.len(), self.to.len());
        let mut to = self.to.chunks_exact_mut(S::LANES);
        let mut from = self.from.chunks_exact(S::LANES);
        for (from, to) in (&mut from).zip(&mut to) {
            simd.store_narrow(self.rounding.apply(simd, simd.load(from)), to);
        }
        let mut rest = [0; crate::simd::MAX_LANES];
        let (from, to) = (from.remainder(), to.into_remainder());
        simd.store_narrow(self.rounding.apply(simd, simd.load_partial(from)), &mut rest);
        to.copy_from_slice(&rest[..to.len()]);
    }
}

/// Where a layer's results go.
pub(in crate::cpu) enum Target<'a> {
    /// As they are.
    Floats(&'a mut [f32]),
    /// Rounded to 8 bits.
    Quantized(&'a mut [i16], Rounding),
}

/// One of [`Target`]'s, known when a kernel is compiled.
pub(super) trait Sink {
    fn put<S: Integer>(&mut self, simd: S, vector: S::Vector, at: usize);
}

pub(super) struct Floats<'a>(pub(super) &'a mut [f32]);

impl Sink for Floats<'_> {
    #[inline(always)]
    fn put<S: Integer>(&mut self, simd: S, vector: S::Vector, at: usize) {
        simd.store(vector, &mut self.0[at..]);
    }
}

pub(super) struct Quantized<'a>(pub(super) &'a mut [i16], pub(super) Rounding);

impl Sink for Quantized<'_> {
    #[inline(always)]
    fn put<S: Integer>(&mut self, simd: S, vector: S::Vector, at: usize) {
        simd.store_narrow(self.1.apply(simd, vector), &mut self.0[at..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, numbers};

    /// Equal to the definition, saturation and remainders included; numbers near a tie are left out.
    #[test]
    fn floats_become_centred_bytes() {
        let (scale, zero_point) = (0.013_f32, -101_i8);
        let x: Vec<f32> = numbers("quantize", 1003).iter().map(|x| 2.5 * x).collect();
        for isa in isas() {
            let mut q = vec![i16::MIN; x.len()];
            isa.run(Quantize {
                from: &x,
                to: &mut q,
                rounding: Rounding::new(scale, zero_point),
            });
            for (&x, &q) in x.iter().zip(&q) {
                let exact = f64::from(x) / f64::from(scale);
                if (exact.fract().abs() - 0.5).abs() < 1e-4 {
                    continue;
                }
                let expected = (exact.round_ties_even() as i64 + i64::from(zero_point)).clamp(-128, 127);
                assert_eq!(i64::from(q), expected - i64::from(zero_point), "{isa:?}: {x}");
            }
        }
    }
}
