//! The CPU runtime: fused kernels for every network this project exports, tract for any other model file.
//!
//! A model whose [plan](crate::plan) is recognized runs as that list of blocks, on kernels of our own (`kernels`, `network`). Any other runs
//! on tract, with the Padé activation unit as an operator of ours; [`Runtime::fallback`] says why.
//!
//! A panic inside tract or a kernel becomes an error at this boundary. To keep its message off standard error, the first use of a
//! [`Runtime`] wraps the process's panic hook; panics anywhere else are reported as before.

mod convolution;
mod kernels;
mod network;
mod pade;
mod panics;
mod prepared;
mod probe;
mod runtime;
mod tract;

pub use convolution::{Filters, Maps, SingleFilters, single_weight_gradient, weight_gradient};
pub use kernels::{Aligned, exp, sigmoid, tanh};
pub(crate) use prepared::{Prepared, Way};
pub use probe::Probe;
#[cfg(feature = "cuda")]
pub(crate) use runtime::check_input;
pub use runtime::{RunError, Runtime, StepTime};
