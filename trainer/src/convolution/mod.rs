//! 3×3 convolutions of float32 maps on the CPU as a differentiable operation on libtorch tensors.
//!
//! The engine's Winograd kernels compute the result and both gradients, in a quarter of a direct sum's products. Maps of one channel, the
//! network's input, have direct kernels for the result and the gradient of the weight, which libtorch would compute in another order of
//! memory and copy. Either way the sums have a fixed order, so that results do not depend on the number of threads.

use crate::shim;
use dualnet_engine::cpu::{self, Filters, Maps, SingleFilters, single_weight_gradient};
use dualnet_engine::simd::Isa;
use std::ffi::c_char;
use std::slice::{from_raw_parts, from_raw_parts_mut};
use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;

/// Extents, as the shim passes them.
#[repr(C)]
struct Shape {
    records: usize,
    height: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
}

type Call = unsafe extern "C" fn(*const Shape, *const f32, *const f32, *mut f32) -> i32;

/// The functions `autograd.cpp` calls; each returns 0, or 1 when no instruction set can be chosen.
#[repr(C)]
struct Kernels {
    forward: Call,
    /// Of several inputs.
    input_gradient: Call,
    weight_gradient: Call,
}

static KERNELS: Kernels = Kernels {
    forward,
    input_gradient,
    weight_gradient,
};

unsafe extern "C" {
    fn ecg_convolution(
        x: *const C_tensor,
        weight: *const C_tensor,
        kernels: *const Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}

/// Whether [`convolution`] computes the convolution of `x [N, C, H, W]` with `weight`, padded by 1.
pub(crate) fn covers(x: &Tensor, weight: &Tensor) -> bool {
    let is_plain = |tensor: &Tensor| tensor.device() == Device::Cpu && tensor.kind() == Kind::Float;
    let (x_size, size) = (x.size(), weight.size());
    is_plain(x)
        && is_plain(weight)
        && x.numel() > 0
        && matches!((x_size[..].len(), &size[..]), (4, &[outputs, inputs, 3, 3])
            if x_size[1] == inputs && is_covered(inputs as usize, outputs as usize))
}

fn is_covered(inputs: usize, outputs: usize) -> bool {
    match inputs {
        1 => SingleFilters::cover(outputs),
        _ => Filters::cover(inputs, outputs),
    }
}

/// The convolution of `x [N, C, H, W]` with `weight [outputs, C, 3, 3]`, stride 1, padded by 1: `[N, outputs, H, W]`, channels innermost in
/// memory.
///
/// # Errors
/// What [`covers`] refuses.
pub(crate) fn convolution(x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    if !covers(x, weight) {
        return Err(TchError::Shape(
            "the 3×3 convolution takes float32 maps on the CPU, of one channel or of channels in sixteens".to_owned(),
        ));
    }
    let mut message = std::ptr::null_mut();
    // SAFETY: both tensors are live and have the extents that the shim reads, the kernels are static, and `message` is written only on
    // failure.
    let result = unsafe { ecg_convolution(x.as_ptr(), weight.as_ptr(), &KERNELS, &mut message) };
    shim::tensor(result, message)
}

impl Shape {
    fn maps(&self) -> Maps {
        Maps {
            records: self.records,
            height: self.height,
            width: self.width,
        }
    }

    fn pixels(&self) -> usize {
        self.records * self.height * self.width
    }

    /// # Safety
    /// `weight` must be valid for a weight of these extents.
    unsafe fn weight<'a>(&self, weight: *const f32) -> &'a [f32] {
        // SAFETY: the caller vouches for it.
        unsafe { from_raw_parts(weight, self.outputs * self.inputs * 9) }
    }
}

unsafe extern "C" fn forward(shape: *const Shape, weight: *const f32, x: *const f32, y: *mut f32) -> i32 {
    // SAFETY: the shim passes live, contiguous tensors of the extents it has derived `shape` from; `y` is freshly allocated.
    let (shape, weight, x, y) = unsafe {
        let shape = &*shape;
        (
            shape,
            shape.weight(weight),
            from_raw_parts(x, shape.pixels() * shape.inputs),
            from_raw_parts_mut(y, shape.pixels() * shape.outputs),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    if shape.inputs == 1 {
        SingleFilters::new(weight, shape.outputs).convolve(isa, shape.maps(), x, y);
    } else {
        let filters = Filters::new(isa, weight, (shape.outputs, shape.inputs), shape.width);
        filters.convolve(isa, shape.maps(), x, y);
    }
    0
}

unsafe extern "C" fn input_gradient(
    shape: *const Shape,
    weight: *const f32,
    grad_y: *const f32,
    grad_x: *mut f32,
) -> i32 {
    // SAFETY: as in `forward`.
    let (shape, weight, grad_y, grad_x) = unsafe {
        let shape = &*shape;
        (
            shape,
            shape.weight(weight),
            from_raw_parts(grad_y, shape.pixels() * shape.outputs),
            from_raw_parts_mut(grad_x, shape.pixels() * shape.inputs),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    let filters = Filters::of_input_gradient(isa, weight, (shape.outputs, shape.inputs), shape.width);
    filters.convolve(isa, shape.maps(), grad_y, grad_x);
    0
}

unsafe extern "C" fn weight_gradient(
    shape: *const Shape,
    x: *const f32,
    grad_y: *const f32,
    grad_weight: *mut f32,
) -> i32 {
    // SAFETY: as in `forward`; `grad_weight` is freshly allocated for a weight of these extents.
    let (shape, x, grad_y, grad_weight) = unsafe {
        let shape = &*shape;
        (
            shape,
            from_raw_parts(x, shape.pixels() * shape.inputs),
            from_raw_parts(grad_y, shape.pixels() * shape.outputs),
            from_raw_parts_mut(grad_weight, shape.outputs * shape.inputs * 9),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    if shape.inputs == 1 {
        single_weight_gradient(isa, shape.maps(), shape.outputs, x, grad_y, grad_weight);
    } else {
        let channels = (shape.outputs, shape.inputs);
        cpu::weight_gradient(isa, shape.maps(), channels, x, grad_y, grad_weight);
    }
    0
}
