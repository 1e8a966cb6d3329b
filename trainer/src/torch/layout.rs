//! Memory order of feature maps and convolution weights.

use tch::{TchError, Tensor};

/// The same `[N, C, H, W]` values with channels innermost in memory, which is the order oneDNN's convolutions and the
/// fused kernels read fastest.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
