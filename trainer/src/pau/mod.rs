//! The Padé activation unit as a differentiable operation on libtorch tensors.
//!
//! The arithmetic is [`dualnet_engine::pau`]'s; `autograd.cpp` and `conditional.cpp` are the thin
//! nodes that libtorch's autograd calls.

mod callbacks;
mod conditional;
mod site;

pub use conditional::ConditionalPau;

use callbacks::{Coefficients, KERNELS, Kernels};
use std::ffi::{CStr, c_char};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn ecg_pau(
        x: *const C_tensor,
        numerator: *const C_tensor,
        denominator: *const C_tensor,
        kernels: *const Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
    fn ecg_free_message(message: *mut c_char);
}

/// `F(x)` element by element, for a float32 CPU tensor of any shape and memory order.
///
/// `numerator` holds `a0 … am`, `denominator` `b1 … bn` (Molina et al. 2019, "safe" form). All three receive gradients;
/// the coefficients' are reduced in a fixed order, so that they do not depend on the number of threads.
pub fn pau(x: &Tensor, numerator: &Tensor, denominator: &Tensor) -> Result<Tensor, TchError> {
    let mut message = std::ptr::null_mut();
    // SAFETY: the three pointers come from live tensors, KERNELS is a static, and `message` is written only on failure.
    let result = unsafe {
        ecg_pau(
            x.as_ptr(),
            numerator.as_ptr(),
            denominator.as_ptr(),
            &raw const KERNELS,
            &mut message,
        )
    };
    own(result, message)
}

/// Takes over the tensor, or the message, that the shim allocated.
pub(crate) fn own(result: *mut C_tensor, message: *mut c_char) -> Result<Tensor, TchError> {
    if !result.is_null() {
        // SAFETY: a non-null result is a tensor newly allocated by the shim, owned by nobody else.
        return Ok(unsafe { Tensor::from_ptr(result) });
    }
    if message.is_null() {
        return Err(TchError::Torch("out of memory".to_owned()));
    }
    // SAFETY: on failure the shim stores a zero-terminated string that is ours to read once and free.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; the string was allocated by the shim and is not used again.
    unsafe { ecg_free_message(message) };
    Err(TchError::Torch(text.lines().next().unwrap_or_default().to_owned()))
}
