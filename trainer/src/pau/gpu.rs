//! What puts launches on the stream that libtorch works on.

use super::ffi::{Place, answer};
use dualnet_cuda::{CudaError, Device, Launch, Module};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::sync::{Mutex, PoisonError};

/// What runs launches; a stand-in in tests.
pub(super) trait Gpu {
    /// Puts launches on a stream of GPU `device` and returns without waiting for them.
    ///
    /// # Safety
    /// The memory arguments are addresses of that GPU, as large as the launches' makers state and alive until the stream is past the
    /// launches; the stream is one of that GPU's primary context.
    unsafe fn run(device: usize, stream: *mut c_void, launches: &[Launch<u64>]) -> Result<(), CudaError>;
}

/// The GPUs, each with a family's kernels from its first use on.
pub(super) struct Driver;

static LOADED: Mutex<BTreeMap<(usize, &str), Module>> = Mutex::new(BTreeMap::new());

impl Gpu for Driver {
    unsafe fn run(device: usize, stream: *mut c_void, launches: &[Launch<u64>]) -> Result<(), CudaError> {
        use std::collections::btree_map::Entry;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        for launch in launches {
            let module = match loaded.entry((device, launch.family)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Device::open(device)?.load(launch.family)?),
            };
            // SAFETY: the caller vouches for memory and stream; libtorch works in the primary context, as `Device` does.
            unsafe { module.run(launch, stream.cast()) }?;
        }
        Ok(())
    }
}

/// Runs what `launches` makes, and answers for the shim.
///
/// # Safety
/// As [`Gpu::run`]; `place` points to what the shim made, and `message` has the room that [`answer`] needs.
pub(super) unsafe fn launch<G: Gpu>(
    place: *const Place,
    launches: Result<Vec<Launch<u64>>, CudaError>,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the caller vouches for `place`.
    let place = unsafe { &*place };
    let device = usize::try_from(place.device).map_err(|_| CudaError::NoDevice);
    // SAFETY: the caller vouches for what is launched.
    let result = launches.and_then(|launches| unsafe { G::run(device?, place.stream, &launches) });
    // SAFETY: the caller vouches for the room.
    unsafe { answer(result.map_err(|error| error.to_string()), message) }
}

/// A GPU that refuses.
#[cfg(test)]
pub(super) struct Broken;

#[cfg(test)]
impl Gpu for Broken {
    unsafe fn run(_: usize, _: *mut c_void, _: &[Launch<u64>]) -> Result<(), CudaError> {
        Err(CudaError::OutOfMemory)
    }
}
