//! Dropout whose draws do not depend on libtorch's generator state being restored.

use tch::{TchError, Tensor};

/// Multiplies by independent draws of 0 or `1/(1 − p)`, one for each element of `shape`, broadcast over `x`.
pub(super) fn dropout(x: &Tensor, p: f64, shape: &[i64]) -> Result<Tensor, TchError> {
    let keep = Tensor::f_empty(shape, (x.kind(), x.device()))?.f_bernoulli_p(1.0 - p)?;
    x.f_mul(&keep.f_mul_scalar(1.0 / (1.0 - p))?)
}
