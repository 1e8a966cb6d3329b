//! A GPU, and the kernels loaded on it.

use crate::{Archive, Argument, CudaError, Launch};
use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// A version of CUDA, and the first driver that has it.
pub(crate) type Needed = ((i32, i32), u32);

/// The CUDA version whose machine code is embedded needs a driver of the same major version, or a later one.
const MACHINE_CODE: Needed = ((12, 0), 525);
/// The bindings measure time by a function of this version.
pub(crate) const TIMING: Needed = ((12, 8), 570);

/// An open GPU. It uses the primary context, the one libtorch uses too.
#[derive(Clone, Debug)]
pub struct Device {
    context: Arc<CudaContext>,
    capability: (i32, i32),
}

impl Device {
    /// Opens GPU `index`, counted from 0.
    ///
    /// # Errors
    /// [`CudaError::NoDriver`], [`CudaError::DriverTooOld`], [`CudaError::NoDevice`], [`CudaError::NoSuchDevice`],
    /// [`CudaError::OutOfMemory`] when the GPU has none left for a context, or what else the driver reports.
    pub fn open(index: usize) -> Result<Self, CudaError> {
        let count = Self::count()?;
        if index >= count {
            return Err(CudaError::NoSuchDevice { index, count });
        }
        let context = CudaContext::new(index).map_err(reported("opening the GPU"))?;
        let capability = context
            .compute_capability()
            .map_err(reported("asking for the compute capability"))?;
        Ok(Self { context, capability })
    }

    /// The number of GPUs, at least one.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn count() -> Result<usize, CudaError> {
        // SAFETY: it only tries to load the driver's library, whose initializers any CUDA program runs.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        match result::init() {
            Ok(()) => {}
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(CudaError::NoDevice),
            // The library of the toolkit without a driver behind it.
            Err(DriverError(sys::CUresult::CUDA_ERROR_STUB_LIBRARY)) => return Err(CudaError::NoDriver),
            Err(error) => return Err(reported("starting the driver")(error)),
        }
        Self::needs(MACHINE_CODE)?;
        match result::device::get_count().map(usize::try_from) {
            Ok(Ok(count)) if count > 0 => Ok(count),
            Ok(_) => Err(CudaError::NoDevice),
            Err(error) => Err(reported("counting the GPUs")(error)),
        }
    }

    /// Makes sure that the driver, which has started, is as new as this.
    pub(crate) fn needs((needed, driver): Needed) -> Result<(), CudaError> {
        let mut version = 0;
        // SAFETY: `version` is a place for the one integer that is written.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }
            .result()
            .map_err(reported("asking for the driver's version"))?;
        let found = (version / 1000, version % 1000 / 10);
        match found < needed {
            false => Ok(()),
            true => Err(CudaError::DriverTooOld {
                found_major: found.0,
                found_minor: found.1,
                needed_major: needed.0,
                needed_minor: needed.1,
                driver,
            }),
        }
    }

    /// Compute capability, such as (9, 0).
    pub fn capability(&self) -> (i32, i32) {
        self.capability
    }

    /// The context, for memory and streams.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Makes the GPU's context this thread's.
    pub(crate) fn enter(&self) -> Result<(), CudaError> {
        self.context
            .bind_to_thread()
            .map_err(reported("entering the GPU's context"))
    }

    /// Multiprocessors of the GPU.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn processors(&self) -> Result<usize, CudaError> {
        let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let count = self.context.attribute(attribute);
        count
            .map(|count| count.unsigned_abs() as usize)
            .map_err(reported("asking for the multiprocessors"))
    }

    /// The GPU's name, such as `NVIDIA H200`.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn name(&self) -> Result<String, CudaError> {
        self.context.name().map_err(reported("asking for the GPU's name"))
    }

    /// Loads a family of the embedded kernels.
    ///
    /// # Errors
    /// Those of [`Archive::code`], and what the driver reports.
    pub fn load(&self, family: &'static str) -> Result<Module, CudaError> {
        let code = Archive::embedded()?.code(family, self.capability.0, self.capability.1)?;
        self.enter()?;
        // SAFETY: `code` is a whole cubin, or PTX that ends in a zero byte, made by our own compiler run; the driver copies it.
        let module = unsafe { result::module::load_data(code.as_ptr().cast()) }.map_err(reported("loading kernels"))?;
        Ok(Module {
            family,
            module,
            functions: HashMap::new(),
            context: Arc::clone(&self.context),
        })
    }
}

