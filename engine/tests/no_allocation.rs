//! Preprocessing allocates nothing per record.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dualnet_engine::signal::{Inputs, MAX_SAMPLES, Preprocessor};
use dualnet_fixtures::stream;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is forwarded unchanged to `System`, which upholds the contract; counting touches a `Cell` without
// a destructor in thread-local storage and neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's guarantees for `layout` are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this `layout`, as the caller guarantees.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: `pointer` came from `System` with this `layout`, and `size` is the caller's responsibility.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn lead(samples: usize) -> Vec<f32> {
    stream("no allocation", samples).iter().map(|&x| x as f32).collect()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 100]))), 1);
}

#[test]
fn preparing_a_record_allocates_nothing() {
    let mut preprocessor = Preprocessor::new();
    let mut inputs = Inputs::zeros();
    for samples in [9000, 33, MAX_SAMPLES, 20_000, 2714] {
        let lead = lead(samples);
        let count = allocations(|| {
            preprocessor
                .prepare(&lead, &mut inputs.ecg, &mut inputs.spectrogram)
                .unwrap()
        });
        assert_eq!(count, 0, "{samples} samples");
    }
}

#[test]
fn a_longer_lead_than_any_before_allocates_once() {
    let mut preprocessor = Preprocessor::new();
    let mut inputs = Inputs::zeros();
    let lead = lead(25_000);
    let mut prepare = || {
        preprocessor
            .prepare_uncut(&lead, &mut inputs.ecg, &mut inputs.spectrogram)
            .unwrap()
    };
    assert_eq!(allocations(&mut prepare), 1);
    assert_eq!(allocations(&mut prepare), 0);
}
