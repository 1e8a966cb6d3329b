//! The end of the process while others of its threads compute.

/// Ends the process at once, with this exit status. [`std::process::exit`] would tear libtorch's globals down under a thread that computes with
/// them, which then goes on with nonsense, and may write it.
#[cfg(unix)]
pub(crate) fn end_at_once(status: i32) -> ! {
    // SAFETY: the function takes a number, touches nothing of the process's memory and does not return.
    unsafe { nix::libc::_exit(status) }
}

#[cfg(not(unix))]
pub(crate) fn end_at_once(_status: i32) -> ! {
    std::process::abort()
}
