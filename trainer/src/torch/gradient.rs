//! Gradients put where autograd would leave them.

use crate::shim;
use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn ecg_set_gradient(weight: *const C_tensor, gradient: *const C_tensor, message: *mut *mut c_char) -> i32;
}

/// Makes a tensor of its shape, kind and device the gradient of a weight; an undefined one takes the gradient away.
pub(crate) fn set_gradient(weight: &Tensor, gradient: &Tensor) -> Result<(), TchError> {
    let mut message = std::ptr::null_mut();
    // SAFETY: both tensors are live, and libtorch looks at them; `message` is written only on failure.
    let code = unsafe { ecg_set_gradient(weight.as_ptr(), gradient.as_ptr(), &mut message) };
    shim::done(code, message).map_err(TchError::Torch)
}
