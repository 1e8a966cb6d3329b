//! `y = F(scale·x + shift)` in place.

use crate::pau::rational::Rational;
use crate::simd::{Kernel, Simd};

/// A factor and a term per channel.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Affine<'a> {
    pub(in crate::cpu) scale: &'a [f32],
    pub(in crate::cpu) shift: &'a [f32],
}

/// Pixels `[.., channels]`, in place; as many channels as `affine` has.
pub(in crate::cpu) struct Activate<'a> {
    pub(in crate::cpu) pixels: &'a mut [f32],
    pub(in crate::cpu) affine: Affine<'a>,
    /// Added before the activation, as long as `pixels`.
    pub(in crate::cpu) shortcut: Option<&'a [f32]>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pau = self.pau.splat(simd);
        let Affine { scale, shift } = self.affine;
        let channels = scale.len();
        for (index, pixel) in self.pixels.chunks_exact_mut(channels).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let mut u = simd.mul_add(simd.load(&scale[c..]), simd.load(&pixel[c..]), simd.load(&shift[c..]));
                if let Some(shortcut) = self.shortcut {
                    u = simd.add(u, simd.load(&shortcut[index * channels + c..]));
                }
                simd.store(pau.value(u), &mut pixel[c..]);
            }
        }
    }
}

/// Planes of `length` values, whole panels of them, one for each channel of `affine`, in place; more channels than planes do not matter.
pub(in crate::cpu) struct ActivatePlanes<'a> {
    pub(in crate::cpu) planes: &'a mut [f32],
    pub(in crate::cpu) length: usize,
    pub(in crate::cpu) affine: Affine<'a>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
}

impl Kernel for ActivatePlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pau = self.pau.splat(simd);
        let Affine { scale, shift } = self.affine;
        for ((plane, scale), shift) in self.planes.chunks_exact_mut(self.length).zip(scale).zip(shift) {
            let (scale, shift) = (simd.splat(*scale), simd.splat(*shift));
            for values in plane.chunks_exact_mut(S::LANES) {
                let u = simd.mul_add(scale, simd.load(values), shift);
                simd.store(pau.value(u), values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::{isas, numbers, within};
    use crate::pau::Pau;
    use crate::pau::reference::Point;

    /// As accurate as the unit itself, and beyond the range of its `f32` formula too.
    #[test]
    fn the_activation_is_the_units() {
        let (channels, pixels) = (32, 5);
        let (scale, shift) = (numbers("scale", channels), numbers("shift", channels));
        let (mut x, shortcut) = (numbers("x", channels * pixels), numbers("shortcut", channels * pixels));
        x[40] = 1e9;
        for isa in isas() {
            let pau = Pau::with_isa(&[0.03, 0.5, 1.6, 2.0, 0.9, 0.15], &[0.0, 4.0, 0.1, 0.3], isa).unwrap();
            let rational = pau.published_order().unwrap();
            let mut y = x.clone();
            let affine = Affine {
                scale: &scale,
                shift: &shift,
            };
            isa.run(Activate {
                pixels: &mut y,
                affine,
                shortcut: Some(&shortcut),
                pau: rational,
            });
            for (i, &y) in y.iter().enumerate() {
                let u = scale[i % channels].mul_add(x[i], shift[i % channels]) + shortcut[i];
                let expected = Point::new(pau.numerator(), pau.denominator(), f64::from(u)).value;
                within(isa, y, expected, 2e-6 * (1.0 + expected.abs()));
            }
        }
    }
}
