//! What the C++ shims hand over.

use std::ffi::{CStr, c_char};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn ecg_free_message(message: *mut c_char);
}

/// Takes over the message that a shim allocated on failure, and returns its first line.
pub(crate) fn message(message: *mut c_char) -> String {
    if message.is_null() {
        return "out of memory".to_owned();
    }
    // SAFETY: on failure a shim stores a zero-terminated string that is ours to read once and free.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; the string was allocated by the shim and is not used again.
    unsafe { ecg_free_message(message) };
    text.lines().next().unwrap_or_default().to_owned()
}

/// Takes over the tensor, or the message, that a shim allocated.
pub(crate) fn tensor(result: *mut C_tensor, text: *mut c_char) -> Result<tch::Tensor, tch::TchError> {
    if result.is_null() {
        return Err(tch::TchError::Torch(message(text)));
    }
    // SAFETY: a non-null result is a tensor newly allocated by the shim, owned by nobody else.
    Ok(unsafe { tch::Tensor::from_ptr(result) })
}
