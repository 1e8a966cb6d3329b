//! The CUDA kernels of ECG-DualNet: one `.cu` file per family, each beside its thin launcher.
//!
//! [`pau`] is the Padé activation forward and backward, for the trainer; [`preprocess`] goes from raw samples to the network's inputs;
//! [`lstm`], [`chain`] and [`transformer`] are the encoders of the waveform; [`residual`] has convolutions with what follows them and pooling,
//! [`axial`] attention along one axis of a map, [`head`] the conditions of all norms and the way to probabilities, [`site`] what lies between two
//! convolutions in training. A launcher says which
//! kernel runs on what, as [`Launch`]es; [`Device`] runs them on a GPU, the
//! tests run the very same ones on the host build of the same sources. Nothing here needs CUDA to build or to start: the driver is
//! loaded when a [`Device`] is opened, and what is missing is a [`CudaError`].
//!
//! Kernels are compiled by `make kernels` and embedded; see `cuda/README.md` for how they are proven without a GPU and on one.

mod archive;
pub mod axial;
pub mod chain;
mod device;
mod error;
pub mod head;
mod launch;
pub mod lstm;
mod memory;
mod operand;
pub mod pau;
pub mod preprocess;
pub mod probe;
pub mod residual;
pub mod site;
mod stream;
pub mod transformer;

pub use archive::Archive;
pub use device::{Device, Module};
pub use error::CudaError;
pub use launch::{Argument, Element, Launch, Precision, Quantization};
pub use memory::{DeviceMemory, Pinned};
pub use operand::{Matrix, Packed, Weights};
pub use stream::{Event, Graph, Stream};
