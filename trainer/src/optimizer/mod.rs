//! Gradient descent.

mod clip;
mod foreach;
mod fused;
mod radam;
mod schedule;

pub(crate) use clip::clip_gradients;
pub(crate) use foreach::{copy, lerp, lerp_statistics};
pub use radam::{Moments, RAdam, RAdamOptions};
pub use schedule::{RateOptions, Schedule};
