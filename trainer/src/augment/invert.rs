//! Inversion, which the paper does not have: a recorder held the other way round.

/// Turns the lead over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inversion;

impl Inversion {
    /// Gives every sample the other sign.
    pub fn apply(self, samples: &mut [f32]) {
        samples.iter_mut().for_each(|sample| *sample = -*sample);
    }
}
