//! The PAU against `golden/pau.json`, the `f64` reference, and itself on other threads and other cuts of the data.

mod affine;
mod bound;
mod golden;
mod kernels;
mod properties;
