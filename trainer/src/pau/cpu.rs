//! The functions `autograd.cpp` calls for tensors on the CPU.

use super::ffi::{Coefficients, Kernels, Place, answer};
use dualnet_engine::pau::Pau;
use std::ffi::{c_char, c_void};
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// The kernels of tensors on the CPU.
pub(super) static KERNELS: Kernels = Kernels {
    forward,
    partials,
    backward,
};

impl Coefficients {
    /// The unit, or why there is none.
    ///
    /// # Safety
    /// Both pointers must be valid for their lengths on the CPU; a length of 0 allows any.
    pub(super) unsafe fn pau(&self) -> Result<Pau, String> {
        // SAFETY: the caller vouches for pointers and lengths.
        let (numerator, denominator) = unsafe {
            (
                slice(self.numerator, self.numerator_length),
                slice(self.denominator, self.denominator_length),
            )
        };
        Pau::new(numerator, denominator).map_err(|_| "the Pade activation refused its coefficients".to_owned())
    }
}

/// As [`from_raw_parts`], but the null pointer of an empty tensor is allowed.
///
/// # Safety
/// Unless `length` is 0, `data` must be valid for that many elements as long as the slice is used.
unsafe fn slice<'a>(data: *const f32, length: usize) -> &'a [f32] {
    match length {
        0 => &[],
        // SAFETY: the caller vouches for it.
        _ => unsafe { from_raw_parts(data, length) },
    }
}

/// As [`slice`], for elements that nobody else uses.
///
/// # Safety
/// As for [`slice`].
unsafe fn slice_mut<'a>(data: *mut f32, length: usize) -> &'a mut [f32] {
    match length {
        0 => &mut [],
        // SAFETY: the caller vouches for it.
        _ => unsafe { from_raw_parts_mut(data, length) },
    }
}

/// The unit, for elements that the CPU's kernels have.
///
/// # Safety
/// Both point to what the shim made, the coefficients on the CPU.
unsafe fn unit(place: *const Place, coefficients: *const Coefficients) -> Result<Pau, String> {
    // SAFETY: the caller vouches for both.
    let (place, coefficients) = unsafe { (&*place, &*coefficients) };
    if place.element != 0 {
        return Err("the Pade activation of CPU tensors takes float32 only".to_owned());
    }
    // SAFETY: as above.
    unsafe { coefficients.pau() }
}

unsafe extern "C" fn forward(
    place: *const Place,
    coefficients: *const Coefficients,
    x: *const c_void,
    y: *mut c_void,
    length: usize,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made, and room for a message.
    let pau = match unsafe { unit(place, coefficients) } {
        Ok(pau) => pau,
        // SAFETY: as above.
        Err(reason) => return unsafe { answer(Err(reason), message) },
    };
    // SAFETY: the shim passes pointers into live, dense tensors of `length` elements, of float32 as `unit` checked; y is freshly
    // allocated and overlaps nothing.
    let (x, y) = unsafe { (slice(x.cast(), length), slice_mut(y.cast(), length)) };
    pau.forward_parallel(x, y);
    0
}

unsafe extern "C" fn partials(_: *const Place, _: *const Coefficients, _: usize) -> usize {
    0
}

unsafe extern "C" fn backward(
    place: *const Place,
    coefficients: *const Coefficients,
    x: *const c_void,
    grad_y: *const c_void,
    grad_x: *mut c_void,
    length: usize,
    _: *mut f32,
    grad_numerator: *mut f32,
    grad_denominator: *mut f32,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made, and room for a message.
    let pau = match unsafe { unit(place, coefficients) } {
        Ok(pau) => pau,
        // SAFETY: as above.
        Err(reason) => return unsafe { answer(Err(reason), message) },
    };
    // SAFETY: as in `forward`; the two coefficient gradients have as many elements as the coefficients and are freshly
    // allocated.
    let (x, grad_y, grad_x, grad_numerator, grad_denominator) = unsafe {
        (
            slice(x.cast(), length),
            slice(grad_y.cast(), length),
            slice_mut(grad_x.cast(), length),
            slice_mut(grad_numerator, (*coefficients).numerator_length),
            slice_mut(grad_denominator, (*coefficients).denominator_length),
        )
    };
    let gradients = pau.backward_parallel(x, grad_y, grad_x);
    grad_numerator.copy_from_slice(&gradients.numerator);
    grad_denominator.copy_from_slice(&gradients.denominator);
    0
}
