//! The functions `autograd.cpp` calls: all steps of a layer, forward and backward, shared out by records.

use super::panels::Panels;
use super::steps::{Backward, Forward};
use super::{GATES, Shape};
use dualnet_engine::simd::Isa;
use rayon::prelude::*;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// The function pointers; each function returns 0, or 1 when no instruction set can be chosen.
#[repr(C)]
pub(super) struct Kernels {
    forward: unsafe extern "C" fn(*const Shape, *const f32, *mut f32, *mut f32, *mut f32) -> i32,
    backward: unsafe extern "C" fn(*const Shape, *const f32, *const f32, *const f32, *const f32, *mut f32) -> i32,
}

pub(super) static KERNELS: Kernels = Kernels {
    forward: forward_raw,
    backward: backward_raw,
};

impl Shape {
    /// Numbers of a state of all steps of all records.
    pub(super) fn states(&self) -> usize {
        self.records * self.steps * self.units
    }

    /// Numbers of a recurrent weight.
    pub(super) fn weights(&self) -> usize {
        GATES * self.units * self.units
    }

    /// Numbers of a state of a thread's share of the records: the weights, which may be larger than a cache, are read once a step for all of them.
    fn share(&self) -> usize {
        self.records.div_ceil(rayon::current_num_threads()) * self.steps * self.units
    }

    /// The extents of a part with so many numbers of a state.
    fn part(self, states: usize) -> Self {
        Self {
            records: states / (self.steps * self.units),
            ..self
        }
    }
}

/// Turns what input and biases contribute, `gates [records, steps, 4, units]`, into the activated gates; writes cells and outputs
/// `[records, steps, units]`. `recurrent [4, units, units]`.
pub(super) fn forward(
    isa: Isa,
    shape: Shape,
    recurrent: &[f32],
    gates: &mut [f32],
    cells: &mut [f32],
    hidden: &mut [f32],
) {
    let share = shape.share();
    let panels = Panels::of_outputs(isa.lanes(), shape.units, recurrent);
    let parts = gates
        .par_chunks_mut(GATES * share)
        .zip(cells.par_chunks_mut(share))
        .zip(hidden.par_chunks_mut(share));
    parts.for_each(|((gates, cells), hidden)| {
        isa.run(Forward {
            shape: shape.part(cells.len()),
            panels: &panels,
            gates,
            cells,
            hidden,
        });
    });
}

/// Writes the gradients by the gates before their activation, from those by the outputs.
pub(super) fn backward(
    isa: Isa,
    shape: Shape,
    recurrent: &[f32],
    (gates, cells): (&[f32], &[f32]),
    grad_hidden: &[f32],
    grad_gates: &mut [f32],
) {
    let share = shape.share();
    let panels = Panels::of_gates(isa.lanes(), shape.units, recurrent);
    let parts = grad_gates
        .par_chunks_mut(GATES * share)
        .zip(gates.par_chunks(GATES * share))
        .zip(cells.par_chunks(share))
        .zip(grad_hidden.par_chunks(share));
    parts.for_each(|(((grad_gates, gates), cells), grad_hidden)| {
        isa.run(Backward {
            shape: shape.part(cells.len()),
            panels: &panels,
            gates,
            cells,
            grad_hidden,
            grad_gates,
        });
    });
}

unsafe extern "C" fn forward_raw(
    shape: *const Shape,
    recurrent: *const f32,
    gates: *mut f32,
    cells: *mut f32,
    hidden: *mut f32,
) -> i32 {
    // SAFETY: the shim passes live, contiguous tensors of the extents it has derived `shape` from; gates, cells and outputs are freshly
    // allocated, nobody else's and do not overlap.
    let (shape, recurrent, gates, cells, hidden) = unsafe {
        let shape = *shape;
        let states = shape.states();
        (
            shape,
            from_raw_parts(recurrent, shape.weights()),
            from_raw_parts_mut(gates, GATES * states),
            from_raw_parts_mut(cells, states),
            from_raw_parts_mut(hidden, states),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    forward(isa, shape, recurrent, gates, cells, hidden);
    0
}

unsafe extern "C" fn backward_raw(
    shape: *const Shape,
    recurrent: *const f32,
    gates: *const f32,
    cells: *const f32,
    grad_hidden: *const f32,
    grad_gates: *mut f32,
) -> i32 {
    // SAFETY: as in `forward_raw`, with what it wrote; the gradient by the outputs is contiguous and has their extents, as autograd demands, and
    // that of the gates is freshly allocated.
    let (shape, recurrent, gates, cells, grad_hidden, grad_gates) = unsafe {
        let shape = *shape;
        let states = shape.states();
        (
            shape,
            from_raw_parts(recurrent, shape.weights()),
            from_raw_parts(gates, GATES * states),
            from_raw_parts(cells, states),
            from_raw_parts(grad_hidden, states),
            from_raw_parts_mut(grad_gates, GATES * states),
        )
    };
    let Ok(isa) = Isa::detect() else { return 1 };
    backward(isa, shape, recurrent, (gates, cells), grad_hidden, grad_gates);
    0
}
