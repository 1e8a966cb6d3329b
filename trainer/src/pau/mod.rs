//! The Padé activation unit as a differentiable operation on libtorch tensors.
//!
//! The arithmetic is [`dualnet_engine::pau`]'s on the CPU and that of [`dualnet_cuda::pau`] and [`dualnet_cuda::site`] on a GPU;
//! `autograd.cpp` and `conditional.cpp` are the thin nodes that libtorch's autograd calls.

mod conditional;
mod cpu;
mod cuda;
mod ffi;
mod gpu;
mod site;
mod site_channels;
mod site_cpu;
mod site_cuda;

pub use conditional::{ConditionalPau, Gain};

use crate::shim;
use ffi::Kernels;
use std::ffi::c_char;
use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn ecg_pau(
        x: *const C_tensor,
        numerator: *const C_tensor,
        denominator: *const C_tensor,
        kernels: *const Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}

/// `F(x)` element by element, for a tensor of any shape and memory order: of float32 on the CPU; of float32, float16 or bfloat16 on a
/// GPU, where it runs on the stream that libtorch works on.
///
/// `numerator` holds `a0 … am`, `denominator` `b1 … bn` (Molina et al. 2019, "safe" form), float32 on the same device. All three receive
/// gradients; the coefficients' are reduced in a fixed order, so that they do not depend on the number of threads.
///
/// # Errors
/// Tensors of another kind or place, coefficients the device has no kernel for, what the GPU's driver reports.
pub fn pau(x: &Tensor, numerator: &Tensor, denominator: &Tensor) -> Result<Tensor, TchError> {
    let kernels = match x.device() {
        Device::Cpu => &cpu::KERNELS,
        Device::Cuda(_) => &cuda::KERNELS,
        other => {
            return Err(TchError::Kind(format!(
                "the Pade activation runs on the CPU and on CUDA, not on {other:?}"
            )));
        }
    };
    apply(x, numerator, denominator, kernels)
}

/// The operation with the arithmetic of these kernels.
fn apply(x: &Tensor, numerator: &Tensor, denominator: &Tensor, kernels: &'static Kernels) -> Result<Tensor, TchError> {
    let mut message = std::ptr::null_mut();
    // SAFETY: the three pointers come from live tensors, the kernels are a static, and `message` is written only on failure.
    let result = unsafe {
        ecg_pau(
            x.as_ptr(),
            numerator.as_ptr(),
            denominator.as_ptr(),
            kernels,
            &mut message,
        )
    };
    shim::tensor(result, message)
}
