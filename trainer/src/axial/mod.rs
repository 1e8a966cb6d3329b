//! Axial attention between its projection and its output as one differentiable operation on libtorch tensors.
//!
//! No map of relative embeddings is built, and of the maps over pairs of positions only one, the product of the embedded
//! queries and keys, is kept for the way back; the rest is computed group by group in buffers of each thread's own, as many lines at once as a vector has
//! lanes. Every sum has a fixed order, so that results do not depend on the number of threads.

// Vectors are counted by index, as in the engine's kernels: iterators over several slices at once are not inlined into kernels of this size.
#![allow(clippy::needless_range_loop)]

mod backward;
mod bundle;
mod callbacks;
mod embeddings;
mod forward;
mod norm;
mod product;
mod shape;
mod vectors;

use crate::shim;
use callbacks::{KERNELS, Kernels};
use dualnet_engine::simd::Isa;
use shape::Shape;
use std::ffi::c_char;
use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

/// Weight, bias and running statistics of one batch normalization, `[channels]` each.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Weight.
    pub gamma: &'a Tensor,
    /// Bias.
    pub beta: &'a Tensor,
    /// Running mean; moved when the batch's statistics are used, read otherwise.
    pub running_mean: &'a Tensor,
    /// Running variance, likewise.
    pub running_variance: &'a Tensor,
}

/// The tensors of one axial attention (MODEL: axial attention, steps 1 to 7, after the product with `W`), float32 on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct AxialAttention<'a> {
    /// Queries, keys and values of each group in turn, before their normalization: `[N, H, W, 2C]`.
    pub projected: &'a Tensor,
    /// `[2C / groups, 2·span − 1]`.
    pub embeddings: &'a Tensor,
    /// Of queries, keys and values: `2C` channels.
    pub projection_norm: BatchNorm<'a>,
    /// Of the products, the query maps and the key maps of all groups: `3·groups` channels.
    pub similarity_norm: BatchNorm<'a>,
    /// Of the two results of every channel: `2C` channels.
    pub output_norm: BatchNorm<'a>,
    /// Groups of heads.
    pub groups: usize,
    /// Along the axis `H`, or else along `W`.
    pub along_height: bool,
    /// Whether to normalize with the batch's statistics.
    pub batch_statistics: bool,
}

impl AxialAttention<'_> {
    /// `[N, H, W, C]`.
    pub fn apply(self) -> Result<Tensor, TchError> {
        let size = self.projected.size();
        let groups = self.groups as i64;
        let norms = [self.projection_norm, self.similarity_norm, self.output_norm];
        let fits = size.len() == 4
            && self.projected.numel() > 0
            && groups > 0
            && size[3] % (4 * groups) == 0
            && {
                let span = if self.along_height { size[1] } else { size[2] };
                self.embeddings.size() == [size[3] / groups, 2 * span - 1] && is_plain(self.embeddings)
            }
            && norms
                .iter()
                .zip([size[3], 3 * groups, size[3]])
                .all(|(norm, channels)| norm.fits(channels));
        if !fits {
            return Err(TchError::Shape(
                "axial attention: the tensors' extents do not fit, or are 0".to_owned(),
            ));
        }
        let Ok(isa) = Isa::detect() else {
            return Err(TchError::Torch(
                "axial attention: no instruction set to run on".to_owned(),
            ));
        };
        let [records, height, width] = [size[0], size[1], size[2]].map(|extent| extent as usize);
        let shape = Shape {
            records,
            height,
            width,
            channels: size[3] as usize / 2,
            groups: self.groups,
            lanes: isa.lanes(),
            along_height: usize::from(self.along_height),
        };
        let affine = norms.map(|norm| [norm.gamma.as_ptr(), norm.beta.as_ptr()]);
        let running = norms.map(|norm| [norm.running_mean.as_ptr(), norm.running_variance.as_ptr()]);
        let mut message = std::ptr::null_mut();
        // SAFETY: all pointers come from live tensors whose extents, none of them 0, were checked above; the two arrays hold
        // six pointers each; KERNELS is a static, and `message` is written only on failure.
        let result = unsafe {
            ecg_axial_attention(
                self.projected.as_ptr(),
                self.embeddings.as_ptr(),
                affine.as_ptr().cast(),
                running.as_ptr().cast(),
                shape,
                shape.maps() as i64,
                self.batch_statistics,
                &raw const KERNELS,
                &mut message,
            )
        };
        shim::tensor(result, message)
    }
}

impl BatchNorm<'_> {
    fn fits(&self, channels: i64) -> bool {
        [self.gamma, self.beta, self.running_mean, self.running_variance]
            .iter()
            .all(|vector| vector.size() == [channels] && is_plain(vector))
    }
}

/// Contiguous float32 in the processor's memory.
fn is_plain(tensor: &Tensor) -> bool {
    tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == tch::Device::Cpu
}

unsafe extern "C" {
    fn ecg_axial_attention(
        projected: *const C_tensor,
        embeddings: *const C_tensor,
        affine: *const *const C_tensor,
        running: *const *const C_tensor,
        shape: Shape,
        maps: i64,
        batch_statistics: bool,
        kernels: *const Kernels,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}

#[cfg(test)]
mod tests;
