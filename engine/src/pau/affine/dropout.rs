//! Dropout of single elements whose draws are computed where they are needed, so that they need not be stored.

use crate::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Which elements are left out, and the factor of the others.
///
/// Element `i` of a feature map is left out with a probability of `share`; the draws are a function of key and `i` alone (Salmon et al.
/// 2011 on generators that count), so a backward pass finds those of its forward pass. `dualnet_cuda::site` has the
/// same threshold, factor and draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElementDropout {
    keys: [u32; 2],
    /// Draws below it leave an element out.
    threshold: u32,
    factor: f32,
}

impl ElementDropout {
    /// The draws of this key; `share` is limited to `0 … 1 − 2⁻³²`.
    pub fn new(key: u64, share: f64) -> Self {
        let threshold = (share.clamp(0.0, 1.0) * 2_f64.powi(32)) as u32;
        Self {
            keys: [key as u32, (key >> 32) as u32],
            threshold,
            factor: (1.0 / (1.0 - f64::from(threshold) * 2_f64.powi(-32))) as f32,
        }
    }

    /// Writes what the elements are multiplied by: 0 or `1/(1 − share)`.
    pub fn factors(self, isa: Isa, out: &mut [f32]) {
        const BLOCK: usize = 1 << 15;
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(index, out)| {
            out.fill(1.0);
            self.apply(isa, index * BLOCK, out);
        });
    }

    /// Multiplies elements, the first of which is number `first`.
    pub(super) fn apply(self, isa: Isa, first: usize, elements: &mut [f32]) {
        isa.run(Sweep {
            dropout: self,
            first,
            elements,
        });
    }

    /// Multiplications and shifts between which the halves of the key enter; evenly distributed over all numbers of 32 bits.
    #[inline(always)]
    fn draw(self, element: u32) -> u32 {
        let mut bits = element.wrapping_mul(0x9e37_79b1) ^ self.keys[0];
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
        bits = bits.wrapping_add(self.keys[1]);
        bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x27d4_eb2f);
        bits ^ (bits >> 15)
    }
}

struct Sweep<'a> {
    dropout: ElementDropout,
    first: usize,
    elements: &'a mut [f32],
}

impl Kernel for Sweep<'_> {
    type Output = ();

    /// A plain loop, which is compiled for each instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self {
            dropout,
            first,
            elements,
        } = self;
        // Beyond 2³² elements the draws repeat.
        let first = first as u32;
        for (element, index) in elements.iter_mut().zip(0_u32..) {
            let keeps = dropout.draw(first.wrapping_add(index)) >= dropout.threshold;
            *element = if keeps { *element * dropout.factor } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 1 << 20;

    fn isa() -> Isa {
        Isa::detect().expect("an instruction set")
    }

    /// 1 for what is left out.
    fn left_out(key: u64, share: f64) -> Vec<f64> {
        let mut factors = vec![0.0; COUNT];
        ElementDropout::new(key, share).factors(isa(), &mut factors);
        factors
            .iter()
            .map(|&factor| f64::from(u8::from(factor == 0.0)))
            .collect()
    }

    /// Correlation of two draws in units of the standard deviation that independent ones would have.
    fn deviation(a: &[f64], b: &[f64], share: f64) -> f64 {
        let products: f64 = a.iter().zip(b).map(|(a, b)| (a - share) * (b - share)).sum();
        products / (share * (1.0 - share) * (a.len() as f64).sqrt())
    }

    /// Frequencies and correlations within 5 standard deviations: between neighbours, rows of a map, and keys that differ in a bit.
    #[test]
    fn draws_are_independent() {
        for share in [0.05, 0.3] {
            for key in [0, 1, 1 << 40, 0x1234_5678_9abc_def0] {
                let drawn = left_out(key, share);
                let count = drawn.iter().sum::<f64>();
                let spread = (COUNT as f64 * share * (1.0 - share)).sqrt();
                assert!(
                    (count - COUNT as f64 * share).abs() < 5.0 * spread,
                    "{key:#x}: {count} of {COUNT}"
                );
                for lag in [1, 2, 3, 4, 8, 16, 32, 64, 1056, 65_536, 148_632] {
                    let found = deviation(&drawn[lag..], &drawn[..COUNT - lag], share);
                    assert!(found.abs() < 5.0, "{key:#x}, lag {lag}: {found}");
                }
                for bit in 0..64 {
                    let found = deviation(&drawn, &left_out(key ^ (1 << bit), share), share);
                    assert!(found.abs() < 5.0, "{key:#x}, bit {bit}: {found}");
                }
            }
        }
    }

    /// In whatever pieces, on whatever instruction set; the mean factor of what is kept undoes what is left out.
    #[test]
    fn draws_depend_on_key_and_element_alone() {
        let dropout = ElementDropout::new(99, 0.25);
        let mut whole = vec![0.0; 1000];
        dropout.factors(isa(), &mut whole);
        for isa in Isa::available() {
            for length in [1, 7, 16, 333] {
                let mut pieces = vec![1.0; 1000];
                for (index, piece) in pieces.chunks_mut(length).enumerate() {
                    dropout.apply(isa, index * length, piece);
                }
                assert_eq!(pieces, whole, "{isa:?}, pieces of {length}");
            }
        }
        assert!(whole.iter().all(|&factor| factor == 0.0 || factor == 4.0 / 3.0));
        assert_eq!(ElementDropout::new(5, 0.0).factor, 1.0);
        assert!(ElementDropout::new(5, 1.0).factor.is_finite());
    }
}
