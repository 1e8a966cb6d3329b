//! The functions `autograd.cpp` calls for the arithmetic of the Padé activation.

use dualnet_engine::pau::Pau;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Borrowed coefficients, as the shim passes them.
#[repr(C)]
pub(super) struct Coefficients {
    numerator: *const f32,
    numerator_length: usize,
    denominator: *const f32,
    denominator_length: usize,
}

/// The function pointers of one device; each function returns 0, or 1 when the coefficients cannot be used.
#[repr(C)]
pub(super) struct Kernels {
    forward: unsafe extern "C" fn(*const Coefficients, *const f32, *mut f32, usize) -> i32,
    #[allow(clippy::type_complexity)]
    backward:
        unsafe extern "C" fn(*const Coefficients, *const f32, *const f32, *mut f32, usize, *mut f32, *mut f32) -> i32,
}

/// The CPU's kernels.
pub(super) static KERNELS: Kernels = Kernels { forward, backward };

impl Coefficients {
    pub(super) fn numerator_length(&self) -> usize {
        self.numerator_length
    }

    pub(super) fn denominator_length(&self) -> usize {
        self.denominator_length
    }

    /// # Safety
    /// Both pointers must be valid for their lengths; a length of 0 allows any.
    pub(super) unsafe fn pau(&self) -> Option<Pau> {
        // SAFETY: the caller vouches for pointers and lengths.
        let (numerator, denominator) = unsafe {
            (
                slice(self.numerator, self.numerator_length),
                slice(self.denominator, self.denominator_length),
            )
        };
        Pau::new(numerator, denominator).ok()
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

unsafe extern "C" fn forward(coefficients: *const Coefficients, x: *const f32, y: *mut f32, length: usize) -> i32 {
    // SAFETY: the shim passes pointers into live, dense float32 tensors of `length` elements; y is freshly allocated and
    // overlaps nothing.
    let (pau, x, y) = unsafe { ((*coefficients).pau(), slice(x, length), slice_mut(y, length)) };
    let Some(pau) = pau else { return 1 };
    pau.forward_parallel(x, y);
    0
}

unsafe extern "C" fn backward(
    coefficients: *const Coefficients,
    x: *const f32,
    grad_y: *const f32,
    grad_x: *mut f32,
    length: usize,
    grad_numerator: *mut f32,
    grad_denominator: *mut f32,
) -> i32 {
    // SAFETY: as in `forward`; the two coefficient gradients have as many elements as the coefficients and are freshly
    // allocated.
    let (pau, x, grad_y, grad_x, grad_numerator, grad_denominator) = unsafe {
        (
            (*coefficients).pau(),
            slice(x, length),
            slice(grad_y, length),
            slice_mut(grad_x, length),
            slice_mut(grad_numerator, (*coefficients).numerator_length),
            slice_mut(grad_denominator, (*coefficients).denominator_length),
        )
    };
    let Some(pau) = pau else { return 1 };
    let gradients = pau.backward_parallel(x, grad_y, grad_x);
    grad_numerator.copy_from_slice(&gradients.numerator);
    grad_denominator.copy_from_slice(&gradients.denominator);
    0
}
