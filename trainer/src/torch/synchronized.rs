//! Batch normalization whose statistics are those of every process's batch.

use super::ops::Torch;
use crate::distributed::Group;
use crate::error::TrainerError;
use dualnet_export::network::{NORM_EPSILON, NORM_MOMENTUM};
use tch::{Kind, Tensor};

impl<'a> Torch<'a> {
    /// Whether batch normalization shares its statistics with other processes: a fused operation that normalizes with
    /// statistics of its own must then give way to its default body, or share them too.
    pub fn synchronizes(&self) -> bool {
        self.sharing().is_some()
    }

    /// The group that shares statistics; none where running statistics are used.
    pub(super) fn sharing(&self) -> Option<&'a Group> {
        self.synchronized.filter(|_| self.training())
    }

    /// Batch normalization of `x [N, C, …]` over the batches of all processes, each weighted by its size.
    ///
    /// Each process contributes the number, sum and sum of squares of its values, the latter two from its own mean and
    /// variance, in float64. Autograd differentiates the rest, the sum over the processes included.
    pub(super) fn synchronized_batch_norm(
        &self,
        x: &Tensor,
        norm: &str,
        group: &Group,
    ) -> Result<Tensor, TrainerError> {
        let get = |suffix: &str| self.parameters.get(&format!("{norm}.{suffix}"));
        let x = x.f_contiguous()?;
        let channels = get("weight")?.size()[0];
        let axes: Vec<i64> = (0..x.dim() as i64).filter(|&axis| axis != 1).collect();
        let own = x.numel() as f64 / channels.max(1) as f64;
        let (variance, mean) = x.f_var_mean_dim(axes.as_slice(), false, false)?;
        let (variance, mean) = (variance.f_to_kind(Kind::Double)?, mean.f_to_kind(Kind::Double)?);
        let squares = variance.f_add(&mean.f_square()?)?;
        let count = Tensor::f_full([1], own, (Kind::Double, x.device()))?;
        let sums = [count, mean.f_mul_scalar(own)?, squares.f_mul_scalar(own)?];
        let sums = group.differentiable_sum(&Tensor::f_cat(&sums, 0)?)?;

        let count = sums.f_narrow(0, 0, 1)?;
        let mean = sums.f_narrow(0, 1, channels)?.f_div(&count)?;
        let squares = sums.f_narrow(0, 1 + channels, channels)?.f_div(&count)?;
        let variance = squares.f_sub(&mean.f_square()?)?.f_clamp_min(0.0)?;
        let scale = variance
            .f_add_scalar(NORM_EPSILON)?
            .f_rsqrt()?
            .f_mul(&get("weight")?.f_to_kind(Kind::Double)?)?;
        let shift = get("bias")?.f_to_kind(Kind::Double)?.f_sub(&mean.f_mul(&scale)?)?;
        let shape: Vec<i64> = (0..x.dim()).map(|axis| if axis == 1 { channels } else { 1 }).collect();
        let per_channel = |tensor: Tensor| tensor.f_to_kind(x.kind())?.f_view(shape.as_slice());
        let y = per_channel(shift)?.f_addcmul(&x, &per_channel(scale)?)?;

        tch::no_grad(|| {
            let move_towards = |name: &str, value: &Tensor| -> Result<(), TrainerError> {
                let mut running = get(name)?.shallow_clone();
                let value = value.f_to_kind(running.kind())?;
                let _ = running
                    .f_mul_scalar_(1.0 - NORM_MOMENTUM)?
                    .f_add_(&value.f_mul_scalar(NORM_MOMENTUM)?)?;
                Ok(())
            };
            let unbiased = count.f_div(&count.f_sub_scalar(1.0)?.f_clamp_min(1.0)?)?;
            move_towards("running_mean", &mean)?;
            move_towards("running_var", &variance.f_mul(&unbiased)?)?;
            self.count_batch(norm)?;
            Ok(y)
        })
    }
}
