//! The network on libtorch: its parameters as tensors, and the interpreter of [`dualnet_export::network`].

mod axial;
mod dropout;
mod fused;
mod gradient;
mod layout;
mod ops;
mod parameters;
mod precision;
mod synchronized;

pub use dropout::Dropout;
pub(crate) use gradient::set_gradient;
pub use ops::{Mode, Observer, Torch};
pub use parameters::Parameters;
pub(crate) use parameters::{flattened, initial_values};
