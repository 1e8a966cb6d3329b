//! Products in bfloat16.

use super::ops::Torch;
use crate::train::Precision;
use tch::{Kind, TchError, Tensor};

impl Torch<'_> {
    /// `operation(x, weight)`, a sum of products, in the precision asked for.
    ///
    /// [`Precision::Bf16`] rounds both operands and the result to bfloat16 and sums the products in float32; on the way back
    /// the arriving gradient and those that leave are rounded likewise. CUDA has instructions for it. On the CPU the same
    /// numbers are multiplied in float32, which makes each product exact: the arithmetic, without a gain in speed.
    pub(super) fn multiplied(
        &self,
        x: &Tensor,
        weight: &Tensor,
        operation: impl Fn(&Tensor, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        if self.precision == Precision::F32 {
            return operation(x, weight);
        }
        let (half, single) = (
            |tensor: &Tensor| tensor.f_to_kind(Kind::BFloat16),
            |tensor: &Tensor| tensor.f_to_kind(Kind::Float),
        );
        let (x, weight) = (half(x)?, half(weight)?);
        match x.device().is_cuda() {
            true => single(&operation(&x, &weight)?),
            false => single(&half(&operation(&single(&x)?, &single(&weight)?)?)?),
        }
    }
}
