//! Inference on an NVIDIA GPU, with the kernels of `dualnet_cuda`.
//!
//! A [plan](crate::plan) and a precision become a program: a list of launches over named memory, which needs no GPU to be made and
//! checked. Its constants are uploaded once, and a batch is copied while another is computed. A batch is filled up to a power of two of
//! records, or to the largest there may be, and one CUDA graph is recorded for each of those. It has run on an NVIDIA H200.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod audit;
#[cfg(feature = "cuda")]
mod executor;
#[cfg(feature = "cuda")]
mod footprint;
#[cfg(feature = "cuda")]
mod lead;
#[cfg(feature = "cuda")]
mod network;
#[cfg(feature = "cuda")]
mod program;
#[cfg(feature = "cuda")]
mod rehearsal;
#[cfg(feature = "cuda")]
mod runtime;

#[cfg(not(feature = "cuda"))]
pub(crate) use absent::Runtime;
#[cfg(feature = "cuda")]
pub use footprint::{Footprint, footprint};
#[cfg(feature = "cuda")]
pub use rehearsal::{Rehearsal, Scene, Stretch};
#[cfg(feature = "cuda")]
pub use runtime::Runtime;

/// Why a model does not run on a GPU here.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The feature is off.
    #[cfg(not(feature = "cuda"))]
    Feature,
    /// Driver, GPU, memory, kernels or the model.
    #[cfg(feature = "cuda")]
    Reason(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            #[cfg(not(feature = "cuda"))]
            Self::Feature => f.write_str("this build is without CUDA (feature `cuda`)"),
            #[cfg(feature = "cuda")]
            Self::Reason(reason) => f.write_str(reason),
        }
    }
}
