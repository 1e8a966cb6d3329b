//! From sums to a map, a pixel at a time: `F(scale·sum + shift)`, as floats or rounded to 8 bits.

use super::super::activate::Affine;
use super::quantize::{Floats, Quantized, Sink, Target};
use crate::pau::rational::Rational;
use crate::simd::{Integer, Kernel};

/// `F(scale·sum + shift)` of pixels `[.., channels]` one after the other, each row of `width` of them to its offset.
pub(in crate::cpu) struct Epilogue<'a> {
    pub(in crate::cpu) sums: &'a [i32],
    pub(in crate::cpu) affine: Affine<'a>,
    pub(in crate::cpu) pau: &'a Rational<6, 4>,
    pub(in crate::cpu) rows: &'a [usize],
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) to: Target<'a>,
}

impl Kernel for Epilogue<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(mut self, simd: S) {
        match std::mem::replace(&mut self.to, Target::Floats(&mut [])) {
            Target::Floats(to) => self.all(simd, Floats(to)),
            Target::Quantized(to, rounding) => self.all(simd, Quantized(to, rounding)),
        }
    }
}

impl Epilogue<'_> {
    #[inline(always)]
    fn all<S: Integer>(&self, simd: S, mut to: impl Sink) {
        let pau = self.pau.splat(simd);
        let Affine { scale, shift } = self.affine;
        let channels = scale.len();
        for (start, row) in self.rows.iter().zip(self.sums.chunks_exact(self.width * channels)) {
            for (x, pixel) in row.chunks_exact(channels).enumerate() {
                for c in (0..channels).step_by(S::LANES) {
                    let sum = simd.to_floats(simd.load_ints(&pixel[c..]));
                    let u = simd.mul_add(simd.load(&scale[c..]), sum, simd.load(&shift[c..]));
                    to.put(simd, pau.value(u), start + x * channels + c);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pairs, Product, Results};
    use super::*;
    use crate::cpu::kernels::testing::{integers, isas};
    use crate::cpu::kernels::{Operand, PAIRED_PATCH, padded, patches};
    use crate::pau::Pau;

    /// The convolution of a single channel: sums are exact, rows go to their offsets.
    #[test]
    fn single_channels_are_exact() {
        let (height, width, outputs) = (3, 7, 20);
        let columns = width + 2;
        let map = integers("map", (height + 2) * columns, 255);
        let filters = integers("filters", 9 * outputs, 127);
        let packed = Pairs::of(PAIRED_PATCH, outputs, |tap, output| match tap < 9 {
            true => filters[output * 9 + tap],
            false => 0,
        });
        let wide = padded(outputs);
        for isa in isas() {
            let pau = Pau::with_isa(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 4], isa).unwrap();
            let mut pairs = vec![0; height * width * PAIRED_PATCH];
            for (y, out) in pairs.chunks_mut(width * PAIRED_PATCH).enumerate() {
                patches::<PAIRED_PATCH, _>(&map, [0, 1, 2].map(|row| (y + row) * columns), width, out);
            }
            let rows = |stride: usize| (0..height * width).map(|pixel| pixel * stride).collect::<Vec<_>>();
            let mut sums = vec![0; height * width * wide];
            isa.run(Product {
                batch: 1,
                a: &pairs,
                a_rows: Operand::of(&rows(PAIRED_PATCH)),
                b: packed.view(),
                c: Results::Sums(&mut sums),
                c_rows: Operand::of(&rows(wide)),
            });
            let starts: Vec<usize> = (0..height).map(|y| (height - 1 - y) * width * wide).collect();
            let mut out = vec![f32::NAN; sums.len()];
            isa.run(Epilogue {
                sums: &sums,
                affine: Affine {
                    scale: &vec![1.0; wide],
                    shift: &vec![0.5; wide],
                },
                pau: pau.published_order().unwrap(),
                rows: &starts,
                width,
                to: Target::Floats(&mut out),
            });
            for (index, &found) in out.iter().enumerate() {
                let (y, x, output) = (height - 1 - index / wide / width, index / wide % width, index % wide);
                let term = |tap: usize| {
                    i32::from(map[(y + tap / 3) * columns + x + tap % 3]) * i32::from(filters[output * 9 + tap])
                };
                let sum: i32 = if output < outputs { (0..9).map(term).sum() } else { 0 };
                assert_eq!(found, sum as f32 + 0.5, "{isa:?}");
            }
        }
    }
}
