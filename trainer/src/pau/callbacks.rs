//! The functions `autograd.cpp` calls for the arithmetic of the Padé activation, on any device, and those of the CPU.

use dualnet_engine::pau::Pau;
use std::ffi::{c_char, c_void};
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Borrowed coefficients, as the shim passes them: where the tensors are.
#[repr(C)]
pub(super) struct Coefficients {
    pub(super) numerator: *const f32,
    pub(super) numerator_length: usize,
    pub(super) denominator: *const f32,
    pub(super) denominator_length: usize,
}

/// Borrowed operands of a fused site, as its shims pass them; null for what is absent.
#[repr(C)]
pub(super) struct Operands {
    pub(super) samples: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// Not 0 when only the means over 2×2 pixels are wanted.
    pub(super) pool: usize,
    pub(super) coefficients: Coefficients,
    pub(super) x: *const f32,
    pub(super) gamma: *const f32,
    pub(super) beta: *const f32,
    pub(super) modulation: *const f32,
    pub(super) shortcut: *const f32,
    pub(super) gain: *const f32,
    /// Of dropout of elements, one number where x is.
    pub(super) key: *const u64,
    /// Probability of each element to be left out.
    pub(super) share: f64,
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

/// The function pointers of one device.
#[repr(C)]
pub(super) struct Kernels {
    /// x to y; 0, or 1 and a message.
    pub(super) forward: Forward,
    /// How many f32 values of memory `backward` needs.
    pub(super) partials: Partials,
    /// x and the gradient of y to the gradients of x and of the coefficients; 0, or 1 and a message.
    pub(super) backward: Backward,
}

/// The CPU's kernels.
pub(super) static KERNELS: Kernels = Kernels {
    forward,
    partials,
    backward,
};

impl Coefficients {
    pub(super) fn numerator_length(&self) -> usize {
        self.numerator_length
    }

    pub(super) fn denominator_length(&self) -> usize {
        self.denominator_length
    }

    /// # Safety
    /// Both pointers must be valid for their lengths on the CPU; a length of 0 allows any.
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
    let (element, pau) = unsafe { ((*place).element, (*coefficients).pau()) };
    if element != 0 {
        return Err("the Pade activation of CPU tensors takes float32 only".to_owned());
    }
    pau.ok_or_else(|| "the Pade activation refused its coefficients".to_owned())
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
