//! What the shim of the fused site passes, and the functions it calls.

use super::ffi::{Coefficients, Place};
use std::ffi::{c_char, c_void};

/// Borrowed operands of a fused site, as the shim passes them; null for what is absent.
#[repr(C)]
pub(super) struct Operands {
    pub(super) samples: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// Not 0 when only the means over 2×2 pixels are wanted.
    pub(super) pool: usize,
    pub(super) coefficients: Coefficients,
    pub(super) x: *const f32,
    pub(super) gamma: *const f32,
    pub(super) beta: *const f32,
    pub(super) modulation: *const f32,
    pub(super) shortcut: *const f32,
    pub(super) gain: *const f32,
    /// Of dropout of elements, one number where x is.
    pub(super) key: *const u64,
    /// Probability of each element to be left out.
    pub(super) share: f64,
    /// Not 0 to normalize with the statistics of the batch, or of the batches of all processes of the group.
    pub(super) batch_statistics: usize,
    /// A live reference from `Group::lend`; null for a process alone.
    pub(super) group: *const c_void,
}

/// Numbers of memory that a site needs: the statistics are f64, the others f32.
#[derive(Default)]
#[repr(C)]
pub(super) struct Room {
    pub(super) statistics: usize,
    pub(super) lines: usize,
    pub(super) partials: usize,
    pub(super) unit_partials: usize,
    pub(super) towards: usize,
}

/// What forward leaves for backward.
#[repr(C)]
pub(super) struct Kept {
    pub(super) statistics: *mut f64,
    pub(super) lines: *mut f32,
}

/// What forward changes.
#[repr(C)]
pub(super) struct Output {
    pub(super) running_mean: *mut f32,
    pub(super) running_variance: *mut f32,
    pub(super) partials: *mut f32,
    pub(super) y: *mut f32,
}

/// What backward reads and writes beside the operands; the modulation's gradient is null exactly when there is no modulation.
#[repr(C)]
pub(super) struct Gradients {
    pub(super) y: *const f32,
    pub(super) u: *mut f32,
    pub(super) x: *mut f32,
    pub(super) gamma: *mut f32,
    pub(super) beta: *mut f32,
    pub(super) modulation: *mut f32,
    pub(super) numerator: *mut f32,
    pub(super) denominator: *mut f32,
    pub(super) sums: *mut f32,
    pub(super) unit_partials: *mut f32,
    pub(super) towards: *mut f32,
}

type Measure = unsafe extern "C" fn(*const Operands, *mut Room, *mut c_char) -> i32;
type Forward = unsafe extern "C" fn(*const Place, *const Operands, *const Kept, *const Output, *mut c_char) -> i32;
type Backward = unsafe extern "C" fn(*const Place, *const Operands, *const Kept, *const Gradients, *mut c_char) -> i32;

/// The site's functions on one device. Each answers 0, or 1 and a message.
#[repr(C)]
pub(super) struct Kernels {
    pub(super) room: Measure,
    pub(super) forward: Forward,
    pub(super) backward: Backward,
}
