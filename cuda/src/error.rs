//! Why CUDA cannot be used.

/// What is missing or wrong, on one line; a program adds which of its flags avoids it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// No driver library.
    #[error("no NVIDIA driver was found (libcuda.so)")]
    NoDriver,
    /// The driver is older than the machine code needs.
    #[error(
        "the NVIDIA driver is too old: it supports CUDA {found_major}.{found_minor}, {needed_major}.{needed_minor} (driver {driver}) is needed"
    )]
    DriverTooOld {
        /// What the driver supports.
        found_major: i32,
        /// What the driver supports.
        found_minor: i32,
        /// What is needed.
        needed_major: i32,
        /// What is needed.
        needed_minor: i32,
        /// The first driver that has it.
        driver: u32,
    },
    /// A driver and no GPU.
    #[error("the NVIDIA driver finds no GPU")]
    NoDevice,
    /// Fewer GPUs than asked for.
    #[error("there is no CUDA device {index}; this machine has {count}, counted from 0")]
    NoSuchDevice {
        /// The one asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The GPU has not enough free memory.
    #[error("the GPU is out of memory; a smaller batch needs less")]
    OutOfMemory,
    /// This build has no compiled kernels.
    #[error("this build has no CUDA kernels; `make kernels` compiles them, then build again")]
    NoKernels,
    /// The embedded archive is not what it should be.
    #[error("the embedded CUDA kernels are damaged: {0}")]
    Archive(&'static str),
    /// No kernel for this GPU.
    #[error("a GPU of compute capability {major}.{minor} is not supported; from 8.0 on they are")]
    Unsupported {
        /// Compute capability.
        major: i32,
        /// Compute capability.
        minor: i32,
    },
    /// A launch that cannot be made.
    #[error("{0}")]
    Launch(String),
    /// Anything else the driver reported.
    #[error("CUDA: {action} failed: {reason}")]
    Driver {
        /// What was being done.
        action: &'static str,
        /// What the driver said.
        reason: String,
    },
}
