//! Settings that libraries read from the environment once, when they are loaded: too late to set them from within.

/// Idle OpenMP threads sleep instead of spinning: spinning ones slow a busy machine many times over.
const OPENMP: (&str, &str) = ("OMP_WAIT_POLICY", "passive");

/// Large blocks stay with the process between steps instead of being mapped, zeroed by the kernel and unmapped again, which
/// costs a third of a step's time. Names and values; processes that this one starts inherit them.
pub const ALLOCATOR: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "8589934592"),
];

/// What libtorch's store has to say about lost connections, the program says itself.
const LOG: (&str, &str) = ("TORCH_CPP_LOG_LEVEL", "ERROR");

/// Starts this program again with the settings that are missing; does nothing when all are set.
///
/// Where a program cannot replace itself, or that fails, it goes on as it is: only slower.
pub fn settle() {
    let missing: Vec<_> = ALLOCATOR
        .into_iter()
        .chain([OPENMP, LOG])
        .filter(|(name, _)| std::env::var_os(name).is_none())
        .collect();
    if !missing.is_empty() {
        restart(&missing);
    }
}

#[cfg(unix)]
fn restart(settings: &[(&str, &str)]) {
    use std::os::unix::process::CommandExt;
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // On success this does not return.
    let _ = command.args(arguments).envs(settings.iter().copied()).exec();
}

#[cfg(not(unix))]
fn restart(_settings: &[(&str, &str)]) {}
