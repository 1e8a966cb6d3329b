//! The CPU runtime: a model file run by tract, with the Padé activation unit as an operator of our own.
//!
//! A panic inside tract becomes an error at this boundary. To keep its message off standard error, the first use of a
//! [`Runtime`] wraps the process's panic hook; panics anywhere else are reported as before.

mod pade;
mod panics;
mod plan;
mod plans;
mod runtime;

pub(crate) use plans::Plans;
pub use runtime::{RunError, Runtime};
