//! What stands in for the GPU's runtime in a build without the feature `cuda`.

use super::Refusal;
use crate::classifier::Part;
use crate::model::Model;
use crate::{Error, Precision};

/// Never there.
#[derive(Debug)]
pub(crate) enum Runtime {}

impl Runtime {
    /// Refuses.
    pub(crate) fn new(_: &Model, _: Precision, _: usize) -> Result<Self, Refusal> {
        Err(Refusal::Feature)
    }

    /// Never called.
    pub(crate) fn classify(&mut self, _: &[Part<'_>]) -> Vec<Result<Vec<f32>, Error>> {
        match *self {}
    }
}
