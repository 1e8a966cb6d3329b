//! What is left of an output file when somebody ends the program before it is complete: nothing.

use std::path::Path;

/// Hears of Ctrl-C, a request to end, and the loss of the terminal, on Unix; what was ignored stays so. Before the file is made, so that none is left behind.
pub fn listen() {
    #[cfg(unix)]
    unix::listen();
}

/// Removes the file at `path` when the process ends by what [`listen`] hears of. For one file of the process; where nothing is heard the file stays.
pub fn remove_when_ended(path: &Path) {
    #[cfg(unix)]
    unix::remove_when_ended(path);
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(unix)]
mod unix {
    use std::ffi::{CString, c_char, c_int};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};

    // signal.h, the same numbers on every Unix.
    const SIGHUP: c_int = 1;
    const SIGINT: c_int = 2;
    const SIGTERM: c_int = 15;
    const SIG_DFL: usize = 0;
    const SIG_IGN: usize = 1;

    unsafe extern "C" {
        fn signal(number: c_int, handler: usize) -> usize;
        fn raise(number: c_int) -> c_int;
        fn unlink(path: *const c_char) -> c_int;
    }

    /// The file's name for the handler, which must not allocate; never freed.
    static PATH: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

    pub(super) fn listen() {
        for number in [SIGHUP, SIGINT, SIGTERM] {
            // SAFETY: `remove_and_end` is a handler of the type that `signal` expects and calls nothing but functions that are safe in one. A signal that was
            // ignored (`nohup`) is so again.
            unsafe {
                if signal(number, remove_and_end as extern "C" fn(c_int) as usize) == SIG_IGN {
                    signal(number, SIG_IGN);
                }
            }
        }
    }

    pub(super) fn remove_when_ended(path: &Path) {
        if let Ok(path) = CString::new(path.as_os_str().as_bytes()) {
            PATH.store(path.into_raw(), Ordering::Release);
        }
    }

    extern "C" fn remove_and_end(number: c_int) {
        let path = PATH.load(Ordering::Acquire);
        // SAFETY: `unlink`, `signal` and `raise` may be called in a signal handler (POSIX, 2.4.3); `path` is null or a string that ends with a zero byte and
        // is never freed. Once this handler returns, the signal does what it does by default and ends the process.
        unsafe {
            if !path.is_null() {
                unlink(path);
            }
            signal(number, SIG_DFL);
            raise(number);
        }
    }
}
