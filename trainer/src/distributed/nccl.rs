//! NCCL: collectives on CUDA tensors, in the order of a CUDA stream.
//!
//! Run with one process on one GPU only: more need as many GPUs. The library is loaded at run time, so that
//! a program without GPUs does not need it.

use super::store::Store;
use crate::shim;
use cudarc::nccl::sys::{ncclComm_t, ncclDataType_t, ncclRedOp_t, ncclResult_t, ncclUniqueId};
use libloading::Library;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};
use tch::{Device, Kind, Tensor};

#[repr(C)]
struct RawSideStream {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn ecg_cuda_stream(device: i32, message: *mut *mut c_char) -> *mut c_void;
    fn ecg_side_stream_new(device: i32, message: *mut *mut c_char) -> *mut RawSideStream;
    fn ecg_side_stream_enter(side: *mut RawSideStream, message: *mut *mut c_char) -> *mut c_void;
    fn ecg_side_stream_join(side: *mut RawSideStream, message: *mut *mut c_char) -> i32;
    fn ecg_side_stream_free(side: *mut RawSideStream);
}

/// As NCCL's header declares them; the stream is a `cudaStream_t`.
type GetUniqueId = unsafe extern "C" fn(*mut ncclUniqueId) -> ncclResult_t;
type CommInitRank = unsafe extern "C" fn(*mut ncclComm_t, c_int, ncclUniqueId, c_int) -> ncclResult_t;
type AllReduce = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    usize,
    ncclDataType_t,
    ncclRedOp_t,
    ncclComm_t,
    *mut c_void,
) -> ncclResult_t;
type Broadcast = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    usize,
    ncclDataType_t,
    c_int,
    ncclComm_t,
    *mut c_void,
) -> ncclResult_t;

/// The communicator of one process and its device. It lives as long as the process: destroying it could wait for the lost.
#[derive(Debug)]
pub(super) struct Nccl {
    communicator: ncclComm_t,
    all_reduce: AllReduce,
    broadcast: Broadcast,
    device: i32,
    side: NonNull<RawSideStream>,
}

// SAFETY: a communicator and a stream may be used from any thread, one at a time, which `&mut self` ensures.
unsafe impl Send for Nccl {}

/// On which stream a collective runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// On torch's current one: what follows there uses the result.
    Current,
    /// Beside it, once what torch has issued so far is done; [`Nccl::join`] lets torch's stream wait for the results.
    Side,
}

/// PyTorch's wheels have the library under its versioned name only, where cudarc's own loader does not look.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];

