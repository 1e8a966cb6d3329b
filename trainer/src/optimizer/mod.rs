//! Gradient descent.

mod fused;
mod radam;
mod schedule;

pub use radam::{Moments, RAdam};
pub use schedule::Schedule;
