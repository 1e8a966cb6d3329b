//! Inference on a GPU, which is not there yet: what stands between a user and `--device cuda`, by name.

/// Why no network runs on a GPU here: the first of all reasons.
#[cfg(feature = "cuda")]
pub(crate) fn refusal() -> String {
    match dualnet_cuda::Device::open(0).and_then(|device| device.load("preprocess")) {
        Err(error) => error.to_string(),
        Ok(_) => "the CUDA kernels of the network's blocks are not written yet".to_owned(),
    }
}

/// Why no network runs on a GPU here: the first of all reasons.
#[cfg(not(feature = "cuda"))]
pub(crate) fn refusal() -> String {
    "this build is without CUDA (feature `cuda`)".to_owned()
}
