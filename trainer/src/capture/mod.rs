//! Work on a GPU that is recorded once and then repeated as a whole (a CUDA graph): starting it costs one call instead of hundreds.

use crate::error::TrainerError;
use crate::shim;
use std::ffi::c_char;
use std::ptr::{NonNull, null_mut};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

#[repr(C)]
struct RawGraph {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn ecg_use_own_stream(index: i32, message: *mut *mut c_char) -> i32;
    fn ecg_page_locked(sizes: *const i64, axes: usize, message: *mut *mut c_char) -> *mut C_tensor;
    fn ecg_graph_new(message: *mut *mut c_char) -> *mut RawGraph;
    fn ecg_graph_begin(graph: *mut RawGraph, message: *mut *mut c_char) -> i32;
    fn ecg_graph_end(graph: *mut RawGraph, message: *mut *mut c_char) -> i32;
    fn ecg_graph_replay(graph: *mut RawGraph, message: *mut *mut c_char) -> i32;
    fn ecg_graph_free(graph: *mut RawGraph);
}

/// Gives this thread a stream of its own on a CUDA device. Work cannot be recorded on the one that a thread begins with.
pub(crate) fn use_own_stream(index: usize) -> Result<(), TrainerError> {
    let index = i32::try_from(index).map_err(|_| TrainerError::Device(format!("there is no CUDA device {index}")))?;
    let mut message = null_mut();
    // SAFETY: `message` is written only on failure.
    let code = unsafe { ecg_use_own_stream(index, &mut message) };
    shim::done(code, message).map_err(TrainerError::Device)
}

/// float32 numbers in memory of the processor that a GPU reads by itself, at its bus's full speed.
pub(crate) fn page_locked(size: &[i64]) -> Result<Tensor, TchError> {
    let mut message = null_mut();
    // SAFETY: as many extents as stated, and `message` is written only on failure.
    let result = unsafe { ecg_page_locked(size.as_ptr(), size.len(), &mut message) };
    shim::tensor(result, message)
}

/// Recorded work. Its tensors stay where they were: inputs are copied into those it read, and results read from those it wrote.
#[derive(Debug)]
pub(crate) struct Graph {
    raw: NonNull<RawGraph>,
}

// SAFETY: a graph is used by one thread at a time, which `&mut self` ensures.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` queues on this thread's stream, without doing it. All that it needs must have run once before, so that nothing
    /// is loaded, tried out or waited for meanwhile.
    pub(crate) fn record<T>(work: impl FnOnce() -> Result<T, TrainerError>) -> Result<(Self, T), TrainerError> {
        let mut message = null_mut();
        // SAFETY: `message` is written only on failure.
        let raw = unsafe { ecg_graph_new(&mut message) };
        let raw = shim::made(raw, message).map_err(TrainerError::Device)?;
        let graph = Self { raw };
        // SAFETY: the graph is live; `message` is written only on failure.
        let begun = unsafe { ecg_graph_begin(raw.as_ptr(), &mut message) };
        shim::done(begun, message).map_err(TrainerError::Device)?;
        let done = work();
        let mut message = null_mut();
        // SAFETY: as above. Recording ends whatever came of the work.
        let ended = unsafe { ecg_graph_end(raw.as_ptr(), &mut message) };
        let ended = shim::done(ended, message).map_err(TrainerError::Device);
        let done = done?;
        ended?;
        Ok((graph, done))
    }

    /// Queues the recorded work on this thread's stream.
    pub(crate) fn replay(&mut self) -> Result<(), TrainerError> {
        let mut message = null_mut();
        // SAFETY: the graph is live and was recorded to its end; `message` is written only on failure.
        let code = unsafe { ecg_graph_replay(self.raw.as_ptr(), &mut message) };
        shim::done(code, message).map_err(TrainerError::Device)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the graph is live and not used again.
        unsafe { ecg_graph_free(self.raw.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_recording_says_what_is_missing() {
        if tch::Cuda::is_available() {
            eprintln!("skipped: there is a GPU here");
            return;
        }
        let error = Graph::record(|| Ok(())).expect_err("no CUDA").to_string();
        assert!(error.contains("PyTorch 2.11"), "{error}");
        assert!(use_own_stream(0).is_err());
    }
}
