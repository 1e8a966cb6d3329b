//! What the shims of the Padé activation and of the fused site pass and call: their structs, the activation's table of functions, their
//! answers.

use std::ffi::{c_char, c_void};

/// Borrowed coefficients, as the shim passes them: where the tensors are.
#[repr(C)]
pub(super) struct Coefficients {
    pub(super) numerator: *const f32,
    pub(super) numerator_length: usize,
    pub(super) denominator: *const f32,
    pub(super) denominator_length: usize,
}

/// Where an operation runs, as the shim says it.
#[repr(C)]
pub(super) struct Place {
    pub(super) device: i32,
    /// 0 for float32, 1 for float16, 2 for bfloat16.
    pub(super) element: i32,
    /// Where libtorch queues work on the device; null on the CPU.
    pub(super) stream: *mut c_void,
}

/// Bytes for what went wrong, with a zero at its end; `shim.h` has as many.
const MESSAGE: usize = 256;

type Forward =
    unsafe extern "C" fn(*const Place, *const Coefficients, *const c_void, *mut c_void, usize, *mut c_char) -> i32;
type Partials = unsafe extern "C" fn(*const Place, *const Coefficients, usize) -> usize;
type Backward = unsafe extern "C" fn(
    *const Place,
    *const Coefficients,
    *const c_void,
    *const c_void,
    *mut c_void,
    usize,
    *mut f32,
    *mut f32,
    *mut f32,
    *mut c_char,
) -> i32;

/// The activation's functions on one device.
#[repr(C)]
pub(super) struct Kernels {
    /// x to y; 0, or 1 and a message.
    pub(super) forward: Forward,
    /// How many f32 values of memory `backward` needs.
    pub(super) partials: Partials,
    /// x and the gradient of y to the gradients of x and of the coefficients; 0, or 1 and a message.
    pub(super) backward: Backward,
}

/// The answer for the shim; why there is no result goes to `message`.
///
/// # Safety
/// `message` must have room for [`MESSAGE`] bytes.
pub(super) unsafe fn answer(result: Result<(), String>, message: *mut c_char) -> i32 {
    let Err(reason) = result else { return 0 };
    let length = reason.floor_char_boundary(MESSAGE - 1);
    // SAFETY: the caller vouches for the room, of which `length` bytes and a zero are used.
    unsafe {
        message.copy_from_nonoverlapping(reason.as_ptr().cast(), length);
        message.add(length).write(0);
    }
    1
}
