//! What a network takes on a GPU; finding out needs none.

use dualnet_cuda::CudaError;

use super::audit;
use super::network::{self, Numbers, Size};
use super::program::{Constants, Program};
use crate::plan::Plan;
use crate::{Error, Model, Precision};

/// Multiprocessors of the GPU that is assumed, an H200's.
const PROCESSORS: usize = 132;

/// Launches and bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Kernels that run, from raw samples to probabilities.
    pub launches: usize,
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of what the host copies in.
    pub inputs: u64,
    /// Bytes of everything between inputs and probabilities.
    pub scratch: u64,
}

/// What `model` takes for batches of up to so many records, launches for as many. Every launch is made and checked on the way.
///
/// # Errors
/// [`Error::Cuda`] for a model that the kernels do not run.
pub fn footprint(model: &Model, precision: Precision, batch: usize) -> Result<Footprint, Error> {
    let refused = |error: CudaError| Error::Cuda(error.to_string());
    let plan = Plan::of(model).map_err(|mismatch| Error::Cuda(mismatch.to_string()))?;
    let mut constants = Constants::default();
    let size = Size {
        records: batch,
        processors: PROCESSORS,
    };
    let programs = network::largest(&plan, Numbers::of(precision), size, &mut constants).map_err(refused)?;
    for program in &programs {
        audit::check(program).map_err(refused)?;
    }
    let most = |bytes: &dyn Fn(&Program) -> u64| programs.iter().map(bytes).max().unwrap_or(0);
    Ok(Footprint {
        launches: programs.first().map_or(0, |program| program.launches.len()),
        weights: constants.bytes.len() as u64,
        inputs: most(&|program| program.inputs),
        scratch: most(&|program| program.scratch),
    })
}
