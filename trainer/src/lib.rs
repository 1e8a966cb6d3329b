//! Trains and evaluates ECG-DualNet on libtorch.
//!
//! The network itself is [`dualnet_export::network`], the preprocessing [`dualnet_engine::signal`]; this crate adds the
//! interpreter on tensors, the data sets, augmentation, the loss, the optimizer and the training loop.

pub mod augment;
pub mod axial;
pub mod beats;
mod capture;
pub mod cli;
mod convolution;
pub mod crossval;
pub mod data;
pub mod device;
pub mod distributed;
mod ending;
mod entries;
pub mod environment;
pub mod error;
pub mod evaluate;
pub mod experiments;
pub mod folds;
pub mod logs;
pub mod loss;
mod lstm;
pub mod optimizer;
pub mod pau;
pub mod random;
mod shim;
mod statistics;
pub mod torch;
pub mod train;
