//! Where tensors live.

use crate::distributed::Place;
use crate::error::TrainerError;
use tch::Device;

/// The device called `name`: `cpu`, `cuda` (in a group, the process's own; otherwise the first), `cuda:1`, or `auto` (CUDA where each process of this
/// machine has a device of its own).
///
/// # Errors
/// A name that means nothing, and CUDA where it cannot be used; the message says why and what to do.
pub fn device(name: &str, local_rank: usize) -> Result<Device, TrainerError> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => match usable_by_all() {
            Ok(()) => local_rank,
            Err(_) => return Ok(Device::Cpu),
        },
        "cuda" => local_rank,
        _ => match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
            Some(index) => index,
            None => {
                return Err(TrainerError::Device(format!(
                    "no device is called {name:?}; there are {NAMES}"
                )));
            }
        },
    };
    let count = usable().map_err(|reason| {
        TrainerError::Device(format!("CUDA cannot be used: {reason}; --device cpu works everywhere"))
    })?;
    if index >= count {
        return Err(TrainerError::Device(format!(
            "there is no CUDA device {index}; this machine has {count}, counted from 0"
        )));
    }
    // All batches but the last of an epoch are of one size: trying what cuDNN offers for it pays.
    tch::Cuda::cudnn_set_benchmark(true);
    Ok(Device::Cuda(index))
}

const NAMES: &str = "cpu, cuda, cuda:N and auto";

/// What `auto` stands for on this machine, in words; `None` of another name, which says so itself.
pub fn said_of_auto(name: &str) -> Option<String> {
    (name == "auto").then(|| match usable_by_all() {
        Ok(()) => "device auto: computing on CUDA".to_owned(),
        Err(reason) => format!("device auto: computing on the CPU; CUDA cannot be used: {reason}"),
    })
}

/// Whether each process on this machine can have a CUDA device; otherwise why not. All of them come to the same answer.
fn usable_by_all() -> Result<(), String> {
    match (usable()?, Place::processes_here()) {
        (devices, processes) if devices < processes => {
            Err(format!("there are {devices} devices for {processes} processes"))
        }
        _ => Ok(()),
    }
}

/// How many CUDA devices can be used, at least one, or why none can.
fn usable() -> Result<usize, String> {
    let refused = |reason: &str| Err(reason.to_owned());
    if let Err(error) = dualnet_cuda::Device::count().and(dualnet_cuda::Archive::embedded()) {
        return Err(error.to_string());
    }
    if !cuda_library_is_loaded() {
        return refused(
            "libtorch_cuda.so was not found; put the lib folder of PyTorch 2.11 for CUDA on LD_LIBRARY_PATH",
        );
    }
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(count) if count > 0 && tch::Cuda::is_available() => Ok(count),
        _ => refused("libtorch finds no GPU, or its driver is too old"),
    }
}

/// Loads libtorch's CUDA half, which registers itself, if it is to be found.
#[cfg(unix)]
fn cuda_library_is_loaded() -> bool {
    use std::sync::OnceLock;
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: the library is libtorch's own second half, whose initializers only register its operators; it is never unloaded.
        let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
        library.map(std::mem::forget).is_ok()
    })
}

#[cfg(not(unix))]
fn cuda_library_is_loaded() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_says_what_it_stands_for() {
        let said = said_of_auto("auto").expect("a line");
        match device("auto", 0).expect("always something") {
            Device::Cpu => assert!(said.contains("on the CPU; CUDA cannot be used: "), "{said}"),
            _ => assert!(said.ends_with("on CUDA"), "{said}"),
        }
        assert_eq!(said_of_auto("cpu"), None);
    }

    #[test]
    fn a_device_that_means_nothing_is_refused_with_those_that_do() {
        assert_eq!(device("cpu", 3).expect("the CPU"), Device::Cpu);
        for name in ["gpu", "cuda:", "cuda:x", "CPU", ""] {
            let error = device(name, 0).expect_err("refused").to_string();
            assert!(error.contains(NAMES), "{error}");
        }
    }

    #[test]
    fn cuda_is_there_or_says_what_is_missing() {
        match device("cuda:0", 0) {
            Ok(device) => assert_eq!(device, Device::Cuda(0)),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("--device cpu"), "{error}");
                // The driver's own words where it is what is missing.
                if let Err(cause) = dualnet_cuda::Device::count() {
                    assert!(error.contains(&cause.to_string()), "{error}");
                }
            }
        }
    }
}
