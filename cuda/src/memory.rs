//! Memory of a GPU, and memory of the host that a GPU copies from and to by itself.

use crate::device::reported;
use crate::{CudaError, Device};
use cudarc::driver::{CudaContext, result};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::Arc;

/// Device memory, at a multiple of 256 bytes; freed when dropped.
#[derive(Debug)]
pub struct DeviceMemory {
    address: u64,
    bytes: usize,
    context: Arc<CudaContext>,
}

/// Page-locked memory of the host, zeros at first; freed when dropped.
#[derive(Debug)]
pub struct Pinned {
    bytes: *mut u8,
    length: usize,
    context: Arc<CudaContext>,
}

impl Device {
    /// Fresh memory with undefined contents.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`], or what else the driver reports.
    pub fn allocate(&self, bytes: usize) -> Result<DeviceMemory, CudaError> {
        self.enter()?;
        // SAFETY: the context is current. The driver refuses a length of 0, hence at least 1.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(reported("allocating memory"))?;
        Ok(DeviceMemory {
            address,
            bytes,
            context: Arc::clone(self.context()),
        })
    }

    /// Page-locked memory of the host.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`], or what else the driver reports.
    pub fn pinned(&self, length: usize) -> Result<Pinned, CudaError> {
        self.enter()?;
        // SAFETY: the context is current; no flags means memory that the processor caches. At least 1 byte, as above.
        let bytes = unsafe { result::malloc_host(length.max(1), 0) }.map_err(reported("allocating pinned memory"))?;
        let bytes: *mut u8 = bytes.cast();
        // SAFETY: as many bytes were just allocated, and nobody else knows of them.
        unsafe { bytes.write_bytes(0, length) };
        Ok(Pinned {
            bytes,
            length,
            context: Arc::clone(self.context()),
        })
    }

    /// Bytes of the GPU's memory that are free, and all there are.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn memory(&self) -> Result<(usize, usize), CudaError> {
        self.context()
            .mem_get_info()
            .map_err(reported("asking for free memory"))
    }
}

impl DeviceMemory {
    /// Where it begins.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether it has a length of 0.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Copies `bytes` to `offset`, and waits until they are there.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when they do not fit, otherwise what the driver reports.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), CudaError> {
        if offset.checked_add(bytes.len()).is_none_or(|end| end > self.bytes) {
            return Err(CudaError::Launch(format!(
                "{} bytes at {offset} do not fit memory of {}",
                bytes.len(),
                self.bytes
            )));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.context
            .bind_to_thread()
            .map_err(reported("entering the GPU's context"))?;
        // SAFETY: the range lies within the allocation, as just checked; the call has read all bytes when it returns.
        unsafe { result::memcpy_htod_sync(self.address + offset as u64, bytes) }
            .map_err(reported("copying to the GPU"))?;
        // Of memory that is not page-locked the last part can still be on its way, and streams of ours do not wait for this one.
        // SAFETY: the null stream is always there.
        unsafe { result::stream::synchronize(std::ptr::null_mut()) }.map_err(reported("copying to the GPU"))
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated by `Device::allocate` and owned alone. The call waits for work that may still use it; a failure
            // leaves it allocated until the process ends.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

impl Pinned {
    /// Its contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: initialized memory of this length that lives as long as `self`; copies to it are the contract of `Stream::download`.
        unsafe { from_raw_parts(self.bytes, self.length) }
    }

    /// Its contents.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; copies from it are the contract of `Stream::upload`.
        unsafe { from_raw_parts_mut(self.bytes, self.length) }
    }
}

// SAFETY: plain memory, of the process as a whole, that only its owner reaches.
unsafe impl Send for Pinned {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Pinned {}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated by `Device::pinned` and owned alone.
            let _ = unsafe { result::free_host(self.bytes.cast()) };
        }
    }
}
