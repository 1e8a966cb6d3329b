//! Queues of work on a GPU, marks in them, and work that was recorded to be queued as one.

use crate::device::{TIMING, reported};
use crate::{CudaError, Device, DeviceMemory, Pinned};
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream, result, sys};
use std::ops::Range;
use std::sync::Arc;

/// A queue of work, done in its order.
#[derive(Debug)]
pub struct Stream(Arc<CudaStream>);

/// A mark in a queue.
#[derive(Debug)]
pub struct Event(CudaEvent);

/// Recorded work.
pub struct Graph(CudaGraph);

impl Device {
    /// A new queue, independent of all others.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn stream(&self) -> Result<Stream, CudaError> {
        self.context()
            .new_stream()
            .map(Stream)
            .map_err(reported("making a stream"))
    }

    /// A new mark; with `timed`, one that knows when it was reached.
    ///
    /// # Errors
    /// [`CudaError::DriverTooOld`] with `timed`, or what the driver reports.
    pub fn event(&self, timed: bool) -> Result<Event, CudaError> {
        if timed {
            Self::needs(TIMING)?;
        }
        let flags = match timed {
            true => sys::CUevent_flags::CU_EVENT_DEFAULT,
            false => sys::CUevent_flags::CU_EVENT_DISABLE_TIMING,
        };
        self.context()
            .new_event(Some(flags))
            .map(Event)
            .map_err(reported("making an event"))
    }
}

impl Stream {
    /// The driver's handle, for [`Module::run`](crate::Module::run).
    pub fn handle(&self) -> sys::CUstream {
        self.0.cu_stream()
    }

    /// Queues a copy of the first `bytes` bytes.
    ///
    /// # Safety
    /// Until the stream is past the copy, both live, `from` is not written, and nothing else uses these bytes of `to`.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when one is shorter, otherwise what the driver reports.
    pub unsafe fn upload(&self, from: &Pinned, to: &DeviceMemory, bytes: usize) -> Result<(), CudaError> {
        let from = from.bytes().get(..bytes).filter(|_| bytes <= to.len());
        let from = from.ok_or_else(|| CudaError::Launch(format!("{bytes} bytes do not fit what is to be copied")))?;
        self.enter()?;
        // SAFETY: both are as long, and the caller vouches for the time until the copy is done.
        unsafe { result::memcpy_htod_async(to.address(), from, self.handle()) }.map_err(reported("copying to the GPU"))
    }

    /// Queues a copy of `range` of `from` to the beginning of `to`.
    ///
    /// # Safety
    /// Until the stream is past the copy, both live, nothing reads `to`, and nothing else writes the range.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when one is shorter, otherwise what the driver reports.
    pub unsafe fn download(&self, from: &DeviceMemory, range: Range<usize>, to: &mut Pinned) -> Result<(), CudaError> {
        let fits = range.end <= from.len();
        let to = to.bytes_mut().get_mut(..range.len()).filter(|_| fits);
        let to = to.ok_or_else(|| CudaError::Launch(format!("{range:?} is not within what is to be copied")))?;
        self.enter()?;
        // SAFETY: the range lies within `from`, and the caller vouches for the time until the copy is done.
        unsafe { result::memcpy_dtoh_async(to, from.address() + range.start as u64, self.handle()) }
            .map_err(reported("copying from the GPU"))
    }

    /// Queues a copy of the first `bytes` bytes from one place on the GPU to another.
    ///
    /// # Safety
    /// Until the stream is past the copy, both live, and nothing else writes `from` or uses `to`.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when one is shorter, otherwise what the driver reports.
    pub unsafe fn copy(&self, from: &DeviceMemory, to: &DeviceMemory, bytes: usize) -> Result<(), CudaError> {
        if bytes > from.len().min(to.len()) {
            return Err(CudaError::Launch(format!(
                "{bytes} bytes do not fit what is to be copied"
            )));
        }
        self.enter()?;
        // SAFETY: both are as long, and the caller vouches for the time until the copy is done.
        unsafe { result::memcpy_dtod_async(to.address(), from.address(), bytes, self.handle()) }
            .map_err(reported("copying on the GPU"))
    }

    /// Marks the end of what is queued now.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn record(&self, event: &Event) -> Result<(), CudaError> {
        event.0.record(&self.0).map_err(reported("recording an event"))
    }

    /// Lets what is queued from now on wait for a mark.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn wait(&self, event: &Event) -> Result<(), CudaError> {
        self.0.wait(&event.0).map_err(reported("waiting for an event"))
    }

    /// Waits until everything queued is done. Errors of kernels show here.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.0.synchronize().map_err(reported("running the kernels"))
    }

    /// Records what `work` queues here, which does not run then. Memory must have been allocated and kernels loaded before.
    ///
    /// # Errors
    /// Those of `work`, and what the driver reports.
    pub fn capture(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        let capturing = reported("recording the launches");
        // Other threads' calls do not concern this recording.
        self.0
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(&capturing)?;
        let done = work();
        let graph = self.0.end_capture(sys::CUgraphInstantiate_flags(0));
        done?;
        match graph.map_err(&capturing)? {
            Some(graph) => Ok(Graph(graph)),
            None => Err(CudaError::Launch("nothing was recorded".to_owned())),
        }
    }

    fn enter(&self) -> Result<(), CudaError> {
        self.0
            .context()
            .bind_to_thread()
            .map_err(reported("entering the GPU's context"))
    }
}

impl Event {
    /// Waits until the mark is reached.
    ///
    /// # Errors
    /// What the driver reports; errors of the kernels before it show here.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.0.synchronize().map_err(reported("running the kernels"))
    }

    /// Milliseconds from this mark to a later one, both timed and reached.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn milliseconds_to(&self, later: &Self) -> Result<f32, CudaError> {
        self.0.elapsed_ms(&later.0).map_err(reported("timing"))
    }
}

impl Graph {
    /// Queues the recorded work on the stream it was recorded on.
    ///
    /// # Safety
    /// As for each [`Module::run`](crate::Module::run) that was recorded: modules and memory live until the work is done.
    ///
    /// # Errors
    /// What the driver reports.
    pub unsafe fn launch(&self) -> Result<(), CudaError> {
        self.0.launch().map_err(reported("launching the recorded kernels"))
    }
}

// SAFETY: the driver wants calls on a graph one after the other, from any thread; `&mut` or a lock around the owner sees to it, as `Graph`
// is not `Sync`.
unsafe impl Send for Graph {}
