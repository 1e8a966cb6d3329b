//! The heap of the program, set up so that a start is not spent in page faults.
//!
//! Packing the weights touches some 30 MB for the first time, in blocks that glibc would map and unmap one by one: 9000 page faults, which took
//! half of the processor time from the start to the first answer.

/// Makes glibc take memory from the system in large steps and keep it, and asks for huge pages behind the first step. Without glibc, or
/// where the system refuses, nothing changes.
pub fn prepare() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::prepare();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::{c_int, c_void};

    /// Bytes the heap grows by; pages count as memory only once they are touched.
    const GROWTH: usize = 64 << 20;
    /// glibc's limit for what comes from the heap; what is larger is mapped on its own as before.
    const LARGEST: c_int = 32 << 20;
    const HUGE_PAGE: usize = 2 << 20;

    // malloc.h and mman.h.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_TOP_PAD: c_int = -2;
    const M_MMAP_THRESHOLD: c_int = -3;
    const MADV_HUGEPAGE: c_int = 14;

    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
        fn sbrk(increment: isize) -> *mut c_void;
        fn madvise(start: *mut c_void, length: usize, advice: c_int) -> c_int;
    }

    pub(super) fn prepare() {
        // SAFETY: this sets thresholds of the allocator, before there is a second thread; a refusal changes nothing.
        unsafe {
            mallopt(M_MMAP_THRESHOLD, LARGEST);
            mallopt(M_TRIM_THRESHOLD, c_int::MAX);
            mallopt(M_TOP_PAD, GROWTH as c_int);
        }
        // More than a fresh heap holds, so that it grows now.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
        // SAFETY: without an increment, this only says where the heap ends.
        let end = unsafe { sbrk(0) } as usize;
        let start = end.saturating_sub(GROWTH).next_multiple_of(HUGE_PAGE);
        if let Some(length) = end.checked_sub(start) {
            // SAFETY: advice on huge pages changes no page's content, whatever lies in this range.
            unsafe { madvise(start as *mut c_void, length, MADV_HUGEPAGE) };
        }
    }
}
