//! What the C++ shims hand over.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn ecg_free_message(message: *mut c_char);
}

/// Takes over the message that a shim allocated on failure, and returns its first line.
pub(crate) fn message(message: *mut c_char) -> String {
    if message.is_null() {
        return "out of memory".to_owned();
    }
    // SAFETY: on failure a shim stores a zero-terminated string that is ours to read once and free.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; the string was allocated by the shim and is not used again.
    unsafe { ecg_free_message(message) };
    text.lines().next().unwrap_or_default().to_owned()
}

/// Nothing where a shim answered 0; otherwise takes over the message that it allocated.
pub(crate) fn done(answer: i32, text: *mut c_char) -> Result<(), String> {
    match answer {
        0 => Ok(()),
        _ => Err(message(text)),
    }
}

/// Takes over what a shim allocated: what it was to make, or a message.
pub(crate) fn made<T>(result: *mut T, text: *mut c_char) -> Result<NonNull<T>, String> {
    NonNull::new(result).ok_or_else(|| message(text))
}

/// As [`made`], of a tensor.
pub(crate) fn tensor(result: *mut C_tensor, text: *mut c_char) -> Result<tch::Tensor, tch::TchError> {
    let result = made(result, text).map_err(tch::TchError::Torch)?;
    // SAFETY: a non-null result is a tensor newly allocated by the shim, owned by nobody else.
    Ok(unsafe { tch::Tensor::from_ptr(result.as_ptr()) })
}

#[cfg(test)]
mod tests {
    use crate::axial::{AxialAttention, BatchNorm};
    use crate::convolution::convolution;
    use crate::lstm::Layer;
    use crate::pau::{ConditionalPau, pau};
    use tch::{Device, Kind, TchError, Tensor};

    type Operation<'a> = dyn Fn(&Tensor) -> Result<Tensor, TchError> + 'a;

    fn ones(size: &[i64]) -> Tensor {
        Tensor::ones(size, (Kind::Float, Device::Cpu))
    }

    /// A gradient alone is there; one that is to be differentiated again would be without what our kernels compute.
    #[test]
    fn differentiating_twice_is_refused() {
        let (numerator, denominator) = (ones(&[6]), ones(&[4]));
        let (two, eight) = (ones(&[2]), ones(&[8]));
        let norm = |vector| BatchNorm {
            gamma: vector,
            beta: vector,
            running_mean: vector,
            running_variance: vector,
        };
        let site = |x: &Tensor| {
            let site = ConditionalPau {
                x,
                gamma: &two,
                beta: &two,
                modulation: None,
                shortcut: None,
                gain: None,
                numerator: &numerator,
                denominator: &denominator,
                running_mean: &two,
                running_variance: &two,
                batch_statistics: true,
                pool: false,
                group: None,
            };
            site.apply()
        };
        let (embeddings, thirds) = (ones(&[8, 5]), ones(&[3]));
        let attention = |x: &Tensor| {
            let attention = AxialAttention {
                projected: x,
                embeddings: &embeddings,
                projection_norm: norm(&eight),
                similarity_norm: norm(&thirds),
                output_norm: norm(&eight),
                groups: 1,
                along_height: true,
                batch_statistics: true,
            };
            attention.apply()
        };
        let filters = ones(&[16, 16, 3, 3]);
        let (input, recurrent, bias) = (ones(&[64, 3]), ones(&[64, 16]), ones(&[64]));
        let layer = Layer {
            input: &input,
            recurrent: &recurrent,
            biases: [&bias, &bias],
        };
        let operations: [(&[i64], &Operation<'_>); 5] = [
            (&[3], &|x| pau(x, &numerator, &denominator)),
            (&[2, 2, 3, 3], &site),
            (&[2, 3, 2, 8], &attention),
            (&[1, 16, 4, 4], &|x| convolution(x, &filters)),
            (&[2, 2, 3], &|x| layer.apply(x)),
        ];
        for (size, operation) in operations {
            let x = ones(size).set_requires_grad(true);
            let gradient = |twice| {
                let y = operation(&x).expect("a result").sum(Kind::Float);
                Tensor::f_run_backward(&[y], &[&x], twice, twice)
            };
            assert_eq!(gradient(false).expect("a gradient")[0].size(), size);
            let error = gradient(true).expect_err("no second derivative").to_string();
            assert!(error.contains("has no second derivative"), "{size:?}: {error}");
        }
    }
}
