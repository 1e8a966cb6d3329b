//! c10d's TCPStore: numbers and bytes by name, for processes that have nothing else in common yet.

use super::environment::Place;
use crate::error::TrainerError;
use crate::shim;
use std::ffi::{CString, c_char};
use std::ptr::{NonNull, null_mut};
use std::time::Duration;

/// How long to try to reach a store, and to wait for a name that is not there yet.
const PATIENCE: Duration = Duration::from_secs(300);

/// The shim's store.
#[repr(C)]
pub(super) struct RawStore {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn ecg_store_open(
        host: *const c_char,
        port: u16,
        is_server: bool,
        timeout: i64,
        bound_port: *mut u16,
        message: *mut *mut c_char,
    ) -> *mut RawStore;
    fn ecg_store_add(
        store: *mut RawStore,
        key: *const c_char,
        value: i64,
        sum: *mut i64,
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_store_set(
        store: *mut RawStore,
        key: *const c_char,
        value: *const u8,
        length: usize,
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_store_get(
        store: *mut RawStore,
        key: *const c_char,
        value: *mut u8,
        length: usize,
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_store_close(store: *mut RawStore);
}

/// A connection to a store; serves it too where this process keeps it.
#[derive(Debug)]
pub(super) struct Store {
    raw: NonNull<RawStore>,
    port: u16,
    prefix: String,
}

// SAFETY: TCPStore is a handle that any thread may use; a lock inside it lets one thread at a time talk to the server.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// The store of the processes of `place`, kept here or elsewhere.
    pub(super) fn meet(place: &Place) -> Result<Self, TrainerError> {
        Self::open(place, place.rank == 0 && !place.store_is_kept)
    }

    /// One more connection to the store that [`meet`](Self::meet) opened, for another thread.
    pub(super) fn again(place: &Place) -> Result<Self, TrainerError> {
        Self::open(place, false)
    }

    fn open(place: &Place, is_server: bool) -> Result<Self, TrainerError> {
        let Place { host, port, .. } = place;
        let mut store = Self::raw(host, *port, is_server).map_err(|reason| {
            TrainerError::Distributed(match is_server {
                true => format!("no store can be opened at MASTER_PORT {port}: {reason}"),
                false => format!("the store at MASTER_ADDR {host}, MASTER_PORT {port} cannot be reached: {reason}"),
            })
        })?;
        store.prefix = format!("dualnet/{}/", place.attempt);
        Ok(store)
    }

    fn raw(host: &str, port: u16, is_server: bool) -> Result<Self, String> {
        let host = CString::new(host).map_err(|_| "the address has a zero byte".to_owned())?;
        let (mut bound, mut message) = (0, null_mut());
        // SAFETY: the string is zero-terminated and both results are written before they are read.
        let raw = unsafe {
            ecg_store_open(
                host.as_ptr(),
                port,
                is_server,
                PATIENCE.as_millis() as i64,
                &mut bound,
                &mut message,
            )
        };
        Ok(Self {
            raw: shim::made(raw, message)?,
            port: bound,
            prefix: String::new(),
        })
    }

    fn key(&self, name: &str) -> Result<CString, String> {
        CString::new(format!("{}{name}", self.prefix)).map_err(|_| "a name has a zero byte".to_owned())
    }

    /// Adds to the number `name`, which begins at 0, and returns the sum.
    pub(super) fn add(&self, name: &str, value: i64) -> Result<i64, String> {
        let key = self.key(name)?;
        let (mut sum, mut message) = (0, null_mut());
        // SAFETY: `raw` is a live store, the key is zero-terminated, both results are written before they are read.
        let code = unsafe { ecg_store_add(self.raw.as_ptr(), key.as_ptr(), value, &mut sum, &mut message) };
        shim::done(code, message)?;
        Ok(sum)
    }

    /// Stores bytes.
    pub(super) fn set(&self, name: &str, value: &[u8]) -> Result<(), String> {
        let key = self.key(name)?;
        let mut message = null_mut();
        // SAFETY: as in `add`; pointer and length are a live slice's.
        let code = unsafe {
            ecg_store_set(
                self.raw.as_ptr(),
                key.as_ptr(),
                value.as_ptr(),
                value.len(),
                &mut message,
            )
        };
        shim::done(code, message)
    }

    /// Waits for bytes of this length.
    pub(super) fn get(&self, name: &str, value: &mut [u8]) -> Result<(), String> {
        let key = self.key(name)?;
        let mut message = null_mut();
        // SAFETY: as in `add`; the shim writes exactly `length` bytes or none.
        let code = unsafe {
            ecg_store_get(
                self.raw.as_ptr(),
                key.as_ptr(),
                value.as_mut_ptr(),
                value.len(),
                &mut message,
            )
        };
        shim::done(code, message)
    }

    pub(super) fn as_ptr(&self) -> *mut RawStore {
        self.raw.as_ptr()
    }

    /// The prefix of every name, for whatever uses the store itself.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `ecg_store_open` and is not used again.
        unsafe { ecg_store_close(self.raw.as_ptr()) };
    }
}

/// A store kept for other processes, as a launcher does.
#[derive(Debug)]
pub struct Host {
    store: Store,
}

impl Host {
    /// Keeps a store at a free port of this machine.
    ///
    /// # Errors
    /// When no port is to be had.
    pub fn open() -> Result<Self, TrainerError> {
        let store = Store::raw("127.0.0.1", 0, true)
            .map_err(|reason| TrainerError::Distributed(format!("no store can be opened: {reason}")))?;
        Ok(Self { store })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.store.port
    }
}
