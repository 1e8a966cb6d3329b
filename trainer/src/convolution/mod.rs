//! 3×3 convolutions whose weights' gradient is computed here: on AVX2 libtorch's takes about as long as both other thirds of
//! a convolution's training together.

mod weights;

use crate::axial::Lanes;
use crate::shim;
use dualnet_engine::simd::Isa;
use std::ffi::c_char;
use std::slice::{from_raw_parts, from_raw_parts_mut};
use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;
use weights::{Extents, weight_gradient};

/// Whether [`convolution`] has kernels for these tensors: float32 on the CPU, `[N, C, H, W]` and `[D, C, 3, 3]`, `C` being a
/// multiple of a vector's lanes, and nothing empty.
pub fn is_supported(x: &Tensor, weight: &Tensor) -> bool {
    let plain = |tensor: &Tensor| {
        tensor.dim() == 4 && tensor.numel() > 0 && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu
    };
    plain(x) && plain(weight) && weight.size()[2..] == [3, 3] && weight.size()[1] == x.size()[1] && {
        let lanes = Isa::detect().map(|isa| isa.run(Lanes));
        lanes.is_ok_and(|lanes| x.size()[1] % lanes as i64 == 0)
    }
}

/// The convolution with padding 1 and stride 1, `[N, D, H, W]`, of tensors that are [supported](is_supported).
pub fn convolution(x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    if !is_supported(x, weight) {
        return Err(TchError::Shape(
            "convolution: only float32 on the CPU, 3×3 weights and channels in whole vectors".to_owned(),
        ));
    }
    let mut message = std::ptr::null_mut();
    // SAFETY: both pointers come from live tensors whose extents were checked above, the kernel is a function, and `message`
    // is written only on failure.
    let result = unsafe { ecg_convolution(x.as_ptr(), weight.as_ptr(), of_weights, &mut message) };
    shim::tensor(result, message)
}

unsafe extern "C" fn of_weights(
    extents: *const Extents,
    x: *const f32,
    grad_y: *const f32,
    grad_weight: *mut f32,
) -> i32 {
    // SAFETY: the shim passes live tensors, channels innermost in memory and dense, whose extents it states; the gradient is
    // freshly allocated with the weights' extents.
    let (extents, x, grad_y, grad_weight) = unsafe {
        let extents = *extents;
        (
            extents,
            from_raw_parts(x, extents.positions() * extents.inputs),
            from_raw_parts(grad_y, extents.positions() * extents.outputs),
            from_raw_parts_mut(grad_weight, extents.weights()),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    weight_gradient(isa, extents, x, grad_y, grad_weight);
    0
}

type WeightGradient = unsafe extern "C" fn(*const Extents, *const f32, *const f32, *mut f32) -> i32;

unsafe extern "C" {
    fn ecg_convolution(
        x: *const C_tensor,
        weight: *const C_tensor,
        kernel: WeightGradient,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}
