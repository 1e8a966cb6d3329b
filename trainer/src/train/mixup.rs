//! Mixup (Zhang et al. 2018): a batch blended with itself in another order.

use crate::random::Rng;
use tch::{TchError, Tensor};

/// How one batch is blended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mixup {
    /// Share of each record that stays, λ.
    pub(super) share: f64,
    /// The record that each record is blended with.
    pub(super) partners: Vec<i64>,
}

impl Mixup {
    /// Draws λ from Beta(α, α) and an order of `records` records.
    pub(super) fn draw(rng: &mut Rng, alpha: f64, records: usize) -> Self {
        let mut partners: Vec<i64> = (0..records as i64).collect();
        rng.shuffle(&mut partners);
        Self {
            share: beta(rng, alpha),
            partners,
        }
    }

    /// `λ·x + (1 − λ)·x[partners]` over the first axis.
    pub(super) fn blend(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let partners = Tensor::f_from_slice(&self.partners)?.f_to_device(x.device())?;
        let others = x.f_index_select(0, &partners)?;
        x.f_mul_scalar(self.share)?
            .f_add(&others.f_mul_scalar(1.0 - self.share)?)
    }

    /// The labels of the partners.
    pub(super) fn partners_of(&self, labels: &Tensor) -> Result<Tensor, TchError> {
        let partners = Tensor::f_from_slice(&self.partners)?.f_to_device(labels.device())?;
        labels.f_index_select(0, &partners)
    }
}

/// Beta(α, α) from two Gamma(α) draws: a / (a + b), whose logarithms stay numbers where α is so small that the draws would not.
fn beta(rng: &mut Rng, alpha: f64) -> f64 {
    let (a, b) = (ln_gamma(rng, alpha), ln_gamma(rng, alpha));
    1.0 / (1.0 + (b - a).exp())
}

/// The logarithm of a Gamma(shape, 1) draw by the method of Marsaglia and Tsang (2000), with their boost below 1.
fn ln_gamma(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - rng.unit_f64()).ln() / shape;
        return boost + ln_gamma(rng, shape + 1.0);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = rng.normal();
        let v = (1.0 + c * normal).powi(3);
        let uniform = 1.0 - rng.unit_f64();
        if v > 0.0 && uniform.ln() < 0.5 * normal * normal + d * (1.0 - v + v.ln()) {
            return (d * v).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beta(α, α) has mean 1/2 and variance 1/(4(2α + 1)); 20 000 draws meet both within 2 % of the range.
    #[test]
    fn the_share_has_the_moments_of_its_distribution() {
        for alpha in [1e-6, 0.001, 0.2, 1.0, 4.0] {
            let rng = &mut Rng::for_name(1, "beta");
            let draws: Vec<f64> = (0..20_000).map(|_| beta(rng, alpha)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            assert!((mean - 0.5).abs() < 0.01, "{alpha}: mean {mean}");
            let expected = 0.25 / (2.0 * alpha + 1.0);
            assert!(
                (variance - expected).abs() < 0.02 * 0.25,
                "{alpha}: {variance}, not {expected}"
            );
        }
    }

    #[test]
    fn a_batch_is_blended_with_its_partners() {
        let mixup = Mixup {
            share: 0.75,
            partners: vec![1, 0],
        };
        let x = Tensor::from_slice(&[4.0_f32, 8.0]).view([2, 1]);
        let blended: Vec<f32> = Vec::try_from(mixup.blend(&x).expect("a tensor").view([-1])).expect("numbers");
        assert_eq!(blended, [5.0, 7.0]);
    }
}
