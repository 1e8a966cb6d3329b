//! A layer of an LSTM (Hochreiter and Schmidhuber 1997) over sequences that start from zeros, as one differentiable operation on libtorch
//! tensors of float32 on the CPU.
//!
//! What input and biases contribute to all steps, and every gradient of a weight, is one product of matrices, libtorch's. The steps between run on
//! kernels of our own, on each thread those of its share of the records, from the first to the last: threads wait for each other once a pass
//! instead of at every step. In the steps a record's numbers depend neither on the number of threads nor on the records beside it. A sum
//! that overflows makes what follows NaN, as in the engine, where libtorch's activations saturate.

mod callbacks;
mod panels;
mod steps;

use crate::shim;
use callbacks::{KERNELS, Kernels};
use dualnet_engine::simd::MAX_LANES;
use std::ffi::c_char;
use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;

/// Gates of a unit: input, forget, candidate, output, in libtorch's order.
const GATES: usize = 4;

/// One layer with `U` units on `I` inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'a> {
    /// `[4U, I]`.
    pub(crate) input: &'a Tensor,
    /// `[4U, U]`.
    pub(crate) recurrent: &'a Tensor,
    /// `[4U]` each; the gates take their sum.
    pub(crate) biases: [&'a Tensor; 2],
}

/// Extents, as the shim passes them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Shape {
    records: usize,
    steps: usize,
    units: usize,
}

impl Layer<'_> {
    /// Whether [`apply`](Self::apply) computes this layer on `x`, which is not empty: units in sixteens, everything float32 on the CPU.
    pub(crate) fn covers(&self, x: &Tensor) -> bool {
        let is_plain = |tensor: &Tensor| tensor.device() == Device::Cpu && tensor.kind() == Kind::Float;
        let (size, weight) = (x.size(), self.input.size());
        let &[gates, _] = &weight[..] else { return false };
        let units = gates / GATES as i64;
        size.len() == 3
            && x.numel() > 0
            && units > 0
            && units % MAX_LANES as i64 == 0
            && weight == [GATES as i64 * units, size[2]]
            && self.recurrent.size() == [GATES as i64 * units, units]
            && self.biases.iter().all(|bias| bias.size() == [gates] && is_plain(bias))
            && [x, self.input, self.recurrent].into_iter().all(is_plain)
    }

    /// The outputs `[records, steps, U]` of all steps for `x [records, steps, I]`.
    ///
    /// # Errors
    /// What [`covers`](Self::covers) refuses.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        if !self.covers(x) {
            return Err(TchError::Shape(
                "the LSTM layer takes [records, steps, inputs], none of them 0, with weights that fit and units in sixteens, float32 on the CPU".to_owned(),
            ));
        }
        let mut message = std::ptr::null_mut();
        // SAFETY: all tensors are live and have the extents that `covers` has checked and the shim reads, the kernels are static, and
        // `message` is written only on failure.
        let result = unsafe {
            ecg_lstm_layer(
                x.as_ptr(),
                self.input.as_ptr(),
                self.recurrent.as_ptr(),
                self.biases[0].as_ptr(),
                self.biases[1].as_ptr(),
                &raw const KERNELS,
                &mut message,
            )
        };
        shim::tensor(result, message)
    }
}

unsafe extern "C" {
    fn ecg_lstm_layer(
        x: *const C_tensor,
        input: *const C_tensor,
        recurrent: *const C_tensor,
        input_bias: *const C_tensor,
        recurrent_bias: *const C_tensor,
        kernels: *const Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}

#[cfg(test)]
mod tests;
