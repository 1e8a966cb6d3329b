//! c10d's Gloo group: collectives on CPU tensors that run on Gloo's own threads.

use super::environment::Place;
use super::store::{RawStore, Store};
use crate::shim;
use std::ffi::{CString, c_char};
use std::ptr::{NonNull, null, null_mut};
use std::time::Duration;
use tch::Tensor;
use torch_sys::C_tensor;

/// Meeting, and a collective whose processes all live, may take this long.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Network interface to use, as PyTorch names the variable.
const INTERFACE: &str = "GLOO_SOCKET_IFNAME";

#[repr(C)]
struct RawGloo {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawWork {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn ecg_gloo_join(
        store: *mut RawStore,
        prefix: *const c_char,
        rank: i32,
        size: i32,
        interface: *const c_char,
        address: *const c_char,
        timeout: i64,
        threads: i32,
        message: *mut *mut c_char,
    ) -> *mut RawGloo;
    fn ecg_gloo_all_reduce(gloo: *mut RawGloo, values: *const C_tensor, message: *mut *mut c_char) -> *mut RawWork;
    fn ecg_gloo_broadcast(
        gloo: *mut RawGloo,
        values: *const C_tensor,
        root: i32,
        message: *mut *mut c_char,
    ) -> *mut RawWork;
    fn ecg_gloo_leave(gloo: *mut RawGloo);
    fn ecg_work_wait(work: *mut RawWork, timeout: i64, message: *mut *mut c_char) -> i32;
    fn ecg_work_free(work: *mut RawWork);
}

/// One Gloo group. Not to be used by two threads at once: the order of calls is the order of collectives.
#[derive(Debug)]
pub(super) struct Gloo {
    raw: NonNull<RawGloo>,
}

// SAFETY: ProcessGroupGloo is a handle without ties to a thread; `&mut self` keeps its calls apart.
unsafe impl Send for Gloo {}

/// A collective under way.
#[derive(Debug)]
pub(super) struct Work {
    raw: NonNull<RawWork>,
    /// Alive until the collective is done with its memory.
    _values: Tensor,
}

// SAFETY: c10d's Work is a handle without ties to a thread, guarded by a lock of its own.
unsafe impl Send for Work {}

/// How far a collective is.
#[derive(Debug)]
pub(super) enum Progress {
    Done,
    UnderWay,
    Failed(String),
}

impl Gloo {
    /// Meets the others under `name`; all of them must call this.
    pub(super) fn join(store: &Store, place: &Place, name: &str, threads: i32) -> Result<Self, String> {
        let text = |text: &str| CString::new(text).map_err(|_| format!("{text:?} has a zero byte"));
        let prefix = text(&format!("{}{name}", store.prefix()))?;
        let interface = std::env::var(INTERFACE).ok().filter(|name| !name.is_empty());
        let interface = interface.as_deref().map(text).transpose()?;
        // Where all meet on one machine, its name need not lead anywhere.
        let is_local = matches!(place.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let address = is_local.then(|| text(&place.host)).transpose()?;
        let pointer = |text: &Option<CString>| text.as_ref().map_or(null(), |text| text.as_ptr());
        let mut message = null_mut();
        // SAFETY: the store is live (c10d keeps its own reference to what it needs of it), the strings are zero-terminated
        // or null where that is allowed, and `message` is written only on failure.
        let raw = unsafe {
            ecg_gloo_join(
                store.as_ptr(),
                prefix.as_ptr(),
                place.rank as i32,
                place.size as i32,
                pointer(&interface),
                pointer(&address),
                PATIENCE.as_millis() as i64,
                threads,
                &mut message,
            )
        };
        Ok(Self {
            raw: shim::made(raw, message)?,
        })
    }

    /// Starts replacing `values`, dense in memory, by their sums over the processes.
    pub(super) fn all_reduce(&mut self, values: &Tensor) -> Result<Work, String> {
        let mut message = null_mut();
        // SAFETY: group and tensor are live; libtorch keeps its own reference to the tensor while it works.
        let raw = unsafe { ecg_gloo_all_reduce(self.raw.as_ptr(), values.as_ptr(), &mut message) };
        Work::new(raw, message, values)
    }

    /// Starts replacing `values`, dense in memory, by those of the process `root`.
    pub(super) fn broadcast(&mut self, values: &Tensor, root: usize) -> Result<Work, String> {
        let mut message = null_mut();
        // SAFETY: as in `all_reduce`.
        let raw = unsafe { ecg_gloo_broadcast(self.raw.as_ptr(), values.as_ptr(), root as i32, &mut message) };
        Work::new(raw, message, values)
    }
}

impl Drop for Gloo {
    /// Waits for collectives under way: after a failure forget the group instead.
    fn drop(&mut self) {
        // SAFETY: the pointer came from `ecg_gloo_join` and is not used again.
        unsafe { ecg_gloo_leave(self.raw.as_ptr()) };
    }
}

impl Work {
    fn new(raw: *mut RawWork, message: *mut c_char, values: &Tensor) -> Result<Self, String> {
        Ok(Self {
            raw: shim::made(raw, message)?,
            _values: values.shallow_clone(),
        })
    }

    /// Waits until the collective is done, at most so long.
    pub(super) fn wait(&mut self, longest: Duration) -> Progress {
        let mut message = null_mut();
        // SAFETY: the work is live and `message` is written only on failure.
        match unsafe { ecg_work_wait(self.raw.as_ptr(), longest.as_millis() as i64, &mut message) } {
            0 => Progress::Done,
            1 => Progress::UnderWay,
            _ => Progress::Failed(shim::message(message)),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the shim and is not used again; c10d keeps its own reference while it works.
        unsafe { ecg_work_free(self.raw.as_ptr()) };
    }
}