impl Nccl {
    /// Meets the others; all of them must call this, each with a device of its own.
    pub(super) fn connect(store: &Store, rank: usize, size: usize, device: Device) -> Result<Self, String> {
        let Device::Cuda(device) = device else {
            return Err(format!("NCCL works on CUDA tensors, not on {device:?}"));
        };
        let device = i32::try_from(device).map_err(|_| format!("there is no CUDA device {device}"))?;
        // SAFETY: NCCL's initializers only set up the library itself.
        let library = NAMES.into_iter().find_map(|name| unsafe { Library::new(name) }.ok());
        // It is never unloaded.
        let library: &'static Library = Box::leak(Box::new(library.ok_or_else(|| {
            "several CUDA devices need NCCL: put the folder of libnccl.so.2, which PyTorch for CUDA brings, on LD_LIBRARY_PATH"
                .to_owned()
        })?));
        let (get_unique_id, init): (GetUniqueId, CommInitRank) =
            (find(library, "ncclGetUniqueId")?, find(library, "ncclCommInitRank")?);
        let mut id = ncclUniqueId { internal: [0; 128] };
        const KEY: &str = "nccl";
        if rank == 0 {
            // SAFETY: `id` is written by the call.
            check("ncclGetUniqueId", unsafe { get_unique_id(&mut id) })?;
            store.set(KEY, &id.internal.map(|byte| byte as u8))?;
        } else {
            let mut bytes = [0; 128];
            store.get(KEY, &mut bytes)?;
            id.internal = bytes.map(|byte| byte as c_char);
        }
        let mut message = null_mut();
        // Also makes the device the thread's current one, which the communicator then belongs to.
        // SAFETY: `message` is written only on failure.
        let side = unsafe {
            if ecg_cuda_stream(device, &mut message).is_null() && !message.is_null() {
                return Err(shim::message(message));
            }
            ecg_side_stream_new(device, &mut message)
        };
        let side = shim::made(side, message)?;
        let mut communicator = null_mut();
        // SAFETY: `communicator` is written by the call; all processes call with the same id and size.
        check("ncclCommInitRank", unsafe {
            init(&mut communicator, size as c_int, id, rank as c_int)
        })?;
        Ok(Self {
            communicator,
            all_reduce: find(library, "ncclAllReduce")?,
            broadcast: find(library, "ncclBroadcast")?,
            device,
            side,
        })
    }

    /// Enqueues replacing `values`, dense in memory, by their sums over the processes.
    pub(super) fn all_reduce(&mut self, values: &Tensor, lane: Lane) -> Result<(), String> {
        let (kind, stream) = (self.kind(values)?, self.stream(lane)?);
        let data = values.data_ptr();
        // SAFETY: the tensor is dense, on the communicator's device (both checked by `kind`) and has that many elements;
        // in place is allowed. On the side lane the caller keeps it until `join`; on the current one libtorch's allocator
        // reuses its memory in the stream's order only.
        let result = unsafe {
            (self.all_reduce)(
                data,
                data,
                values.numel(),
                kind,
                ncclRedOp_t::ncclSum,
                self.communicator,
                stream,
            )
        };
        check("ncclAllReduce", result)
    }

    /// Enqueues replacing `values`, dense in memory, by those of the process `root`.
    pub(super) fn broadcast(&mut self, values: &Tensor, root: usize) -> Result<(), String> {
        let (kind, stream) = (self.kind(values)?, self.stream(Lane::Current)?);
        let data = values.data_ptr();
        // SAFETY: as in `all_reduce`.
        let result = unsafe {
            (self.broadcast)(
                data,
                data,
                values.numel(),
                kind,
                root as c_int,
                self.communicator,
                stream,
            )
        };
        check("ncclBroadcast", result)
    }

    /// Lets torch's current stream wait for everything on the side lane.
    pub(super) fn join(&mut self) -> Result<(), String> {
        let mut message = null_mut();
        // SAFETY: the side stream is live and `message` is written only on failure.
        let code = unsafe { ecg_side_stream_join(self.side.as_ptr(), &mut message) };
        shim::done(code, message)
    }

    fn stream(&mut self, lane: Lane) -> Result<*mut c_void, String> {
        let mut message = null_mut();
        // SAFETY: the side stream is live and `message` is written only on failure.
        let stream = unsafe {
            match lane {
                Lane::Current => ecg_cuda_stream(self.device, &mut message),
                Lane::Side => ecg_side_stream_enter(self.side.as_ptr(), &mut message),
            }
        };
        // Null is a stream too, CUDA's default one.
        match message.is_null() {
            true => Ok(stream),
            false => Err(shim::message(message)),
        }
    }

    fn kind(&self, values: &Tensor) -> Result<ncclDataType_t, String> {
        if values.device() != Device::Cuda(self.device as usize) || !values.is_contiguous() {
            return Err(format!(
                "the tensor is not dense on CUDA device {}, which this process works on",
                self.device
            ));
        }
        match values.kind() {
            Kind::Float => Ok(ncclDataType_t::ncclFloat32),
            Kind::Double => Ok(ncclDataType_t::ncclFloat64),
            Kind::Int64 => Ok(ncclDataType_t::ncclInt64),
            Kind::Uint8 => Ok(ncclDataType_t::ncclUint8),
            kind => Err(format!("tensors of {kind:?} are not exchanged")),
        }
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `ecg_side_stream_new` and is not used again; torch keeps the stream itself.
        unsafe { ecg_side_stream_free(self.side.as_ptr()) };
    }
}

/// The function of that name, whose type must be `F`.
fn find<F: Copy>(library: &'static Library, name: &str) -> Result<F, String> {
    // SAFETY: the callers' types are those of NCCL's header, unchanged through version 2.
    let symbol = unsafe { library.get::<F>(name.as_bytes()) };
    symbol
        .map(|symbol| *symbol)
        .map_err(|_| format!("NCCL has no function {name}"))
}

fn check(call: &str, result: ncclResult_t) -> Result<(), String> {
    match result {
        ncclResult_t::ncclSuccess => Ok(()),
        error => Err(format!("{call}: {error:?}")),
    }
}
