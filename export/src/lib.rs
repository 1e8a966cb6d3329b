//! Lowers an ECG-DualNet checkpoint to ONNX.
//!
//! [`network`] says what ECG-DualNet is, once, over a trait of operations; [`weights`] reads and writes its parameters;
//! [`mod@onnx`] interprets the network with ONNX nodes. [`mod@quantize`] makes an int8 file of the result;
//! [`pickle`] reads the pickles that Python's files are made of.

pub mod network;
pub mod onnx;
pub mod pickle;
pub mod quantize;
pub mod weights;

#[cfg(test)]
extern crate self as dualnet_export;
