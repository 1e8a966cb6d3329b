//! Counts the multiply-adds that products execute, for measurements: those of a thread, as padded and transformed operands make them.

use std::cell::Cell;

thread_local! {
    static EXECUTED: Cell<u64> = const { Cell::new(0) };
}

/// Adds to the thread's count.
#[inline(always)]
pub(super) fn count(multiply_adds: usize) {
    EXECUTED.with(|executed| executed.set(executed.get().wrapping_add(multiply_adds as u64)));
}

/// The thread's count since it started, modulo 2⁶⁴.
pub(in crate::cpu) fn executed() -> u64 {
    EXECUTED.with(Cell::get)
}
