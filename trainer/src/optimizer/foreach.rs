//! Operations over many tensors at once: the optimizer's step where starting an operation takes longer than doing it, and what averages weights.

use crate::shim;
use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// The numbers of one step of rectified Adam, as the shim takes them.
#[repr(C)]
pub(super) struct Numbers {
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) eps: f64,
    /// Factor of `m / (√v + eps)` or, while the step is not rectified, of `m`.
    pub(super) size: f64,
    pub(super) is_rectified: i32,
}

unsafe extern "C" {
    fn ecg_radam_step(
        weights: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        count: usize,
        step: *const Numbers,
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_clip(weights: *const *const C_tensor, count: usize, greatest: f64, message: *mut *mut c_char) -> i32;
    fn ecg_lerp(
        tensors: *const *const C_tensor,
        targets: *const *const C_tensor,
        count: usize,
        weight: f64,
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_lerp_statistics(
        means: *const *const C_tensor,
        other_means: *const *const C_tensor,
        variances: *const *const C_tensor,
        other_variances: *const *const C_tensor,
        count: usize,
        weight: f64,
        bound: f64,
        eps: f64,
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_copy(
        tensors: *const *const C_tensor,
        sources: *const *const C_tensor,
        count: usize,
        message: *mut *mut c_char,
    ) -> i32;
}

fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// Moves weights that have gradients, and their two moments; the gradients are undefined afterwards.
pub(super) fn radam([weights, first, second]: [&[Tensor]; 3], numbers: &Numbers) -> Result<(), TchError> {
    if weights.is_empty() {
        return Ok(());
    }
    if first.len() != weights.len() || second.len() != weights.len() {
        return Err(TchError::Shape("a weight without its moments".to_owned()));
    }
    let [w, m, v] = [weights, first, second].map(pointers);
    let mut message = std::ptr::null_mut();
    // SAFETY: three arrays of as many live tensors, a step that outlives the call, and `message` is written only on failure.
    let code = unsafe { ecg_radam_step(w.as_ptr(), m.as_ptr(), v.as_ptr(), w.len(), numbers, &mut message) };
    shim::done(code, message).map_err(TchError::Torch)
}

/// Scales the gradients of these weights, which all have one, by one factor so that all their numbers together have at most this norm.
pub(super) fn clip(weights: &[Tensor], greatest: f64) -> Result<(), TchError> {
    if weights.is_empty() {
        return Ok(());
    }
    let addresses = pointers(weights);
    let mut message = std::ptr::null_mut();
    // SAFETY: an array of as many live tensors, and `message` is written only on failure.
    let code = unsafe { ecg_clip(addresses.as_ptr(), addresses.len(), greatest, &mut message) };
    shim::done(code, message).map_err(TchError::Torch)
}

/// The addresses of as many tensors in both lists; `None` where both are empty.
fn paired(tensors: &[Tensor], others: &[Tensor]) -> Result<Option<[Vec<*const C_tensor>; 2]>, TchError> {
    if tensors.len() != others.len() {
        return Err(TchError::Shape("a tensor without its partner".to_owned()));
    }
    Ok((!tensors.is_empty()).then(|| [tensors, others].map(pointers)))
}

/// Gives each tensor the values of another.
pub(crate) fn copy(tensors: &[Tensor], sources: &[Tensor]) -> Result<(), TchError> {
    let Some([to, from]) = paired(tensors, sources)? else {
        return Ok(());
    };
    let mut message = std::ptr::null_mut();
    // SAFETY: two arrays of as many live tensors, and `message` is written only on failure.
    let code = unsafe { ecg_copy(to.as_ptr(), from.as_ptr(), to.len(), &mut message) };
    shim::done(code, message).map_err(TchError::Torch)
}

/// Moves each tensor by the share `weight` of its way to its target.
pub(crate) fn lerp(tensors: &[Tensor], targets: &[Tensor], weight: f64) -> Result<(), TchError> {
    let Some([from, to]) = paired(tensors, targets)? else {
        return Ok(());
    };
    let mut message = std::ptr::null_mut();
    // SAFETY: two arrays of as many live tensors, and `message` is written only on failure.
    let code = unsafe { ecg_lerp(from.as_ptr(), to.as_ptr(), from.len(), weight, &mut message) };
    shim::done(code, message).map_err(TchError::Torch)
}

/// Moves means and variances by the share `weight` of their way to others. Where another variance is more than `bound` times as large, `eps`
/// added to both, the share is less by as much: what is beyond the bound has no more weight than what is at it.
pub(crate) fn lerp_statistics(
    [means, variances]: [&[Tensor]; 2],
    [other_means, other_variances]: [&[Tensor]; 2],
    weight: f64,
    (bound, eps): (f64, f64),
) -> Result<(), TchError> {
    if means.len() != variances.len() {
        return Err(TchError::Shape("a mean without its variance".to_owned()));
    }
    let (Some([to, from]), Some([wide, other])) = (paired(means, other_means)?, paired(variances, other_variances)?)
    else {
        return Ok(());
    };
    let mut message = std::ptr::null_mut();
    // SAFETY: four arrays of as many live tensors, and `message` is written only on failure.
    let code = unsafe {
        ecg_lerp_statistics(
            to.as_ptr(),
            from.as_ptr(),
            wide.as_ptr(),
            other.as_ptr(),
            to.len(),
            weight,
            bound,
            eps,
            &mut message,
        )
    };
    shim::done(code, message).map_err(TchError::Torch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One rectified and one plain step of two numbers, by hand, for each of two weights.
    #[test]
    fn a_step_is_the_formula_and_drops_the_gradients() {
        for is_rectified in [true, false] {
            let tensor = |values: [f32; 2]| Tensor::from_slice(&values).view([1, 2]);
            let leaf = |values| tensor(values).set_requires_grad(true);
            let weights = [leaf([1.0, -2.0]), leaf([1.0, -2.0])];
            let factors = tensor([0.5, -0.25]);
            let losses = weights
                .each_ref()
                .map(|weight| (weight * &factors).sum(tch::Kind::Float));
            (&losses[0] + &losses[1]).backward();
            let first = [tensor([0.1, 0.2]), tensor([0.1, 0.2])];
            let second = [tensor([0.04, 0.09]), tensor([0.04, 0.09])];
            let numbers = Numbers {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                size: -0.01,
                is_rectified: i32::from(is_rectified),
            };
            radam([&weights, &first, &second], &numbers).expect("a step");
            let expected =
                [(1.0, 0.5, 0.1, 0.04), (-2.0, -0.25, 0.2, 0.09)].map(|(w, g, m, v): (f64, f64, f64, f64)| {
                    let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
                    w - 0.01 * if is_rectified { m / (v.sqrt() + 1e-8) } else { m }
                });
            for weight in &weights {
                for (i, expected) in expected.into_iter().enumerate() {
                    assert!((weight.double_value(&[0, i as i64]) - expected).abs() < 1e-6);
                }
                assert!(!weight.grad().defined());
            }
        }
    }

    /// The gradients (3, 0) and (0, 4) have the norm 5 together: half of it is half of each; what is short enough keeps its bits.
    #[test]
    fn gradients_are_shortened_together_and_keep_their_direction() {
        for (greatest, expected) in [(2.5, [1.5, 2.0]), (5.5, [3.0, 4.0])] {
            let weights = [[3.0_f32, 0.0], [0.0, 4.0]].map(|gradient| {
                let weight = Tensor::from_slice(&[1.0_f32, 1.0]).set_requires_grad(true);
                (&weight * Tensor::from_slice(&gradient))
                    .sum(tch::Kind::Float)
                    .backward();
                weight
            });
            clip(&weights, greatest).expect("gradients");
            for (i, expected) in expected.into_iter().enumerate() {
                let gradient = weights[i].grad();
                assert_eq!(gradient.double_value(&[i as i64]), expected);
                assert_eq!(gradient.double_value(&[1 - i as i64]), 0.0);
            }
        }
        let still = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
        (&still * 0.0).sum(tch::Kind::Float).backward();
        clip(std::slice::from_ref(&still), 1.0).expect("a gradient of 0");
        assert_eq!(still.grad().double_value(&[0]), 0.0);
        clip(&[], 1.0).expect("nothing to do");
    }

    /// A tenth of the way; of 39 times the variance (eps is 1) a quarter of that, the bound being ten.
    #[test]
    fn statistics_that_are_far_away_pull_no_more_than_those_at_the_bound() {
        let tensor = |values: [f32; 2]| [Tensor::from_slice(&values)];
        let (means, variances) = (tensor([1.0, 1.0]), tensor([1.0, 1.0]));
        let others = (tensor([2.0, 41.0]), tensor([3.0, 79.0]));
        lerp_statistics([&means, &variances], [&others.0, &others.1], 0.1, (10.0, 1.0)).expect("statistics");
        for (found, expected) in [(&means[0], [1.1, 2.0]), (&variances[0], [1.2, 2.95])] {
            for (i, expected) in expected.into_iter().enumerate() {
                assert!((found.double_value(&[i as i64]) - expected).abs() < 1e-6, "{found}");
            }
        }
        assert!(lerp_statistics([&means, &[]], [&means, &[]], 0.1, (10.0, 1.0)).is_err());
    }

    #[test]
    fn lists_of_unequal_length_are_refused() {
        let one = [Tensor::zeros([2], (tch::Kind::Float, tch::Device::Cpu))];
        assert!(lerp(&one, &[], 0.5).is_err());
        let numbers = Numbers {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            size: -0.01,
            is_rectified: 1,
        };
        assert!(radam([&one, &one, &[]], &numbers).is_err());
    }
}
