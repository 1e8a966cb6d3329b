//! Dropout whose draws do not depend on libtorch's generator state being restored.

use tch::{TchError, Tensor};

/// Independent draws of 0 or `1/(1 − p)` in a tensor of this shape, like `x` in type and device.
pub(super) fn factors(x: &Tensor, p: f64, shape: &[i64]) -> Result<Tensor, TchError> {
    let keep = Tensor::f_empty(shape, (x.kind(), x.device()))?.f_bernoulli_p(1.0 - p)?;
    keep.f_mul_scalar(1.0 / (1.0 - p))
}

/// Multiplies by [`factors`] of this shape, broadcast over `x`.
pub(super) fn dropout(x: &Tensor, p: f64, shape: &[i64]) -> Result<Tensor, TchError> {
    x.f_mul(&factors(x, p, shape)?)
}