/// A family of kernels on a GPU; unloaded when dropped.
#[derive(Debug)]
pub struct Module {
    family: &'static str,
    module: sys::CUmodule,
    /// With the dynamic shared memory each is ready for.
    functions: HashMap<String, (sys::CUfunction, u32)>,
    context: Arc<CudaContext>,
}

impl Module {
    /// Puts a launch on `stream`; it returns before the kernel has run.
    ///
    /// # Safety
    /// Every memory argument is a device address of this GPU that is valid, as large as the launcher that made `launch` states, until
    /// the kernel has run; `stream` belongs to this GPU's primary context. The module lives as long: until the kernel has run, and every
    /// graph that the launch was captured into has run for the last time.
    ///
    /// # Errors
    /// [`CudaError::Launch`] for a launch of another family, otherwise what the driver reports.
    pub unsafe fn run(&mut self, launch: &Launch<u64>, stream: sys::CUstream) -> Result<(), CudaError> {
        if launch.family != self.family {
            return Err(CudaError::Launch(format!(
                "{} is not among the kernels of {}",
                launch.kernel, self.family
            )));
        }
        self.context
            .bind_to_thread()
            .map_err(reported("entering the GPU's context"))?;
        let function = self.function(&launch.kernel, launch.shared_bytes)?;
        let mut arguments = launch.arguments.clone();
        let mut pointers: Vec<*mut c_void> = arguments
            .iter_mut()
            .map(|argument| match argument {
                Argument::Memory(address) => std::ptr::from_mut(address).cast(),
                Argument::I32(number) => std::ptr::from_mut(number).cast(),
                Argument::I64(number) => std::ptr::from_mut(number).cast(),
                Argument::F32(number) => std::ptr::from_mut(number).cast(),
            })
            .collect();
        let start = match launch.together {
            true => result::launch_cooperative_kernel,
            false => result::launch_kernel,
        };
        // SAFETY: the pointers are to values of the kernel's parameter types, in their order, that outlive the call, which copies
        // them; the host build runs the same launches and refuses arguments of other types. The rest is the caller's contract.
        unsafe {
            start(
                function,
                (launch.blocks, launch.rows, 1),
                (launch.threads, 1, 1),
                launch.shared_bytes,
                stream,
                &mut pointers,
            )
        }
        .map_err(reported("launching a kernel"))
    }

    /// A kernel, ready for as much dynamic shared memory.
    fn function(&mut self, name: &str, shared_bytes: u32) -> Result<sys::CUfunction, CudaError> {
        if let Some(&(function, ready)) = self.functions.get(name)
            && shared_bytes <= ready
        {
            return Ok(function);
        }
        let c_name = CString::new(name).map_err(|_| CudaError::Launch(format!("{name:?} is no kernel's name")))?;
        // SAFETY: the module is loaded and stays so as long as `self` lives.
        let function =
            unsafe { result::module::get_function(self.module, c_name) }.map_err(reported("finding a kernel"))?;
        if shared_bytes > 0 {
            // Without it, 48 KiB together with what the kernel declares are the most.
            let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(shared_bytes)
                .map_err(|_| CudaError::Launch(format!("{name} asks for {shared_bytes} bytes of shared memory")))?;
            // SAFETY: the function was just found in a loaded module.
            unsafe { result::function::set_function_attribute(function, most, bytes) }
                .map_err(reported("reserving shared memory"))?;
        }
        self.functions.insert(name.to_owned(), (function, shared_bytes));
        Ok(function)
    }
}

// SAFETY: a CUmodule and its functions may be used from any thread that has entered the context, which every method does first.
unsafe impl Send for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: nothing else holds the module, and by the contract of `run` none of its kernels is yet to run. A failure leaves it loaded
            // until the process ends.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

/// A driver's error in our words.
pub(crate) fn reported(action: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| match error.0 {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory,
        sys::CUresult::CUDA_ERROR_NO_DEVICE => CudaError::NoDevice,
        _ => CudaError::Driver {
            action,
            reason: error.to_string(),
        },
    }
}
